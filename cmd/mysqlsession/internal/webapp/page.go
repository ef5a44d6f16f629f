package webapp

import (
	"bytes"
	"html/template"
	"net/http"
	"strconv"
	"time"
)

// homePage is what the page shows.
type homePage struct {
	common
	Session  *session // nil: none
	Ended    bool     // the browser brought a session that is there no more
	Sessions []listedSession
	Problem  string // with the name
	Name     string // as typed
	Lifetime string
}

// listedSession is one line of the list of sessions.
type listedSession struct {
	Here        bool
	Fingerprint string
	Device      string
	Visits      int
	Seen        time.Time
	SeenAgo     string
	Ends        time.Time
	EndsIn      string
}

// messagePage says one thing.
type messagePage struct {
	common
	Heading, Text string
	Retry         bool
}

// common is what all pages show.
type common struct {
	Title    string
	Database string
	Said     string // what was done before this page
	Calls    []call
}

func parsePages() *template.Template {
	functions := template.FuncMap{
		"plural": func(n int, one, many string) string {
			if n == 1 {
				return "1 " + one
			}
			return strconv.Itoa(n) + " " + many
		},
	}
	return template.Must(template.New("").Funcs(functions).ParseFS(assets, "assets/*.html"))
}

// said is what the page says about what was done before it. The words are ours; of the
// request they take a number.
func said(r *http.Request) string {
	switch r.FormValue("said") {
	case "signed-in":
		return "You are signed in, under a new session id."
	case "signed-out":
		return "You are signed out, in this browser."
	case "signed-out-other":
		return "That session has ended. Its browser finds out at its next request."
	case "signed-out-everywhere":
		n, err := strconv.Atoi(r.FormValue("sessions"))
		if err != nil || n < 1 {
			return "You are signed out everywhere."
		}
		if n == 1 {
			return "You are signed out everywhere: 1 session ended."
		}
		return "You are signed out everywhere: " + strconv.Itoa(n) + " sessions ended, all in one transaction."
	}
	return ""
}

func (e *exchange) showHome(status int, page homePage) error {
	page.Title = "Sessions in a real database"
	page.Lifetime = span(lifetime)
	if page.Problem == "" {
		page.Said = said(e.r)
	}
	page.common = e.fill(page.common)
	return e.show(status, "home.html", page)
}

func (e *exchange) fill(page common) common {
	page.Database = e.database
	page.Calls = e.calls.calls
	return page
}

func (e *exchange) notFound() error {
	return e.showMessage(http.StatusNotFound, "There is no such page", "", false)
}

func (e *exchange) crossOrigin() error {
	return e.showMessage(http.StatusForbidden, "That came from another site",
		"Your browser says that another site sent this form. Nothing was done.", false)
}

// unavailable is the page while the database is away.
func (e *exchange) unavailable(outcomeUnknown bool) {
	text := "Nothing is lost and nobody was signed out: your session is where it was, and so is your cookie."
	if outcomeUnknown {
		text = "The connection broke before the database had answered. What you asked for may or may not have been done."
	}
	e.w.Header().Set("Retry-After", "5")
	if err := e.showMessage(http.StatusServiceUnavailable, "The database does not answer", text, true); err != nil {
		e.logger.Error("the page about the failure failed", "error", err)
	}
}

func (e *exchange) showMessage(status int, heading, text string, retry bool) error {
	page := messagePage{Heading: heading, Text: text, Retry: retry}
	page.Title = heading
	page.common = e.fill(page.common)
	return e.show(status, "message.html", page)
}

// show renders the whole page before it sends the first byte, so that a page is never
// half an error.
func (e *exchange) show(status int, name string, page any) error {
	var body bytes.Buffer
	if err := e.pages.ExecuteTemplate(&body, name, page); err != nil {
		e.logger.Error("a page failed", "page", name, "error", err)
		http.Error(e.w, "This page has a fault.", http.StatusInternalServerError)
		return nil
	}
	header := e.w.Header()
	header.Set("Content-Type", "text/html; charset=utf-8")
	header.Set("Cache-Control", "no-store") // what is shown is one visitor's
	e.w.WriteHeader(status)
	_, _ = body.WriteTo(e.w)
	return nil
}
