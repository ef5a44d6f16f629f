// Package debug shows what the pools of a running service do, in the spirit of
// net/http/pprof: one line mounts a page with moving charts, and the figures as JSON, on a
// service's own mux.
//
//	admin.Handle("/debug/sessions/", debug.Handler(store.Pool()))
//
// How long calls take is known to who is told of each. A Recorder is:
//
//	recorder := debug.NewRecorder()
//	cfg.Trace = recorder.Trace()
//	store, err := mysqlsession.Open(ctx, cfg)
//	...
//	admin.Handle("/debug/sessions/", recorder.Handler(store.Pool()))
//
// The page needs nothing from elsewhere, and asks its own address only. Its charts are drawn by
// uPlot, whose licence is beside it.
package debug
