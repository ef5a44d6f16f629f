package mysqlsession_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/mysqlsession/mysqlsession"
	"github.com/mysqlsession/mysqlsession/internal/dbtest"
)

// everyKind is calls of every kind.
func everyKind(c *company) map[string]func(ctx context.Context, key string) error {
	return map[string]func(ctx context.Context, key string) error{
		"get": func(ctx context.Context, key string) error {
			_, err := c.Get(ctx, "name", key)
			return err
		},
		"set": func(ctx context.Context, key string) error {
			return c.Set(ctx, "name", key, []byte("new"), time.Minute, nil)
		},
		"set with metadata": func(ctx context.Context, key string) error {
			return c.Set(ctx, "name", key, []byte("new"), time.Minute, member("subject"))
		},
		"set what exists": func(ctx context.Context, key string) error {
			return c.Set(ctx, "name", key, []byte("new"), time.Minute, must("", "subject"))
		},
		"set in place of one": func(ctx context.Context, key string) error {
			return c.Set(ctx, "name", "new"+key, []byte("new"), time.Minute, &mysqlsession.SetOptions{OldKey: key})
		},
		"touch":  func(ctx context.Context, key string) error { return c.Touch(ctx, "name", key, time.Hour) },
		"delete": func(ctx context.Context, key string) error { return c.Delete(ctx, "name", key) },
	}
}

var errHasLeft = errors.New("the caller has left")

// withOneThatLeaves queues four calls, of which the second one's caller leaves when leave
// is called; its error comes out of left.
func withOneThatLeaves(t *testing.T, c *company, do func(ctx context.Context, key string) error) (serve func() []error, leave func(), left <-chan error) {
	for _, key := range []string{"a", "b", "c", "d"} {
		require.NoError(t, c.set(t, key, "old")())
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	errs := make(chan error, 1)
	serve = c.queue(t,
		func() error { return do(t.Context(), "a") },
		func() error { errs <- do(ctx, "b"); return nil },
		func() error { return do(t.Context(), "c") },
		func() error { return do(t.Context(), "d") })
	return serve, func() { cancel(errHasLeft) }, errs
}

func TestACallerThatLeavesTheQueueLeavesAtOnceAndNothingIsDoneForIt(t *testing.T) {
	onCompany(t, func(t *testing.T, _ dbtest.Server, c *company) {
		for name, do := range everyKind(c) {
			t.Run(name, func(t *testing.T) {
				serve, leave, left := withOneThatLeaves(t, c, do)
				waiting := c.Pool().Stat().Waiting
				leave()
				err := <-left // while the lane is taken
				require.ErrorIs(t, err, context.Canceled)
				require.ErrorIs(t, err, errHasLeft)
				require.True(t, mysqlsession.SafeToRetry(err))
				require.False(t, mysqlsession.OutcomeUnknown(err))
				require.Equal(t, waiting-1, c.Pool().Stat().Waiting)
				errorsOnlyOf(t, serve(), nil)
				calls := 0
				for _, batch := range c.seen {
					calls += batch.Calls
				}
				require.Equal(t, 3, calls)
				c.holds(t, "b", "old")
			})
		}
		require.Zero(t, c.Pool().Stat().BrokenDestroyCount)
	})
}

func TestACallerWhoseContextHasEndedDoesNotJoinTheQueue(t *testing.T) {
	onCompany(t, func(t *testing.T, _ dbtest.Server, c *company) {
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(errHasLeft)
		c.block(t)
		for name, do := range everyKind(c) {
			err := do(ctx, "key")
			assert.ErrorIs(t, err, context.Canceled, name)
			assert.ErrorIs(t, err, errHasLeft, name)
			assert.True(t, mysqlsession.SafeToRetry(err), name)
		}
	})
}

func TestACallerThatLeavesABatchLeavesAtOnceAndTheOthersAreServed(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		cfg := server.NewDatabase(t)
		createNewTables(t, cfg, nil)
		g := through(t, &cfg)
		c := newCompany(t, cfg)
		for name, do := range everyKind(c) {
			t.Run(name, func(t *testing.T) {
				serve, leave, left := withOneThatLeaves(t, c, do)
				defer g.open()
				g.shutAfter(1) // the call that kept the lane
				served := make(chan []error, 1)
				go func() { served <- serve() }()
				g.awaitHeld(t)
				require.Zero(t, c.Pool().Stat().Waiting, "they wait for the server")
				leave()
				err := <-left // while the batch is held up
				require.ErrorIs(t, err, context.Canceled)
				require.ErrorIs(t, err, errHasLeft)
				require.Equal(t, name != "get", mysqlsession.OutcomeUnknown(err))
				require.Equal(t, name == "get", mysqlsession.SafeToRetry(err))
				g.open()
				errorsOnlyOf(t, <-served, nil)
				require.Len(t, c.batches(), 1)
				require.Contains(t, c.batches()[0], " 4")
				require.NotContains(t, c.batches()[0], "failed")
			})
		}
		require.Zero(t, c.Pool().Stat().BrokenDestroyCount)
	})
}

