// Package dashboard is a page that shows a pool under a load, as moving charts, beside the
// controls of that load.
package dashboard

import (
	"bytes"
	"embed"
	"encoding/json"
	"html/template"
	"mime"
	"net/http"

	"github.com/mysqlsession/mysqlsession/cmd/mysqlsession/internal/load"
	"github.com/mysqlsession/mysqlsession/debug"
)

//go:embed assets
var assets embed.FS

// Load is what the dashboard controls.
type Load interface {
	Look()
	Change(s load.Settings) load.Settings
	Settings() load.Settings
	Problem() error
}

var _ Load = (*load.Generator)(nil)

// contentTypes are of the files that can be asked for.
var contentTypes = map[string]string{
	"dashboard.css": "text/css; charset=utf-8",
	"dashboard.js":  "text/javascript; charset=utf-8",
}

const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// longestChange is how many bytes a change of the settings may have.
const longestChange = 4 << 10

var page = template.Must(template.ParseFS(assets, "assets/dashboard.html"))

type dashboard struct {
	load     Load
	database string
}

// New makes the dashboard, for the path /dashboard/ and what is below. pools is the page
// about the load's pool; database is what it calls the database.
func New(l Load, pools *debug.Page, database string) http.Handler {
	d := &dashboard{load: l, database: database}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /dashboard/{$}", d.servePage)
	mux.HandleFunc("GET /dashboard/{file}", serveFile)
	mux.HandleFunc("GET /dashboard/load", d.serveLoad)
	mux.HandleFunc("POST /dashboard/load", d.changeLoad)
	mux.Handle("/dashboard/pool/", pools)
	// Whoever asks for figures looks. This page's own address counts, not any site's.
	mux.HandleFunc("GET /dashboard/pool/snapshot.json", func(w http.ResponseWriter, r *http.Request) {
		l.Look()
		pools.ServeHTTP(w, r)
	})
	return secured(http.NewCrossOriginProtection().Handler(mux))
}

// secured adds the headers that every answer has.
func secured(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		header := w.Header()
		header.Set("Content-Security-Policy", policy)
		header.Set("X-Content-Type-Options", "nosniff")
		header.Set("Cross-Origin-Opener-Policy", "same-origin")
		header.Set("Cross-Origin-Resource-Policy", "same-origin")
		header.Set("Referrer-Policy", "same-origin")
		next.ServeHTTP(w, r)
	})
}

func (d *dashboard) servePage(w http.ResponseWriter, _ *http.Request) {
	var body bytes.Buffer
	data := struct {
		Database string
		Controls []control
		Coalesce bool
	}{d.database, controls(d.load.Settings()), d.load.Settings().Coalesce}
	if err := page.Execute(&body, data); err != nil {
		http.Error(w, "this page has a fault", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	_, _ = body.WriteTo(w)
}

func serveFile(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("file")
	kind, ok := contentTypes[name]
	if !ok {
		http.NotFound(w, r)
		return
	}
	content, err := assets.ReadFile("assets/" + name)
	if err != nil {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", kind)
	w.Header().Set("Cache-Control", "max-age=300")
	_, _ = w.Write(content)
}

// state is what the page is told of the load.
type state struct {
	Settings load.Settings `json:"settings"`
	Problem  string        `json:"problem,omitempty"`
}

func (d *dashboard) serveLoad(w http.ResponseWriter, _ *http.Request) {
	d.answer(w, d.load.Settings())
}

func (d *dashboard) answer(w http.ResponseWriter, settings load.Settings) {
	answer := state{Settings: settings}
	if err := d.load.Problem(); err != nil {
		answer.Problem = err.Error()
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	_ = json.NewEncoder(w).Encode(answer)
}

// changeLoad takes the settings that it is sent; what is left out stays as it is.
func (d *dashboard) changeLoad(w http.ResponseWriter, r *http.Request) {
	if kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); kind != "application/json" {
		http.Error(w, "settings are sent as application/json", http.StatusUnsupportedMediaType)
		return
	}
	settings := d.load.Settings()
	decoder := json.NewDecoder(http.MaxBytesReader(w, r.Body, longestChange))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&settings); err != nil {
		http.Error(w, "these are no settings: "+err.Error(), http.StatusBadRequest)
		return
	}
	d.answer(w, d.load.Change(settings))
}
