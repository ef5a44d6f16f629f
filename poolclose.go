package mysqlsession

import (
	"maps"
	"slices"
	"time"
)

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
	p.groups.refuse(ErrClosed)
	p.stop()
	p.maintained.Wait()
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

// all are the connections that there are.
func (p *Pool) all() []*pooled {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Collect(maps.Keys(p.members))
}

// abortAcquired takes the connections that are still out away from their holders.
func (p *Pool) abortAcquired() {
	for _, m := range p.all() {
		hold := m.hold.Load()
		if hold%2 == 1 && m.letGo(hold) {
			p.held.Add(-1)
			if m.trail != nil {
				m.trail.end() // nobody has given it back
			}
			p.tellRelease(m)
			m.conn.abort()
			m.home.Destroy()
		}
	}
}
