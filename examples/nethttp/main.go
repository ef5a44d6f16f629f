// Command nethttp is a small service of net/http alone, whose sessions are kept in a
// database: it knows who you are, counts your visits, and signs you out here or everywhere.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"time"

	"github.com/mysqlsession/mysqlsession/examples/internal/database"
	"github.com/mysqlsession/mysqlsession/httpsession"
)

func main() {
	database.Watchdog()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil {
		log.Fatal(err)
	}
}

// run serves until ctx ends.
func run(ctx context.Context, arguments []string, out io.Writer) error {
	flags := flag.NewFlagSet("nethttp", flag.ContinueOnError)
	dsn := flags.String("dsn", "", "the database, mysql://user:password@host/database; a throw-away one unless told")
	listen := flags.String("listen", "127.0.0.1:8080", "the address to serve at")
	if err := flags.Parse(arguments); err != nil {
		return err
	}
	store, about, closeAll, err := database.Open(ctx, *dsn)
	if err != nil {
		return err
	}
	// This is plain HTTP; leave Insecure out behind TLS.
	sessions, err := httpsession.New[visitor](store, httpsession.Config{Insecure: true})
	if err != nil {
		return errors.Join(err, closeAll())
	}
	listener, err := net.Listen("tcp", *listen)
	if err != nil {
		return errors.Join(err, closeAll())
	}
	server := &http.Server{Handler: service{sessions}.handler(), ReadHeaderTimeout: 10 * time.Second}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	fmt.Fprintf(out, "http://%s; %s; Ctrl-C ends it\n", listener.Addr(), about)
	select {
	case err = <-ended:
	case <-ctx.Done():
		wait, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		err = server.Shutdown(wait)
	}
	return errors.Join(err, closeAll())
}

// visitor is what a session holds.
type visitor struct {
	Visits int `json:"visits"`
}

type service struct {
	sessions *httpsession.Manager[visitor]
}

func (s service) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", s.home)
	mux.HandleFunc("POST /login", s.login)
	mux.HandleFunc("POST /logout", s.logout)
	mux.HandleFunc("POST /logout-everywhere", s.logoutEverywhere)
	return http.NewCrossOriginProtection().Handler(s.sessions.Handler(mux))
}

func (s service) home(w http.ResponseWriter, r *http.Request) {
	session := s.sessions.From(r.Context())
	if session.Subject() == "" {
		fmt.Fprintln(w, "nobody is signed in")
		return
	}
	session.Value().Visits++
	fmt.Fprintf(w, "%s, visit %d\n", session.Subject(), session.Value().Visits)
}

func (s service) login(w http.ResponseWriter, r *http.Request) {
	user := r.FormValue("user") // a real one asks for a password
	if user == "" {
		http.Error(w, "user is missing", http.StatusBadRequest)
		return
	}
	s.sessions.From(r.Context()).SignIn(user)
}

func (s service) logout(_ http.ResponseWriter, r *http.Request) {
	s.sessions.From(r.Context()).Destroy()
}

func (s service) logoutEverywhere(w http.ResponseWriter, r *http.Request) {
	session := s.sessions.From(r.Context())
	if user := session.Subject(); user != "" {
		if _, err := s.sessions.SignOutEverywhere(r.Context(), user); err != nil {
			log.Print(err)
			http.Error(w, "try again in a moment", http.StatusServiceUnavailable)
			return
		}
	}
	session.Destroy()
}
