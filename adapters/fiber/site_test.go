package fiberstorage_test

import (
	"net"
	"strconv"
	"testing"
	"time"

	"github.com/gofiber/fiber/v3"
	"github.com/gofiber/fiber/v3/middleware/session"
	"github.com/gofiber/utils/v2"
	"github.com/stretchr/testify/require"

	"github.com/mysqlsession/mysqlsession"
	fiberstorage "github.com/mysqlsession/mysqlsession/adapters/fiber"
	"github.com/mysqlsession/mysqlsession/internal/sitetest"
)

func TestAnApplicationWithTheSessionMiddlewarePassesEveryJourney(t *testing.T) {
	sitetest.Run(t, sitetest.Site{Name: "session", Cookie: "session_id", RowForVisitors: true, Serve: serveMiddleware})
}

func TestAnApplicationThatSavesOnlyWhatHoldsSomethingPassesEveryJourney(t *testing.T) {
	sitetest.Run(t, sitetest.Site{Name: "session", Cookie: "session_id", Serve: serveStore})
}

// listen serves an application until the test ends, and returns its address.
func listen(t *testing.T, app *fiber.App) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	app.Server().MaxIdleWorkerDuration = 50 * time.Millisecond // what cleans up after workers looks that often whether it is over
	ended := make(chan error, 1)
	ready := make(chan struct{})
	app.Hooks().OnListen(func(fiber.ListenData) error {
		close(ready)
		return nil
	})
	go func() { ended <- app.Listener(listener, fiber.ListenConfig{DisableStartupMessage: true}) }()
	<-ready
	t.Cleanup(func() {
		require.NoError(t, app.ShutdownWithTimeout(5*time.Second))
		require.NoError(t, <-ended)
		utils.StopTimeStampUpdater() // the limiter and the cache start it
	})
	return "http://" + listener.Addr().String()
}

// held is a session as a handler sees it, of the middleware's or of its own.
type held interface {
	Get(key any) any
	Set(key, value any)
	Regenerate() error
	Destroy() error
}

// handle adds what the site answers. with runs it on the request's session.
func handle(app *fiber.App, pause func(), with func(func(c fiber.Ctx, sess held) error) fiber.Handler) {
	whoever := func(then func(c fiber.Ctx, sess held) error) fiber.Handler {
		return with(func(c fiber.Ctx, sess held) error {
			if sess.Get("user") == nil {
				return fiber.ErrUnauthorized
			}
			return then(c, sess)
		})
	}
	app.Get("/whoami", whoever(func(c fiber.Ctx, sess held) error {
		return c.SendString(sess.Get("user").(string))
	}))
	add := func(pause func()) fiber.Handler {
		return whoever(func(c fiber.Ctx, sess held) error {
			pause()
			count, _ := sess.Get("count").(int)
			sess.Set("count", count+1)
			return c.SendString(strconv.Itoa(count + 1))
		})
	}
	app.Post("/add", add(func() {}))
	app.Post("/late", add(pause))
	app.Post("/rotate", whoever(func(_ fiber.Ctx, sess held) error { return sess.Regenerate() }))
	app.Post("/logout", with(func(_ fiber.Ctx, sess held) error { return sess.Destroy() }))
}

func serveMiddleware(t *testing.T, store *mysqlsession.Store, lifetime time.Duration, pause func()) string {
	app := newApp(store, lifetime, false)
	app.Post("/login", signIn)
	handle(app, pause, func(then func(c fiber.Ctx, sess held) error) fiber.Handler {
		return func(c fiber.Ctx) error { return then(c, session.FromContext(c)) }
	})
	return listen(t, app)
}

// serveStore is without the middleware: a session is saved when a handler has changed it.
func serveStore(t *testing.T, store *mysqlsession.Store, lifetime time.Duration, pause func()) string {
	app := fiber.New(fiber.Config{ErrorHandler: answerError, ReadBufferSize: 16 << 10})
	sessions := session.NewStore(session.Config{Storage: fiberstorage.NewSessions(store, "session"), IdleTimeout: lifetime})
	with := func(then func(c fiber.Ctx, sess held) error) fiber.Handler {
		return func(c fiber.Ctx) error {
			sess, err := sessions.Get(c)
			if err != nil {
				return err
			}
			defer sess.Release()
			if err := then(c, sess); err != nil {
				return err
			}
			if c.Method() == fiber.MethodPost && sess.Get("user") != nil {
				return sess.Save()
			}
			return nil
		}
	}
	app.Post("/login", with(func(c fiber.Ctx, sess held) error {
		if err := sess.Regenerate(); err != nil {
			return err
		}
		sess.Set("user", c.FormValue("user"))
		return nil
	}))
	handle(app, pause, with)
	return listen(t, app)
}
