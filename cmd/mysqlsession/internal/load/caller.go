package load

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mysqlsession/mysqlsession"
)

const (
	// sessions is how many there are, and so the most rows.
	sessions = 1000
	// lifetime is longer than anybody looks.
	lifetime = 24 * time.Hour
	// patience is how long a caller waits for its answer.
	patience = 5 * time.Second
	// rest is how long a caller waits, about, who was turned away, before it asks again: it
	// would do nothing else otherwise.
	rest = 50 * time.Millisecond
	// cookieName is what the sessions are stored under.
	cookieName = "load"
)

// generation is a store of certain settings. Callers hold calls for reading while they use it.
type generation struct {
	store *mysqlsession.Store
	pool  pool
	calls sync.RWMutex
}

// enter returns the store in use, which stays open until leave; nil: there is none.
func (g *Generator) enter() *generation {
	for {
		current := g.current.Load()
		// It fails when the store was replaced a moment ago: then there is another.
		if current == nil || current.calls.TryRLock() {
			return current
		}
	}
}

func (g *generation) leave() { g.calls.RUnlock() }

// call calls until it is enough.
func (g *Generator) call(ctx context.Context, enough *atomic.Bool) {
	value := make([]byte, Ranges["valueSize"].Max)
	for ctx.Err() == nil && !enough.Load() {
		current := g.enter()
		if current == nil {
			pause(ctx)
			continue
		}
		err := once(ctx, current.store, g.Settings(), value)
		current.leave()
		if err != nil {
			pause(ctx)
		}
	}
}

// once reads a session, or saves one.
func once(ctx context.Context, store *mysqlsession.Store, settings Settings, value []byte) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	key := fmt.Sprintf("load-%04d", rand.IntN(sessions))
	if rand.IntN(100) >= settings.Writes {
		_, err := store.Get(ctx, cookieName, key)
		if !errors.Is(err, mysqlsession.ErrNotFound) {
			return err
		}
		// Somebody without a session gets one.
	}
	value = value[:settings.ValueSize]
	if len(value) >= 8 {
		binary.LittleEndian.PutUint64(value, rand.Uint64()) // no row stays as it is
	}
	return store.Set(ctx, cookieName, key, value, lifetime, nil)
}

func pause(ctx context.Context) {
	timer := time.NewTimer(rest/2 + rand.N(rest))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
