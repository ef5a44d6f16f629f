// Package mysqlsession keeps HTTP sessions in MySQL and MariaDB, over a connection pool
// and a protocol implementation of its own that are made for it.
//
// There are three layers, each usable alone:
//
//   - [Store] holds sessions: [Store.Set], [Store.Get], [Store.Touch], [Store.Delete], and
//     the sessions of one person with [Store.ReadMetadata], [Store.DeleteOthers],
//     [Store.DeleteSubject] and [SetOptions].MaxPerSubject. Its tables are those of
//     lua-resty-session, so that an OpenResty gateway and Go services can share them. Calls
//     that come at the same moment share statements.
//   - [Pool] keeps connections: a hard limit, a bounded queue in order of arrival, limits
//     for idle time and life, the first of several servers that serves, [Pool.Stat].
//   - [Conn] is one connection: prepared statements in one round trip, contexts, limits
//     for packets, TLS in MySQL's own modes.
//
// A store, from a connection string:
//
//	cfg, err := mysqlsession.ParseConfig("mysql://user:password@127.0.0.1/site?pool_size=30&ssl=true")
//	...
//	store, err := mysqlsession.Open(ctx, cfg)
//	...
//	defer store.Close()
//	err = store.Migrate(ctx)
//
// # Guarantees
//
// An operation is applied whole or not at all; [OutcomeUnknown] tells of the one case in
// which nobody can know which: a write was sent and its reply never came. Such a write is
// never repeated. What the server is known not to have applied is tried again a few times,
// within the context; [SafeToRetry] says so of an error.
//
// A connection on which a reply was not read to its end is never handed on: it is closed,
// or, where only the caller had left, drained first. Values travel as binary parameters
// and are never part of a statement's text. Neither passwords nor session ids are in errors
// or logs.
//
// Types are safe for concurrent use, except [Conn], which is for one call at a time.
package mysqlsession
