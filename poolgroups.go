package mysqlsession

import (
	"sync"

	"github.com/mysqlsession/mysqlsession/internal/coalesce"
)

// group is what combines the calls of one store on a pool, as far as the pool must know it.
type group interface {
	Stat() coalesce.Stat
	// Refuse gives those who wait an error.
	Refuse(err error)
}

// poolGroups are the groups that share a pool.
type poolGroups struct {
	mu   sync.Mutex // guards what follows; only the groups' own locks are taken under it
	now  map[group]struct{}
	past coalesce.Stat // of those that are gone
}

// add takes a group in, until remove.
func (p *poolGroups) add(g group) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.now == nil {
		p.now = make(map[group]struct{})
	}
	p.now[g] = struct{}{}
}

// remove forgets a group but for what it has counted.
func (p *poolGroups) remove(g group) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, ok := p.now[g]; ok {
		delete(p.now, g)
		p.past.Add(g.Stat())
		p.past.Waiting, p.past.Lanes, p.past.LaneLimit = 0, 0, 0
	}
}

// refuse gives an error to those who wait in any of the groups.
func (p *poolGroups) refuse(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for g := range p.now {
		g.Refuse(err)
	}
}

// stat is the sum of the groups' figures.
func (p *poolGroups) stat() coalesce.Stat {
	p.mu.Lock()
	defer p.mu.Unlock()
	total := p.past
	for g := range p.now {
		total.Add(g.Stat())
	}
	return total
}
