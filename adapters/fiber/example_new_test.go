package fiberstorage_test

import (
	"github.com/gofiber/fiber/v3"
	"github.com/gofiber/fiber/v3/middleware/limiter"
	"github.com/gofiber/fiber/v3/middleware/session"

	"github.com/mysqlsession/mysqlsession"
	fiberstorage "github.com/mysqlsession/mysqlsession/adapters/fiber"
)

// Sessions of fiber's middleware.
func ExampleNewSessions() {
	var store *mysqlsession.Store // from mysqlsession.Open
	app := fiber.New()
	app.Use(session.New(session.Config{Storage: fiberstorage.NewSessions(store, "session")}))
}

// Sessions that are found by whose they are, to sign somebody out everywhere.
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
	})
	app := fiber.New()
	app.Use(session.New(session.Config{Storage: storage}))
}

// Whatever else wants a storage: here the limiter's counters.
func ExampleNewGeneral() {
	var store *mysqlsession.Store // from mysqlsession.Open
	app := fiber.New()
	app.Use(limiter.New(limiter.Config{Max: 100, Storage: fiberstorage.NewGeneral(store, "limiter")}))
}
