package mysqlsession

import (
	"context"
	"time"
)

// Trace is a set of hooks. Each may be nil, which costs a branch. A hook is called from the
// goroutine that does the work, several at a time: it must be quick, safe for concurrent
// use, and must not call the store or the pool; whoever it keeps waiting waits for it. None
// is told a session's id, value or metadata. JoinTraces makes one Trace of several.
//
// A panic in a hook goes to whoever's goroutine it is on; the library's own end the program
// with it, but for those that connect. No connection is lost.
//
// Store's hooks are those in the Config that was given to NewStore, a pool's those in the
// Config that was given to NewPool; Open gives both the same. A later change of the Trace
// has no effect.
type Trace struct {
	// CallStart is called when an operation on sessions begins, any of Store's but Cleanup,
	// on its caller's goroutine. The operation goes on with the context that is returned,
	// which must be the one that was given or be made from it; Call gets it too. Of the
	// info, Duration and Err are not known yet. What an operation does on the way, such as
	// Update's reads, is no call of its own.
	CallStart func(ctx context.Context, info CallInfo) context.Context
	// Call is called when an operation on sessions has ended, on its caller's goroutine,
	// before the caller has its result: also when a function given to Update or Each panics.
	Call func(ctx context.Context, info CallInfo)
	// Batch is called when a batch has ended, before its callers go on.
	Batch func(info BatchInfo)
	// Migration is called before each step of Migrate.
	Migration func(step MigrationStep)

	// Connect is called when a pool's attempt to open a connection has ended. No attempt is
	// made while the pool pauses after failures; a look at whether an earlier one of several
	// hosts is back is none.
	Connect func(info ConnectInfo)
	// Acquire is called when somebody has got a connection from a pool, or has not. Who that
	// is may be a caller of Acquire or Do, a call of a store, a lane of batches, or the
	// background.
	Acquire func(info AcquireInfo)
	// Release is called when a connection is given back, before anybody else has it.
	Release func(info ReleaseInfo)
	// Disconnect is called when a connection of a pool has been closed.
	Disconnect func(info DisconnectInfo)
	// Leak is called when a connection has been held longer than LeakThreshold by who got it
	// from Acquire or Do, and once more if it is given back after all.
	Leak func(info LeakInfo)
}

// CallInfo is what became of one operation.
type CallInfo struct {
	Pool      string // the pool's name
	Operation string // as in errors: "get", "set", "delete subject"
	Database  string // that has the sessions' table
	Table     string // the sessions' table
	// System is "mysql" or "mariadb", and Address "host:port" or the path of a socket: of
	// the server that the pool last connected to. "": it has not yet.
	System   string
	Address  string
	Duration time.Duration // all that its caller waited, with what Update and Each called
	Err      error         // what the caller gets; ErrNotFound is an answer too
}

// BatchInfo is what became of calls that were served together.
type BatchInfo struct {
	Pool      string        // the pool's name
	Operation string        // "get", "set", "touch" or "delete"
	Database  string        // these four are as CallInfo's
	Table     string        //
	System    string        //
	Address   string        //
	Calls     int           // how many the batch served; 1 if a call had to wait and found no company
	Wait      time.Duration // how long the first of them had waited
	Duration  time.Duration // from when the batch was taken until the last reply
	// Contexts are the calls' own, as CallStart returned them, in the order in which they
	// came: a batch can so be linked to what it serves. Some may have ended. nil if there is
	// no CallStart. The slice is the library's again when the hook returns.
	Contexts []context.Context
	// Err is why the calls could not be served together. If it may have been one call's
	// error, each was then run by itself, and has a result of its own.
	Err error
}

// MigrationStep is a part of what Migrate does.
type MigrationStep struct {
	Reason     string   // what it is for, in the imperative: "create table sessions"
	Statements []string // in the order in which they are run, all on one connection
}

