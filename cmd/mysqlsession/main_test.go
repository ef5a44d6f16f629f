package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"testing"

	"github.com/mysqlsession/mysqlsession/internal/dbtest"
)

// These make this test a program for others to start and to kill.
const (
	programVariable   = "MYSQLSESSION_TEST_PROGRAM"   // the program, with these arguments
	containerVariable = "MYSQLSESSION_TEST_CONTAINER" // one that starts a container of this image
)

func TestMain(m *testing.M) {
	if arguments := os.Getenv(programVariable); arguments != "" {
		os.Args = strings.Fields(arguments)
		main()
	}
	if image := os.Getenv(containerVariable); image != "" {
		p := &private{image: image, out: os.Stderr, logger: slog.Default()}
		db, err := p.startContainer(context.Background())
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		fmt.Println(db.client)
		select {}
	}
	dbtest.Main(m)
}
