package mysqlsession

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/puddle/v2"

	"github.com/mysqlsession/mysqlsession/internal/admission"
)

const (
	// closeGrace is how long Close waits for acquired connections before it aborts them.
	closeGrace = 5 * time.Second
	// peekAfter is how long a connection may have been idle and still be taken as alive
	// without a look. A look costs a microsecond, a busy pool's round trip some forty.
	peekAfter = 10 * time.Millisecond
	// suspicion is how long every connection is looked at after one of them was lost.
	suspicion = time.Second
	// abortAgain is the pause between Close's attempts to abort what is still out.
	abortAgain = 50 * time.Millisecond
)

// Pool keeps connections to one server for many callers. It is safe for concurrent use,
// and whoever made it closes it.
//
// PoolSize is a hard limit: connections being opened or closed count. Callers that find
// all of them in use wait in the order they came.
type Pool struct {
	config *Config // behind a pointer, where fmt does not print its password
	gate   *admission.Gate
	dialer *dialer
	conns  *puddle.Pool[*pooled]

	// idle is about how many connections are idle: a hint, for whether an acquire will
	// have to open one.
	idle atomic.Int32
	// lost is when a connection was last found unfit after use, in nanoseconds since began; 0: never.
	lost  atomic.Int64
	began time.Time
	stat  struct {
		acquired, acquireNanos, opened, cancelled, timedOut atomic.Int64
		maxIdle, maxLifetime, dead, broken                  atomic.Int64
	}

	// mu guards members and closing; nothing blocks under it.
	mu      sync.Mutex
	members map[*pooled]struct{}
	closing chan struct{} // nil: open; closed when Close has finished

	stop       context.CancelFunc // ends the maintenance
	maintained chan struct{}      // closed when it has ended
}

// pooled is a connection in a pool.
type pooled struct {
	conn    *Conn
	home    *puddle.Resource[*pooled] // set by its first acquire
	expires time.Time                 // zero: never
	// hold is odd while somebody has it, and grows with every change: a release that
	// comes twice, or after the pool has taken the connection back, finds another number.
	hold atomic.Uint64
}

// PoolConn is a connection that was acquired from a pool. Release gives it back.
type PoolConn struct {
	pool   *Pool
	member *pooled
	hold   uint64
}

// NewPool makes a pool. It opens one connection, so that a wrong configuration shows now,
// and then MinIdleConns in the background. Errors are those of Connect. ctx bounds the
// call only.
func NewPool(ctx context.Context, cfg Config) (*Pool, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	p, err := newPool(cfg.copy().withDefaults())
	if err != nil {
		return nil, err
	}
	m, hold, err := p.acquire(ctx, false)
	if err != nil {
		_ = p.Close() // always nil
		return nil, err
	}
	p.release(m, hold)
	return p, nil
}

// newPool makes a pool without opening a connection.
func newPool(cfg Config) (*Pool, error) {
	p := &Pool{
		config:     &cfg,
		began:      time.Now(),
		gate:       admission.New(cfg.PoolSize, cfg.Backlog),
		members:    make(map[*pooled]struct{}),
		maintained: make(chan struct{}),
	}
	p.dialer = newDialer(cfg.MaxConcurrentDials, p.open)
	var err error
	p.conns, err = puddle.NewPool(&puddle.Config[*pooled]{
		Constructor: p.construct,
		Destructor:  p.destruct,
		MaxSize:     int32(cfg.PoolSize),
	})
	if err != nil {
		return nil, detail(ErrInvalidConfig, "PoolSize %d: %v", cfg.PoolSize, err)
	}
	ctx, stop := context.WithCancel(context.Background())
	p.stop = stop
	go p.maintain(ctx)
	return p, nil
}

