package mysqlsessionprom_test

import (
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/prometheus/client_golang/prometheus/testutil"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/stretchr/testify/require"

	"github.com/mysqlsession/mysqlsession"
	"github.com/mysqlsession/mysqlsession/internal/dbtest"
	"github.com/mysqlsession/mysqlsession/internal/telemetrytest"
	mysqlsessionprom "github.com/mysqlsession/mysqlsession/telemetry/prometheus"
)

// endpoint is a service's /metrics, and what Prometheus finds there.
type endpoint struct {
	*mysqlsessionprom.Collector
	registry *prometheus.Registry
	server   *httptest.Server
}

func newEndpoint(t *testing.T) *endpoint {
	e := &endpoint{Collector: mysqlsessionprom.NewCollector(), registry: prometheus.NewPedanticRegistry()}
	require.NoError(t, e.registry.Register(e.Collector))
	e.server = httptest.NewServer(promhttp.HandlerFor(e.registry, promhttp.HandlerOpts{ErrorHandling: promhttp.HTTPErrorOnError}))
	t.Cleanup(e.server.Close)
	t.Cleanup(http.DefaultClient.CloseIdleConnections)
	return e
}

// scrape is what the endpoint answers, by name.
func (e *endpoint) scrape(t *testing.T) map[string]*dto.MetricFamily {
	t.Helper()
	response, err := http.Get(e.server.URL)
	require.NoError(t, err)
	text, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	require.Equal(t, http.StatusOK, response.StatusCode, "%s", text)
	telemetrytest.KeepsItsSecrets(t, string(text))
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(string(text)))
	require.NoError(t, err)
	return families
}

// counts are a family's values, or how often a histogram was observed, by the labels but
// the pool's, which must be the traffic's.
func counts(t *testing.T, family *dto.MetricFamily) map[string]float64 {
	t.Helper()
	require.NotNil(t, family)
	found := map[string]float64{}
	for _, m := range family.GetMetric() {
		var labels []string
		for _, label := range m.GetLabel() {
			if label.GetName() == "pool" {
				require.Equal(t, "telemetry", label.GetValue())
				continue
			}
			labels = append(labels, label.GetValue())
		}
		value := m.GetGauge().GetValue() + m.GetCounter().GetValue() + float64(m.GetHistogram().GetSampleCount())
		found[strings.Join(labels, " ")] = value
	}
	return found
}

func TestAScrapeHasWhatHappened(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		e := newEndpoint(t)
		traffic := telemetrytest.Open(t, server, e.Trace())
		remove, err := e.Add(traffic.Store.Pool())
		require.NoError(t, err)
		traffic.Answers(t)

		families := e.scrape(t)
		require.Equal(t, map[string]float64{
			"set ok": telemetrytest.Sets, "get ok": telemetrytest.Gets, "get not_found": telemetrytest.NotFound,
			"update ok": telemetrytest.Updates, "touch invalid_ttl": telemetrytest.Invalid,
		}, counts(t, families["mysqlsession_call_duration_seconds"]))
		for _, m := range families["mysqlsession_call_duration_seconds"].GetMetric() {
			require.Less(t, m.GetHistogram().GetSampleSum(), 60.0, "they are seconds")
		}
		stat := traffic.Store.Pool().Stat()
		require.Equal(t, map[string]float64{"idle": 1, "used": 0, "constructing": 0}, counts(t, families["mysqlsession_pool_connections"]))
		for name, want := range map[string]float64{
			"pool_connections_max": 1, "pool_connections_idle_min": 1, "pool_waiting": 0, "pool_waiting_max": 10_000,
			"pool_acquires_total": float64(stat.AcquireCount), "pool_use_duration_seconds": float64(stat.AcquireCount),
			"pool_connections_opened_total": float64(stat.NewConnsCount), "lone_calls_total": float64(stat.LoneCallCount),
			"pool_connections_drained_total": 0, "pool_acquire_waits_total": 0, "pool_lanes": 0, "batches_total": 0,
		} {
			require.Equal(t, map[string]float64{"": want}, counts(t, families["mysqlsession_"+name]), name)
		}
		require.Equal(t, map[string]float64{"ok": float64(stat.AcquireCount)}, counts(t, families["mysqlsession_pool_acquire_duration_seconds"]))
		require.Equal(t, map[string]float64{"ok": float64(stat.NewConnsCount)}, counts(t, families["mysqlsession_pool_connect_duration_seconds"]))
		closed := counts(t, families["mysqlsession_pool_connections_closed_total"])
		require.Equal(t, []string{"broken", "dead", "max_idle", "max_lifetime"}, slices.Sorted(maps.Keys(closed)))
		require.Equal(t, float64(stat.BrokenDestroyCount), closed["broken"], "Migrate's connection is not used again")

		remove()
		remove()
		require.NotContains(t, e.scrape(t), "mysqlsession_pool_connections")
		_, err = e.Add(traffic.Store.Pool())
		require.NoError(t, err, "after the removal there is room for one of that name")
	})
}

