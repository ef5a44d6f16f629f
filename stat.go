package mysqlsession

import "time"

// Stat is a snapshot of a pool. Counts and durations are since the pool was made.
type Stat struct {
	// Pool is the pool's name.
	Pool string

	MaxConns          int // PoolSize
	TotalConns        int // all, those being opened or closed included
	IdleConns         int
	AcquiredConns     int // that callers have
	ConstructingConns int // being opened

	// Waiting is how many callers wait now, for a connection or for a lane, MaxWaiting how
	// many may.
	Waiting    int
	MaxWaiting int

	AcquireCount int64 // successful acquires
	// AcquireDuration is what those took, EmptyAcquireWaitTime the part of it that was
	// spent waiting for another's connection, EmptyAcquireCount how many had to.
	AcquireDuration      time.Duration
	EmptyAcquireCount    int64
	EmptyAcquireWaitTime time.Duration
	// CanceledAcquireCount counts acquires ended by their context, AcquireTimeoutCount
	// those that got ErrAcquireTimeout, BacklogFullCount those that got ErrBacklogFull.
	CanceledAcquireCount int64
	AcquireTimeoutCount  int64
	BacklogFullCount     int64

	NewConnsCount int64 // connections opened
	// Connections closed, by reason: idle longer than KeepaliveTimeout, older than
	// MaxConnLifetime, found dead or left behind by a failover before use, or unfit after
	// use (an error, a cancelled call, an open transaction).
	MaxIdleDestroyCount     int64
	MaxLifetimeDestroyCount int64
	DeadDestroyCount        int64
	BrokenDestroyCount      int64

	// Calls that can be combined, of all stores on the pool. Lanes are the connections in
	// use by them now, MaxLanes how many may be as things are.
	Lanes    int
	MaxLanes int
	// LoneCallCount counts calls that found a lane free, BatchCount batches,
	// BatchedCallCount the calls in them, BatchWaitTime what those had spent waiting for a
	// lane. BatchedCallCount / BatchCount is the rows of a batch.
	LoneCallCount    int64
	BatchCount       int64
	BatchedCallCount int64
	BatchWaitTime    time.Duration
}
