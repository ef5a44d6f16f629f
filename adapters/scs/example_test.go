package scsstore_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"net/http"
	"os"

	"github.com/alexedwards/scs/v2"

	"github.com/mysqlsession/mysqlsession"
	scsstore "github.com/mysqlsession/mysqlsession/adapters/scs"
)

// The README shows what is between the braces of these functions. readme_test.go sees
// that it does, and runs them.

func newSessions(store *mysqlsession.Store) *scs.SessionManager {
	manager := scs.New()
	manager.Store = scsstore.New(store)
	manager.ErrorFunc = answerError
	return manager
}

func answerError(w http.ResponseWriter, r *http.Request, err error) {
	if errors.Is(err, mysqlsession.ErrNotFound) {
		return // the session ended while this request ran: it is not saved, and the answer stands
	}
	slog.ErrorContext(r.Context(), "session", "error", err)
	http.Error(w, "please try again", http.StatusServiceUnavailable) // nobody is signed out by an outage
}

func newSessionsByUser(store *mysqlsession.Store) *scs.SessionManager {
	manager := scs.New()
	manager.ErrorFunc = answerError
	manager.Store = scsstore.NewWithOptions(store, scsstore.Options{
		Metadata: func(data []byte) ([]mysqlsession.Metadata, error) {
			_, values, err := manager.Codec.Decode(data)
			user, signedIn := values["user"].(string)
			if err != nil || !signedIn {
				return nil, err
			}
			return []mysqlsession.Metadata{{Audience: "web", Subject: user}}, nil
		},
	})
	return manager
}

func ExampleNew() {
	ctx := context.Background()
	cfg, err := mysqlsession.ParseConfig(os.Getenv("MYSQLSESSION_DSN")) // mysql://user:password@host/database
	if err != nil {
		log.Fatal(err)
	}
	store, err := mysqlsession.Open(ctx, cfg)
	if err != nil {
		log.Fatal(err)
	}
	defer store.Close()
	if err := store.Migrate(ctx); err != nil {
		log.Fatal(err)
	}
	manager := scs.New()
	manager.Store = scsstore.New(store)
	http.Handle("GET /", manager.LoadAndSave(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		visits := manager.GetInt(r.Context(), "visits") + 1
		manager.Put(r.Context(), "visits", visits)
		fmt.Fprintln(w, "visit", visits)
	})))
	log.Print(http.ListenAndServe("127.0.0.1:8080", nil))
}
