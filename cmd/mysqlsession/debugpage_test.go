//go:build unix

package main

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/mysqlsession/mysqlsession"
	"github.com/mysqlsession/mysqlsession/cmd/mysqlsession/internal/browsertest"
	"github.com/mysqlsession/mysqlsession/debug"
	"github.com/mysqlsession/mysqlsession/internal/dbtest"
)

// adminOf is a service's admin address with a page about its stores' pools. asked counts
// snapshots.
func adminOf(t *testing.T, page http.Handler) (address string, asked *atomic.Int64) {
	t.Helper()
	asked = &atomic.Int64{}
	mux := http.NewServeMux()
	mux.Handle("/debug/sessions/", page)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, ".json") {
			asked.Add(1)
		}
		mux.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	return server.URL, asked
}

// storeOf opens a store with a pool of that name and size.
func storeOf(t *testing.T, name string, size int, trace *mysqlsession.Trace) *mysqlsession.Store {
	t.Helper()
	config := dbtest.Servers(t)[0].NewDatabase(t)
	config.Pool, config.PoolSize, config.Trace = name, size, trace
	store, err := mysqlsession.Open(t.Context(), config)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, store.Close()) })
	require.NoError(t, store.Migrate(t.Context()))
	return store
}

func TestDebugPageOfAServiceInABrowser(t *testing.T) {
	w := browsertest.Open(t)
	recorder := debug.NewRecorder()
	first, second := storeOf(t, "first", 3, recorder.Trace()), storeOf(t, "second", 5, recorder.Trace())
	address, asked := adminOf(t, recorder.Handler(first.Pool(), second.Pool()))
	w.Goto(address + "/debug/sessions")
	w.Await(latest("Connections", "limit") + ` === 3`)
	require.NoError(t, first.Set(t.Context(), "cookie", "key", []byte("value"), time.Hour, nil))
	w.Await(latest("Throughput", "all") + ` > 0 && ` + latest("Latency", "p50") + ` > 0`)
	w.Await(latest("Throughput", "all") + ` === 0`) // a second later nothing happens

	w.Run(chromedp.Focus(chromedp.CSS("summary")))
	w.Key(kb.Enter, 1)
	w.Await(`document.querySelector("#figures").textContent.includes("LoneCallCount1")`)

	w.Run(chromedp.Focus(chromedp.CSS("#pools select")))
	w.Key(kb.ArrowDown, 1)
	w.Await(latest("Connections", "limit") + ` === 5`)

	w.Prefer("prefers-reduced-motion", "reduce")
	w.Await(`matchMedia("(prefers-reduced-motion: reduce)").matches`)
	before, began := asked.Load(), time.Now()
	require.Eventually(t, func() bool { return asked.Load() >= before+3 }, browsertest.Limit, time.Millisecond)
	assert.Greater(t, time.Since(began), 1500*time.Millisecond, "the charts move once a second")
	w.AssertQuiet(address + "/")
}

func TestDebugPageWithoutARecorderShowsTheRestInABrowser(t *testing.T) {
	w := browsertest.Open(t)
	store := storeOf(t, "only", 4, nil)
	address, _ := adminOf(t, debug.Handler(store.Pool()))
	w.Goto(address + "/debug/sessions/")
	w.Await(latest("Connections", "limit") + ` === 4`)
	require.NoError(t, store.Set(t.Context(), "cookie", "key", []byte("value"), time.Hour, nil))
	w.Await(latest("Throughput", "all") + ` > 0`)
	assert.Equal(t, 5, browsertest.Value[int](w, `document.querySelectorAll("figure").length`))
	assert.Contains(t, browsertest.Value[string](w, `document.body.textContent`), "debug.NewRecorder()")
	assert.True(t, browsertest.Value[bool](w, `document.querySelector("#pools").hidden`))
	w.AssertQuiet(address + "/")
}

func TestTheDebugPageReckonsInTheBrowser(t *testing.T) {
	w := browsertest.Open(t)
	address, _ := adminOf(t, debug.Handler())
	w.Goto(address + "/debug/sessions/")
	w.Await(`import("./samples.js").then((m) => Boolean(Object.assign(window, m)))`)

	// A hundred calls of 1 to 2 ms, of which forty were there before, and forty of 8 ms.
	const buckets = `[{from: 1e6, to: 2e6, count: 100}, {from: 8e6, to: 8e6, count: 40}], [{from: 1e6, to: 2e6, count: 40}]`
	assert.InDelta(t, 1+25./60, browsertest.Value[float64](w, `quantile(.25, `+buckets+`)`), 1e-9)
	assert.InDelta(t, 8, browsertest.Value[float64](w, `quantile(.99, `+buckets+`)`), 1e-9)
	assert.True(t, browsertest.Value[bool](w, `quantile(.5, [{from: 1, to: 2, count: 3}], [{from: 1, to: 2, count: 3}]) === null`))

	w.Run(chromedp.Evaluate[chromedp.Void](`
		stat = (acquires, batches, calls) => ({AcquireCount: acquires, BatchCount: batches, BatchedCallCount: calls, BacklogFullCount: 0,
			AcquireTimeoutCount: 0, TooLateCount: 0, CanceledAcquireCount: 0, AcquiredConns: 3, ConstructingConns: 1, IdleConns: 2, TotalConns: 5});
		samples = new Samples();
		samples.take(1000, {stat: stat(100, 10, 50)});
		samples.take(1500, {stat: stat(150, 10, 50)});
		second = samples.take(2000, {stat: stat(300, 20, 150)});
		replaced = samples.take(2500, {stat: stat(10, 0, 0)});`))
	assert.Equal(t, []float64{300, 100, 200, 10}, browsertest.Value[[]float64](w, `[second.calls, second.batched, second.alone, second.batch]`))
	assert.Equal(t, []float64{3, 1, 1}, browsertest.Value[[]float64](w, `[second.used, second.opening, second.idle]`), "no more than there are")
	assert.Equal(t, []float64{10, 0}, browsertest.Value[[]float64](w, `[replaced.calls, replaced.batched]`), "a new pool counts from zero")
	assert.True(t, browsertest.Value[bool](w, `samples.take(100, {stat: stat(1, 0, 0)}).calls === null`), "a new program does, too")
	w.AssertQuiet(address + "/")
}
