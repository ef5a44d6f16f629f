// Package mysqlsessionotel tells OpenTelemetry what stores and pools of mysqlsession do,
// after the semantic conventions for database clients: every db.client.connection
// instrument, db.client.operation.duration, a span for each call, and one for each batch
// that is linked to the calls it serves. It never exports a session's id, value or metadata.
//
//	telemetry, err := mysqlsessionotel.New(mysqlsessionotel.Options{})
//	...
//	cfg.Trace = telemetry.Trace()
//	store, err := mysqlsession.Open(ctx, cfg)
//	...
//	unregister, err := telemetry.Register(store.Pool())
package mysqlsessionotel