// Acquire returns a connection, waiting for one if it must: at most ConnectTimeout
// (ErrAcquireTimeout), and only if fewer than Backlog callers wait already
// (ErrBacklogFull). Further errors: ErrClosed, those of Connect when a connection had to
// be opened, the context's. While no server can be reached it fails at once with
// ErrUnavailable.
func (p *Pool) Acquire(ctx context.Context) (*PoolConn, error) {
	m, hold, err := p.acquire(ctx, true)
	if err != nil {
		return nil, err
	}
	return &PoolConn{pool: p, member: m, hold: hold}, nil
}

// Do calls fn with a connection, for as long as fn runs. Errors are those of Acquire, and
// fn's. fn must not acquire another one: with all connections in such hands all would wait.
func (p *Pool) Do(ctx context.Context, fn func(*Conn) error) error {
	m, hold, err := p.acquire(ctx, true)
	if err != nil {
		return err
	}
	done := false
	defer func() {
		if !done {
			m.conn.abort() // fn panicked: nobody knows what state it left
		}
		p.release(m, hold)
	}()
	err = fn(m.conn)
	done = true
	return err
}

// Conn is the connection. It must not be used after Release.
func (c *PoolConn) Conn() *Conn { return c.member.conn }

// Release gives the connection back. If it has failed, or has a transaction open, or does
// not commit by itself, it is closed instead. A second call does nothing.
func (c *PoolConn) Release() { c.pool.release(c.member, c.hold) }

// Discard is Release of a connection that must be closed: the caller has changed its
// session in ways that no later caller should find.
func (c *PoolConn) Discard() {
	if c.member.hold.Load() == c.hold {
		c.member.conn.abort()
	}
	c.Release()
}

// acquire is Acquire for callers that release in the same function. Background work is
// not counted as waiting.
func (p *Pool) acquire(ctx context.Context, counted bool) (*pooled, uint64, error) {
	began := time.Now()
	if _, err := p.gate.Enter(ctx, p.config.ConnectTimeout, counted); err != nil {
		return nil, 0, gateError(ctx, err)
	}
	if p.idle.Load() <= 0 {
		// It will take a dial, and at most what is left of the time.
		limited, cancel := context.WithTimeoutCause(ctx, p.config.ConnectTimeout-time.Since(began), ErrAcquireTimeout)
		defer cancel()
		ctx = limited
	}
	m, err := p.take(ctx)
	if err != nil {
		p.gate.Leave()
		return nil, 0, p.takeError(ctx, err)
	}
	p.stat.acquired.Add(1)
	p.stat.acquireNanos.Add(int64(time.Since(began)))
	return m, m.hold.Add(1), nil
}

// take gets a fit connection out of puddle, in which there is room for everyone who has
// passed the gate.
func (p *Pool) take(ctx context.Context) (*pooled, error) {
	for {
		home, err := p.conns.Acquire(ctx)
		if err != nil {
			return nil, err
		}
		m := home.Value()
		if m.home != nil {
			p.idle.Add(-1)
		}
		m.home = home
		if p.fit(m) {
			return m, nil
		}
		home.Destroy()
	}
}

// fit reports whether a connection that was idle can serve, and counts why not.
func (p *Pool) fit(m *pooled) bool {
	idle := m.home.IdleDuration()
	switch {
	case p.config.KeepaliveTimeout > 0 && idle > p.config.KeepaliveTimeout:
		p.stat.maxIdle.Add(1)
	case m.expired():
		p.stat.maxLifetime.Add(1)
	case (idle > peekAfter || p.suspicious()) && !m.conn.alive():
		p.stat.dead.Add(1)
	default:
		return true
	}
	return false
}

// suspicious reports whether a connection was lost just now: others may be dead too.
func (p *Pool) suspicious() bool {
	lost := p.lost.Load()
	return lost != 0 && time.Since(p.began) < time.Duration(lost)+suspicion
}

func (m *pooled) expired() bool { return !m.expires.IsZero() && time.Now().After(m.expires) }