// A batch that the server refuses is sent again, each call by itself, long after one of its
// callers has left.
func TestACallerThatHasLeftMayUseItsValueAgain(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		cfg := server.NewDatabase(t)
		createNewTables(t, cfg, nil)
		admin := server.AdminIn(t, cfg.Database)
		c := newCompany(t, cfg)
		for _, opts := range []*mysqlsession.SetOptions{nil, member("subject")} {
			require.NoError(t, c.set(t, "a", "old")())
			undo := refusals(t, admin)["insert"]()
			lock := lockSession(t, admin, "a")
			ctx, leave := context.WithCancel(t.Context())
			value := []byte("of the caller that leaves")
			own := member("subject")
			if opts == nil {
				own = nil
			}
			left := make(chan error, 1)
			serve := c.queue(t, c.set(t, "a", "new", opts), func() error {
				left <- c.Set(ctx, "name", "b", value, time.Minute, own)
				return nil
			}, c.set(t, "bad", "new", opts), c.set(t, "c", "new", opts))
			served := make(chan []error, 1)
			go func() { served <- serve() }()
			eventually(t, "the batch waits", func() bool { return count(t, admin, waiting, cfg.Database) == 1 })
			leave()
			assert.True(t, mysqlsession.OutcomeUnknown(<-left))
			copy(value, "OF ANOTHER CALLER, LATER ON")
			if own != nil {
				own.Metadata[0].Subject = "somebody else"
			}
			require.NoError(t, lock.Rollback())
			errs := <-served
			require.Error(t, errs[2])
			require.Equal(t, []string{"set 4 failed"}, c.batches())
			errs[2] = nil
			errorsOnlyOf(t, errs, nil)
			c.holds(t, "b", "of the caller that leaves")
			execute(t, admin, undo)
			if opts != nil {
				assert.Equal(t, []string{"a", "b", "c"}, c.subjects(t, "subject"))
			}
		}
	})
}

// waiting counts the statements that wait, in a database, to store something.
const waiting = "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE DB = ? AND INFO LIKE 'INSERT%'"

// The server goes on with what nobody waits for any more. It must not keep the lane.
func TestABatchThatEverybodyHasLeftGivesItsLaneBack(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		cfg := server.NewDatabase(t)
		createNewTables(t, cfg, nil)
		cfg.LockWaitTimeout, cfg.ReadTimeout, cfg.ConnectTimeout = time.Minute, -1, 30*time.Second
		admin := server.AdminIn(t, cfg.Database)
		c := newCompany(t, cfg)
		require.NoError(t, c.set(t, "a", "old")())
		lock := lockSession(t, admin, "a")
		ctx, leave := context.WithCancel(t.Context())
		set := func() error { return c.Set(ctx, "name", "a", []byte("new"), time.Minute, nil) }
		serve := c.queue(t, set, set)
		served := make(chan []error, 1)
		go func() { served <- serve() }()
		eventually(t, "the batch waits", func() bool { return count(t, admin, waiting, cfg.Database) == 1 })
		leave()
		for _, err := range <-served {
			assert.ErrorIs(t, err, context.Canceled)
			assert.True(t, mysqlsession.OutcomeUnknown(err))
		}
		c.holds(t, "a", "old") // the row is still locked
		require.Equal(t, int64(1), c.Pool().Stat().BrokenDestroyCount)
		require.NoError(t, lock.Rollback())
	})
}
