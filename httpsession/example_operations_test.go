package httpsession_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"

	"github.com/mysqlsession/mysqlsession"
	"github.com/mysqlsession/mysqlsession/httpsession"
	"github.com/mysqlsession/mysqlsession/internal/dbtest"
)

// visitor is what the examples' sessions hold.
type visitor struct {
	Visits int `json:"visits"`
}

// exampleSite serves pages with sessions. get gets one of them as a browser does, again and
// again the same one, and says what it has shown.
func exampleSite(cfg httpsession.Config, pages func(sessions *httpsession.Manager[visitor], mux *http.ServeMux)) (get func(path string) string, done func()) {
	database, drop := dbtest.Example()
	store, err := mysqlsession.Open(context.Background(), database)
	if err == nil {
		err = store.Migrate(context.Background())
	}
	if err != nil {
		panic(err)
	}
	cfg.Insecure = true // the test server has no TLS
	sessions, err := httpsession.New[visitor](store, cfg)
	if err != nil {
		panic(err)
	}
	mux := http.NewServeMux()
	pages(sessions, mux)
	server := httptest.NewServer(sessions.Handler(mux))
	jar, _ := cookiejar.New(nil) // it never fails
	client := &http.Client{Jar: jar, Transport: &http.Transport{}}
	get = func(path string) string {
		response, err := client.Get(server.URL + path)
		if err != nil {
			return err.Error()
		}
		defer response.Body.Close()
		text, _ := io.ReadAll(response.Body)
		return string(text)
	}
	return get, func() {
		client.CloseIdleConnections()
		server.Close()
		_ = store.Close() // always nil
		drop()
	}
}

// A manager for sessions of a type of one's own.
func ExampleNew() {
	database, drop := dbtest.Example()
	defer drop()
	store, err := mysqlsession.Open(context.Background(), database)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer store.Close()

	sessions, err := httpsession.New[visitor](store, httpsession.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(sessions.Name())
	// Output: __Host-session
}

// What the store's own operations call these sessions.
func ExampleManager_Name() {
	get, done := exampleSite(httpsession.Config{Name: "shop"}, func(sessions *httpsession.Manager[visitor], mux *http.ServeMux) {
		mux.HandleFunc("GET /", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, sessions.Name()) })
	})
	defer done()

	fmt.Println(get("/"))
	// Output: shop
}

// Around all handlers that want sessions.
func ExampleManager_Handler() {
	get, done := exampleSite(httpsession.Config{}, func(sessions *httpsession.Manager[visitor], mux *http.ServeMux) {
		// The site is sessions.Handler(mux).
		mux.HandleFunc("GET /", func(w http.ResponseWriter, r *http.Request) {
			visitor := sessions.From(r.Context()).Value()
			visitor.Visits++ // what has changed is stored
			fmt.Fprint(w, "visit ", visitor.Visits)
		})
	})
	defer done()

	fmt.Println(get("/"), get("/"))
	// Output: visit 1 visit 2
}

// The session of a request, in its handler.
func ExampleManager_From() {
	get, done := exampleSite(httpsession.Config{}, func(sessions *httpsession.Manager[visitor], mux *http.ServeMux) {
		mux.HandleFunc("GET /", func(w http.ResponseWriter, r *http.Request) {
			session := sessions.From(r.Context())
			fmt.Fprintf(w, "%q", session.Subject())
		})
	})
	defer done()

	fmt.Println(get("/"))
	// Output: ""
}

// With Config.Lazy only handlers that want it read the session, and see the error.
func ExampleManager_Load() {
	get, done := exampleSite(httpsession.Config{Lazy: true}, func(sessions *httpsession.Manager[visitor], mux *http.ServeMux) {
		mux.HandleFunc("GET /", func(w http.ResponseWriter, r *http.Request) {
			session, err := sessions.Load(r.Context())
			if err != nil {
				http.Error(w, "try again in a moment", http.StatusServiceUnavailable)
				return
			}
			fmt.Fprint(w, "visits: ", session.Value().Visits)
		})
	})
	defer done()

	fmt.Println(get("/"))
	// Output: visits: 0
}

