package mysqlsession

import (
	"time"
)

// Stat is a snapshot of a pool. Counts and durations are since the pool was made.
type Stat struct {
	// Pool is the pool's name.
	Pool string

	MaxConns          int // PoolSize
	MinIdleConns      int // MinIdleConns
	TotalConns        int // all, those being opened or closed included
	IdleConns         int // that nobody has
	AcquiredConns     int // that callers have
	ConstructingConns int // being opened
	// Addresses is how many connections lead to each address. nil unless there are several
	// hosts.
	Addresses map[string]int

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
	// CanceledAcquireCount counts waits ended by their context, AcquireTimeoutCount
	// those that got ErrAcquireTimeout when it had passed, BacklogFullCount those that got
	// ErrBacklogFull.
	CanceledAcquireCount int64
	AcquireTimeoutCount  int64
	BacklogFullCount     int64
	// TooLateCount counts those that got ErrAcquireTimeout before their time was over, since
	// it would have been before they were served.
	TooLateCount int64

	NewConnsCount int64 // connections opened
	// Connections closed, by reason.
	MaxIdleDestroyCount     int64 // idle longer than KeepaliveTimeout
	MaxLifetimeDestroyCount int64 // older than MaxConnLifetime
	DeadDestroyCount        int64 // before use: found dead, or left behind by a failover
	BrokenDestroyCount      int64 // after use: an error, a cancelled call, an open transaction
	// DrainedCount counts connections kept although a call on them was given up: the rest of
	// its reply came within 250 ms.
	DrainedCount int64

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

// Stat returns a snapshot of the pool's figures.
func (p *Pool) Stat() Stat {
	conns, gate, groups := p.conns.Stat(), p.gate.Stat(), p.groups.stat()
	return Stat{
		Pool:                    p.config.Pool,
		MaxConns:                p.config.PoolSize,
		MinIdleConns:            p.config.MinIdleConns,
		TotalConns:              int(conns.TotalResources()),
		IdleConns:               int(conns.IdleResources()),
		AcquiredConns:           int(p.held.Load()),
		ConstructingConns:       int(conns.ConstructingResources()),
		Addresses:               p.addresses(),
		Waiting:                 gate.Waiting,
		MaxWaiting:              max(p.config.Backlog, 0),
		AcquireCount:            p.stat.acquired.Load(),
		AcquireDuration:         time.Duration(p.stat.acquireNanos.Load()),
		EmptyAcquireCount:       gate.Waited,
		EmptyAcquireWaitTime:    gate.WaitTime,
		CanceledAcquireCount:    gate.Cancelled + p.stat.cancelled.Load() + groups.Left,
		AcquireTimeoutCount:     gate.TimedOut + p.stat.timedOut.Load() + groups.TimedOut,
		BacklogFullCount:        gate.Full,
		TooLateCount:            gate.TooLate + groups.TooLate,
		NewConnsCount:           p.stat.opened.Load(),
		MaxIdleDestroyCount:     p.stat.maxIdle.Load(),
		MaxLifetimeDestroyCount: p.stat.maxLifetime.Load(),
		DeadDestroyCount:        p.stat.dead.Load(),
		BrokenDestroyCount:      p.stat.broken.Load(),
		DrainedCount:            p.stat.drained.Load(),
		Lanes:                   groups.Lanes,
		MaxLanes:                groups.LaneLimit,
		LoneCallCount:           groups.Alone,
		BatchCount:              groups.Batches,
		BatchedCallCount:        groups.Calls,
		BatchWaitTime:           groups.WaitTime,
	}
}
