package fiberstorage_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/gofiber/fiber/v3"
	"github.com/gofiber/fiber/v3/middleware/session"
	"github.com/stretchr/testify/require"

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