// What only looks at the value costs nothing; what changes it is stored.
func ExampleSession_Value() {
	get, done := exampleSite(httpsession.Config{}, func(sessions *httpsession.Manager[visitor], mux *http.ServeMux) {
		mux.HandleFunc("GET /add", func(_ http.ResponseWriter, r *http.Request) { sessions.From(r.Context()).Value().Visits += 10 })
		mux.HandleFunc("GET /", func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, sessions.From(r.Context()).Value().Visits) })
	})
	defer done()

	get("/add")
	fmt.Println(get("/"))
	// Output: 10
}

// whose is a page that says whose the session is.
func whose(sessions *httpsession.Manager[visitor], mux *http.ServeMux) {
	mux.HandleFunc("GET /", func(w http.ResponseWriter, r *http.Request) {
		session := sessions.From(r.Context())
		fmt.Fprintf(w, "%q with an id of %d characters", session.Subject(), len(session.ID()))
	})
}

// Once the password was checked.
func ExampleSession_SignIn() {
	get, done := exampleSite(httpsession.Config{}, func(sessions *httpsession.Manager[visitor], mux *http.ServeMux) {
		whose(sessions, mux)
		mux.HandleFunc("GET /login", func(_ http.ResponseWriter, r *http.Request) { sessions.From(r.Context()).SignIn("ada") })
	})
	defer done()

	get("/login")
	fmt.Println(get("/"))
	// Output: "ada" with an id of 43 characters
}

// Who has signed in; nobody has yet.
func ExampleSession_Subject() {
	get, done := exampleSite(httpsession.Config{}, whose)
	defer done()

	fmt.Println(get("/"))
	// Output: "" with an id of 0 characters
}

// The id is a password: it belongs in no log. Of a visitor who has left nothing there is none.
func ExampleSession_ID() {
	get, done := exampleSite(httpsession.Config{}, func(sessions *httpsession.Manager[visitor], mux *http.ServeMux) {
		mux.HandleFunc("GET /", func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprint(w, sessions.From(r.Context()).ID() != "")
			sessions.From(r.Context()).Value().Visits++
		})
	})
	defer done()

	fmt.Println(get("/"))
	// Output: false
}

// For who ticks "stay signed in".
func ExampleSession_Remember() {
	get, done := exampleSite(httpsession.Config{}, func(sessions *httpsession.Manager[visitor], mux *http.ServeMux) {
		whose(sessions, mux)
		mux.HandleFunc("GET /login", func(_ http.ResponseWriter, r *http.Request) {
			session := sessions.From(r.Context())
			session.SignIn("ada")
			session.Remember()
		})
	})
	defer done()

	get("/login")
	fmt.Println(get("/"))
	// Output: "ada" with an id of 43 characters
}

// Before the session is allowed more than it was: who has learned the old id has nothing.
func ExampleSession_Rotate() {
	ids := map[string]bool{}
	get, done := exampleSite(httpsession.Config{}, func(sessions *httpsession.Manager[visitor], mux *http.ServeMux) {
		mux.HandleFunc("GET /login", func(_ http.ResponseWriter, r *http.Request) { sessions.From(r.Context()).SignIn("ada") })
		mux.HandleFunc("GET /", func(_ http.ResponseWriter, r *http.Request) {
			session := sessions.From(r.Context())
			ids[session.ID()] = true
			session.Rotate()
		})
	})
	defer done()

	get("/login")
	get("/")
	get("/")
	fmt.Println(len(ids), "ids")
	// Output: 2 ids
}

// Signing out.
func ExampleSession_Destroy() {
	get, done := exampleSite(httpsession.Config{}, func(sessions *httpsession.Manager[visitor], mux *http.ServeMux) {
		whose(sessions, mux)
		mux.HandleFunc("GET /login", func(_ http.ResponseWriter, r *http.Request) { sessions.From(r.Context()).SignIn("ada") })
		mux.HandleFunc("GET /logout", func(_ http.ResponseWriter, r *http.Request) { sessions.From(r.Context()).Destroy() })
	})
	defer done()

	get("/login")
	get("/logout")
	fmt.Println(get("/"))
	// Output: "" with an id of 0 characters
}
