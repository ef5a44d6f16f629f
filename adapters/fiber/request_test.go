package fiberstorage_test

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/gofiber/fiber/v3"
	"github.com/gofiber/fiber/v3/middleware/session"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/mysqlsession/mysqlsession"
	fiberstorage "github.com/mysqlsession/mysqlsession/adapters/fiber"
	"github.com/mysqlsession/mysqlsession/internal/dbtest"
)

// paused is where a handler of /late waits.
type paused struct{ at, goOn chan struct{} }

func (p paused) pause() {
	p.at <- struct{}{}
	<-p.goOn
}

// serveWith serves the site of the journeys and hands out what its handlers wait at.
func serveWith(t *testing.T, app *fiber.App) (address string, p paused) {
	p = paused{make(chan struct{}), make(chan struct{})}
	app.Post("/login", signIn)
	handle(app, p.pause, func(then func(c fiber.Ctx, sess held) error) fiber.Handler {
		return func(c fiber.Ctx) error { return then(c, session.FromContext(c)) }
	})
	return listen(t, app), p
}

// The middleware sets the cookie before it saves. The answer to a request with the old id came
// last, and its cookie signed the browser out.
func TestALateAnswerDoesNotTakeAwayTheCookieOfARotation(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		store, _ := openStore(t, server, nil)
		address, p := serveWith(t, newApp(store, time.Hour, false))
		b := newBrowser(t, address)
		b.wants(http.StatusOK, http.MethodPost, "/login?user=ada")
		late := make(chan int)
		go func() {
			status, _ := b.do(http.MethodPost, "/late")
			late <- status
		}()
		<-p.at
		b.wants(http.StatusOK, http.MethodPost, "/rotate")
		p.goOn <- struct{}{}
		require.Equal(t, http.StatusUnauthorized, <-late)
		require.Equal(t, "ada", b.wants(http.StatusOK, http.MethodGet, "/whoami"))
	})
}

// Whoever can start sessions without number could have a process forget one that was revoked,
// while a request of theirs holds it.
func TestARequestKnowsTheSessionThatItHasFoundHoweverManyCameSince(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		store, _ := openStore(t, server, nil)
		app := fiber.New(fiber.Config{ErrorHandler: answerError})
		app.Use(session.New(session.Config{Storage: fiberstorage.NewSessionsOf(store, "session", 0), ErrorHandler: answerSaveError}))
		address, p := serveWith(t, app)
		b := newBrowser(t, address)
		b.wants(http.StatusOK, http.MethodPost, "/login?user=ada")
		late := make(chan int)
		go func() {
			status, _ := b.do(http.MethodPost, "/late")
			late <- status
		}()
		<-p.at
		_, err := store.DeleteAll(t.Context(), "session")
		require.NoError(t, err)
		p.goOn <- struct{}{}
		require.Equal(t, http.StatusUnauthorized, <-late)
		b.wants(http.StatusUnauthorized, http.MethodGet, "/whoami")
	})
}

func TestTheContextOfARequestBoundsItsCallsUnlessTheRequestWasAbandoned(t *testing.T) {
	eachKind(t, func(t *testing.T, _ *mysqlsession.Store, _ *clock, storage *fiberstorage.Storage) {
		app := fiber.New()
		app.Get("/", func(c fiber.Ctx) error {
			f := forms(c, storage)["with context"]
			has := func(want string) {
				value, err := f.get("key")
				assert.NoError(t, err)
				assert.Equal(t, want, string(value))
			}
			assert.NoError(t, f.set("key", []byte("value"), time.Hour))
			has("value")
			ctx, cancel := context.WithCancel(c.Context())
			c.SetContext(ctx)
			has("value")
			cancel()
			_, err := f.get("key")
			assert.ErrorIs(t, err, context.Canceled)
			assert.ErrorIs(t, f.set("key", []byte("value"), time.Hour), context.Canceled)
			assert.ErrorIs(t, f.delete("key"), context.Canceled)
			assert.ErrorIs(t, f.reset(), context.Canceled)
			if c.Query("abandon") != "" {
				c.Abandon() // as the timeout's middleware does
				has("value")
				assert.NoError(t, f.set("key", []byte("second"), time.Hour))
				has("second")
			}
			return ok(c)
		})
		b := newBrowser(t, listen(t, app))
		b.wants(http.StatusOK, http.MethodGet, "/")
		b.wants(http.StatusOK, http.MethodGet, "/?abandon=1")
	})
}
