// Package webapp is a small web application that shows what sessions in a database can
// do: a visit counter, a session id that changes at sign-in, the list of one's sessions
// on other browsers, signing out here, there and everywhere. It works without JavaScript.
package webapp

import (
	"context"
	"embed"
	"errors"
	"html/template"
	"io/fs"
	"log/slog"
	"net/http"
	"time"

	"github.com/mysqlsession/mysqlsession"
)

// Store is what the application needs of a *mysqlsession.Store.
type Store interface {
	Set(ctx context.Context, name, key string, value []byte, ttl time.Duration, opts *mysqlsession.SetOptions) error
	Update(ctx context.Context, name, key string, ttl time.Duration, fn func(old []byte) ([]byte, error)) error
	GetMany(ctx context.Context, name string, keys []string) (map[string][]byte, error)
	Delete(ctx context.Context, name, key string) error
	ReadMetadata(ctx context.Context, name, audience, subject string) (map[string]time.Time, error)
	DeleteSubject(ctx context.Context, name, audience, subject string) (int64, error)
}

var _ Store = (*mysqlsession.Store)(nil)

//go:embed assets
var assets embed.FS

// App is the application, an http.Handler that is safe for concurrent use.
type App struct {
	store    Store
	database string
	logger   *slog.Logger
	clock    func() time.Time
	pages    *template.Template
	handler  http.Handler
}

// New makes the application. database is what its pages call the database. The store
// stays the caller's.
func New(store Store, database string, logger *slog.Logger) *App {
	a := &App{store: store, database: database, logger: logger, clock: time.Now, pages: parsePages()}
	mux := http.NewServeMux()
	mux.Handle("GET /assets/", staticFiles())
	mux.HandleFunc("GET /{$}", a.answer((*exchange).home))
	mux.HandleFunc("POST /count", a.answer((*exchange).count))
	mux.HandleFunc("POST /sign-in", a.answer((*exchange).signIn))
	mux.HandleFunc("POST /sign-out", a.answer((*exchange).signOut))
	mux.HandleFunc("POST /sign-out-other", a.answer((*exchange).signOutOther))
	mux.HandleFunc("POST /sign-out-everywhere", a.answer((*exchange).signOutEverywhere))
	mux.HandleFunc("/", a.answer((*exchange).notFound))

	// Besides SameSite=Lax on the cookie: a form on another site cannot sign anyone in or
	// out, because the browser says where a request comes from.
	protection := http.NewCrossOriginProtection()
	protection.SetDenyHandler(a.answer((*exchange).crossOrigin))
	a.handler = secured(protection.Handler(mux))
	return a
}

// ServeHTTP implements http.Handler.
func (a *App) ServeHTTP(w http.ResponseWriter, r *http.Request) { a.handler.ServeHTTP(w, r) }

// secured adds the headers that every answer has.
func secured(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		header := w.Header()
		header.Set("Content-Security-Policy",
			"default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
		header.Set("X-Content-Type-Options", "nosniff")
		header.Set("Cross-Origin-Opener-Policy", "same-origin")
		// Not no-referrer: browsers would say "null" where they say which site a form is on.
		header.Set("Referrer-Policy", "same-origin")
		r.Body = http.MaxBytesReader(w, r.Body, 8<<10)
		next.ServeHTTP(w, r)
	})
}

func staticFiles() http.Handler {
	files := http.FileServerFS(onlyFiles{assets})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "max-age=300")
		files.ServeHTTP(w, r)
	})
}

// onlyFiles shows the style sheet and the icon, neither the pages' templates nor lists of files.
type onlyFiles struct{ fs.FS }

func (f onlyFiles) Open(name string) (fs.File, error) {
	switch name {
	case "assets/style.css", "assets/icon.svg":
		return f.FS.Open(name)
	}
	return nil, fs.ErrNotExist
}

// exchange is one request and its answer.
type exchange struct {
	*App
	calls *recorder // the store, with notes of what it was asked
	w     http.ResponseWriter
	r     *http.Request
}

// answer runs a handler. An error of the store ends in a page that says so; it never
// touches the cookie, so nobody is signed out because a database was away.
func (a *App) answer(handle func(*exchange) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		e := &exchange{App: a, calls: &recorder{store: a.store, clock: a.clock}, w: w, r: r}
		err := handle(e)
		switch {
		case err == nil:
		case errors.Is(err, context.Canceled) && r.Context().Err() != nil:
			// The visitor has gone; there is nobody to answer.
		default:
			a.logger.Warn("the store failed", "method", r.Method, "path", r.URL.Path, "error", err)
			e.unavailable(mysqlsession.OutcomeUnknown(err))
		}
	}
}
