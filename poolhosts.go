package mysqlsession

import (
	"context"
	"errors"
	"log/slog"
	"time"
)

// misplaced reports whether a connection is to be replaced now by one to another address.
// One to an address that has failed is never used again: what still answers there may be
// out of date. One to an address further down the list serves on until a dial may begin, so
// that coming back makes nobody wait in line for a new connection.
func (p *Pool) misplaced(m *pooled) bool {
	switch p.hosts.place(m.conn.rank) {
	case placeLater:
		return p.dialer.ready()
	case placeLost:
		return true
	default:
		return false
	}
}

// judge looks at how a connection ended. If its server does not serve, or has fallen silent
// where another one may answer, every connection that is as old, or older, is replaced
// before its next use, and the other addresses are tried first. Old connections that end
// later say nothing new.
func (p *Pool) judge(m *pooled) {
	var state hostState
	switch {
	case m.conn.refuses:
		state = hostFailed
	case m.conn.silent && p.hosts.several():
		state = hostSilent
	default:
		return
	}
	if p.epoch.CompareAndSwap(m.epoch, m.epoch+1) && m.conn.rank >= 0 {
		p.hosts.learn(p.config, []lesson{{m.conn.rank, state}})
	}
}

// watchHosts sees, every HealthCheckPeriod and until ctx ends, whether the server in use
// still takes writes, and whether an earlier one can serve again.
func (p *Pool) watchHosts(ctx context.Context) {
	ticker := time.NewTicker(p.config.HealthCheckPeriod)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		p.inspect(ctx)
		p.probeEarlier(ctx)
	}
}

// inspect asks the server of one connection whether it still serves. A write would find
// out by itself; a pool that only reads would go on reading from a server that was demoted.
func (p *Pool) inspect(ctx context.Context) {
	if p.furthest() < 0 {
		return
	}
	m, hold, err := p.acquire(ctx, false)
	if err != nil {
		return // its callers are told the same
	}
	if m.conn.rank < 0 {
		p.release(m, hold)
		return
	}
	err = m.conn.serves(ctx)
	if errors.Is(err, ErrNotWritable) {
		m.conn.abort()
	}
	p.release(m, hold)
}

// furthest is the greatest rank of the addresses that connections lead to; -1: there are none.
func (p *Pool) furthest() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	rank := -1
	for m := range p.members {
		rank = max(rank, m.conn.rank)
	}
	return rank
}

// addresses counts the connections by their address, if that can differ.
func (p *Pool) addresses() map[string]int {
	if !p.hosts.several() {
		return nil
	}
	counts := make(map[string]int)
	p.mu.Lock()
	defer p.mu.Unlock()
	for m := range p.members {
		counts[m.conn.Address()]++
	}
	return counts
}

// probeEarlier tries the addresses before that of any connection. Once one serves,
// connections belong there. A probe's connection is one more than the pool's, to a server
// that has fewer of them than PoolSize.
func (p *Pool) probeEarlier(ctx context.Context) {
	for rank := range p.furthest() {
		serves, err := p.probe(ctx, rank)
		switch {
		case serves:
			p.gate.Unpark()
			return
		case ctx.Err() != nil:
			return
		case err != nil:
			p.config.Logger.LogAttrs(ctx, slog.LevelDebug, "mysqlsession: an earlier address does not serve yet",
				slog.String("pool", p.config.Pool), slog.String("error", err.Error()))
		}
	}
}

// probe connects to the address of that rank, and reports whether connections belong there.
func (p *Pool) probe(ctx context.Context, rank int) (serves bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, p.config.ConnectTimeout)
	defer cancel()
	cfg, memory, err := p.current(ctx)
	if err != nil || memory == nil {
		return false, err
	}
	conn, err := p.dialer.probe(ctx, func(ctx context.Context) (*Conn, error) { return connectTo(ctx, cfg, memory.list[rank]) })
	if err == nil {
		defer func() { _ = conn.Close() }() // always nil
		var rival bool
		if rival, err = conn.hasRival(ctx); rival {
			return false, nil
		}
	}
	if errors.Is(ctx.Err(), context.Canceled) {
		return false, ctx.Err()
	}
	return memory.probed(cfg, rank, err), err
}
