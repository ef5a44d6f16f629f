package debug_test

import (
	"cmp"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mysqlsession/mysqlsession"
	"github.com/mysqlsession/mysqlsession/debug"
	"github.com/mysqlsession/mysqlsession/internal/dbtest"
)

func TestMain(m *testing.M) { dbtest.Main(m) }

// serve serves a handler, and returns what asks it.
func serve(t *testing.T, handler http.Handler) func(method, path string) (*http.Response, string) {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return func(method, path string) (*http.Response, string) {
		t.Helper()
		request, err := http.NewRequestWithContext(t.Context(), method, server.URL+path, nil)
		require.NoError(t, err)
		response, err := server.Client().Do(request)
		require.NoError(t, err)
		defer func() { _ = response.Body.Close() }()
		body, err := io.ReadAll(response.Body)
		require.NoError(t, err)
		return response, string(body)
	}
}

func TestThePageAndItsFilesAreServedUnderAnyPrefix(t *testing.T) {
	mounts := map[string]func(mux *http.ServeMux){
		"/debug/sessions/": func(mux *http.ServeMux) { mux.Handle("/debug/sessions/", debug.Handler()) },
		"/":                func(mux *http.ServeMux) { mux.Handle("/", debug.Handler()) },
		"/a/b/": func(mux *http.ServeMux) {
			mux.Handle("/a/b/", http.StripPrefix("/a/b", debug.Handler()))
		},
		"/d/": func(mux *http.ServeMux) {
			mux.Handle("/d", http.StripPrefix("/d", debug.Handler())) // no redirect of the mux's
			mux.Handle("/d/", http.StripPrefix("/d", debug.Handler()))
		},
	}
	for prefix, mount := range mounts {
		t.Run(prefix, func(t *testing.T) {
			mux := http.NewServeMux()
			mount(mux)
			ask := serve(t, mux)
			for _, path := range []string{prefix, cmp.Or(strings.TrimSuffix(prefix, "/"), prefix)} {
				response, page := ask(http.MethodGet, path)
				require.Equal(t, http.StatusOK, response.StatusCode)
				require.Equal(t, prefix, response.Request.URL.Path, "relative addresses need the slash")
				require.Contains(t, page, "Session pools")
			}
			_, page := ask(http.MethodGet, prefix)
			files := regexp.MustCompile(`(?:src|href)="([^"]+)"`).FindAllStringSubmatch(page, -1)
			require.GreaterOrEqual(t, len(files), 5)
			for _, file := range append(files, []string{"", "charts.js"}, []string{"", "samples.js"}, []string{"", "poll.js"}, []string{"", "uplot.LICENSE"}) {
				response, content := ask(http.MethodGet, prefix+file[1])
				require.Equal(t, http.StatusOK, response.StatusCode, file[1])
				require.NotEmpty(t, content, file[1])
			}
			response, _ := ask(http.MethodGet, prefix+"assets/page.html")
			require.Equal(t, http.StatusNotFound, response.StatusCode)
		})
	}
}

func TestThePageHasStrictHeadersAndNothingInline(t *testing.T) {
	ask := serve(t, debug.NewRecorder().Handler())
	for _, path := range []string{"/", "/snapshot.json", "/charts.js", "/nothing.js"} {
		response, _ := ask(http.MethodGet, path)
		policy := response.Header.Get("Content-Security-Policy")
		require.Contains(t, policy, "default-src 'none'")
		require.NotContains(t, policy, "unsafe")
		require.Equal(t, "nosniff", response.Header.Get("X-Content-Type-Options"))
		require.Equal(t, "same-origin", response.Header.Get("Cross-Origin-Resource-Policy"))
	}
	_, page := ask(http.MethodGet, "/")
	require.NotRegexp(t, `<script>|<style| style=| on[a-z]+=|https?://`, page)
	response, _ := ask(http.MethodGet, "/snapshot.json")
	require.Equal(t, "no-store", response.Header.Get("Cache-Control"))
	require.Equal(t, "application/json", response.Header.Get("Content-Type"))
}

