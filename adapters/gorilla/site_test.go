package gorillastore_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/sessions"

	"github.com/mysqlsession/mysqlsession"
	gorillastore "github.com/mysqlsession/mysqlsession/adapters/gorilla"
	"github.com/mysqlsession/mysqlsession/internal/sitetest"
)

var (
	signingKey    = []byte(strings.Repeat("s", 32))
	encryptionKey = []byte(strings.Repeat("e", 32))
)

func TestAnApplicationWithSignedCookiesPassesEveryJourney(t *testing.T) {
	sitetest.Run(t, site(func(store *mysqlsession.Store) *gorillastore.Store {
		return gorillastore.New(store, signingKey)
	}))
}

func TestAnApplicationWithEncryptedCookiesValuesInJSONAndMetadataPassesEveryJourney(t *testing.T) {
	sitetest.Run(t, site(func(store *mysqlsession.Store) *gorillastore.Store {
		s := gorillastore.New(store, signingKey, encryptionKey)
		s.Serializer, s.Metadata = gorillastore.JSONSerializer{}, whose
		return s
	}))
}

// site is an application on a store as it is to be tested.
func site(newStore func(store *mysqlsession.Store) *gorillastore.Store) sitetest.Site {
	return sitetest.Site{
		Name: "site", Cookie: "site",
		Serve: func(t *testing.T, store *mysqlsession.Store, lifetime time.Duration, pause func()) string {
			a := application{newStore(store)}
			a.store.MaxAge(int(lifetime.Seconds()))
			a.store.Options.Secure = false
			return sitetest.Server(t, a.handler(pause))
		},
	}
}

// application is a site on gorilla's sessions.
type application struct{ store *gorillastore.Store }

func (a application) handler(pause func()) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /login", a.with(func(w http.ResponseWriter, r *http.Request, session *sessions.Session) error {
		session.Values["user"] = r.FormValue("user")
		return a.store.Rotate(r, w, session)
	}))
	mux.HandleFunc("POST /logout", a.with(func(w http.ResponseWriter, r *http.Request, session *sessions.Session) error {
		session.Options.MaxAge = -1
		return session.Save(r, w)
	}))
	mux.HandleFunc("GET /whoami", a.with(signedIn(func(w http.ResponseWriter, _ *http.Request, session *sessions.Session) error {
		fmt.Fprintln(w, session.Values["user"])
		return nil
	})))
	mux.HandleFunc("POST /rotate", a.with(signedIn(func(w http.ResponseWriter, r *http.Request, session *sessions.Session) error {
		return a.store.Rotate(r, w, session)
	})))
	mux.HandleFunc("POST /add", a.with(signedIn(add(func() {}))))
	mux.HandleFunc("POST /late", a.with(signedIn(add(pause))))
	return mux
}

// page answers a request that has a session.
type page func(w http.ResponseWriter, r *http.Request, session *sessions.Session) error

var errNobody = errors.New("nobody is signed in")

// with gets the session for a page, and answers for its errors.
func (a application) with(p page) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		session, err := a.store.Get(r, "site")
		if err == nil || errors.Is(err, gorillastore.ErrCookie) {
			err = p(w, r, session)
		}
		switch {
		case err == nil:
		case errors.Is(err, errNobody), errors.Is(err, mysqlsession.ErrNotFound):
			http.Error(w, "sign in first", http.StatusUnauthorized)
		default:
			http.Error(w, "no sessions at the moment", http.StatusServiceUnavailable)
		}
	}
}

// signedIn is a page for those who are signed in.
func signedIn(p page) page {
	return func(w http.ResponseWriter, r *http.Request, session *sessions.Session) error {
		if session.Values["user"] == nil {
			return errNobody
		}
		return p(w, r, session)
	}
}

func add(pause func()) page {
	return func(w http.ResponseWriter, r *http.Request, session *sessions.Session) error {
		pause()
		count, _ := session.Values["count"].(float64) // as JSON has it
		session.Values["count"] = count + 1
		if err := session.Save(r, w); err != nil {
			return err
		}
		_, err := fmt.Fprintln(w, count+1)
		return err
	}
}

// whose is the user's session, once somebody has signed in.
func whose(session *sessions.Session) []mysqlsession.Metadata {
	if user, ok := session.Values["user"].(string); ok {
		return []mysqlsession.Metadata{{Audience: "web", Subject: user}}
	}
	return nil
}
