// Package service is what every example needs and nobody reads them for: its database, the
// address that it serves at, and its end.
package service

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"os/signal"
	"time"

	"github.com/mysqlsession/mysqlsession"
	"github.com/mysqlsession/mysqlsession/examples/internal/database"
)

// grace is how long requests may take that are under way when the service ends.
const grace = 5 * time.Second

// Server is the part of *http.Server that the examples need.
type Server interface {
	Serve(listener net.Listener) error
	Shutdown(ctx context.Context) error
}

// Main is all of an example's main: it serves until it is interrupted. name is what the
// flags' help calls the program, and open makes the server whose sessions are in the store.
func Main[S Server](name string, open func(store *mysqlsession.Store) (S, error)) {
	database.Watchdog()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := Run(ctx, name, os.Args[1:], os.Stdout, open); err != nil {
		log.Fatal(err)
	}
}

// Run is Main for these arguments, until ctx ends. The first line that it prints begins with
// its address and a semicolon.
func Run[S Server](ctx context.Context, name string, arguments []string, out io.Writer, open func(store *mysqlsession.Store) (S, error)) error {
	flags := flag.NewFlagSet(name, flag.ContinueOnError)
	dsn := flags.String("dsn", "", "the database, mysql://user:password@host/database; a throw-away one unless told")
	listen := flags.String("listen", "127.0.0.1:8080", "the address to serve at")
	if err := flags.Parse(arguments); err != nil {
		return err
	}
	store, about, closeAll, err := database.Open(ctx, *dsn)
	if err != nil {
		return err
	}
	server, err := open(store)
	if err != nil {
		return errors.Join(err, closeAll())
	}
	listener, err := net.Listen("tcp", *listen)
	if err != nil {
		return errors.Join(err, closeAll())
	}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	fmt.Fprintf(out, "http://%s; %s; Ctrl-C ends it\n", listener.Addr(), about)
	select {
	case err = <-ended:
	case <-ctx.Done():
		wait, cancel := context.WithTimeout(context.WithoutCancel(ctx), grace)
		defer cancel()
		err = server.Shutdown(wait)
	}
	return errors.Join(err, closeAll())
}
