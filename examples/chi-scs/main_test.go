package main

import (
	"io"
	"log"
	"testing"

	"github.com/mysqlsession/mysqlsession/examples/internal/exampletest"
	"github.com/mysqlsession/mysqlsession/internal/dbtest"
)

func TestMain(m *testing.M) {
	log.SetOutput(io.Discard)
	dbtest.Main(m)
}

func TestVisitorsFindTheirSessions(t *testing.T) { exampletest.Run(t, newServer) }
