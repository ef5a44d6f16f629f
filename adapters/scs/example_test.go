package scsstore_test

import (
	"errors"
	"log/slog"
	"net/http"

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
