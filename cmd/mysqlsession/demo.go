package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/mysqlsession/mysqlsession"
	"github.com/mysqlsession/mysqlsession/cmd/mysqlsession/internal/dashboard"
	"github.com/mysqlsession/mysqlsession/cmd/mysqlsession/internal/load"
	"github.com/mysqlsession/mysqlsession/cmd/mysqlsession/internal/webapp"
	"github.com/mysqlsession/mysqlsession/debug"
	"github.com/mysqlsession/mysqlsession/internal/localserver"
)

// demo is one run of the demonstration.
type demo struct {
	listen      string // host:port
	listenGiven bool   // by the user, who wants this address or none
	target      target // the database to use, if one is named
	private
}

func newDemoCommand() *cobra.Command {
	d := &demo{private: private{find: localserver.Find, engine: engineAnswers}}
	command := &cobra.Command{
		Use:   "demo",
		Short: "Serve a small web application and a live dashboard on a real database",
		Long: `Serves a small web application on this machine: sign in, a visit counter, a new
session id at sign-in, the list of your sessions on other browsers, sign out here
and everywhere. Beside it is a dashboard, at /dashboard/: moving charts of a pool
under a load, with sliders for the load, the pool and the network. The load runs
while somebody looks at it.

All of it is in the database that MYSQLSESSION_DSN, or a flag, names, as in
mysql://user:password@127.0.0.1:3306/database. Without that it starts a MariaDB
or MySQL of its own, in a temporary folder, from a server program on this
machine, or else in a container. All of that is gone when it ends.`,
		Args: cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			d.listenGiven = command.Flags().Changed("listen")
			d.out = command.OutOrStdout()
			d.logger = slog.New(slog.NewTextHandler(command.ErrOrStderr(), &slog.HandlerOptions{Level: slog.LevelWarn}))
			return d.run(command.Context())
		},
	}
	command.Flags().StringVar(&d.listen, "listen", "127.0.0.1:8080",
		"address to serve on; when it is taken and was not asked for, a free port")
	command.Flags().StringVar(&d.image, "image", "mariadb:11.4",
		"image of the container, where one is used")
	d.target.addFlags(command)
	return command
}

func (d *demo) run(ctx context.Context) (err error) {
	listener, err := d.bind(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = listener.Close() }() // again, if all went well

	db, err := d.chooseDatabase(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.stop()) }()

	store, err := d.openStore(ctx, db)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()

	handler, end := d.handler(store, db)
	defer end()
	d.introduce(listener.Addr(), db)
	return d.serve(ctx, listener, handler)
}

// handler is the web application and, beside it, the dashboard with its load, which end ends.
func (d *demo) handler(store *mysqlsession.Store, db *database) (handler http.Handler, end func()) {
	recorder := debug.NewRecorder()
	config := db.config
	config.Pool, config.Trace = "load", recorder.Trace()
	config.TableName = db.table() + "_load"
	config.TableNameMeta = config.TableName + "_meta"
	generator := load.New(config, d.logger)

	mux := http.NewServeMux()
	mux.Handle("/", webapp.New(store, db.name, d.logger))
	mux.Handle("/dashboard/", dashboard.New(generator, debug.NewPage(generator.Pools, recorder), db.name))
	return mux, func() {
		if err := generator.Close(); err != nil {
			d.logger.Warn("the load has left something behind", "error", err)
		}
	}
}

// bind takes the address first of all: it is what fails most often.
func (d *demo) bind(ctx context.Context) (net.Listener, error) {
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", d.listen)
	if errors.Is(err, syscall.EADDRINUSE) && !d.listenGiven {
		listener, err = config.Listen(ctx, "tcp", "127.0.0.1:0")
	}
	if err != nil {
		return nil, fmt.Errorf("serve on %s: %w", d.listen, err)
	}
	return listener, nil
}

func (d *demo) openStore(ctx context.Context, db *database) (*mysqlsession.Store, error) {
	store, err := mysqlsession.Open(ctx, db.config)
	if err != nil {
		return nil, fmt.Errorf("open the database: %w", err)
	}
	if err := store.Migrate(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("create the tables: %w", err), store.Close())
	}
	return store, nil
}

// introduce prints where the demonstration is and what to do with it.
func (d *demo) introduce(address net.Addr, db *database) {
	var text strings.Builder
	fmt.Fprintf(&text, "\n  Open       %[1]s\n  Dashboard  %[1]s/dashboard/\n  Database   %[2]s\n", pageAddress(address), db.name)
	text.WriteString(`
  Try
    1. Sign in with any name and look at the page a few times: it counts.
    2. Open the address in a second browser, or a private window, and sign in with
       the same name: each lists the other.
    3. Sign out everywhere in one of them, then look at the page in the other.
`)
	fmt.Fprintf(&text, "    4. Look at the rows%s\n", db.look())
	text.WriteString("    5. Open the dashboard and switch coalescing off and on: the charts move.\n")
	fmt.Fprintf(&text, "\n  Ctrl-C ends it. %s\n\n", db.leaves)
	_, _ = io.WriteString(d.out, text.String())
}

// pageAddress is where a browser on this machine finds what listens on the address.
func pageAddress(address net.Addr) string {
	if tcp, ok := address.(*net.TCPAddr); ok && tcp.IP.IsUnspecified() {
		return fmt.Sprintf("http://localhost:%d", tcp.Port)
	}
	return "http://" + address.String()
}

// serve serves until the context ends, which is how the demonstration is meant to end.
func (d *demo) serve(ctx context.Context, listener net.Listener, handler http.Handler) error {
	server := &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      30 * time.Second,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    32 << 10,
		ErrorLog:          slog.NewLogLogger(d.logger.Handler(), slog.LevelWarn),
	}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(listener) }()
	select {
	case err := <-failed:
		return fmt.Errorf("serve: %w", err)
	case <-ctx.Done():
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 3*time.Second)
	defer cancel()
	if err := server.Shutdown(ctx); err != nil {
		_ = server.Close() // of those that are still reading their page
	}
	<-failed
	return nil
}
