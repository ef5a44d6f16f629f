// Command gorilla is a small service whose sessions are those of gorilla/sessions, kept in a
// database: it knows who you are, counts your visits, and signs you out here or everywhere.
package main

import (
	"cmp"
	"errors"
	"fmt"
	"log"
	"net/http"
	"os"
	"time"

	"github.com/gorilla/securecookie"
	"github.com/gorilla/sessions"

	"github.com/mysqlsession/mysqlsession"
	gorillastore "github.com/mysqlsession/mysqlsession/adapters/gorilla"
	"github.com/mysqlsession/mysqlsession/examples/internal/service"
)

func main() { service.Main("gorilla", newServer) }

// newServer is what to copy: db is one that mysqlsession.Open has opened, after db.Migrate.
func newServer(db *mysqlsession.Store) (*http.Server, error) {
	// Who knows the key can make cookies. With one for each start, all are signed out by it.
	key := cmp.Or(os.Getenv("SESSION_KEY"), string(securecookie.GenerateRandomKey(32)))
	store := gorillastore.New(db, []byte(key))
	store.MaxAge(60 * 60)
	store.Options.Secure = false // this is plain http; leave it out behind TLS
	store.Metadata = func(session *sessions.Session) []mysqlsession.Metadata {
		if user, ok := session.Values["user"].(string); ok {
			return []mysqlsession.Metadata{{Audience: "web", Subject: user}}
		}
		return nil
	}
	return &http.Server{Handler: site{store, db}.handler(), ReadHeaderTimeout: 10 * time.Second}, nil
}

type site struct {
	store *gorillastore.Store
	db    *mysqlsession.Store
}

func (s site) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", s.page(s.home))
	mux.HandleFunc("POST /login", s.page(s.login))
	mux.HandleFunc("POST /logout", s.page(s.logout))
	mux.HandleFunc("POST /logout-everywhere", s.page(s.logoutEverywhere))
	return http.NewCrossOriginProtection().Handler(mux)
}

func (s site) home(w http.ResponseWriter, r *http.Request, session *sessions.Session) error {
	user, ok := session.Values["user"].(string)
	if !ok {
		_, err := fmt.Fprintln(w, "nobody is signed in")
		return err
	}
	visits, _ := session.Values["visits"].(int)
	session.Values["visits"] = visits + 1
	if err := session.Save(r, w); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "%s, visit %d\n", user, visits+1)
	return err
}

func (s site) login(w http.ResponseWriter, r *http.Request, session *sessions.Session) error {
	clear(session.Values)                        // of whoever was signed in before
	session.Values["user"] = r.FormValue("user") // a real one asks for a password
	return s.store.Rotate(r, w, session)
}

func (s site) logout(w http.ResponseWriter, r *http.Request, session *sessions.Session) error {
	session.Options.MaxAge = -1
	return session.Save(r, w)
}

func (s site) logoutEverywhere(w http.ResponseWriter, r *http.Request, session *sessions.Session) error {
	if user, ok := session.Values["user"].(string); ok {
		if _, err := s.db.DeleteSubject(r.Context(), session.Name(), "web", user); err != nil {
			return err
		}
	}
	return s.logout(w, r, session)
}

// page gives a handler the session, and answers for its errors.
func (s site) page(handle func(w http.ResponseWriter, r *http.Request, session *sessions.Session) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		session, err := s.store.Get(r, "session")
		if err == nil || errors.Is(err, gorillastore.ErrCookie) {
			err = handle(w, r, session)
		}
		switch {
		case err == nil:
		case errors.Is(err, mysqlsession.ErrNotFound): // signed out while this request was under way
			http.Error(w, "sign in again", http.StatusUnauthorized)
		default:
			log.Print(err)
			http.Error(w, "try again in a moment", http.StatusServiceUnavailable)
		}
	}
}
