// Command chi-scs is a small service with the router chi whose sessions are those of scs,
// kept in a database: it knows who you are, counts your visits, and signs you out here or
// everywhere.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net/http"
	"time"

	"github.com/alexedwards/scs/v2"
	"github.com/go-chi/chi/v5"

	"github.com/mysqlsession/mysqlsession"
	scsstore "github.com/mysqlsession/mysqlsession/adapters/scs"
	"github.com/mysqlsession/mysqlsession/examples/internal/service"
)

func main() { service.Main("chi-scs", newServer) }

// newServer is what to copy: the store is one that mysqlsession.Open has opened, after
// store.Migrate.
func newServer(store *mysqlsession.Store) (*http.Server, error) {
	return &http.Server{Handler: newSite(store).handler(), ReadHeaderTimeout: 10 * time.Second}, nil
}

type site struct {
	store    *mysqlsession.Store
	sessions *scs.SessionManager
}

func newSite(store *mysqlsession.Store) *site {
	sessions := scs.New()
	sessions.Lifetime = 12 * time.Hour
	sessions.IdleTimeout = time.Hour
	sessions.Cookie.Secure = false // this is plain http; true behind TLS
	sessions.ErrorFunc = fail
	sessions.Store = scsstore.NewWithOptions(store, scsstore.Options{
		Metadata: func(data []byte) ([]mysqlsession.Metadata, error) {
			_, values, err := sessions.Codec.Decode(data)
			user, signedIn := values["user"].(string)
			if err != nil || !signedIn {
				return nil, err
			}
			return []mysqlsession.Metadata{{Audience: "web", Subject: user}}, nil
		},
	})
	return &site{store, sessions}
}

func (s *site) handler() http.Handler {
	router := chi.NewRouter()
	router.Use(http.NewCrossOriginProtection().Handler, s.sessions.LoadAndSave)
	router.Get("/", s.home)
	router.Post("/login", s.login)
	router.Post("/logout", s.logout)
	router.Post("/logout-everywhere", s.logoutEverywhere)
	return router
}

func (s *site) home(w http.ResponseWriter, r *http.Request) {
	user := s.sessions.GetString(r.Context(), "user")
	if user == "" {
		fmt.Fprintln(w, "nobody is signed in")
		return
	}
	visits := s.sessions.GetInt(r.Context(), "visits") + 1
	s.sessions.Put(r.Context(), "visits", visits)
	fmt.Fprintf(w, "%s, visit %d\n", user, visits)
}

func (s *site) login(w http.ResponseWriter, r *http.Request) {
	err := s.sessions.RenewToken(r.Context()) // against an id that somebody has planted
	if err == nil {
		err = s.sessions.Clear(r.Context()) // of whoever was signed in before
	}
	if err != nil {
		fail(w, r, err)
		return
	}
	s.sessions.Put(r.Context(), "user", r.FormValue("user")) // a real one asks for a password
}

func (s *site) logout(w http.ResponseWriter, r *http.Request) {
	// Who has closed the page after the click is signed out all the same.
	if err := s.sessions.Destroy(context.WithoutCancel(r.Context())); err != nil {
		fail(w, r, err)
	}
}

func (s *site) logoutEverywhere(w http.ResponseWriter, r *http.Request) {
	if user := s.sessions.GetString(r.Context(), "user"); user != "" {
		if _, err := s.store.DeleteSubject(r.Context(), "session", "web", user); err != nil {
			fail(w, r, err)
			return
		}
	}
	s.logout(w, r)
}

// fail answers when the database has failed.
func fail(w http.ResponseWriter, _ *http.Request, err error) {
	if errors.Is(err, mysqlsession.ErrNotFound) {
		return // signed out while this request ran: it is not saved, and the answer stands
	}
	log.Print(err)
	http.Error(w, "try again in a moment", http.StatusServiceUnavailable)
}
