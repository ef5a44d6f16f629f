// Command fiber is a small service with fiber and its session middleware, whose sessions are
// kept in a database: it knows who you are, counts your visits, and signs you out here or
// everywhere.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net"
	"time"

	"github.com/gofiber/fiber/v3"
	"github.com/gofiber/fiber/v3/middleware/recover"
	"github.com/gofiber/fiber/v3/middleware/session"

	"github.com/mysqlsession/mysqlsession"
	fiberstorage "github.com/mysqlsession/mysqlsession/adapters/fiber"
	"github.com/mysqlsession/mysqlsession/examples/internal/service"
)

func main() { service.Main("fiber", newServer) }

func newServer(store *mysqlsession.Store) (server, error) { return server{newApp(store)}, nil }

// server has net/http's names for what fiber's application does.
type server struct{ app *fiber.App }

func (s server) Serve(listener net.Listener) error {
	return s.app.Listener(listener, fiber.ListenConfig{DisableStartupMessage: true})
}

func (s server) Shutdown(ctx context.Context) error { return s.app.ShutdownWithContext(ctx) }

// newApp is what to copy: the store is one that mysqlsession.Open has opened, after
// store.Migrate.
func newApp(store *mysqlsession.Store) *fiber.App {
	app := fiber.New(fiber.Config{ErrorHandler: fail, IdleTimeout: time.Minute})
	app.Server().MaxIdleWorkerDuration = time.Second // of goroutines without a connection
	app.Use(recover.New())                           // the session middleware panics when it cannot load a session
	app.Use(session.New(session.Config{
		Storage: fiberstorage.NewSessionsWithOptions(store, "session", fiberstorage.SessionOptions{Metadata: whose}),
		ErrorHandler: func(c fiber.Ctx, err error) {
			c.Response().Header.DelCookie("session_id") // it was set before saving failed
			_ = fail(c, err)
		},
		IdleTimeout:    time.Hour,
		CookieHTTPOnly: true,
		CookieSecure:   false, // this is plain http; true behind TLS
	}))
	app.Get("/", home)
	app.Post("/login", login)
	app.Post("/logout", func(c fiber.Ctx) error { return session.FromContext(c).Destroy() })
	app.Post("/logout-everywhere", func(c fiber.Ctx) error {
		sess := session.FromContext(c)
		for _, m := range whose(map[any]any{"user": sess.Get("user")}) {
			if _, err := store.DeleteSubject(c.Context(), "session", m.Audience, m.Subject); err != nil {
				return err
			}
		}
		return sess.Destroy()
	})
	return app
}

// whose tells whose a session is.
func whose(values map[any]any) []mysqlsession.Metadata {
	user, signedIn := values["user"].(string)
	if !signedIn {
		return nil
	}
	return []mysqlsession.Metadata{{Audience: "web", Subject: user}}
}

func home(c fiber.Ctx) error {
	sess := session.FromContext(c)
	user, signedIn := sess.Get("user").(string)
	if !signedIn {
		return c.SendString("nobody is signed in\n")
	}
	visits, _ := sess.Get("visits").(int)
	sess.Set("visits", visits+1)
	return c.SendString(fmt.Sprintf("%s, visit %d\n", user, visits+1))
}

func login(c fiber.Ctx) error {
	sess := session.FromContext(c)
	if err := sess.Reset(); err != nil { // against an id that somebody has planted
		return err
	}
	sess.Set("user", c.FormValue("user")) // a real one asks for a password
	return nil
}

// fail answers errors, and when the database has failed so that nobody takes it for a sign-out.
func fail(c fiber.Ctx, err error) error {
	var known *fiber.Error
	switch {
	case errors.As(err, &known):
	case errors.Is(err, mysqlsession.ErrNotFound):
		err = fiber.NewError(fiber.StatusUnauthorized, "signed out meanwhile")
	default:
		log.Print(err)
		err = fiber.NewError(fiber.StatusServiceUnavailable, "try again in a moment")
	}
	return fiber.DefaultErrorHandler(c, err)
}