// release takes a connection back from the holder of that number.
func (p *Pool) release(m *pooled, hold uint64) {
	if !m.hold.CompareAndSwap(hold, hold+1) {
		return
	}
	switch {
	case !m.conn.reusable():
		p.lost.Store(int64(time.Since(p.began)))
		p.stat.broken.Add(1)
		m.home.Destroy()
	case m.expired():
		p.stat.maxLifetime.Add(1)
		m.home.Destroy()
	default:
		p.idle.Add(1)
		m.home.Release()
	}
	p.gate.Leave()
}

func gateError(ctx context.Context, err error) error {
	switch {
	case errors.Is(err, admission.ErrFull):
		return ErrBacklogFull
	case errors.Is(err, admission.ErrTimeout):
		return ErrAcquireTimeout
	case errors.Is(err, admission.ErrClosed):
		return ErrClosed
	default:
		return &callError{"acquire", &notAppliedError{contextError(ctx, err)}}
	}
}

// takeError tells the end of our own limit from that of the caller's context.
func (p *Pool) takeError(ctx context.Context, err error) error {
	switch {
	case errors.Is(err, puddle.ErrClosedPool):
		return ErrClosed
	case ctx.Err() != nil && errors.Is(err, ctx.Err()) && context.Cause(ctx) == ErrAcquireTimeout:
		p.stat.timedOut.Add(1)
		return ErrAcquireTimeout
	case ctx.Err() != nil && errors.Is(err, ctx.Err()):
		p.stat.cancelled.Add(1)
		return &callError{"acquire", &notAppliedError{contextError(ctx, err)}}
	default:
		return err
	}
}

// construct is puddle's constructor. It runs on a goroutine of puddle's and goes on when
// the caller that wanted the connection has left, so it has a limit of its own. ctx ends
// with the pool.
func (p *Pool) construct(ctx context.Context) (*pooled, error) {
	ctx, cancel := context.WithTimeout(ctx, p.config.ConnectTimeout)
	defer cancel()
	conn, err := p.dialer.dial(ctx)
	if err != nil {
		return nil, err
	}
	m := &pooled{conn: conn}
	if life := p.config.MaxConnLifetime; life > 0 {
		m.expires = time.Now().Add(life - rand.N(max(p.config.MaxConnLifetimeJitter, 0)+1))
	}
	p.stat.opened.Add(1)
	p.mu.Lock()
	p.members[m] = struct{}{}
	p.mu.Unlock()
	return m, nil
}

// open connects once, with the user's hooks.
func (p *Pool) open(ctx context.Context) (*Conn, error) {
	cfg := *p.config
	if p.config.BeforeConnect != nil {
		cfg = cfg.copy()
		if err := p.config.BeforeConnect(ctx, &cfg); err != nil {
			return nil, &callError{"connect: BeforeConnect", err}
		}
		if err := cfg.validate(); err != nil {
			return nil, err
		}
		cfg = cfg.withDefaults()
	}
	conn, err := connect(ctx, &cfg)
	if err != nil {
		return nil, err
	}
	if p.config.AfterConnect != nil {
		connected := false
		defer func() {
			if !connected {
				conn.abort()
			}
		}()
		if err := p.config.AfterConnect(ctx, conn); err != nil {
			return nil, &callError{"connect: AfterConnect", err}
		}
		if !conn.reusable() {
			return nil, &callError{"connect: AfterConnect", errNotCommitting}
		}
		connected = true
	}
	return conn, nil
}

// destruct is puddle's destructor. The slot is free when it returns, which Conn.Close
// sees to within 250 ms.
func (p *Pool) destruct(m *pooled) {
	p.mu.Lock()
	delete(p.members, m)
	p.mu.Unlock()
	_ = m.conn.Close() // always nil
}

// maintain looks through the idle connections and keeps MinIdleConns, until ctx ends.
func (p *Pool) maintain(ctx context.Context) {
	defer close(p.maintained)
	ticker := time.NewTicker(p.config.HealthCheckPeriod)
	defer ticker.Stop()
	for {
		p.fill(ctx)
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		p.sweep()
	}
}

