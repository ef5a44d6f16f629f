package mysqlsession

import (
	"context"
	"errors"
	"log/slog"
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

// Pool keeps connections to one server, the first of its addresses that serves, for many callers. It is safe for concurrent use,
// and whoever made it closes it.
//
// PoolSize is a hard limit: connections being opened or closed count. Callers that find
// all of them in use wait in the order they came.
type Pool struct {
	config *Config // behind a pointer, where fmt does not print its password
	gate   *admission.Gate
	dialer *dialer
	hosts  *hosts
	conns  *puddle.Pool[*pooled]

	// idle is about how many connections are idle: a hint, for whether an acquire will
	// have to open one.
	idle atomic.Int32
	held atomic.Int32 // connections that callers have
	// lost is when a connection was last found unfit after use, in nanoseconds since began; 0: never.
	lost  atomic.Int64
	began time.Time
	stat  struct {
		acquired, acquireNanos, opened, cancelled, timedOut atomic.Int64
		maxIdle, maxLifetime, dead, broken, drained         atomic.Int64
	}

	groups poolGroups // of stores whose calls are combined
	peer   atomic.Pointer[peer]

	// mu guards members and closing; nothing blocks under it.
	mu      sync.Mutex
	members map[*pooled]struct{}
	closing chan struct{} // nil: open; closed when Close has finished

	// epoch is raised when the connections that there are lead to the wrong server.
	epoch     atomic.Uint32
	unparking atomic.Bool // a timer will put parked turns into use again

	stop       context.CancelFunc // ends the maintenance
	maintained sync.WaitGroup     // until it has ended
}

// pooled is a connection in a pool.
type pooled struct {
	conn    *Conn
	home    *puddle.Resource[*pooled] // set by its first acquire
	expires time.Time                 // zero: never
	// hold is odd while somebody has it, and grows with every change: a release that
	// comes twice, or after the pool has taken the connection back, finds another number.
	hold  atomic.Uint64
	since time.Time // when it was acquired
	turns bool      // for more than one turn
	ready time.Time // when it was open: puddle counts from before the dial
	epoch uint32    // the pool's, when its dial began
	// reason is why it is being closed; "": the pool is.
	reason DisconnectReason
	trail  *trail // of who holds it; nil: nobody wants to know
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
	p.start()
	return p, nil
}

// newPool makes a pool without opening a connection, and without maintenance.
func newPool(cfg Config) (*Pool, error) {
	p := &Pool{
		config:  &cfg,
		began:   time.Now(),
		gate:    admission.New(cfg.PoolSize, cfg.Backlog),
		hosts:   newHosts(cfg.endpoints()),
		members: make(map[*pooled]struct{}),
	}
	p.peer.Store(&peer{})
	p.dialer = newDialer(cfg.MaxConcurrentDials, p.openTold)
	var err error
	p.conns, err = puddle.NewPool(&puddle.Config[*pooled]{
		Constructor: p.construct,
		Destructor:  p.destruct,
		MaxSize:     int32(cfg.PoolSize),
	})
	if err != nil {
		return nil, detail(ErrInvalidConfig, "PoolSize %d: %v", cfg.PoolSize, err)
	}
	p.stop = func() {}
	return p, nil
}

// start begins the maintenance.
func (p *Pool) start() {
	ctx, stop := context.WithCancel(context.Background())
	p.stop = stop
	p.maintained.Go(func() { p.maintain(ctx) })
	if p.hosts.several() {
		p.maintained.Go(func() { p.watchHosts(ctx) })
	}
	if p.config.LeakThreshold > 0 {
		p.maintained.Go(func() { p.watchHolders(ctx) })
	}
}

// Acquire returns a connection, waiting for one if it must: at most ConnectTimeout
// (ErrAcquireTimeout), and only if fewer than Backlog callers wait already
// (ErrBacklogFull). A caller whose context will end before its turn is over, as the queue
// moves and connections are held now, gets ErrAcquireTimeout at once, or in place of its
// turn. Further errors: ErrClosed, those of Connect when a connection had to be opened, the
// context's. While no server can be reached it fails at once with ErrUnavailable.
func (p *Pool) Acquire(ctx context.Context) (*PoolConn, error) {
	conn, err := p.acquireConn(ctx)
	if err == nil && conn.member.trail != nil {
		conn.member.trail.begin(conn.member.since)
	}
	return conn, err
}

func (p *Pool) acquireConn(ctx context.Context) (*PoolConn, error) {
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
	if m.trail != nil {
		m.trail.begin(m.since)
	}
	return p.run(m, hold, fn)
}

// do is Do for the store, whose work may take long.
func (p *Pool) do(ctx context.Context, fn func(*Conn) error) error {
	m, hold, err := p.acquire(ctx, true)
	if err != nil {
		return err
	}
	return p.run(m, hold, fn)
}

func (p *Pool) run(m *pooled, hold uint64, fn func(*Conn) error) error {
	done := false
	defer func() {
		if !done {
			m.conn.abort() // fn panicked: nobody knows what state it left
		}
		p.release(m, hold)
	}()
	err := fn(m.conn)
	done = true
	return err
}

// acquire is Acquire for callers that release in the same function. Background work is
// not counted as waiting.
func (p *Pool) acquire(ctx context.Context, counted bool) (*pooled, uint64, error) {
	began := time.Now()
	m, waited, err := p.obtain(ctx, began, counted)
	if err != nil {
		p.tellAcquire(began, time.Time{}, waited, err)
		return nil, 0, err
	}
	m.since, m.turns = time.Now(), false
	p.stat.acquired.Add(1)
	p.stat.acquireNanos.Add(int64(m.since.Sub(began)))
	p.held.Add(1)
	hold := m.hold.Add(1)
	p.tellHolder(m, hold, began, waited)
	return m, hold, nil
}

// obtain waits for a turn, and takes a connection.
func (p *Pool) obtain(ctx context.Context, began time.Time, counted bool) (m *pooled, waited bool, err error) {
	waited, err = p.gate.Enter(ctx, p.config.ConnectTimeout, counted)
	if err != nil {
		return nil, waited, gateError(ctx, err)
	}
	for {
		left := p.config.ConnectTimeout - time.Since(began)
		m, err := p.takeWithin(ctx, left, waited)
		if err == nil {
			return m, waited, nil
		}
		var none *noConnError
		if !errors.As(err, &none) || !p.serves() {
			p.gate.Leave(0)
			return nil, waited, err
		}
		// The server takes no more connections than there are. One of those will do.
		left = p.config.ConnectTimeout - time.Since(began)
		if err := p.gate.Park(ctx, left, p.unparkLater); err != nil {
			return nil, true, gateError(ctx, err)
		}
		waited = true
	}
}

// takeWithin is take for a caller that has so much time left. One that has not waited
// needs no limit: a dial has the same by itself, and says what went wrong.
func (p *Pool) takeWithin(ctx context.Context, left time.Duration, waited bool) (*pooled, error) {
	if waited && p.idle.Load() <= 0 {
		limited, cancel := context.WithTimeoutCause(ctx, left, ErrAcquireTimeout)
		defer cancel()
		ctx = limited
	}
	m, err := p.take(ctx)
	if err != nil {
		return nil, p.takeError(ctx, err)
	}
	return m, nil
}

// serves reports whether the pool has connections.
func (p *Pool) serves() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.members) > 0
}

