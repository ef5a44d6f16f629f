package mysqlsession_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/mysqlsession/mysqlsession"
)

const (
	// slack is what a busy machine may take longer than a bound. Exact bounds are asserted
	// in fake time, where there is none.
	slack = 2 * time.Second
	// recovery is how long after a fault the pool serves again: its longest pause.
	recovery = 2 * time.Second
)

// witness sees that what must hold whatever the fault is does hold: the invariants I1 to I9
// of the fault matrix. It looks at every call that is made by way of it, and at the pool
// when all is over.
type witness struct {
	pool    *mysqlsession.Pool
	sockets func() int // that the pool has open, as its dialer counts them
	// echo has the server send a text back, and fails if another one comes: I8.
	echo     func(ctx context.Context, text string) error
	secrets  []string // that no error may quote
	slack    time.Duration
	routines int // of the library, before the fault
	tags     atomic.Int64
}

// newWitness begins to watch a pool that is at rest.
func newWitness(pool *mysqlsession.Pool, sockets func() int, echo func(ctx context.Context, text string) error) *witness {
	return &witness{pool: pool, sockets: sockets, echo: echo, slack: slack, routines: len(libraryGoroutines())}
}

// tag is a text that no call had before.
func (w *witness) tag() string { return fmt.Sprintf("tag-%06d", w.tags.Add(1)) }

// call makes a call that must return within the bound.
func (w *witness) call(t *testing.T, ctx context.Context, bound time.Duration, do func(ctx context.Context) error) error {
	t.Helper()
	began := time.Now()
	err := w.contained(t, ctx, do)
	assert.LessOrEqual(t, time.Since(began), bound+w.slack, "I5: it returns in time")
	w.examine(t, ctx, err)
	return err
}

func (w *witness) contained(t *testing.T, ctx context.Context, do func(ctx context.Context) error) (err error) {
	t.Helper()
	defer func() {
		if value := recover(); value != nil {
			t.Fatalf("I1: a panic reached the caller: %v", value)
		}
	}()
	return do(ctx)
}

// examine looks at what a call returned.
func (w *witness) examine(t *testing.T, ctx context.Context, err error) {
	t.Helper()
	if err == nil {
		return
	}
	for _, secret := range w.secrets {
		assert.NotContains(t, err.Error(), secret, "I6: no error tells a secret")
	}
	assert.NotContains(t, err.Error(), "\n", "I6: an error is one line")
	if errors.Is(err, context.Canceled) {
		assert.ErrorIs(t, ctx.Err(), context.Canceled, "I7: it is the caller's own context that ended")
	}
	limited := errors.Is(err, mysqlsession.ErrUnavailable) || errors.Is(err, mysqlsession.ErrAcquireTimeout)
	if errors.Is(err, context.DeadlineExceeded) && !limited {
		assert.ErrorIs(t, ctx.Err(), context.DeadlineExceeded, "I7: it is the caller's own context that ended")
	}
	assert.False(t, mysqlsession.SafeToRetry(err) && mysqlsession.OutcomeUnknown(err), "I9: a call has one outcome: %v", err)
}

// settled sees that the pool works as if nothing had happened, now that the fault is over.
func (w *witness) settled(t *testing.T) {
	t.Helper()
	w.requireRecovery(t, recovery)
	eventually(t, "I4: nothing is held, opened or waited for", func() bool {
		stat := w.pool.Stat()
		return stat.AcquiredConns == 0 && stat.ConstructingConns == 0 && stat.Waiting == 0 && stat.Lanes == 0
	})
	eventually(t, "I3: the sockets are the pool's connections", func() bool {
		return w.sockets() == w.pool.Stat().TotalConns
	})
	stat := w.pool.Stat()
	require.LessOrEqual(t, stat.TotalConns, stat.MaxConns, "I4: the limit holds")
	ended := stat.MaxIdleDestroyCount + stat.MaxLifetimeDestroyCount + stat.DeadDestroyCount + stat.BrokenDestroyCount
	require.Equal(t, stat.NewConnsCount, ended+int64(stat.TotalConns), "I9: every connection is there, or counted as closed for one reason")
	eventually(t, "I2: no goroutine is left", func() bool { return len(libraryGoroutines()) <= w.routines })
}

// requireRecovery sees that the next operation succeeds, once the pool tries the server again.
func (w *witness) requireRecovery(t *testing.T, within time.Duration) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), within+w.slack)
	defer cancel()
	began := time.Now()
	eventually(t, "I4: the next operation succeeds", func() bool {
		err := w.contained(t, ctx, func(ctx context.Context) error { return w.echo(ctx, w.tag()) })
		if err != nil {
			w.examine(t, ctx, err)
			require.ErrorIs(t, err, mysqlsession.ErrUnavailable, "I4: only the pause after a failure is in the way")
			require.Less(t, time.Since(began), within+w.slack, "I4: the pause is over")
		}
		return err == nil
	})
}

// libraryGoroutines are the stacks of the goroutines that run the library, but for the ones
// that every pool has.
func libraryGoroutines() []string {
	buffer := make([]byte, 1<<20)
	for n := runtime.Stack(buffer, true); ; n = runtime.Stack(buffer, true) {
		if n < len(buffer) {
			buffer = buffer[:n]
			break
		}
		buffer = make([]byte, 2*len(buffer))
	}
	var stacks []string
	for _, stack := range strings.Split(string(buffer), "\n\n")[1:] { // the first is this one
		if strings.Contains(stack, "github.com/mysqlsession/mysqlsession.") && !strings.Contains(stack, "(*Pool).maintain(") {
			stacks = append(stacks, stack)
		}
	}
	return stacks
}

// echoOn has a backend send a text back.
func echoOn(pool *mysqlsession.Pool) func(ctx context.Context, text string) error {
	return func(ctx context.Context, text string) error {
		return pool.Do(ctx, func(conn *mysqlsession.Conn) error {
			return conn.Query(ctx, "ECHO "+text, func(row mysqlsession.Row) error { return requireSame(text, row.String(0)) })
		})
	}
}

// echoIn has a store keep a text and give it back.
func echoIn(store *mysqlsession.Store) func(ctx context.Context, text string) error {
	return func(ctx context.Context, text string) error {
		if err := store.Set(ctx, "name", text, []byte(text), time.Minute, nil); err != nil {
			return err
		}
		got, err := store.Get(ctx, "name", text)
		if err != nil {
			return err
		}
		return requireSame(text, string(got))
	}
}

func requireSame(want, got string) error {
	if got != want {
		return fmt.Errorf("I8: %q is the answer to another request than %q", got, want)
	}
	return nil
}
