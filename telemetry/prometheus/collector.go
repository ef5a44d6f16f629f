package mysqlsessionprom

import (
	"fmt"
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/mysqlsession/mysqlsession"
)

// Collector is a prometheus.Collector of the pools that were added to it, and of what its
// Trace is told. It is safe for concurrent use, needs not be closed, and may serve any
// number of stores and pools. Register one in each registry.
type Collector struct {
	histograms histograms
	figures    []figure

	mu    sync.Mutex // guards what follows; nothing blocks under it
	pools map[string]*mysqlsession.Pool
}

// NewCollector makes a collector.
func NewCollector() *Collector {
	return &Collector{histograms: newHistograms(), figures: newFigures(), pools: make(map[string]*mysqlsession.Pool)}
}

// Add has a pool's figures collected until remove is called: do so when the pool is closed.
// Calling remove again does nothing. Pools are told apart by their names (Config.Pool): a
// second one of a name is an error, as the registry would refuse the whole scrape.
func (c *Collector) Add(pool *mysqlsession.Pool) (remove func(), err error) {
	name := pool.Stat().Pool
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.pools[name] != nil {
		return nil, fmt.Errorf("mysqlsessionprom: a pool called %q is collected already", name)
	}
	c.pools[name] = pool
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.pools[name] == pool {
			delete(c.pools, name)
		}
	}, nil
}

// Describe is prometheus.Collector's.
func (c *Collector) Describe(descriptions chan<- *prometheus.Desc) {
	for _, vector := range c.histograms.all() {
		vector.Describe(descriptions)
	}
	for _, f := range c.figures {
		descriptions <- f.description
	}
}

// Collect is prometheus.Collector's. It takes no connection.
func (c *Collector) Collect(metrics chan<- prometheus.Metric) {
	for _, vector := range c.histograms.all() {
		vector.Collect(metrics)
	}
	c.mu.Lock()
	pools := make([]*mysqlsession.Pool, 0, len(c.pools))
	for _, pool := range c.pools {
		pools = append(pools, pool)
	}
	c.mu.Unlock()
	for _, pool := range pools {
		stat := pool.Stat()
		for _, f := range c.figures {
			f.collect(metrics, &stat)
		}
	}
}
