package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"

	"github.com/mysqlsession/mysqlsession"
	"github.com/mysqlsession/mysqlsession/cmd/mysqlsession/internal/measure"
)

// errNoDatabase is a DSN with a server only.
var errNoDatabase = errors.New("the DSN names no database, in which the scratch tables could be")

// withScratch has work done in scratch tables of a database, and removes them, however the
// work ends. That they could not be removed is told above all else.
func withScratch(ctx context.Context, cfg mysqlsession.Config, w measure.Workload, say io.Writer, work func(s *measure.Scratch) error) error {
	tell := func(tables []string) {
		_, _ = fmt.Fprintf(say, "scratch tables %s in %s, until the end\n", strings.Join(tables, " and "), cfg.Database)
	}
	s, err := measure.NewScratch(ctx, cfg, w, tell)
	if err != nil {
		return err
	}
	var panicked any
	func() {
		defer func() { panicked = recover() }()
		err = work(s)
	}()
	removal := s.Remove(ctx)
	if panicked != nil {
		panic(panicked)
	}
	if removal != nil && errors.Is(err, context.Canceled) {
		return removal // an interruption says nothing
	}
	return errors.Join(err, removal)
}

// placeOf is where a database is, without secrets.
func placeOf(cfg mysqlsession.Config) string {
	if cfg.Socket != "" {
		return cfg.Database + " at " + cfg.Socket
	}
	host, port := cfg.Host, cfg.Port
	if host == "" {
		host = "127.0.0.1"
	}
	if port == 0 {
		port = 3306
	}
	return cfg.Database + " at " + net.JoinHostPort(host, strconv.Itoa(int(port)))
}
