package debug

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"encoding/json"
	"html/template"
	"net/http"
	"net/url"
	"path"
	"strings"
	"time"

	"github.com/mysqlsession/mysqlsession"
)

//go:embed assets
var assets embed.FS

// contentTypes are of the files that the page consists of. There are no others.
var contentTypes = map[string]string{
	"charts.js":     "text/javascript; charset=utf-8",
	"page.js":       "text/javascript; charset=utf-8",
	"poll.js":       "text/javascript; charset=utf-8",
	"samples.js":    "text/javascript; charset=utf-8",
	"uplot.js":      "text/javascript; charset=utf-8",
	"uplot.css":     "text/css; charset=utf-8",
	"uplot.LICENSE": "text/plain; charset=utf-8",
	"style.css":     "text/css; charset=utf-8",
	"icon.svg":      "image/svg+xml",
}

// policy lets the page use what comes from its own address, and nothing that is inside of it.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// Page is an http.Handler that shows pools in use: the page at the path it is mounted on,
// which ends in a slash, and the page's files below it. snapshot.json there is the figures.
// It is safe for concurrent use. It shows neither sessions nor passwords, but the pools' names,
// which have the server's address unless Config.Pool is set, and how busy they are: mount
// it where only operators get.
type Page struct {
	pools    func() []*mysqlsession.Pool
	recorder *Recorder // nil: none
	began    time.Time
	files    map[string]*file
}

// file is one of the page's files, as it is sent.
type file struct {
	content []byte
	tag     string // changes with the content
}

// Handler makes a page about pools, without what only a recorder tells: how long calls take.
func Handler(pools ...*mysqlsession.Pool) *Page { return (*Recorder)(nil).Handler(pools...) }

// Handler makes a page about pools, whose stores tell the recorder of their calls.
func (r *Recorder) Handler(pools ...*mysqlsession.Pool) *Page {
	return NewPage(func() []*mysqlsession.Pool { return pools }, r)
}

// NewPage makes a page about pools that come and go: they are asked for with every
// snapshot. recorder may be nil.
func NewPage(pools func() []*mysqlsession.Pool, recorder *Recorder) *Page {
	p := &Page{pools: pools, recorder: recorder, began: time.Now(), files: make(map[string]*file)}
	for name := range contentTypes {
		content, err := assets.ReadFile("assets/" + name)
		if err != nil {
			panic("mysqlsession/debug: " + err.Error()) // it is part of the program
		}
		sum := sha256.Sum256(content)
		p.files[name] = &file{content, `"` + base64.RawURLEncoding.EncodeToString(sum[:12]) + `"`}
	}
	return p
}

var page = template.Must(template.ParseFS(assets, "assets/page.html"))

// ServeHTTP implements http.Handler.
func (p *Page) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	header := w.Header()
	header.Set("Content-Security-Policy", policy)
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Cross-Origin-Opener-Policy", "same-origin")
	header.Set("Cross-Origin-Resource-Policy", "same-origin")
	header.Set("Referrer-Policy", "no-referrer")
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		header.Set("Allow", "GET, HEAD")
		http.Error(w, "this is for looking at only", http.StatusMethodNotAllowed)
		return
	}
	// The last part alone: what comes before it depends on where the page is mounted.
	name := r.URL.Path[strings.LastIndexByte(r.URL.Path, '/')+1:]
	switch {
	case name == "snapshot.json":
		p.serveSnapshot(w)
	case p.files[name] != nil:
		p.serveFile(w, r, name)
	case name != "" && strings.Contains(name, "."):
		http.NotFound(w, r)
	case name == "" && r.URL.Path != "":
		p.servePage(w)
	default:
		addSlash(w, r)
	}
}

// addSlash sends the browser to where relative addresses lead to the page's files. It
// goes by what was asked for: the path may have lost its prefix on the way here.
func addSlash(w http.ResponseWriter, r *http.Request) {
	asked := r.URL
	if u, err := url.ParseRequestURI(r.RequestURI); err == nil {
		asked = u
	}
	target := url.URL{Path: "./" + path.Base(asked.Path) + "/"}
	w.Header().Set("Location", target.String())
	w.WriteHeader(http.StatusTemporaryRedirect)
}

func (p *Page) servePage(w http.ResponseWriter) {
	var body bytes.Buffer
	if err := page.Execute(&body, struct{ Recorded bool }{p.recorder != nil}); err != nil {
		http.Error(w, "this page has a fault", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	_, _ = body.WriteTo(w)
}

func (p *Page) serveFile(w http.ResponseWriter, r *http.Request, name string) {
	header := w.Header()
	header.Set("Content-Type", contentTypes[name])
	header.Set("Cache-Control", "no-cache") // a newer program may answer next time
	header.Set("ETag", p.files[name].tag)
	http.ServeContent(w, r, name, time.Time{}, bytes.NewReader(p.files[name].content))
}

func (p *Page) serveSnapshot(w http.ResponseWriter) {
	body, err := json.Marshal(p.Snapshot())
	if err != nil {
		http.Error(w, "the snapshot failed", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	_, _ = w.Write(body)
}
