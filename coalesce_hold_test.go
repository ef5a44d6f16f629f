package mysqlsession_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/mysqlsession/mysqlsession"
	"github.com/mysqlsession/mysqlsession/internal/dbtest"
)

// waitedTooLong asserts that exactly the calls of these numbers have waited for a lock for
// too long, and are known to have changed nothing.
func waitedTooLong(t *testing.T, errs []error, numbers ...int) {
	t.Helper()
	rest := append([]error(nil), errs...)
	for _, number := range numbers {
		var refused *mysqlsession.ServerError
		if assert.ErrorAs(t, errs[number], &refused, "call %d", number) {
			assert.Equal(t, uint16(1205), refused.Code, "call %d", number)
		}
		assert.True(t, mysqlsession.SafeToRetry(errs[number]), "call %d", number)
		rest[number] = nil
	}
	errorsOnlyOf(t, rest, nil)
}

// Each call of such a batch was run by itself, one after the other: the last one had an
// answer after as many LockWaitTimeouts as there were calls for sessions that were held.
func TestInABatchOnlyCallsForSessionsThatOthersHoldFailAndNobodyWaitsTwice(t *testing.T) {
	tests := []struct {
		name string
		do   func(t *testing.T, c *company, key string) call
		old  bool // it is about the old one
	}{
		{"set", func(t *testing.T, c *company, key string) call { return c.set(t, key, "new") }, false},
		{"delete", func(t *testing.T, c *company, key string) call { return c.delete(t, key) }, false},
		{"set in place of one", func(t *testing.T, c *company, key string) call {
			return c.set(t, "new"+key, "new", must(key, "subject"))
		}, true},
		{"set after another", func(t *testing.T, c *company, key string) call {
			return c.rotate(t, key, "new"+key, "new")
		}, true},
	}
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		cfg := server.NewDatabase(t)
		createNewTables(t, cfg, nil)
		cfg.LockWaitTimeout = time.Second
		admin := server.AdminIn(t, cfg.Database)
		c := newCompany(t, cfg)
		for _, test := range tests {
			t.Run(test.name, func(t *testing.T) {
				execute(t, admin, "DELETE FROM sessions")
				var calls []call
				for i := range 8 {
					require.NoError(t, c.set(t, fmt.Sprint("key", i), "old")())
					calls = append(calls, test.do(t, c, fmt.Sprint("key", i)))
				}
				held := []int{2}
				for range 8 {
					if test.name == "set" {
						held = append(held, len(calls))
						calls = append(calls, test.do(t, c, "key2"))
					}
				}
				lock := lockSession(t, admin, "key2")
				began := time.Now()
				errs := c.together(t, calls...)
				assert.Less(t, time.Since(began), 1900*time.Millisecond)
				require.NoError(t, lock.Rollback())
				waitedTooLong(t, errs, held...)
				require.Len(t, c.batches(), 1)
				c.holds(t, "key2", "old")
				if test.old {
					c.holds(t, "newkey2", "")
					c.holds(t, "newkey3", "new")
					assert.Len(t, c.subjects(t, "subject"), 7)
				}
			})
		}
		require.Equal(t, int64(1), c.Pool().Stat().NewConnsCount, "the connection is kept")
	})
}

func TestABatchOnATableThatIsLockedFailsInAFewLockWaitTimeouts(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		cfg := server.NewDatabase(t)
		createNewTables(t, cfg, nil)
		cfg.LockWaitTimeout = time.Second
		c := newCompany(t, cfg)
		var calls []call
		var all []int
		for i := range 16 {
			calls, all = append(calls, c.set(t, fmt.Sprint("key", i), "new")), append(all, i)
		}
		serve := c.queue(t, calls...)
		lock, err := server.AdminIn(t, cfg.Database).Conn(t.Context())
		require.NoError(t, err)
		defer func() { require.NoError(t, lock.Close()) }()
		_, err = lock.ExecContext(t.Context(), "LOCK TABLES sessions WRITE")
		require.NoError(t, err)
		began := time.Now()
		errs := serve()
		assert.Less(t, time.Since(began), 6*time.Second, "of which one second is that of the call that kept the lane")
		_, err = lock.ExecContext(t.Context(), "UNLOCK TABLES")
		require.NoError(t, err)
		waitedTooLong(t, errs, all...)
		require.NoError(t, calls[0]())
	})
}

// What is not in the table cannot be seen to be held.
func TestInABatchACallForASessionThatAnotherIsAboutToInsertFailsAlone(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		cfg := server.NewDatabase(t)
		createNewTables(t, cfg, nil)
		cfg.LockWaitTimeout = time.Second
		admin := server.AdminIn(t, cfg.Database)
		c := newCompany(t, cfg)
		tx, err := admin.BeginTx(t.Context(), nil)
		require.NoError(t, err)
		defer func() { require.NoError(t, tx.Rollback()) }()
		_, err = tx.ExecContext(t.Context(), "INSERT INTO sessions VALUES ('b', 'name', 'theirs', '2031-02-03')")
		require.NoError(t, err)
		waitedTooLong(t, c.together(t, c.set(t, "a", "new"), c.set(t, "b", "new"), c.set(t, "c", "new"), c.set(t, "d", "new")), 1)
	})
}
