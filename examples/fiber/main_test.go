package main

import (
	"io"
	"log"
	"net/http"
	"testing"

	"github.com/mysqlsession/mysqlsession/examples/internal/exampletest"
	"github.com/mysqlsession/mysqlsession/internal/dbtest"
)

func TestMain(m *testing.M) {
	log.SetOutput(io.Discard)
	dbtest.Main(m)
}

func TestVisitorsFindTheirSessions(t *testing.T) { exampletest.Run(t, newServer) }

func TestAPageThatThereIsNotIsNoOutage(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		address, _ := exampletest.Start(t, newServer, "-dsn", server.NewDatabase(t).ConnString())
		exampletest.NewVisitor(t, address).Sends(http.MethodGet, "/nowhere", http.StatusNotFound)
	})
}
