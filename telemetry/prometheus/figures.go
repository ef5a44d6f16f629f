package mysqlsessionprom

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/mysqlsession/mysqlsession"
)

// figure is a metric that is read from a pool's Stat.
type figure struct {
	description *prometheus.Desc
	kind        prometheus.ValueType
	// values are by the second label's value; "" where there is none.
	values func(s *mysqlsession.Stat) map[string]float64
}

func (f *figure) collect(metrics chan<- prometheus.Metric, stat *mysqlsession.Stat) {
	for label, value := range f.values(stat) {
		labels := []string{stat.Pool, label}
		if label == "" {
			labels = labels[:1]
		}
		metrics <- prometheus.MustNewConstMetric(f.description, f.kind, value, labels...)
	}
}

func gauge(name, help string, value func(s *mysqlsession.Stat) int) figure {
	return one(name, help, prometheus.GaugeValue, func(s *mysqlsession.Stat) float64 { return float64(value(s)) })
}

func counter(name, help string, value func(s *mysqlsession.Stat) int64) figure {
	return one(name, help, prometheus.CounterValue, func(s *mysqlsession.Stat) float64 { return float64(value(s)) })
}

func seconds(name, help string, value func(s *mysqlsession.Stat) time.Duration) figure {
	return one(name, help, prometheus.CounterValue, func(s *mysqlsession.Stat) float64 { return value(s).Seconds() })
}

func one(name, help string, kind prometheus.ValueType, value func(s *mysqlsession.Stat) float64) figure {
	return several(name, help, kind, nil, func(s *mysqlsession.Stat) map[string]float64 { return map[string]float64{"": value(s)} })
}

func several(name, help string, kind prometheus.ValueType, label []string, values func(s *mysqlsession.Stat) map[string]float64) figure {
	labels := append([]string{"pool"}, label...)
	return figure{prometheus.NewDesc("mysqlsession_"+name, help, labels, nil), kind, values}
}

// newFigures makes all of them.
func newFigures() []figure {
	type stat = *mysqlsession.Stat
	return []figure{
		several("pool_connections", "Connections now, by state: idle, used, or constructing, which is being opened.", prometheus.GaugeValue, []string{"state"}, func(s stat) map[string]float64 {
			used := max(s.TotalConns-s.IdleConns-s.ConstructingConns, 0)
			return map[string]float64{"idle": float64(s.IdleConns), "used": float64(used), "constructing": float64(s.ConstructingConns)}
		}),
		gauge("pool_connections_max", "The most connections that there may be, PoolSize.", func(s stat) int { return s.MaxConns }),
		gauge("pool_connections_idle_min", "Idle connections that are kept ready, MinIdleConns.", func(s stat) int { return s.MinIdleConns }),
		several("pool_address_connections", "Connections now, by the address that they lead to; only of pools with several hosts.", prometheus.GaugeValue, []string{"address"}, func(s stat) map[string]float64 {
			counts := make(map[string]float64, len(s.Addresses))
			for address, connections := range s.Addresses {
				counts[address] = float64(connections)
			}
			return counts
		}),
		counter("pool_connections_opened_total", "Connections opened.", func(s stat) int64 { return s.NewConnsCount }),
		several("pool_connections_closed_total", "Connections closed, by reason: max_idle, max_lifetime, dead before use, or broken by use.", prometheus.CounterValue, []string{"reason"}, func(s stat) map[string]float64 {
			return map[string]float64{
				string(mysqlsession.DisconnectMaxIdle): float64(s.MaxIdleDestroyCount), string(mysqlsession.DisconnectMaxLifetime): float64(s.MaxLifetimeDestroyCount),
				string(mysqlsession.DisconnectDead): float64(s.DeadDestroyCount), string(mysqlsession.DisconnectBroken): float64(s.BrokenDestroyCount),
			}
		}),
		counter("pool_connections_drained_total", "Connections kept although a call on them was given up.", func(s stat) int64 { return s.DrainedCount }),

		gauge("pool_waiting", "Callers that wait now, for a connection or for a lane.", func(s stat) int { return s.Waiting }),
		gauge("pool_waiting_max", "The most callers that may wait, Backlog.", func(s stat) int { return s.MaxWaiting }),
		counter("pool_acquires_total", "Connections acquired.", func(s stat) int64 { return s.AcquireCount }),
		counter("pool_acquire_waits_total", "Acquires that had to wait for another's connection.", func(s stat) int64 { return s.EmptyAcquireCount }),
		seconds("pool_acquire_wait_seconds_total", "Time spent waiting for others' connections by those that got one.", func(s stat) time.Duration { return s.EmptyAcquireWaitTime }),
		several("pool_rejections_total", "Callers that got no connection, and no place in a batch, by reason: backlog_full, acquire_timeout, too_late (their time would have been over), or canceled.", prometheus.CounterValue, []string{"reason"}, func(s stat) map[string]float64 {
			return map[string]float64{
				"backlog_full": float64(s.BacklogFullCount), "acquire_timeout": float64(s.AcquireTimeoutCount),
				"too_late": float64(s.TooLateCount), "canceled": float64(s.CanceledAcquireCount),
			}
		}),

		gauge("pool_lanes", "Connections in use now by calls that can be combined.", func(s stat) int { return s.Lanes }),
		gauge("pool_lanes_max", "The most such connections, as things are.", func(s stat) int { return s.MaxLanes }),
		counter("lone_calls_total", "Calls that can be combined and found a lane free.", func(s stat) int64 { return s.LoneCallCount }),
		counter("batches_total", "Batches of calls.", func(s stat) int64 { return s.BatchCount }),
		counter("batched_calls_total", "Calls in batches.", func(s stat) int64 { return s.BatchedCallCount }),
		seconds("batch_wait_seconds_total", "Time that the calls in batches had waited for a lane.", func(s stat) time.Duration { return s.BatchWaitTime }),
	}
}
