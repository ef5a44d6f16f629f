package mysqlsession_test

import (
	"context"
	"database/sql"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/mysqlsession/mysqlsession"
	"github.com/mysqlsession/mysqlsession/internal/dbtest"
)

// four is a batch of four calls of a kind, each with a session of its own.
func four(t *testing.T, c *company, do func(ctx context.Context, key string) error) []call {
	t.Helper()
	var calls []call
	for i := range 4 {
		require.NoError(t, c.set(t, fmt.Sprint("key", i), "old")())
		calls = append(calls, func() error { return do(t.Context(), fmt.Sprint("key", i)) })
	}
	return calls
}

// onGate runs test on every server with a company whose connections go through a gate.
func onGate(t *testing.T, test func(t *testing.T, c *company, g *gate, admin *sql.DB)) {
	t.Helper()
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		cfg := server.NewDatabase(t)
		createNewTables(t, cfg, nil)
		g := through(t, &cfg)
		test(t, newCompany(t, cfg), g, server.AdminIn(t, cfg.Database))
	})
}

func TestABatchWhoseConnectionIsLostIsServedOnAnotherOrItsOutcomeIsUnknownToAll(t *testing.T) {
	const call, commit = 1, 2 // writes that pass before: the one that kept the lane, the statements
	tests := []struct {
		kind    string
		after   int
		how     loss
		unknown bool
	}{
		{"get", call, lossBefore, false},
		{"get", call, lossMiddle, false},
		{"get", call, lossBehind, false},
		{"get", call, lossOfAReply, false},
		{"set", call, lossBefore, false},
		{"set", call, lossMiddle, false}, // the server does not run a part
		{"set", call, lossBehind, true},
		{"set", call, lossOfAReply, true},
		{"touch", call, lossBefore, false},
		{"touch", call, lossMiddle, false},
		{"touch", call, lossBehind, true},
		{"touch", call, lossOfAReply, true},
		{"delete", call, lossBefore, false},
		{"delete", call, lossMiddle, false},
		{"delete", call, lossBehind, true},
		{"delete", call, lossOfAReply, true},
		{"set with metadata", call, lossBefore, false},
		{"set with metadata", call, lossMiddle, false}, // nothing was committed
		{"set with metadata", call, lossBehind, false},
		{"set with metadata", call, lossOfAReply, false},
		{"set with metadata", commit, lossBefore, false},
		{"set with metadata", commit, lossMiddle, true}, // the first half may be the COMMIT
		{"set with metadata", commit, lossBehind, true},
		{"set with metadata", commit, lossOfAReply, true},
		{"set in place of one", call, lossMiddle, false},
		{"set in place of one", call, lossBehind, false},
		{"set in place of one", commit, lossBehind, true},
		{"set what exists", call, lossMiddle, false},
		{"set what exists", call, lossBehind, false},
		{"set what exists", commit, lossBehind, true},
	}
	onGate(t, func(t *testing.T, c *company, g *gate, _ *sql.DB) {
		for _, test := range tests {
			t.Run(fmt.Sprint(test.kind, " ", test.after, " ", test.how), func(t *testing.T) {
				do := everyKind(c)[test.kind]
				errorsOnlyOf(t, c.together(t, four(t, c, do)...), nil) // prepares what it takes
				serve := c.queue(t, four(t, c, do)...)
				before := c.Pool().Stat()
				g.loseAfter(test.after, test.how)
				defer g.open()
				errs := serve()
				if test.unknown {
					for _, err := range errs {
						assert.True(t, mysqlsession.OutcomeUnknown(err), err)
						assert.ErrorIs(t, err, mysqlsession.ErrUnavailable)
						assert.False(t, mysqlsession.SafeToRetry(err))
					}
				} else {
					errorsOnlyOf(t, errs, nil)
				}
				require.Len(t, c.batches(), 1)
				c.rest(t)
				require.Equal(t, before.BrokenDestroyCount+1, c.Pool().Stat().BrokenDestroyCount)
			})
		}
	})
}

// kindNames are the names of everyKind's calls.
var kindNames = [...]string{"get", "set", "set with metadata", "set what exists", "set in place of one", "touch", "delete"}

func TestWhenTheServerIsGoneEverybodyInTheQueueIsToldSoon(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		shared := server.NewDatabase(t)
		createNewTables(t, shared, nil)
		for _, name := range kindNames {
			t.Run(name, func(t *testing.T) {
				cfg := shared
				g := through(t, &cfg)
				c := newCompany(t, cfg)
				calls := four(t, c, everyKind(c)[name])
				calls = append(calls, calls...)
				serve := c.queue(t, append(calls, calls...)...)
				g.loseAfter(0, lossBeforeEach)
				began := time.Now()
				for _, err := range serve() {
					assert.ErrorIs(t, err, mysqlsession.ErrUnavailable)
					assert.True(t, mysqlsession.SafeToRetry(err), err)
				}
				assert.Less(t, time.Since(began), 4*time.Second, "well before ConnectTimeout")
				require.Zero(t, c.Pool().Stat().Waiting)
			})
		}
	})
}

func TestABatchKilledWhileItWritesLeavesItsOutcomeUnknownToAllAndIsNotRepeated(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		cfg := server.NewDatabase(t)
		createNewTables(t, cfg, nil)
		admin := server.AdminIn(t, cfg.Database)
		c := newCompany(t, cfg)
		calls := four(t, c, everyKind(c)["set"])
		connection := idleConnection(t, c.Pool())
		lock := lockSession(t, admin, "key2")
		serve := c.queue(t, append(calls, calls...)...)
		served := make(chan []error, 1)
		go func() { served <- serve() }()
		eventually(t, "the batch waits", func() bool { return count(t, admin, running, connection, "INSERT") == 1 })
		kill(t, admin, connection)
		for _, err := range <-served {
			assert.True(t, mysqlsession.OutcomeUnknown(err), err)
			assert.ErrorIs(t, err, mysqlsession.ErrUnavailable)
		}
		require.NoError(t, lock.Rollback())
		for i := range 4 {
			c.holds(t, fmt.Sprint("key", i), "old")
		}
	})
}

// A deadlock ends the transaction, and the server goes on with the statements behind it.
func TestADeadlockInTheMiddleOfATransactionOfManyLeavesNothingByHalves(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		cfg := server.NewDatabase(t)
		createNewTables(t, cfg, nil)
		admin := server.AdminIn(t, cfg.Database)
		execute(t, admin, ballast)
		c := newCompany(t, cfg)
		rotate := func(i int) call {
			return c.set(t, fmt.Sprint("new", i), "new", must(fmt.Sprint("key", i), "subject"))
		}
		for i := range 6 {
			require.NoError(t, c.set(t, fmt.Sprint("key", i), "old")())
		}
		require.NoError(t, c.set(t, "new9", "", must("key5", ""))()) // prepares what it takes
		connection := idleConnection(t, c.Pool())
		serve := c.queue(t, rotate(0), rotate(1), rotate(2), rotate(3))
		var errs []error
		require.NoError(t, deadlock(t, admin, connection, func() error { errs = serve(); return nil },
			"UPDATE sessions SET data = 'theirs' WHERE sid = 'key2'", "UPDATE", "UPDATE sessions SET data = 'theirs' WHERE sid = 'key0'"))
		errorsOnlyOf(t, errs, nil)
		assert.Equal(t, []string{"new0", "new1", "new2", "new3"}, c.subjects(t, "subject"))
		for i := range 4 {
			c.holds(t, fmt.Sprint("key", i), "")
			c.holds(t, fmt.Sprint("new", i), "new")
		}
	})
}
