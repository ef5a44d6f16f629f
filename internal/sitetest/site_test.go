package sitetest_test

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/mysqlsession/mysqlsession"
	"github.com/mysqlsession/mysqlsession/internal/dbtest"
	"github.com/mysqlsession/mysqlsession/internal/sitetest"
)

func TestMain(m *testing.M) { dbtest.Main(m) }

func TestAnApplicationThatUsesTheStoreItselfPassesEveryJourney(t *testing.T) {
	sitetest.Run(t, sitetest.Site{Name: "plain", Cookie: "plain", Serve: servePlain})
}

// plain is an application without any library for sessions.
type plain struct {
	store    *mysqlsession.Store
	lifetime time.Duration
}

// content is what its sessions hold.
type content struct {
	User  string
	Count int
}

func servePlain(t *testing.T, store *mysqlsession.Store, lifetime time.Duration, pause func()) string {
	p := &plain{store, lifetime}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /login", func(w http.ResponseWriter, r *http.Request) {
		old, _, err := p.load(r)
		if err != nil && !errors.Is(err, mysqlsession.ErrNotFound) {
			fail(w, err)
			return
		}
		p.answer(w, "", p.save(w, r, old, newID(), &content{User: r.FormValue("user")}))
	})
	mux.HandleFunc("GET /whoami", func(w http.ResponseWriter, r *http.Request) {
		_, c, err := p.load(r)
		p.answer(w, c.User, err)
	})
	add := func(pause func()) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			id, c, err := p.load(r)
			if err == nil {
				pause()
				c.Count++
				err = p.save(w, r, "", id, &c)
			}
			p.answer(w, fmt.Sprint(c.Count), err)
		}
	}
	mux.HandleFunc("POST /add", add(func() {}))
	mux.HandleFunc("POST /late", add(pause))
	mux.HandleFunc("POST /rotate", func(w http.ResponseWriter, r *http.Request) {
		id, c, err := p.load(r)
		if err == nil {
			err = p.save(w, r, id, newID(), &c)
		}
		p.answer(w, "", err)
	})
	mux.HandleFunc("POST /logout", func(w http.ResponseWriter, r *http.Request) {
		id, _, err := p.load(r)
		if err == nil {
			err = store.Delete(r.Context(), "plain", id)
		}
		if errors.Is(err, mysqlsession.ErrNotFound) {
			err = nil
		}
		p.answer(w, "", err)
	})
	return sitetest.Server(t, mux)
}

func newID() string {
	var id [32]byte
	_, _ = rand.Read(id[:]) // never fails
	return base64.RawURLEncoding.EncodeToString(id[:])
}

// load is the request's session; ErrNotFound if it has none.
func (p *plain) load(r *http.Request) (id string, c content, err error) {
	cookie, err := r.Cookie("plain")
	if err != nil {
		return "", c, mysqlsession.ErrNotFound
	}
	value, err := p.store.Get(r.Context(), "plain", cookie.Value)
	if errors.Is(err, mysqlsession.ErrInvalidKey) {
		return "", c, mysqlsession.ErrNotFound
	}
	if err != nil {
		return "", c, err
	}
	return cookie.Value, c, json.Unmarshal(value, &c)
}

// save stores a session, in place of the old one if there is one.
func (p *plain) save(w http.ResponseWriter, r *http.Request, old, id string, c *content) error {
	value, err := json.Marshal(c)
	if err != nil {
		return err
	}
	known, err := r.Cookie("plain")
	live := old != "" || err == nil && known.Value == id
	err = p.store.Set(r.Context(), "plain", id, value, p.lifetime, &mysqlsession.SetOptions{OldKey: old, MustExist: live})
	if err == nil {
		http.SetCookie(w, &http.Cookie{Name: "plain", Value: id, Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode})
	}
	return err
}

func (p *plain) answer(w http.ResponseWriter, body string, err error) {
	if err != nil {
		fail(w, err)
		return
	}
	fmt.Fprintln(w, body)
}

func fail(w http.ResponseWriter, err error) {
	if errors.Is(err, mysqlsession.ErrNotFound) {
		http.Error(w, "sign in first", http.StatusUnauthorized)
		return
	}
	http.Error(w, "no sessions at the moment", http.StatusServiceUnavailable)
}
