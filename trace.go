package mysqlsession

import "time"

// Trace is a set of hooks. Each may be nil, which costs a branch. A hook is called from the
// goroutine that does the work, several at a time: it must be quick, safe for concurrent
// use, and must not call the store.
type Trace struct {
	// Call is called when an operation on sessions has ended, any of Store's but Cleanup, on
	// its caller's goroutine, before the caller has its result.
	Call func(CallInfo)
	// Batch is called when a batch has ended, before its callers go on.
	Batch func(BatchInfo)
	// Migration is called before each step of Migrate.
	Migration func(MigrationStep)
}

// CallInfo is what became of one operation.
type CallInfo struct {
	Pool      string        // the pool's name
	Operation string        // as in errors: "get", "set", "delete subject"
	Duration  time.Duration // all that its caller waited, with what Update and Each called
	Err       error         // what the caller gets; ErrNotFound is an answer too
}

// BatchInfo is what became of calls that were served together.
type BatchInfo struct {
	Pool      string        // the pool's name
	Operation string        // "get", "set", "touch" or "delete"
	Calls     int           // how many the batch served; 1 if a call had to wait and found no company
	Wait      time.Duration // how long the first of them had waited
	Duration  time.Duration // from when the batch was taken until the last reply
	// Err is why the calls could not be served together. If it may have been one call's
	// error, each was then run by itself, and has a result of its own.
	Err error
}

// MigrationStep is a part of what Migrate does.
type MigrationStep struct {
	Reason     string   // what it is for, in the imperative: "create table sessions"
	Statements []string // in the order in which they are run, all on one connection
}
