package fiberstorage_test

import (
	"bytes"
	"encoding/gob"
	"net/http"
	"testing"
	"time"

	"github.com/gofiber/fiber/v3"
	"github.com/gofiber/fiber/v3/middleware/session"
	"github.com/stretchr/testify/require"

	"github.com/mysqlsession/mysqlsession"
	fiberstorage "github.com/mysqlsession/mysqlsession/adapters/fiber"
	"github.com/mysqlsession/mysqlsession/internal/dbtest"
)

func TestAUserIsSignedOutEverywhereAndStaysSo(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		store, _ := openStore(t, server, nil)
		app := fiber.New(fiber.Config{ErrorHandler: answerError})
		app.Use(session.New(session.Config{
			Storage: newSessionsOfUsers(store), ErrorHandler: answerSaveError, AbsoluteTimeout: 2 * time.Hour,
		}))
		app.Post("/everywhere", func(c fiber.Ctx) error {
			return signOutEverywhere(c, store, session.FromContext(c).Get("user").(string))
		})
		address, p := serveWith(t, app)
		phone, desk, other := newBrowser(t, address), newBrowser(t, address), newBrowser(t, address)
		phone.wants(http.StatusUnauthorized, http.MethodGet, "/whoami") // a session of nobody's
		phone.wants(http.StatusOK, http.MethodPost, "/login?user=ada")
		desk.wants(http.StatusOK, http.MethodPost, "/login?user=ada")
		desk.wants(http.StatusOK, http.MethodPost, "/rotate")
		other.wants(http.StatusOK, http.MethodPost, "/login?user=grace")
		list, err := store.ReadMetadata(t.Context(), "session", "web", "ada")
		require.NoError(t, err)
		require.Len(t, list, 2)

		late := make(chan int)
		go func() {
			status, _ := desk.do(http.MethodPost, "/late")
			late <- status
		}()
		<-p.at
		phone.wants(http.StatusUnauthorized, http.MethodPost, "/everywhere") // its own session is over, too
		p.goOn <- struct{}{}
		require.Equal(t, http.StatusUnauthorized, <-late)
		phone.wants(http.StatusUnauthorized, http.MethodGet, "/whoami")
		desk.wants(http.StatusUnauthorized, http.MethodGet, "/whoami")
		other.wants(http.StatusOK, http.MethodGet, "/whoami")
	})
}

func TestWhatIsNoSessionHasNoMetadata(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		store, _ := openStore(t, server, nil)
		storage := newSessionsOfUsers(store)
		require.ErrorContains(t, storage.Set("id", []byte("no gob"), time.Hour), "decoding a session")
		isGone(t, storage, "id")
	})
}

func TestASubjectHasNoMoreSessionsThanItMay(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		store, _ := openStore(t, server, nil)
		storage := fiberstorage.NewSessionsWithOptions(store, "session", fiberstorage.SessionOptions{
			Metadata: func(values map[any]any) []mysqlsession.Metadata {
				user, _ := values["user"].(string)
				if user == "" {
					return nil
				}
				return []mysqlsession.Metadata{{Audience: "web", Subject: user}}
			},
			MaxPerSubject: 2,
		})
		set := func(id, user string, exp time.Duration) {
			var value bytes.Buffer
			require.NoError(t, gob.NewEncoder(&value).Encode(map[any]any{"user": user}))
			require.NoError(t, storage.Set(id, value.Bytes(), exp))
		}
		is := func(live bool, id string) {
			t.Helper()
			value, err := storage.Get(id)
			require.NoError(t, err)
			require.Equal(t, live, value != nil)
		}
		set("grace", "grace", time.Minute)
		set("nobody", "", time.Minute)
		set("second", "ada", 2*time.Hour)
		set("first", "ada", time.Hour)
		set("first", "ada", time.Hour) // once more is no sign-in
		is(true, "second")
		set("third", "ada", 3*time.Hour)
		is(false, "first")
		for _, id := range []string{"second", "third", "grace", "nobody"} {
			is(true, id)
		}
	})
}
