// Command nethttp is a small service of net/http alone, whose sessions are kept in a
// database: it knows who you are, counts your visits, and signs you out here or everywhere.
package main

import (
	"fmt"
	"log"
	"net/http"
	"time"

	"github.com/mysqlsession/mysqlsession"
	"github.com/mysqlsession/mysqlsession/examples/internal/service"
	"github.com/mysqlsession/mysqlsession/httpsession"
)

func main() { service.Main("nethttp", newServer) }

// newServer is what to copy: the store is one that mysqlsession.Open has opened, after
// store.Migrate.
func newServer(store *mysqlsession.Store) (*http.Server, error) {
	// This is plain HTTP; leave Insecure out behind TLS.
	sessions, err := httpsession.New[visitor](store, httpsession.Config{Insecure: true})
	if err != nil {
		return nil, err
	}
	return &http.Server{Handler: site{sessions}.handler(), ReadHeaderTimeout: 10 * time.Second}, nil
}

// visitor is what a session holds.
type visitor struct {
	Visits int `json:"visits"`
}

type site struct {
	sessions *httpsession.Manager[visitor]
}

func (s site) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", s.home)
	mux.HandleFunc("POST /login", s.login)
	mux.HandleFunc("POST /logout", s.logout)
	mux.HandleFunc("POST /logout-everywhere", s.logoutEverywhere)
	return http.NewCrossOriginProtection().Handler(s.sessions.Handler(mux))
}

func (s site) home(w http.ResponseWriter, r *http.Request) {
	session := s.sessions.From(r.Context())
	if session.Subject() == "" {
		fmt.Fprintln(w, "nobody is signed in")
		return
	}
	session.Value().Visits++
	fmt.Fprintf(w, "%s, visit %d\n", session.Subject(), session.Value().Visits)
}

func (s site) login(w http.ResponseWriter, r *http.Request) {
	user := r.FormValue("user") // a real one asks for a password
	if user == "" {
		http.Error(w, "user is missing", http.StatusBadRequest)
		return
	}
	s.sessions.From(r.Context()).SignIn(user)
}

func (s site) logout(_ http.ResponseWriter, r *http.Request) {
	s.sessions.From(r.Context()).Destroy()
}

func (s site) logoutEverywhere(w http.ResponseWriter, r *http.Request) {
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
