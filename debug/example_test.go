package debug_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/mysqlsession/mysqlsession"
	"github.com/mysqlsession/mysqlsession/debug"
	"github.com/mysqlsession/mysqlsession/internal/dbtest"
)

// exampleStore is a store that tells trace of its calls, with a session of the id "an-id".
func exampleStore(trace *mysqlsession.Trace) (ctx context.Context, store *mysqlsession.Store, done func()) {
	cfg, drop := dbtest.Example()
	cfg.Pool, cfg.Trace = "shop", trace
	ctx = context.Background()
	store, err := mysqlsession.Open(ctx, cfg)
	if err == nil {
		err = store.Migrate(ctx)
	}
	if err == nil {
		err = store.Set(ctx, "session", "an-id", []byte("value"), time.Hour, nil)
	}
	if err != nil {
		panic(err)
	}
	return ctx, store, func() {
		_ = store.Close() // always nil
		drop()
	}
}

// One line shows what a service's pool does, on a mux that only operators get to.
func ExampleHandler() {
	_, store, done := exampleStore(nil)
	defer done()

	admin := http.NewServeMux()
	admin.Handle("/debug/sessions/", debug.Handler(store.Pool()))

	answer := httptest.NewRecorder()
	admin.ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "/debug/sessions/", nil))
	fmt.Println(answer.Code, answer.Header().Get("Content-Type"))
	// Output: 200 text/html; charset=utf-8
}

// A recorder is told of every call: it knows how long they take.
func ExampleNewRecorder() {
	recorder := debug.NewRecorder()
	ctx, store, done := exampleStore(recorder.Trace())
	defer done()

	page := recorder.Handler(store.Pool())
	if _, err := store.Get(ctx, "session", "an-id"); err != nil {
		fmt.Println(err)
		return
	}
	for _, pool := range page.Snapshot().Pools {
		var answered uint64
		for _, bucket := range pool.Calls.Answered {
			answered += bucket.Count
		}
		fmt.Println(pool.Stat.Pool, answered, "calls answered,", pool.Calls.Failed, "failed")
	}
	// Output: shop 2 calls answered, 0 failed
}

// Hooks of one's own are told as well.
func ExampleRecorder_Trace() {
	recorder := debug.NewRecorder()
	own := &mysqlsession.Trace{Call: func(_ context.Context, call mysqlsession.CallInfo) { fmt.Println(call.Operation, call.Err) }}
	ctx, store, done := exampleStore(recorder.Trace(own))
	defer done()

	_, err := store.Get(ctx, "session", "an-id")
	fmt.Println(err)
	// Output:
	// set <nil>
	// get <nil>
	// <nil>
}

// The page, with what the recorder knows. Its figures are below it, as JSON.
func ExampleRecorder_Handler() {
	recorder := debug.NewRecorder()
	_, store, done := exampleStore(recorder.Trace())
	defer done()

	admin := http.NewServeMux()
	admin.Handle("/debug/sessions/", recorder.Handler(store.Pool()))

	answer := httptest.NewRecorder()
	admin.ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "/debug/sessions/snapshot.json", nil))
	var snapshot debug.Snapshot
	err := json.Unmarshal(answer.Body.Bytes(), &snapshot)
	fmt.Println(snapshot.Pools[0].Stat.Pool, err)
	// Output: shop <nil>
}

// Pools that come and go are asked for with every look.
func ExampleNewPage() {
	var pools []*mysqlsession.Pool
	page := debug.NewPage(func() []*mysqlsession.Pool { return pools }, nil)
	fmt.Println(len(page.Snapshot().Pools))

	_, store, done := exampleStore(nil)
	defer done()
	pools = append(pools, store.Pool())
	fmt.Println(len(page.Snapshot().Pools))
	// Output:
	// 0
	// 1
}

// The figures without the page, for a service's own health check, say.
func ExamplePage_Snapshot() {
	_, store, done := exampleStore(nil)
	defer done()

	page := debug.Handler(store.Pool())
	stat := page.Snapshot().Pools[0].Stat
	fmt.Println(stat.Pool, stat.AcquiredConns, "of", stat.MaxConns, "in use")
	// Output: shop 0 of 16 in use
}
