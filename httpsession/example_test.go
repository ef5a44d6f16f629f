package httpsession_test

import (
	"fmt"
	"net/http"

	"github.com/mysqlsession/mysqlsession"
	"github.com/mysqlsession/mysqlsession/httpsession"
)

// The README's code.
func serveSessions(store *mysqlsession.Store, checkPassword func(r *http.Request) (user string, ok bool)) (http.Handler, error) {
	type visitor struct {
		Visits int `json:"visits"`
	}
	sessions, err := httpsession.New[visitor](store, httpsession.Config{})
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /", func(w http.ResponseWriter, r *http.Request) {
		session := sessions.From(r.Context())
		session.Value().Visits++ // what has changed is stored
		fmt.Fprintf(w, "%q, visit %d\n", session.Subject(), session.Value().Visits)
	})
	mux.HandleFunc("POST /login", func(w http.ResponseWriter, r *http.Request) {
		user, ok := checkPassword(r)
		if !ok {
			http.Error(w, "wrong password", http.StatusUnauthorized)
			return
		}
		sessions.From(r.Context()).SignIn(user) // under a new id
	})
	mux.HandleFunc("POST /logout", func(_ http.ResponseWriter, r *http.Request) {
		sessions.From(r.Context()).Destroy()
	})
	handler := sessions.Handler(mux)
	return handler, nil
}

// A handler that adds to what others may add to at the same time.
func ExampleSession_Update() {
	type basket struct{ Items []string }
	var sessions *httpsession.Manager[basket] // from New
	add := func(w http.ResponseWriter, r *http.Request) {
		err := sessions.From(r.Context()).Update(r.Context(), func(b *basket) error {
			b.Items = append(b.Items, r.FormValue("item"))
			return nil
		})
		if err != nil {
			http.Error(w, "try again in a moment", http.StatusServiceUnavailable)
		}
	}
	http.HandleFunc("POST /basket", add)
}

// A sign-out on all devices, this one included.
func ExampleManager_SignOutEverywhere() {
	var sessions *httpsession.Manager[struct{}] // from New
	http.HandleFunc("POST /logout-everywhere", func(w http.ResponseWriter, r *http.Request) {
		session := sessions.From(r.Context())
		if _, err := sessions.SignOutEverywhere(r.Context(), session.Subject()); err != nil {
			http.Error(w, "try again in a moment", http.StatusServiceUnavailable)
			return
		}
		session.Destroy()
	})
}

// A handler that answers for an hour looks now and then whether its session is still there.
func ExampleSession_Save() {
	var sessions *httpsession.Manager[struct{}] // from New
	http.HandleFunc("GET /events", func(w http.ResponseWriter, r *http.Request) {
		session := sessions.From(r.Context())
		for range events(r) {
			if err := session.Save(r.Context()); err != nil { // also extends its life
				return
			}
			_, _ = fmt.Fprint(w, "data: hello\n\n")
			_ = http.NewResponseController(w).Flush()
		}
	})
}

func events(*http.Request) <-chan struct{} { return nil }
