package mysqlsession

import (
	"context"
	"math/rand/v2"
	"slices"
	"time"
)

// construct is puddle's constructor. It runs on a goroutine of puddle's and goes on when
// the caller that wanted the connection has left, so it has a limit of its own. ctx ends
// with the pool.
func (p *Pool) construct(ctx context.Context) (*pooled, error) {
	ctx, cancel := context.WithTimeout(ctx, p.config.ConnectTimeout)
	defer cancel()
	epoch := p.epoch.Load()
	conn, err := p.dialer.dial(ctx)
	if err != nil {
		return nil, err
	}
	m := &pooled{conn: conn, ready: time.Now(), epoch: epoch}
	if life := p.config.MaxConnLifetime; life > 0 {
		m.expires = time.Now().Add(life - rand.N(max(p.config.MaxConnLifetimeJitter, 0)+1))
	}
	if p.config.LeakThreshold > 0 {
		m.trail = &trail{}
	}
	p.stat.opened.Add(1)
	p.mu.Lock()
	p.members[m] = struct{}{}
	p.mu.Unlock()
	p.gate.Unpark() // the server takes connections
	return m, nil
}

// current is the configuration of the next connection, and the memory of its addresses:
// nil if BeforeConnect has chosen others.
func (p *Pool) current(ctx context.Context) (*Config, *hosts, error) {
	if p.config.BeforeConnect == nil {
		return p.config, p.hosts, nil
	}
	cfg := p.config.copy()
	if err := p.config.BeforeConnect(ctx, &cfg); err != nil {
		return nil, nil, &callError{"connect: BeforeConnect", outOfTime(err)}
	}
	if err := cfg.validate(); err != nil {
		return nil, nil, err
	}
	cfg = cfg.withDefaults()
	if !slices.Equal(cfg.endpoints(), p.hosts.list) {
		return &cfg, nil, nil
	}
	return &cfg, p.hosts, nil
}

// open connects once, with the user's hooks. tried are the addresses of the pool; if
// BeforeConnect has chosen others it is set to those.
func (p *Pool) open(ctx context.Context, tried *[]endpoint) (*Conn, error) {
	cfg, memory, err := p.current(ctx)
	if err != nil {
		return nil, err
	}
	if memory == nil {
		*tried = cfg.endpoints()
	}
	conn, err := connect(ctx, cfg, memory)
	if err != nil {
		return nil, err
	}
	conn.keeps = true
	if p.config.AfterConnect != nil {
		connected := false
		defer func() {
			if !connected {
				conn.abort()
			}
		}()
		if err := p.config.AfterConnect(ctx, conn); err != nil {
			return nil, &callError{"connect: AfterConnect", outOfTime(err)}
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
	last := len(p.members) == 0
	p.mu.Unlock()
	if last {
		p.gate.Unpark() // nobody need wait for a connection that there is not
	}
	_ = m.conn.Close() // always nil
	p.tellDisconnect(m)
}
