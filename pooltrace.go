package mysqlsession

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"time"
)

// peer is the server that a pool last connected to, for hooks.
type peer struct{ system, address string }

// systemName is the server's name in hooks.
func (s *server) systemName() string {
	if s.mariadb {
		return "mariadb"
	}
	return "mysql"
}

// openTold is open, of which the hook is told.
func (p *Pool) openTold(ctx context.Context) (*Conn, error) {
	began := time.Now()
	tried := p.hosts.list
	conn, err := guarded(ctx, func(ctx context.Context) (*Conn, error) { return p.open(ctx, &tried) })
	var now peer
	if err == nil {
		now = peer{conn.server.systemName(), conn.Address()}
		if *p.peer.Load() != now {
			p.peer.Store(&now)
		}
	}
	if p.config.Trace.Connect == nil {
		return conn, err
	}
	info := ConnectInfo{Pool: p.config.Pool, Address: now.address, System: now.system, Duration: time.Since(began), Err: err}
	if err != nil && len(tried) == 1 {
		info.Address = tried[0].address
	}
	if err != nil && errors.Is(ctx.Err(), context.Canceled) {
		info.Err = ErrClosed // it says nothing of the server
	}
	told := false
	defer func() {
		if !told && conn != nil {
			conn.abort() // the hook panicked: nobody gets the connection
		}
	}()
	p.config.Trace.Connect(info)
	told = true
	return conn, err
}

// tellHolder tells of one that has got a connection. Should the hook panic, it is given back.
func (p *Pool) tellHolder(m *pooled, hold uint64, began time.Time, waited bool) {
	if p.config.Trace.Acquire == nil {
		return
	}
	told := false
	defer func() {
		if !told {
			p.release(m, hold)
		}
	}()
	p.tellAcquire(began, m.since, waited, nil)
	told = true
}

// tellAcquire tells of one that wanted a connection and got it at that time, or an error.
func (p *Pool) tellAcquire(began, got time.Time, waited bool, err error) {
	if p.config.Trace.Acquire == nil {
		return
	}
	if got.IsZero() {
		got = time.Now()
	}
	p.config.Trace.Acquire(AcquireInfo{Pool: p.config.Pool, Duration: got.Sub(began), Waited: waited, Err: err})
}

// tellRelease tells of a connection that was let go, while nobody else can have it.
func (p *Pool) tellRelease(m *pooled) {
	if m.trail != nil {
		if held := m.trail.end(); held > 0 {
			p.tellLeak(LeakInfo{Pool: p.config.Pool, Held: held, Stack: m.trail.text(), Returned: true})
		}
	}
	if p.config.Trace.Release != nil {
		p.config.Trace.Release(ReleaseInfo{Pool: p.config.Pool, Duration: time.Since(m.since)})
	}
}

// tellDisconnect tells of a connection that has been closed.
func (p *Pool) tellDisconnect(m *pooled) {
	if p.config.Trace.Disconnect != nil {
		p.config.Trace.Disconnect(DisconnectInfo{
			Pool: p.config.Pool, Reason: cmp.Or(m.reason, DisconnectPoolClosed), Age: time.Since(m.ready),
		})
	}
}

// tellLeak tells the hook and the logger of a connection that is held for too long.
func (p *Pool) tellLeak(info LeakInfo) {
	message := "mysqlsession: a connection is held for too long, it may have been leaked"
	if info.Returned {
		message = "mysqlsession: a connection that was held for too long was given back, it was no leak"
	}
	p.config.Logger.LogAttrs(context.Background(), slog.LevelWarn, message,
		slog.String("pool", info.Pool), slog.Duration("held", info.Held), slog.String("stack", info.Stack))
	if p.config.Trace.Leak != nil {
		p.config.Trace.Leak(info)
	}
}
