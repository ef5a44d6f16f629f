// Package load keeps a store of its own busy, as a service's many requests would, with
// settings that can be changed meanwhile, for as long as somebody looks.
package load

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mysqlsession/mysqlsession"
	"github.com/mysqlsession/mysqlsession/cmd/mysqlsession/internal/distance"
)

const (
	// attention is how long the load goes on after somebody has looked.
	attention = time.Minute
	// openLimit is how long a pool may take to be open, and its tables to be there.
	openLimit = 10 * time.Second
	// openAgain is the pause after a pool could not be opened.
	openAgain = time.Second
	// dropLimit is how long the tables may take to be gone.
	dropLimit = 5 * time.Second
)

// Generator is the load. It is safe for concurrent use, and whoever made it closes it.
type Generator struct {
	config   mysqlsession.Config
	distance distance.Dialer
	logger   *slog.Logger

	settings atomic.Pointer[Settings]
	current  atomic.Pointer[generation] // nil: none is open
	callers  []*atomic.Bool             // set when the caller is to end; run's alone

	changed chan struct{} // there is something to adjust
	stop    context.CancelFunc
	ended   sync.WaitGroup // of the adjusting, the callers and the closing of pools

	mu      sync.Mutex // guards all below
	until   time.Time  // when nobody looks any more
	problem error      // why there is no pool as wanted
	opened  bool       // tables may be there
}

// New makes a load on tables of its own in the configuration's database. Nothing is
// called, and nothing opened, before somebody looks.
func New(config mysqlsession.Config, logger *slog.Logger) *Generator {
	g := &Generator{config: config, logger: logger, changed: make(chan struct{}, 1)}
	g.settings.Store(&Default)
	g.config.DialFunc = g.distance.DialContext
	g.config.CleanupInterval = -1 // there is a bounded number of rows
	g.config.Logger = logger
	ctx, stop := context.WithCancel(context.Background())
	g.stop = stop
	g.ended.Go(func() { g.run(ctx) })
	return g
}

// Look says that somebody looks: the load goes on for a minute.
func (g *Generator) Look() {
	g.mu.Lock()
	now := time.Now()
	idle := now.After(g.until)
	g.until = now.Add(attention)
	g.mu.Unlock()
	if idle {
		g.adjustSoon()
	}
}

// Change changes the settings. What is out of its range is brought into it. It returns the
// settings that are to be; the load follows within a moment.
func (g *Generator) Change(s Settings) Settings {
	s = s.Clamp()
	g.settings.Store(&s)
	g.adjustSoon()
	return s
}

// Settings returns the settings.
func (g *Generator) Settings() Settings { return *g.settings.Load() }

// Problem returns why the load cannot be as the settings have it. nil: it can.
func (g *Generator) Problem() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.problem
}

// Pools is the pool that is in use: one, or none.
func (g *Generator) Pools() []*mysqlsession.Pool {
	if current := g.current.Load(); current != nil {
		return []*mysqlsession.Pool{current.store.Pool()}
	}
	return nil
}

// Close ends the load, and removes its tables.
func (g *Generator) Close() error {
	g.stop()
	g.ended.Wait()
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.opened {
		return nil
	}
	g.opened = false
	return g.drop()
}

// drop removes the tables.
func (g *Generator) drop() error {
	g.distance.SetRoundTrip(0)
	ctx, cancel := context.WithTimeout(context.Background(), dropLimit)
	defer cancel()
	conn, err := mysqlsession.Connect(ctx, g.config)
	if err != nil {
		return fmt.Errorf("remove the tables of the load: %w", err)
	}
	defer func() { _ = conn.Close() }()
	for _, table := range []string{g.config.TableNameMeta, g.config.TableName} { // the first refers to the second
		if _, err := conn.Exec(ctx, "DROP TABLE IF EXISTS `"+strings.ReplaceAll(table, ".", "`.`")+"`"); err != nil {
			return fmt.Errorf("remove the table %s of the load: %w", table, err)
		}
	}
	return nil
}

func (g *Generator) adjustSoon() {
	select {
	case g.changed <- struct{}{}:
	default: // it is said already
	}
}

// run makes the load what it is to be, whenever that changes.
func (g *Generator) run(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	var retired chan struct{} // closed when the pool before this one is; nil: there was none
	for {
		select {
		case <-ctx.Done():
			g.setCallers(ctx, 0)
			g.replace(nil)
			return
		case <-g.changed:
		case <-timer.C:
		}
		g.mu.Lock()
		left := time.Until(g.until)
		g.mu.Unlock()
		settings := g.Settings()
		if left <= 0 {
			settings.Callers = 0
		}
		g.distance.SetRoundTrip(time.Duration(settings.Delay) * time.Millisecond)
		if left > 0 && !g.has(settings.pool()) {
			// There are two pools at the most.
			if retired != nil {
				<-retired
			}
			retired = g.open(ctx, settings.pool())
		}
		g.setCallers(ctx, settings.Callers)
		switch {
		case left <= 0:
		case !g.has(settings.pool()):
			timer.Reset(openAgain)
		default:
			timer.Reset(left)
		}
	}
}

// has reports whether the pool in use is as wanted.
func (g *Generator) has(p pool) bool {
	current := g.current.Load()
	return current != nil && current.pool == p
}

// open puts a pool in the place of the one in use. It returns what is closed when that is.
func (g *Generator) open(ctx context.Context, p pool) (retired chan struct{}) {
	ctx, cancel := context.WithTimeout(ctx, openLimit)
	defer cancel()
	store, err := mysqlsession.Open(ctx, p.configure(g.config))
	if err == nil {
		g.mu.Lock()
		g.opened = true
		g.mu.Unlock()
		if err = store.Migrate(ctx); err != nil {
			err = errors.Join(err, store.Close())
		}
	}
	if err != nil && ctx.Err() == nil {
		g.logger.Warn("the load's pool cannot be opened", "error", err)
	}
	g.mu.Lock()
	g.problem = err
	g.mu.Unlock()
	if err != nil {
		return nil
	}
	return g.replace(&generation{store: store, pool: p})
}

// replace puts another pool into use, nil for none, and closes the one before in the
// background, when its last call has ended.
func (g *Generator) replace(next *generation) (retired chan struct{}) {
	last := g.current.Swap(next)
	retired = make(chan struct{})
	if last == nil {
		close(retired)
		return retired
	}
	g.ended.Go(func() {
		defer close(retired)
		last.calls.Lock() // for good: nobody begins another call
		_ = last.store.Close()
	})
	return retired
}

// setCallers has so many callers call.
func (g *Generator) setCallers(ctx context.Context, n int) {
	for len(g.callers) > n {
		last := len(g.callers) - 1
		g.callers[last].Store(true)
		g.callers = g.callers[:last]
	}
	for len(g.callers) < n {
		enough := new(atomic.Bool)
		g.callers = append(g.callers, enough)
		g.ended.Go(func() { g.call(ctx, enough) })
	}
}
