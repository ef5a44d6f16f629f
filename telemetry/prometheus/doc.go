// Package mysqlsessionprom tells Prometheus what stores and pools of mysqlsession do: a
// collector of their figures, and of how long calls, connections and batches take. It never
// exports a session's id, value or metadata. A dashboard for Grafana is beside it,
// dashboard.json.
//
//	collector := mysqlsessionprom.NewCollector()
//	prometheus.MustRegister(collector)
//	cfg.Trace = collector.Trace()
//	store, err := mysqlsession.Open(ctx, cfg)
//	...
//	remove, err := collector.Add(store.Pool())
package mysqlsessionprom
