package load

import "github.com/mysqlsession/mysqlsession"

// Settings are what can be changed while the load runs.
type Settings struct {
	Callers   int  `json:"callers"`   // that call without a pause, each one call at a time
	Writes    int  `json:"writes"`    // of a hundred calls, how many save a session; the others read one
	ValueSize int  `json:"valueSize"` // bytes of a session's value
	PoolSize  int  `json:"poolSize"`  // connections
	Backlog   int  `json:"backlog"`   // callers that may wait; 0: none, and nothing is combined
	Coalesce  bool `json:"coalesce"`  // whether calls are combined
	Delay     int  `json:"delay"`     // milliseconds that a round trip takes longer
}

// Range is what a setting may be.
type Range struct {
	Min int `json:"min"`
	Max int `json:"max"`
}

// Ranges are the bounds of the settings. Two pools can be open for a moment, so their sizes
// leave room below the 151 connections that servers allow unless told.
var Ranges = map[string]Range{
	"callers":   {0, 1024},
	"writes":    {0, 100},
	"valueSize": {1, 16 << 10},
	"poolSize":  {1, 64},
	"backlog":   {0, 10_000},
	"delay":     {0, 200},
}

// Default is a load that shows at once what combining calls does, and leaves most of the
// processor alone: the way to the server is what takes time.
var Default = Settings{Callers: 64, Writes: 20, ValueSize: 1 << 10, PoolSize: 8, Backlog: 1000, Coalesce: true, Delay: 10}

// numbers are the settings that have a range.
func (s *Settings) numbers() map[string]*int {
	return map[string]*int{
		"callers": &s.Callers, "writes": &s.Writes, "valueSize": &s.ValueSize,
		"poolSize": &s.PoolSize, "backlog": &s.Backlog, "delay": &s.Delay,
	}
}

// Clamp brings every setting into its range.
func (s Settings) Clamp() Settings {
	for name, value := range s.numbers() {
		*value = max(Ranges[name].Min, min(*value, Ranges[name].Max))
	}
	return s
}

// pool is the part that a pool, or a store, cannot change while it is open.
type pool struct {
	size, backlog int
	coalesce      bool
}

func (s Settings) pool() pool { return pool{s.PoolSize, s.Backlog, s.Coalesce} }

// configure makes cfg one of a pool like this.
func (p pool) configure(cfg mysqlsession.Config) mysqlsession.Config {
	cfg.PoolSize, cfg.Backlog, cfg.Coalesce = p.size, p.backlog, mysqlsession.CoalesceOff
	if p.backlog == 0 {
		cfg.Backlog = -1 // 0 is the library's default
	}
	if p.coalesce {
		cfg.Coalesce = mysqlsession.CoalesceOn
	}
	// A DSN's would be for another size.
	cfg.MinIdleConns, cfg.MaxConcurrentDials, cfg.CoalesceMaxLanes = 0, 0, 0
	return cfg
}
