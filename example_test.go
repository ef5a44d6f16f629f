package mysqlsession_test

import (
	"context"
	"errors"
	"expvar"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"time"

	"github.com/mysqlsession/mysqlsession"
	"github.com/mysqlsession/mysqlsession/debug"
)

// The README shows what is between the braces of these functions. readme_test.go sees
// that it does, and runs them.

func openAStore(ctx context.Context) error {
	cfg, err := mysqlsession.ParseConfig(os.Getenv("MYSQLSESSION_DSN")) // mysql://user:password@host/database
	if err != nil {
		return err
	}
	cfg.PoolSize = 30 // never more connections than this
	cfg.Backlog = 500 // callers that may wait for one

	store, err := mysqlsession.Open(ctx, cfg)
	if err != nil {
		return err
	}
	defer store.Close()
	return store.Migrate(ctx) // creates the tables, or upgrades them; nothing to do, no DDL
}

func showAPool(ctx context.Context, cfg mysqlsession.Config, admin *http.ServeMux) error {
	recorder := debug.NewRecorder()
	cfg.Trace = recorder.Trace() // tells it how long calls take; it takes your own hooks along

	store, err := mysqlsession.Open(ctx, cfg)
	if err != nil {
		return err
	}
	admin.Handle("/debug/sessions/", recorder.Handler(store.Pool()))
	return store.Close()
}

func watchAStore(ctx context.Context, cfg mysqlsession.Config, logger *slog.Logger, closed *expvar.Map) error {
	cfg.Logger = logger                  // what is wrong with the schema, migrations, leaks
	cfg.LeakThreshold = 30 * time.Second // who holds a connection longer is named, with a stack
	cfg.Trace = mysqlsession.JoinTraces(
		mysqlsession.LogTrace(logger, mysqlsession.LogOptions{SlowCall: 250 * time.Millisecond}),
		&mysqlsession.Trace{Disconnect: func(info mysqlsession.DisconnectInfo) { closed.Add(string(info.Reason), 1) }},
	)
	store, err := mysqlsession.Open(ctx, cfg)
	if err != nil {
		return err
	}
	return store.Close()
}

func useAStore(ctx context.Context, store *mysqlsession.Store, anonymous, id string) error {
	const cookie = "session"

	// Store a session that lives for half an hour.
	err := store.Set(ctx, cookie, anonymous, []byte(`{"basket":[7]}`), 30*time.Minute, nil)
	if err != nil {
		return err
	}

	// At sign-in: a new id, the old one readable ten seconds more, and whose session it is.
	// One transaction, two round trips.
	err = store.Set(ctx, cookie, id, []byte(`{"user":"alice"}`), 30*time.Minute, &mysqlsession.SetOptions{
		OldKey:   anonymous,
		StaleTTL: 10 * time.Second,
		Metadata: []mysqlsession.Metadata{{Audience: "web", Subject: "alice"}},
	})
	if err != nil {
		return err
	}

	// Change it without losing anybody else's change.
	err = store.Update(ctx, cookie, id, 30*time.Minute, func(old []byte) ([]byte, error) {
		return append(old, '\n'), nil
	})
	if err != nil {
		return err
	}

	// Where is she signed in, and until when?
	sessions, err := store.ReadMetadata(ctx, cookie, "web", "alice")
	if err != nil {
		return err
	}
	fmt.Println(len(sessions), "sessions")

	// Sign her out everywhere.
	_, err = store.DeleteSubject(ctx, cookie, "web", "alice")
	return err
}

func showDevices(ctx context.Context, store *mysqlsession.Store, id, chosen string) error {
	const cookie = "session"

	// The account page "your devices": where is she signed in, and until when?
	sessions, err := store.ReadMetadata(ctx, cookie, "web", "alice")
	if err != nil {
		return err
	}
	for storedID, expires := range sessions {
		fmt.Println(len(storedID), "characters to revoke it by, until", expires)
	}

	// Sign one of them out, by the id of the list: the one in its cookie, or with HashKeys
	// that one's hash. See first that it is in the list: it comes from a form.
	if _, hers := sessions[chosen]; hers {
		if err := store.DeleteStored(ctx, cookie, chosen); err != nil {
			return err
		}
	}

	// Sign her out everywhere else. id is that of this request's cookie.
	ended, err := store.DeleteOthers(ctx, cookie, "web", "alice", id)
	if err != nil {
		return err
	}
	left, err := store.CountSubject(ctx, cookie, "web", "alice")
	fmt.Println(ended, "ended,", left, "left")
	return err
}

func limitDevices(ctx context.Context, store *mysqlsession.Store, anonymous, id string) error {
	// At sign-in, on the fourth device the session ends that would expire first.
	return store.Set(ctx, "session", id, []byte(`{"user":"alice"}`), 30*time.Minute, &mysqlsession.SetOptions{
		OldKey:        anonymous,
		Metadata:      []mysqlsession.Metadata{{Audience: "web", Subject: "alice"}},
		MaxPerSubject: 3,
	})
}

func answerErrors(w http.ResponseWriter, err error) {
	switch {
	case errors.Is(err, mysqlsession.ErrNotFound):
		http.Error(w, "please sign in", http.StatusUnauthorized)
	case mysqlsession.OutcomeUnknown(err):
		http.Error(w, "it may or may not have been saved", http.StatusBadGateway)
	case errors.Is(err, mysqlsession.ErrBacklogFull), errors.Is(err, mysqlsession.ErrAcquireTimeout),
		errors.Is(err, mysqlsession.ErrUnavailable):
		http.Error(w, "please try again", http.StatusServiceUnavailable) // nobody is signed out by an outage
	default:
		http.Error(w, "something went wrong", http.StatusInternalServerError)
	}
}

func useThePool(ctx context.Context, pool *mysqlsession.Pool) error {
	err := pool.Do(ctx, func(conn *mysqlsession.Conn) error {
		return conn.Query(ctx, "SELECT name, COUNT(*) FROM sessions WHERE exp >= FROM_UNIXTIME(?) GROUP BY name",
			func(row mysqlsession.Row) error {
				fmt.Println(row.String(0), row.String(1))
				return nil
			}, time.Now().Unix())
	})
	stat := pool.Stat()
	fmt.Println(stat.AcquiredConns, "in use,", stat.IdleConns, "idle,", stat.Waiting, "waiting")
	return err
}