// ConnectInfo is what became of an attempt to open a connection.
type ConnectInfo struct {
	Pool     string        // the pool's name
	Address  string        // "host:port" or the path of a socket; "" if several have failed
	System   string        // "mysql" or "mariadb"; "" after a failure
	Duration time.Duration // of dialling, TLS, login, setting up, and the Config's hooks
	Err      error         // ErrClosed: the pool was closed meanwhile
}

// AcquireInfo is what became of one that wanted a connection.
type AcquireInfo struct {
	Pool     string        // the pool's name
	Duration time.Duration // the opening of a connection included, if there had to be one
	Waited   bool          // all connections were in use
	Err      error         // as Pool.Acquire returns it; nil: there is a connection
}

// ReleaseInfo is what became of a connection that was acquired.
type ReleaseInfo struct {
	Pool     string        // the pool's name
	Duration time.Duration // how long it was held
}

// DisconnectInfo is about a connection that has been closed.
type DisconnectInfo struct {
	Pool   string           // the pool's name
	Reason DisconnectReason // why it was closed
	Age    time.Duration    // how long it was open
}

// DisconnectReason says why a pool has closed a connection. Stat counts them, but for the
// last.
type DisconnectReason string

// The reasons.
const (
	DisconnectMaxIdle     DisconnectReason = "max_idle"     // idle longer than KeepaliveTimeout
	DisconnectMaxLifetime DisconnectReason = "max_lifetime" // older than MaxConnLifetime
	DisconnectDead        DisconnectReason = "dead"         // found dead, or left behind by a failover, before use
	DisconnectBroken      DisconnectReason = "broken"       // unfit after use: an error, a cancelled call, an open transaction
	DisconnectPoolClosed  DisconnectReason = "pool_closed"  // Close
)

// LeakInfo is about a connection that is held for longer than LeakThreshold.
type LeakInfo struct {
	Pool string        // the pool's name
	Held time.Duration // up to now
	// Stack is that of the goroutine which acquired the connection, at that time, the caller
	// of Acquire or Do first: a function's name on one line, and its file and line on the next.
	Stack string
	// Returned says that the connection, of which there was a report before, has been given
	// back: it took long, and was no leak.
	Returned bool
}

// JoinTraces is a Trace that passes everything on to each of those that are given, in their
// order; any may be nil. A call's context goes through every CallStart, and each Call gets
// what came of it. A hook that none of them has is nil. Later changes of them have no effect.
func JoinTraces(traces ...*Trace) *Trace {
	var all Trace
	for _, t := range traces {
		if t == nil {
			continue
		}
		all.CallStart = joinStart(all.CallStart, t.CallStart)
		all.Call = joinEnd(all.Call, t.Call)
		all.Batch = join(all.Batch, t.Batch)
		all.Migration = join(all.Migration, t.Migration)
		all.Connect = join(all.Connect, t.Connect)
		all.Acquire = join(all.Acquire, t.Acquire)
		all.Release = join(all.Release, t.Release)
		all.Disconnect = join(all.Disconnect, t.Disconnect)
		all.Leak = join(all.Leak, t.Leak)
	}
	return &all
}

// join calls one hook and then the other; nil if there is neither.
func join[Info any](one, other func(Info)) func(Info) {
	switch {
	case one == nil:
		return other
	case other == nil:
		return one
	}
	return func(info Info) {
		one(info)
		other(info)
	}
}

func joinStart(one, other func(context.Context, CallInfo) context.Context) func(context.Context, CallInfo) context.Context {
	switch {
	case one == nil:
		return other
	case other == nil:
		return one
	}
	return func(ctx context.Context, info CallInfo) context.Context { return other(one(ctx, info), info) }
}

func joinEnd(one, other func(context.Context, CallInfo)) func(context.Context, CallInfo) {
	switch {
	case one == nil:
		return other
	case other == nil:
		return one
	}
	return func(ctx context.Context, info CallInfo) {
		one(ctx, info)
		other(ctx, info)
	}
}