func TestAScrapeHasBatchesAndWhatTheyServe(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		e := newEndpoint(t)
		traffic := telemetrytest.Open(t, server, e.Trace())
		_, err := e.Add(traffic.Store.Pool())
		require.NoError(t, err)
		made := traffic.Batches(t)
		families, stat := e.scrape(t), traffic.Store.Pool().Stat()
		require.Equal(t, map[string]float64{"set ok": float64(made)}, counts(t, families["mysqlsession_call_duration_seconds"]))
		require.Equal(t, map[string]float64{"set ok": float64(stat.BatchCount)}, counts(t, families["mysqlsession_batch_duration_seconds"]))
		sizes := families["mysqlsession_batch_calls"].GetMetric()[0].GetHistogram()
		require.Equal(t, uint64(stat.BatchCount), sizes.GetSampleCount())
		require.Equal(t, float64(stat.BatchedCallCount), sizes.GetSampleSum())
		require.Equal(t, map[string]float64{"": float64(stat.BatchedCallCount)}, counts(t, families["mysqlsession_batched_calls_total"]))
		require.Equal(t, map[string]float64{"": float64(stat.BatchCount)}, counts(t, families["mysqlsession_batches_total"]))
		require.Positive(t, counts(t, families["mysqlsession_batch_wait_seconds_total"])[""])
	})
}

func TestAScrapeHasAnOutageAndItsEnd(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		const failures = 7
		e := newEndpoint(t)
		traffic := telemetrytest.Open(t, server, e.Trace())
		_, err := e.Add(traffic.Store.Pool())
		require.NoError(t, err)
		traffic.Answers(t)
		traffic.Outage(t, failures)
		families, stat := e.scrape(t), traffic.Store.Pool().Stat()
		require.Equal(t, float64(failures), counts(t, families["mysqlsession_call_duration_seconds"])["get unavailable"])
		connects := counts(t, families["mysqlsession_pool_connect_duration_seconds"])
		require.Positive(t, connects["unavailable"])
		require.Equal(t, float64(stat.NewConnsCount), connects["ok"])
		acquires := counts(t, families["mysqlsession_pool_acquire_duration_seconds"])
		require.GreaterOrEqual(t, acquires["unavailable"], float64(failures))
		require.Equal(t, float64(stat.AcquireCount), acquires["ok"])
		closed := counts(t, families["mysqlsession_pool_connections_closed_total"])
		require.Positive(t, closed["broken"]+closed["dead"])
	})
}