// sweep closes the idle connections that are no longer fit.
func (p *Pool) sweep() {
	for _, home := range p.conns.AcquireAllIdle() {
		m := home.Value()
		if m.home == nil {
			m.home = home // opened by fill, or for a caller that had left
			p.idle.Add(1)
		}
		if p.fit(m) {
			home.ReleaseUnused()
			continue
		}
		p.idle.Add(-1)
		home.Destroy()
	}
}

// fill opens connections until MinIdleConns are idle or the pool is full.
func (p *Pool) fill(ctx context.Context) {
	for int(p.conns.Stat().IdleResources()) < p.config.MinIdleConns {
		err := p.conns.CreateResource(ctx)
		if errors.Is(err, puddle.ErrNotAvailable) || ctx.Err() != nil {
			return
		}
		if err != nil {
			p.config.Logger.LogAttrs(ctx, slog.LevelWarn, "mysqlsession: opening an idle connection failed",
				slog.String("pool", p.config.Pool), slog.String("error", err.Error()))
			return
		}
	}
}

// Stat returns a snapshot of the pool's figures.
func (p *Pool) Stat() Stat {
	conns, gate := p.conns.Stat(), p.gate.Stat()
	return Stat{
		Pool:                    p.config.Pool,
		MaxConns:                p.config.PoolSize,
		TotalConns:              int(conns.TotalResources()),
		IdleConns:               int(conns.IdleResources()),
		AcquiredConns:           int(conns.AcquiredResources()),
		ConstructingConns:       int(conns.ConstructingResources()),
		Waiting:                 gate.Waiting,
		MaxWaiting:              max(p.config.Backlog, 0),
		AcquireCount:            p.stat.acquired.Load(),
		AcquireDuration:         time.Duration(p.stat.acquireNanos.Load()),
		EmptyAcquireCount:       gate.Waited,
		EmptyAcquireWaitTime:    gate.WaitTime,
		CanceledAcquireCount:    gate.Cancelled + p.stat.cancelled.Load(),
		AcquireTimeoutCount:     gate.TimedOut + p.stat.timedOut.Load(),
		BacklogFullCount:        gate.Full,
		NewConnsCount:           p.stat.opened.Load(),
		MaxIdleDestroyCount:     p.stat.maxIdle.Load(),
		MaxLifetimeDestroyCount: p.stat.maxLifetime.Load(),
		DeadDestroyCount:        p.stat.dead.Load(),
		BrokenDestroyCount:      p.stat.broken.Load(),
	}
}

// Close ends the pool. Those who wait get ErrClosed at once. Acquired connections have 5 s
// to be released, then they are aborted: calls on them fail. Close returns when all
// connections are closed; closing again waits for the same and returns nil.
func (p *Pool) Close() error {
	p.mu.Lock()
	first := p.closing == nil
	if first {
		p.closing = make(chan struct{})
	}
	closing := p.closing
	p.mu.Unlock()
	if !first {
		<-closing
		return nil
	}
	defer close(closing)
	p.gate.Close()
	p.stop()
	<-p.maintained
	gone := make(chan struct{})
	go func() {
		p.conns.Close()
		close(gone)
	}()
	wait := time.NewTimer(closeGrace)
	defer wait.Stop()
	for {
		select {
		case <-gone:
			return nil
		case <-wait.C:
			p.abortAcquired()
			// Somebody may have been between taking a connection and being its holder.
			wait.Reset(abortAgain)
		}
	}
}

// abortAcquired takes the connections that are still out away from their holders.
func (p *Pool) abortAcquired() {
	p.mu.Lock()
	var out []*pooled
	for m := range p.members {
		out = append(out, m)
	}
	p.mu.Unlock()
	for _, m := range out {
		hold := m.hold.Load()
		if hold%2 == 1 && m.hold.CompareAndSwap(hold, hold+1) {
			m.conn.abort()
			m.home.Destroy()
		}
	}
}
