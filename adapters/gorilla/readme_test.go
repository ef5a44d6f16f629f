package gorillastore_test

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/gorilla/sessions"
	"github.com/stretchr/testify/require"

	"github.com/mysqlsession/mysqlsession"
	gorillastore "github.com/mysqlsession/mysqlsession/adapters/gorilla"
	"github.com/mysqlsession/mysqlsession/internal/dbtest"
	"github.com/mysqlsession/mysqlsession/internal/pagetest"
)

func TestTheReadmesGoCodeIsThatOfTheExamplesWhichAreCompiledAndRun(t *testing.T) {
	pagetest.Readme(t, nil)
}

func TestTheReadmesExamplesRun(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		cfg := server.NewDatabase(t)
		t.Setenv("MYSQLSESSION_DSN", cfg.ConnString())
		t.Setenv("SIGNING_KEY", string(signingKey))
		t.Setenv("ENCRYPTION_KEY", string(encryptionKey))
		require.NoError(t, openAStore(t.Context()))
	})
}

// serve takes the README's pages through a visit. It fails with what it has to say.
func serve(ctx context.Context, store *gorillastore.Store, db *mysqlsession.Store) error {
	v := &visit{ctx: ctx, store: store}
	v.page(http.StatusUnauthorized, func(w http.ResponseWriter, r *http.Request) { getASession(store, w, r) })
	v.page(http.StatusOK, func(w http.ResponseWriter, r *http.Request) { v.keep(signIn(store, v.session(r), w, r)) })
	v.page(http.StatusOK, func(w http.ResponseWriter, r *http.Request) { getASession(store, w, r) })
	v.page(http.StatusOK, func(w http.ResponseWriter, r *http.Request) { saveASession(v.session(r), w, r) })
	v.page(http.StatusUnauthorized, func(w http.ResponseWriter, r *http.Request) {
		session := v.session(r)
		v.keep(signOutEverywhere(ctx, db))
		saveASession(session, w, r)
	})
	v.page(http.StatusUnauthorized, func(w http.ResponseWriter, r *http.Request) { getASession(store, w, r) })
	v.page(http.StatusOK, func(w http.ResponseWriter, r *http.Request) { v.keep(signIn(store, v.session(r), w, r)) })
	v.page(http.StatusOK, func(w http.ResponseWriter, r *http.Request) { v.keep(signOut(v.session(r), w, r)) })
	v.page(http.StatusUnauthorized, func(w http.ResponseWriter, r *http.Request) { getASession(store, w, r) })
	v.keep(db.Close())
	v.page(http.StatusUnauthorized, func(w http.ResponseWriter, r *http.Request) { getASession(store, w, r) })
	v.cookie = v.last // as if it had never signed out
	v.page(http.StatusServiceUnavailable, func(w http.ResponseWriter, r *http.Request) { getASession(store, w, r) })
	v.page(http.StatusServiceUnavailable, func(w http.ResponseWriter, r *http.Request) { saveASession(v.session(r), w, r) })
	return v.err
}

// visit is a browser that one page after another answers to.
type visit struct {
	ctx          context.Context
	store        *gorillastore.Store
	cookie, last *http.Cookie // what it sends, and the last session's
	err          error        // the first thing that was not as it should be
}

func (v *visit) page(want int, answer http.HandlerFunc) {
	r := httptest.NewRequestWithContext(v.ctx, http.MethodPost, "/", http.NoBody)
	if v.cookie != nil {
		r.AddCookie(v.cookie)
	}
	w := httptest.NewRecorder()
	answer(w, r)
	if w.Code != want {
		v.keep(fmt.Errorf("%d in place of %d: %s", w.Code, want, w.Body))
	}
	for _, cookie := range w.Result().Cookies() {
		v.cookie = nil
		if cookie.MaxAge >= 0 {
			v.cookie, v.last = cookie, cookie
		}
	}
}

func (v *visit) session(r *http.Request) *sessions.Session {
	session, _ := v.store.Get(r, "session") // what fails is seen by what follows
	return session
}

func (v *visit) keep(err error) { v.err = cmp.Or(v.err, err) }
