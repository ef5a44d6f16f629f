package fiberstorage_test

import (
	"context"
	"errors"
	"log"
	"time"

	"github.com/gofiber/fiber/v3"
	"github.com/gofiber/fiber/v3/middleware/csrf"
	"github.com/gofiber/fiber/v3/middleware/limiter"
	"github.com/gofiber/fiber/v3/middleware/recover"
	"github.com/gofiber/fiber/v3/middleware/session"

	"github.com/mysqlsession/mysqlsession"
	fiberstorage "github.com/mysqlsession/mysqlsession/adapters/fiber"
)

func ExampleNewSessions() {
	store, err := mysqlsession.Open(context.Background(), mysqlsession.Config{Username: "shop", Database: "shop"})
	if err != nil {
		log.Fatal(err)
	}
	defer store.Close()

	app := fiber.New()
	app.Use(recover.New()) // the session middleware panics when it cannot load a session
	app.Use(session.New(session.Config{Storage: fiberstorage.NewSessions(store, "session")}))
	log.Print(app.Listen(":8080"))
}

// Sessions that are found by whose they are, to sign somebody out everywhere, and of which
// nobody has more than five.
func ExampleNewSessionsWithOptions() {
	var store *mysqlsession.Store // from mysqlsession.Open
	storage := fiberstorage.NewSessionsWithOptions(store, "session", fiberstorage.SessionOptions{
		Metadata: func(values map[any]any) []mysqlsession.Metadata {
			user, signedIn := values["user"].(string)
			if !signedIn {
				return nil
			}
			return []mysqlsession.Metadata{{Audience: "web", Subject: user}}
		},
		MaxPerSubject: 5,
	})
	app := fiber.New()
	app.Use(session.New(session.Config{Storage: storage}))
}

func ExampleNewGeneral() {
	store, err := mysqlsession.Open(context.Background(), mysqlsession.Config{Username: "shop", Database: "shop"})
	if err != nil {
		log.Fatal(err)
	}
	defer store.Close()

	app := fiber.New()
	app.Use(limiter.New(limiter.Config{Max: 100, Storage: fiberstorage.NewGeneral(store, "limiter")}))
	app.Use(csrf.New(csrf.Config{Storage: fiberstorage.NewGeneral(store, "csrf")}))
	log.Print(app.Listen(":8080"))
}

// The README shows these functions, and what is between the braces of others. readme_test.go
// sees that it does; site_test.go and middleware_test.go use them.

func newApp(store *mysqlsession.Store, lifetime time.Duration, overTLS bool) *fiber.App {
	app := fiber.New(fiber.Config{ErrorHandler: answerError, ReadBufferSize: 16 << 10})
	app.Use(recover.New()) // the session middleware panics when it cannot load a session
	app.Use(session.New(session.Config{
		Storage:        fiberstorage.NewSessions(store, "session"),
		ErrorHandler:   answerSaveError, // when it cannot save one
		IdleTimeout:    lifetime,
		CookieSecure:   overTLS,
		CookieHTTPOnly: true,
	}))
	return app
}

// answerError answers what handlers return and recover has caught. Nobody is signed out by an
// outage: the cookie stays what it is.
func answerError(c fiber.Ctx, err error) error {
	switch {
	case errors.Is(err, mysqlsession.ErrNotFound): // signed out elsewhere while this request ran
		err = fiber.NewError(fiber.StatusUnauthorized, "please sign in")
	case errors.Is(err, mysqlsession.ErrUnavailable), errors.Is(err, mysqlsession.ErrNotWritable),
		errors.Is(err, mysqlsession.ErrBacklogFull), errors.Is(err, mysqlsession.ErrAcquireTimeout):
		err = fiber.NewError(fiber.StatusServiceUnavailable, "please try again")
	}
	return fiber.DefaultErrorHandler(c, err)
}

// answerSaveError takes back the cookie, which the middleware sets before it saves: in place
// of a newer one it would sign the browser out.
func answerSaveError(c fiber.Ctx, err error) {
	c.Response().Header.DelCookie("session_id")
	_ = answerError(c, err)
}

func signIn(c fiber.Ctx) error {
	sess := session.FromContext(c)
	if err := sess.Regenerate(); err != nil { // a new id for who was somebody else before
		return err
	}
	sess.Set("user", c.FormValue("user"))
	return c.SendString("welcome")
}

func useALimiter(app *fiber.App, store *mysqlsession.Store, most int) {
	app.Use(limiter.New(limiter.Config{Max: most, Storage: fiberstorage.NewGeneral(store, "limiter")}))
}

func countVisits(c fiber.Ctx, sessions *session.Store) error {
	sess, err := sessions.Get(c)
	if err != nil {
		return err
	}
	defer sess.Release()
	visits, _ := sess.Get("visits").(int)
	sess.Set("visits", visits+1)
	return sess.Save()
}

func newSessionsOfUsers(store *mysqlsession.Store) *fiberstorage.Storage {
	return fiberstorage.NewSessionsWithOptions(store, "session", fiberstorage.SessionOptions{
		Metadata: func(values map[any]any) []mysqlsession.Metadata {
			user, signedIn := values["user"].(string)
			if !signedIn {
				return nil
			}
			return []mysqlsession.Metadata{{Audience: "web", Subject: user}}
		},
	})
}

func signOutEverywhere(c fiber.Ctx, store *mysqlsession.Store, user string) error {
	_, err := store.DeleteSubject(c.Context(), "session", "web", user)
	return err
}