// unparkLater sees that parked turns are in use again when the next dial may be tried.
func (p *Pool) unparkLater() {
	if p.unparking.CompareAndSwap(false, true) {
		time.AfterFunc(p.dialer.pauseLeft(), func() {
			p.unparking.Store(false)
			p.gate.Unpark()
		})
	}
}

// take gets a fit connection out of puddle. There is room in it for everyone who has passed
// the gate, at the latest when a connection that is being closed is gone, or one that is
// being opened for a caller that has left is there.
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
	idle := min(m.home.IdleDuration(), time.Since(m.ready))
	switch {
	case m.epoch != p.epoch.Load(), p.misplaced(m):
		p.condemn(m, DisconnectDead)
	case p.config.KeepaliveTimeout > 0 && idle > p.config.KeepaliveTimeout:
		p.condemn(m, DisconnectMaxIdle)
	case m.expired():
		p.condemn(m, DisconnectMaxLifetime)
	case (idle > peekAfter || p.suspicious()) && !m.conn.alive():
		p.condemn(m, DisconnectDead)
	default:
		return true
	}
	return false
}

// condemn says why a connection is about to be closed, and counts that.
func (p *Pool) condemn(m *pooled, reason DisconnectReason) {
	m.reason = reason
	switch reason {
	case DisconnectMaxIdle:
		p.stat.maxIdle.Add(1)
	case DisconnectMaxLifetime:
		p.stat.maxLifetime.Add(1)
	case DisconnectDead:
		p.stat.dead.Add(1)
	case DisconnectBroken:
		p.stat.broken.Add(1)
	}
}

