package main

import (
	"io"
	"log"
	"strings"
	"testing"

	"github.com/mysqlsession/mysqlsession/examples/internal/exampletest"
	"github.com/mysqlsession/mysqlsession/internal/dbtest"
)

func TestMain(m *testing.M) {
	log.SetOutput(io.Discard)
	dbtest.Main(m)
}

func TestVisitorsFindTheirSessions(t *testing.T) {
	t.Setenv("SESSION_KEY", strings.Repeat("k", 32))
	exampletest.Run(t, newServer)
}

func TestAnotherKeySignsEverybodyOut(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		dsn := server.NewDatabase(t).ConnString()
		t.Setenv("SESSION_KEY", strings.Repeat("k", 32))
		address, end := exampletest.Start(t, newServer, "-dsn", dsn)
		ada := exampletest.NewVisitor(t, address)
		ada.Posts("/login?user=ada")
		end()
		t.Setenv("SESSION_KEY", strings.Repeat("n", 32))
		ada.Address, end = exampletest.Start(t, newServer, "-dsn", dsn)
		ada.Sees("nobody is signed in") // and no error for a cookie that nobody can read
		ada.Posts("/login?user=ada")
		end()
		t.Setenv("SESSION_KEY", "") // a key of its own for each start
		ada.Address, _ = exampletest.Start(t, newServer, "-dsn", dsn)
		ada.Sees("nobody is signed in")
		ada.Posts("/login?user=ada")
		ada.Sees("ada, visit 1")
	})
}
