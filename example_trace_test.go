package mysqlsession_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/mysqlsession/mysqlsession"
	"github.com/mysqlsession/mysqlsession/internal/dbtest"
)

// Several that want to be told, in their order.
func ExampleJoinTraces() {
	cfg, drop := dbtest.Example()
	defer drop()
	kinds := map[string]int{}
	cfg.Trace = mysqlsession.JoinTraces(
		&mysqlsession.Trace{Migration: func(step mysqlsession.MigrationStep) { fmt.Println(step.Reason) }},
		&mysqlsession.Trace{Call: func(_ context.Context, info mysqlsession.CallInfo) { kinds[mysqlsession.ErrorKind(info.Err)]++ }},
	)
	ctx := context.Background()
	store, err := mysqlsession.Open(ctx, cfg)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer store.Close()
	if err := store.Migrate(ctx); err != nil {
		fmt.Println(err)
		return
	}
	for _, err := range []error{store.Touch(ctx, "session", "no-such-id", time.Hour), store.Delete(ctx, "session", "no-such-id")} {
		fmt.Println(err)
	}
	fmt.Println(kinds)
	// Output:
	// create table sessions
	// create table sessions_meta
	// mysqlsession: session not found
	// <nil>
	// map[:1 not_found:1]
}

// What an operator may want to know, in a log that does not fill the disk when the database is
// down.
func ExampleLogTrace() {
	cfg, drop := dbtest.Example()
	defer drop()
	logger := slog.New(slog.NewTextHandler(os.Stdout, &slog.HandlerOptions{ReplaceAttr: withoutWhatVaries}))
	cfg.Logger = logger // what no caller can be told
	cfg.Trace = mysqlsession.LogTrace(logger, mysqlsession.LogOptions{SlowCall: 200 * time.Millisecond, Lines: 2})
	cfg.Pool = "shop"
	ctx := context.Background()
	store, err := mysqlsession.Open(ctx, cfg)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer store.Close()
	_, err = store.Get(ctx, "session", "an-id") // there are no tables yet
	fmt.Println(mysqlsession.ErrorKind(err))
	// Output:
	// level=WARN msg="mysqlsession: schema" severity=error subject=sessions problem="does not exist" fix="run Migrate"
	// level=WARN msg="mysqlsession: schema" severity=notice subject=sessions_meta problem="does not exist, so that operations with metadata fail" fix="run Migrate"
	// level=ERROR msg="mysqlsession: a call failed" pool=shop operation=get kind=schema error="mysqlsession: get: schema lacks what the operation needs: table sessions does not exist; run Migrate"
	// schema
}

// withoutWhatVaries leaves out of a line what is another one each time.
func withoutWhatVaries(_ []string, attribute slog.Attr) slog.Attr {
	if attribute.Key == slog.TimeKey || attribute.Key == "duration" {
		return slog.Attr{}
	}
	return attribute
}

// A word for an error's kind, for a metric's label.
func ExampleErrorKind() {
	ctx, store, done := exampleStore()
	defer done()

	_, err := store.Get(ctx, "session", "an-id")
	fmt.Println(mysqlsession.ErrorKind(err))
	err = store.Set(ctx, "session", "an id", nil, time.Hour, nil)
	fmt.Println(mysqlsession.ErrorKind(err))
	fmt.Printf("%q\n", mysqlsession.ErrorKind(nil))
	// Output:
	// not_found
	// invalid_key
	// ""
}