func TestAScrapeHasWhoWaitsWhoIsTurnedAwayAndWhatIsLeaked(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		e := newEndpoint(t)
		cfg := server.NewDatabase(t)
		told := make(chan mysqlsession.LeakInfo, 2)
		own := &mysqlsession.Trace{Leak: func(info mysqlsession.LeakInfo) { told <- info }}
		cfg.Pool, cfg.PoolSize, cfg.Backlog, cfg.LeakThreshold, cfg.Trace = "telemetry", 1, 1, time.Millisecond, mysqlsession.JoinTraces(e.Trace(), own)
		pool, err := mysqlsession.NewPool(t.Context(), cfg)
		require.NoError(t, err)
		_, err = e.Add(pool)
		require.NoError(t, err)
		leave := telemetrytest.OneWaits(t, pool)
		_, err = pool.Acquire(t.Context())
		require.ErrorIs(t, err, mysqlsession.ErrBacklogFull)
		<-told
		families := e.scrape(t)
		require.Equal(t, map[string]float64{"": 1}, counts(t, families["mysqlsession_pool_waiting"]))
		require.Equal(t, map[string]float64{"idle": 0, "used": 1, "constructing": 0}, counts(t, families["mysqlsession_pool_connections"]))
		require.Equal(t, map[string]float64{"suspected": 1}, counts(t, families["mysqlsession_pool_leaks_total"]))
		leave()
		<-told
		families = e.scrape(t)
		require.Equal(t, map[string]float64{"backlog_full": 1, "acquire_timeout": 0, "too_late": 0, "canceled": 1}, counts(t, families["mysqlsession_pool_rejections_total"]))
		require.Equal(t, map[string]float64{"suspected": 1, "returned": 1}, counts(t, families["mysqlsession_pool_leaks_total"]))
		require.NoError(t, pool.Close())
	})
}

func TestAPoolWithSeveralHostsTellsWhereItsConnectionsLead(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		e := newEndpoint(t)
		cfg := server.NewDatabase(t)
		cfg.Pool, cfg.Hosts = "telemetry", []string{"127.0.0.1:1"}
		pool, err := mysqlsession.NewPool(t.Context(), cfg)
		require.NoError(t, err)
		_, err = e.Add(pool)
		require.NoError(t, err)
		address := fmt.Sprintf("%s:%d", cfg.Host, cfg.Port)
		require.Equal(t, map[string]float64{address: 1}, counts(t, e.scrape(t)["mysqlsession_pool_address_connections"]))
		require.NoError(t, pool.Close())
	})
}

// A second pool of a name would make the registry refuse the whole scrape.
func TestASecondPoolOfANameIsRefusedAndTheScrapeGoesOn(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		e := newEndpoint(t)
		first, second := telemetrytest.Open(t, server, e.Trace()), telemetrytest.Open(t, server, e.Trace())
		remove, err := e.Add(first.Store.Pool())
		require.NoError(t, err)
		_, err = e.Add(second.Store.Pool())
		require.ErrorContains(t, err, `"telemetry"`)
		require.Contains(t, e.scrape(t), "mysqlsession_pool_connections")

		remove()
		_, err = e.Add(second.Store.Pool())
		require.NoError(t, err)
		remove()
		require.Contains(t, e.scrape(t), "mysqlsession_pool_connections", "what is removed is the first one, and that is gone")
	})
}

func TestTheMetricsKeepToPrometheussCustoms(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		e := everything(t, server)
		problems, err := testutil.GatherAndLint(e.registry)
		require.NoError(t, err)
		require.Empty(t, problems)
		for name, family := range e.scrape(t) {
			require.True(t, strings.HasPrefix(name, "mysqlsession_"), name)
			require.NotEmpty(t, family.GetHelp(), name)
		}
	})
}

// everything is an endpoint that has a line of every metric that there is.
func everything(t *testing.T, server dbtest.Server) *endpoint {
	t.Helper()
	e := newEndpoint(t)
	traffic := telemetrytest.Open(t, server, e.Trace())
	_, err := e.Add(traffic.Store.Pool())
	require.NoError(t, err)
	traffic.Answers(t)
	traffic.Batches(t)
	e.Trace().Leak(mysqlsession.LeakInfo{Pool: "telemetry"})
	cfg := traffic.Config
	cfg.Pool, cfg.Hosts, cfg.Trace = "several", []string{"127.0.0.1:1"}, nil
	several, err := mysqlsession.NewPool(t.Context(), cfg)
	require.NoError(t, err)
	t.Cleanup(func() { _ = several.Close() }) // always nil
	_, err = e.Add(several)
	require.NoError(t, err)
	descriptions := make(chan *prometheus.Desc, 100)
	e.Describe(descriptions)
	require.Len(t, e.scrape(t), len(descriptions))
	return e
}
