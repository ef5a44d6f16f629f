package mysqlsessionprom_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/stretchr/testify/require"

	"github.com/mysqlsession/mysqlsession"
	"github.com/mysqlsession/mysqlsession/internal/dbtest"
	mysqlsessionprom "github.com/mysqlsession/mysqlsession/telemetry/prometheus"
)

// What follows is the README's code.

func serveObserved(ctx context.Context, cfg mysqlsession.Config, admin *http.ServeMux, serve func(*mysqlsession.Store) error) error {
	collector := mysqlsessionprom.NewCollector()
	if err := prometheus.Register(collector); err != nil {
		return err
	}
	admin.Handle("/metrics", promhttp.Handler())

	cfg.Trace = collector.Trace()
	store, err := mysqlsession.Open(ctx, cfg)
	if err != nil {
		return err
	}
	defer store.Close()
	remove, err := collector.Add(store.Pool())
	if err != nil {
		return err
	}
	defer remove()
	return serve(store)
}

func TestTheReadmesExampleRuns(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		registerer, gatherer := prometheus.DefaultRegisterer, prometheus.DefaultGatherer
		registry := prometheus.NewRegistry()
		prometheus.DefaultRegisterer, prometheus.DefaultGatherer = registry, registry
		t.Cleanup(func() { prometheus.DefaultRegisterer, prometheus.DefaultGatherer = registerer, gatherer })
		admin := http.NewServeMux()
		require.NoError(t, serveObserved(t.Context(), server.NewDatabase(t), admin, func(store *mysqlsession.Store) error {
			answer := httptest.NewRecorder()
			admin.ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "/metrics", nil))
			text, err := io.ReadAll(answer.Body)
			require.Contains(t, string(text), `mysqlsession_pool_connections{pool="`)
			return err
		}))
	})
}