func TestThePageOnlyReads(t *testing.T) {
	ask := serve(t, debug.Handler())
	for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodDelete, http.MethodOptions} {
		for _, path := range []string{"/", "/snapshot.json", "/page.js"} {
			response, _ := ask(method, path)
			require.Equal(t, http.StatusMethodNotAllowed, response.StatusCode)
			require.Equal(t, "GET, HEAD", response.Header.Get("Allow"))
		}
	}
	response, body := ask(http.MethodHead, "/")
	require.Equal(t, http.StatusOK, response.StatusCode)
	require.Empty(t, body)
}

func TestAFileThatTheBrowserHasIsNotSentAgain(t *testing.T) {
	page := debug.Handler()
	first := httptest.NewRecorder()
	page.ServeHTTP(first, httptest.NewRequest(http.MethodGet, "/uplot.js", nil))
	again := httptest.NewRequest(http.MethodGet, "/uplot.js", nil)
	again.Header.Set("If-None-Match", first.Header().Get("ETag"))
	second := httptest.NewRecorder()
	page.ServeHTTP(second, again)
	require.Equal(t, http.StatusNotModified, second.Code)
}

func TestAPageWithoutARecorderSaysHowToGetOne(t *testing.T) {
	_, without := serve(t, debug.Handler())(http.MethodGet, "/")
	require.Contains(t, without, "debug.NewRecorder()")
	_, with := serve(t, debug.NewRecorder().Handler())(http.MethodGet, "/")
	require.NotContains(t, with, "debug.NewRecorder()")
}

func TestTheSnapshotTellsWhatThePoolAndItsCallersDidAndNoSecret(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		recorder := debug.NewRecorder()
		cfg := server.NewDatabase(t)
		cfg.Pool, cfg.PoolSize, cfg.Backlog, cfg.Trace, cfg.CleanupInterval = "main", 3, 7, recorder.Trace(), -1
		store, err := mysqlsession.Open(t.Context(), cfg)
		require.NoError(t, err)
		defer func() { require.NoError(t, store.Close()) }()
		require.NoError(t, store.Migrate(t.Context()))
		const secret = "TheSessionIdThatNobodyMayKnow"
		require.NoError(t, store.Set(t.Context(), "cookie", secret, []byte("value-of-it"), time.Hour, nil))
		_, err = store.Get(t.Context(), "cookie", secret)
		require.NoError(t, err)
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		_, err = store.Get(gone, "cookie", secret)
		require.Error(t, err)

		var pools []*mysqlsession.Pool
		page := debug.NewPage(func() []*mysqlsession.Pool { return pools }, recorder)
		ask := serve(t, page)
		_, body := ask(http.MethodGet, "/snapshot.json")
		require.JSONEq(t, `[]`, string(decode[map[string]json.RawMessage](t, body)["pools"]))

		pools = []*mysqlsession.Pool{store.Pool(), nil}
		_, body = ask(http.MethodGet, "/snapshot.json")
		snapshot := decode[debug.Snapshot](t, body)
		require.Positive(t, snapshot.Elapsed)
		require.Len(t, snapshot.Pools, 1)
		require.Equal(t, store.Pool().Stat(), snapshot.Pools[0].Stat)
		require.Equal(t, 3, snapshot.Pools[0].Stat.MaxConns)
		require.Equal(t, 7, snapshot.Pools[0].Stat.MaxWaiting)
		var answered uint64
		for _, bucket := range snapshot.Pools[0].Calls.Answered {
			answered += bucket.Count
		}
		require.Equal(t, uint64(2), answered)
		require.Equal(t, uint64(1), snapshot.Pools[0].Calls.Failed)
		for _, word := range []string{secret, "value-of-it", cfg.Password, cfg.Username} {
			require.NotContains(t, body, word)
		}
	})
}

func decode[T any](t *testing.T, text string) (value T) {
	t.Helper()
	require.NoError(t, json.Unmarshal([]byte(text), &value))
	return value
}
