package telemetrytest

import (
	"context"
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/mysqlsession/mysqlsession"
	"github.com/mysqlsession/mysqlsession/internal/dbtest"
	"github.com/mysqlsession/mysqlsession/internal/paired"
)

// CostCommand is how a module's README has its readers run Cost.
const CostCommand = "go test -run '^$' -bench Cost -benchtime 101x ."

// Listener is somebody who is told, and what that costs.
type Listener struct {
	Name  string
	Trace *mysqlsession.Trace
	// Context is that of a caller's nth call. nil: the background.
	Context func(n int) context.Context
}

// Cost measures what listeners cost reads of 64 callers, against nobody, and against nobody
// once more, which is the error of the measurement. b.N is the number of rounds: -benchtime
// 101x.
func Cost(b *testing.B, listeners ...Listener) {
	const callers, sessions = 64, 1000
	cfg := dbtest.Servers(b)[0].NewDatabase(b)
	cfg.CleanupInterval = -1
	open := func(trace *mysqlsession.Trace) *mysqlsession.Store {
		cfg.Trace = trace
		store, err := mysqlsession.Open(b.Context(), cfg)
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { _ = store.Close() }) // always nil
		return store
	}
	store, ctx := open(nil), context.Background()
	if err := store.Migrate(ctx); err != nil {
		b.Fatal(err)
	}
	keys := make([]string, sessions)
	for i := range keys {
		keys[i] = "session" + strconv.Itoa(i)
		if err := store.Set(ctx, "cookie", keys[i], make([]byte, 1024), time.Hour, nil); err != nil {
			b.Fatal(err)
		}
	}
	var alternatives []paired.Alternative
	for _, l := range append([]Listener{{Name: "nobody"}, {Name: "nobody, again"}}, listeners...) {
		store := open(l.Trace)
		if l.Context == nil {
			l.Context = func(int) context.Context { return ctx }
		}
		alternatives = append(alternatives, paired.Alternative{Name: l.Name, Call: func(caller, n int) error {
			_, err := store.Get(l.Context(n), "cookie", keys[(caller*31+n)%sessions])
			return err
		}})
	}
	results, err := paired.Compare(alternatives, callers, max(b.N, 3), 50*time.Millisecond)
	if err != nil {
		b.Fatal(err)
	}
	if b.N > 1 {
		fmt.Printf("\n%s\n", paired.Table(results))
	}
	b.ReportMetric(0, "ns/op")
}
