package mysqlsession_test

import (
	"context"
	"fmt"
	"time"

	"github.com/mysqlsession/mysqlsession"
	"github.com/mysqlsession/mysqlsession/internal/dbtest"
)

// Every instance of a service may call it whenever it starts.
func ExampleStore_Migrate() {
	cfg, drop := dbtest.Example()
	defer drop()
	ctx := context.Background()
	store, err := mysqlsession.Open(ctx, cfg)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer store.Close()

	fmt.Println(store.Migrate(ctx), store.Migrate(ctx))
	// Output: <nil> <nil>
}

// For those whose services may not change tables: the statements, to be run by somebody else.
func ExampleStore_MigrationPlan() {
	cfg, drop := dbtest.Example()
	defer drop()
	ctx := context.Background()
	store, err := mysqlsession.Open(ctx, cfg)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer store.Close()

	plan, err := store.MigrationPlan(ctx)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, step := range plan {
		fmt.Println(step.Reason+",", len(step.Statements), "statements")
	}
	// Output:
	// set up the session, 2 statements
	// create table sessions, 1 statements
	// create table sessions_meta, 1 statements
}

// What is wrong with the tables, and how to mend it. An empty list is a schema as Migrate
// makes it.
func ExampleStore_Check() {
	ctx, store, done := exampleStore()
	defer done()

	findings, err := store.Check(ctx)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, finding := range findings {
		fmt.Println(finding)
	}
	fmt.Println(len(findings), "findings")
	// Output: 0 findings
}

// A finding prints as one line.
func ExampleFinding_String() {
	finding := mysqlsession.Finding{
		Severity: mysqlsession.SeverityWarning, Subject: "sessions.exp",
		Problem: "is in no index", Fix: "run Migrate",
	}
	fmt.Println(finding.String())
	// Output: warning: sessions.exp is in no index; run Migrate
}

// expiredStore is a store with a session that has expired, and one that has not.
func expiredStore() (ctx context.Context, store *mysqlsession.Store, done func()) {
	cfg, drop := dbtest.Example()
	ctx = context.Background()
	now := exampleClock()
	cfg.Clock = func() time.Time { return now }
	store, err := mysqlsession.Open(ctx, cfg)
	if err == nil {
		err = store.Migrate(ctx)
	}
	for id, ttl := range map[string]time.Duration{"short": time.Minute, "long": time.Hour} {
		if err == nil {
			err = store.Set(ctx, "session", id, []byte("value"), ttl, nil)
		}
	}
	if err != nil {
		panic(err)
	}
	now = now.Add(10 * time.Minute)
	return ctx, store, func() {
		_ = store.Close() // always nil
		drop()
	}
}

// A store removes what has expired in the background. Where that is switched off, by a negative
// CleanupInterval, it can be done on a schedule of one's own.
func ExampleStore_Cleanup() {
	ctx, store, done := expiredStore()
	defer done()

	removed, err := store.Cleanup(ctx)
	fmt.Println(removed, "removed", err)
	// Output: 1 removed <nil>
}

// What a clean-up would remove.
func ExampleStore_CountExpired() {
	ctx, store, done := expiredStore()
	defer done()

	expired, err := store.CountExpired(ctx)
	fmt.Println(expired, "expired", err)
	// Output: 1 expired <nil>
}

// How many sessions there are. It reads the whole table: for people, not for requests.
func ExampleStore_Count() {
	ctx, store, done := expiredStore()
	defer done()

	counts, err := store.Count(ctx)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, count := range counts {
		fmt.Println(count.Name, count.Live, "live,", count.Expired, "expired")
	}
	// Output: session 1 live, 1 expired
}