// suspicious reports whether a connection was lost just now: others may be dead too.
func (p *Pool) suspicious() bool {
	lost := p.lost.Load()
	return lost != 0 && time.Since(p.began) < time.Duration(lost)+suspicion
}

func (m *pooled) expired() bool { return !m.expires.IsZero() && time.Now().After(m.expires) }

// release takes a connection back from the holder of that number.
func (p *Pool) release(m *pooled, hold uint64) {
	if m.letGo(hold) {
		p.takeBack(m)
	}
}

// letGo ends a hold. It reports false if that has happened before.
func (m *pooled) letGo(hold uint64) bool { return m.hold.CompareAndSwap(hold, hold+1) }

// takeBack makes a connection that was let go idle, or closes it, also if a hook panics.
func (p *Pool) takeBack(m *pooled) {
	p.held.Add(-1)
	defer p.reclaim(m)
	p.tellRelease(m)
}

// reclaim makes a connection idle, or closes it. If its caller left before the reply had come,
// that is read first, in the background: a login costs more.
func (p *Pool) reclaim(m *pooled) {
	if !m.conn.draining() {
		p.putBack(m)
		return
	}
	// Bounded: it has the connection's place in the pool, and ends within drainBudget.
	go func() {
		if m.conn.drain() {
			p.stat.drained.Add(1)
		}
		p.putBack(m)
	}()
}

func (p *Pool) putBack(m *pooled) {
	var held time.Duration
	if !m.turns && m.conn.reusable() { // how long it takes to fail says nothing of the next turn
		held = time.Since(m.since)
	}
	switch {
	case !m.conn.reusable():
		p.judge(m)
		p.lost.Store(int64(time.Since(p.began)))
		p.condemn(m, DisconnectBroken)
		m.home.Destroy()
	case m.expired():
		p.condemn(m, DisconnectMaxLifetime)
		m.home.Destroy()
	case m.epoch != p.epoch.Load(), p.misplaced(m):
		p.condemn(m, DisconnectDead)
		m.home.Destroy()
	default:
		p.idle.Add(1)
		m.home.Release()
	}
	p.gate.Leave(held)
}

// join counts a caller that waits, elsewhere, for what a connection will do for it, until
// depart.
func (p *Pool) join() error { return gateError(context.Background(), p.gate.Join()) }

func (p *Pool) depart(callers int) { p.gate.Depart(callers) }

// keeps reports whether whoever has the connection may go on with it: it is fit, and
// nobody waits for one.
func (p *Pool) keeps(m *pooled) bool {
	return m.conn.reusable() && m.epoch == p.epoch.Load() && !m.expired() && !p.misplaced(m) && !p.gate.Contended()
}

// errTooLate is for a caller who is told, before its time is over, that it would be.
var errTooLate = detail(ErrAcquireTimeout, "%v", admission.ErrTooLate)

func gateError(ctx context.Context, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, admission.ErrFull):
		return ErrBacklogFull
	case errors.Is(err, admission.ErrTimeout):
		return ErrAcquireTimeout
	case errors.Is(err, admission.ErrTooLate):
		return errTooLate
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

// maintain looks through the idle connections and keeps MinIdleConns, until ctx ends.
func (p *Pool) maintain(ctx context.Context) {
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
	// Who came meanwhile found none idle, and may have parked.
	p.gate.Unpark()
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
