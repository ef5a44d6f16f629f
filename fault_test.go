package mysqlsession_test

import (
	"context"
	"database/sql"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/mysqlsession/mysqlsession"
	"github.com/mysqlsession/mysqlsession/internal/dbtest"
)

// eventually waits until a server, which cannot be asked to tell us, has come so far.
func eventually(t *testing.T, what string, reached func() bool) {
	t.Helper()
	look := time.NewTicker(5 * time.Millisecond)
	defer look.Stop()
	deadline := time.NewTimer(20 * time.Second)
	defer deadline.Stop()
	for !reached() {
		select {
		case <-look.C:
		case <-deadline.C:
			t.Fatal("it did not come about: " + what)
		}
	}
}

const (
	// connectionsOf counts the connections with this id.
	connectionsOf = "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE ID = ?"
	// running counts those of them that run a statement which begins like this.
	running = connectionsOf + " AND INFO LIKE CONCAT(?, '%')"
)

// kill ends a connection and waits until the server is rid of it.
func kill(t *testing.T, admin *sql.DB, id uint32) {
	t.Helper()
	execute(t, admin, "KILL CONNECTION "+strconv.Itoa(int(id)))
	waitGone(t, admin, id)
}

func waitGone(t *testing.T, admin *sql.DB, id uint32) {
	t.Helper()
	eventually(t, "the connection is gone", func() bool { return count(t, admin, connectionsOf, id) == 0 })
}

// idleConnection is the id of a pool's only connection.
func idleConnection(t *testing.T, pool *mysqlsession.Pool) uint32 {
	t.Helper()
	conn, err := pool.Acquire(t.Context())
	require.NoError(t, err)
	defer conn.Release()
	return conn.Conn().ConnectionID()
}

// openOnOneConnection opens a store whose pool has one connection, and tables.
func openOnOneConnection(t *testing.T, cfg mysqlsession.Config) *mysqlsession.Store {
	t.Helper()
	createNewTables(t, cfg, nil)
	cfg.PoolSize = 1
	return openStore(t, cfg)
}

func TestAConnectionKilledWhileIdleIsReplacedUnseen(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		cfg := server.NewDatabase(t)
		admin := server.Admin(t)
		for _, transport := range server.Transports() {
			store := openOnOneConnection(t, transport.Over(cfg))
			for i := range int64(3) {
				kill(t, admin, idleConnection(t, store.Pool()))
				awaitIdleness()
				require.NoError(t, store.Set(t.Context(), "name", "key", nil, time.Minute, nil), transport.Name)
				require.Equal(t, i+1, store.Pool().Stat().DeadDestroyCount, "found by the look at it")
			}
			require.Zero(t, store.Pool().Stat().BrokenDestroyCount)
		}
	})
}

// awaitIdleness waits until the pool takes no connection for alive without a look. That
// is a matter of the real time in which the real server's packets travel.
func awaitIdleness() { <-time.After(2 * mysqlsession.PeekAfter) }

func TestAConnectionThatTheServerFoundIdleForTooLongIsReplacedUnseen(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		cfg := server.NewDatabase(t)
		admin := server.Admin(t)
		createNewTables(t, cfg, nil)
		server.SetGlobal(t, "wait_timeout", 1)
		store := openOnOneConnection(t, cfg)
		conn := connect(t, cfg)
		waitGone(t, admin, idleConnection(t, store.Pool()))
		waitGone(t, admin, conn.ConnectionID())
		require.NoError(t, store.Set(t.Context(), "name", "key", nil, time.Minute, nil))
		require.Equal(t, int64(1), store.Pool().Stat().DeadDestroyCount)
		require.Zero(t, store.Pool().Stat().BrokenDestroyCount)

		_, err := conn.Exec(t.Context(), "DO 1") // nobody looked
		require.ErrorIs(t, err, mysqlsession.ErrUnavailable)
		if !server.MariaDB() { // which says why before it closes
			require.True(t, mysqlsession.SafeToRetry(err), err)
			require.ErrorContains(t, err, "4031")
		}
	})
}

func TestAConnectionKilledWhileItWritesLeavesTheOutcomeUnknownAndIsNotRepeated(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		cfg := server.NewDatabase(t)
		admin := server.AdminIn(t, cfg.Database)
		store := openOnOneConnection(t, cfg)
		require.NoError(t, store.Set(t.Context(), "name", "key", []byte("old"), time.Minute, nil))
		id := idleConnection(t, store.Pool())

		lock := lockSession(t, admin, "key")
		done := make(chan error, 1)
		go func() { done <- store.Set(t.Context(), "name", "key", []byte("new"), time.Minute, nil) }()
		eventually(t, "the write waits", func() bool { return count(t, admin, running, id, "INSERT") == 1 })
		kill(t, admin, id)
		err := <-done
		require.NoError(t, lock.Rollback())
		require.True(t, mysqlsession.OutcomeUnknown(err), err)
		require.ErrorIs(t, err, mysqlsession.ErrUnavailable)
		require.False(t, mysqlsession.SafeToRetry(err))
		got, err := store.Get(t.Context(), "name", "key")
		require.NoError(t, err)
		require.Equal(t, "old", string(got), "it was not repeated")
		require.Equal(t, int64(1), store.Pool().Stat().BrokenDestroyCount)
	})
}

func TestAConnectionKilledWhileItReadsIsUnseen(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		cfg := server.NewDatabase(t)
		admin := server.AdminIn(t, cfg.Database)
		store := openOnOneConnection(t, cfg)
		require.NoError(t, store.Set(t.Context(), "name", "key", []byte("value"), time.Minute, nil))
		id := idleConnection(t, store.Pool())

		lock, err := admin.Conn(t.Context()) // DDL's lock makes a read wait too
		require.NoError(t, err)
		defer func() { require.NoError(t, lock.Close()) }()
		_, err = lock.ExecContext(t.Context(), "LOCK TABLES sessions WRITE")
		require.NoError(t, err)
		done := make(chan error, 1)
		go func() {
			_, err := store.Get(t.Context(), "name", "key")
			done <- err
		}()
		eventually(t, "the read waits", func() bool { return count(t, admin, running, id, "SELECT sid") == 1 })
		kill(t, admin, id)
		_, err = lock.ExecContext(t.Context(), "UNLOCK TABLES")
		require.NoError(t, err)
		require.NoError(t, <-done)
	})
}

// lockSession holds a session's row until the transaction ends.
func lockSession(t *testing.T, admin *sql.DB, key string) *sql.Tx {
	t.Helper()
	tx, err := admin.BeginTx(t.Context(), nil)
	require.NoError(t, err)
	t.Cleanup(func() { _ = tx.Rollback() }) // no error if it has ended
	_, err = tx.ExecContext(t.Context(), "SELECT sid FROM sessions WHERE sid = ? FOR UPDATE", key)
	require.NoError(t, err)
	return tx
}

func TestStatementsThatTheServerLostArePreparedAnewUnseen(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		store := openOnOneConnection(t, server.NewDatabase(t))
		options := &mysqlsession.SetOptions{Metadata: []mysqlsession.Metadata{{Audience: "audience", Subject: "subject"}}}
		for range 3 {
			require.NoError(t, store.Set(t.Context(), "name", "key", []byte("value"), time.Minute, nil))
			require.NoError(t, store.Set(t.Context(), "name", "key", []byte("value"), time.Minute, options))
			got, err := store.Get(t.Context(), "name", "key")
			require.NoError(t, err)
			require.Equal(t, "value", string(got))
			require.NoError(t, store.Pool().Do(t.Context(), (*mysqlsession.Conn).LoseStatements))
		}
		require.Equal(t, int64(1), store.Pool().Stat().NewConnsCount, "the connection is kept")
	})
}

func TestAColumnThatIsAddedWhileStatementsArePreparedChangesNothing(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		cfg := server.NewDatabase(t)
		store := openOnOneConnection(t, cfg)
		for i := range 3 {
			require.NoError(t, store.Set(t.Context(), "name", "key", []byte("value"), time.Minute, nil))
			got, err := store.Get(t.Context(), "name", "key")
			require.NoError(t, err)
			require.Equal(t, "value", string(got))
			execute(t, server.AdminIn(t, cfg.Database), "ALTER TABLE sessions ADD COLUMN more"+strconv.Itoa(i)+" INT FIRST")
		}
	})
}

// The server goes on with what its caller has given up. That must end by itself.
func TestWhatCallersGaveUpDoesNotPileUpOnTheServer(t *testing.T) {
	const size, callers = 3, 9
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		cfg := server.NewDatabase(t)
		admin := server.AdminIn(t, cfg.Database)
		createNewTables(t, cfg, nil)
		cfg = server.NewUser(t, cfg, "ALL")
		cfg.PoolSize, cfg.LockWaitTimeout = size, time.Second
		store := openStore(t, cfg)
		require.NoError(t, store.Set(t.Context(), "name", "key", []byte("old"), time.Minute, nil))
		lock := lockSession(t, admin, "key")
		sent := 0
		for range callers {
			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			err := store.Set(ctx, "name", "key", []byte("new"), time.Minute, nil)
			cancel()
			require.ErrorIs(t, err, context.DeadlineExceeded)
			require.NotEqual(t, mysqlsession.SafeToRetry(err), mysqlsession.OutcomeUnknown(err))
			if mysqlsession.OutcomeUnknown(err) {
				sent++
			}
		}
		require.Positive(t, sent)
		eventually(t, "the server has given them up too", func() bool {
			return count(t, admin, ofUser, cfg.Username) == store.Pool().Stat().TotalConns
		})
		require.NoError(t, lock.Rollback())
		got, err := store.Get(t.Context(), "name", "key")
		require.NoError(t, err)
		require.Equal(t, "old", string(got))
	})
}

func TestADDLLockHoldsAWriteUpForLockWaitTimeout(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		cfg := server.NewDatabase(t)
		cfg.LockWaitTimeout = time.Second
		store := openOnOneConnection(t, cfg)
		require.NoError(t, store.Set(t.Context(), "name", "key", nil, time.Minute, nil))
		lock, err := server.AdminIn(t, cfg.Database).Conn(t.Context())
		require.NoError(t, err)
		defer func() { require.NoError(t, lock.Close()) }()
		_, err = lock.ExecContext(t.Context(), "LOCK TABLES sessions WRITE")
		require.NoError(t, err)
		err = store.Set(t.Context(), "name", "key", nil, time.Minute, nil)
		require.ErrorContains(t, err, "lock wait timeout")
		require.True(t, mysqlsession.SafeToRetry(err))
		_, err = lock.ExecContext(t.Context(), "UNLOCK TABLES")
		require.NoError(t, err)
		require.NoError(t, store.Set(t.Context(), "name", "key", nil, time.Minute, nil))
		require.Equal(t, int64(1), store.Pool().Stat().NewConnsCount, "the connection is kept")
	})
}

// MariaDB reports the interruption, MySQL takes it for the end of the sleep.
func TestAnInterruptedStatementKeepsItsConnectionInStep(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		conn := connect(t, server.NewDatabase(t))
		admin := server.Admin(t)
		done := make(chan error, 1)
		go func() {
			done <- conn.Query(t.Context(), "SELECT SLEEP(4)", func(mysqlsession.Row) error { return nil })
		}()
		eventually(t, "it sleeps", func() bool { return count(t, admin, running, conn.ConnectionID(), "SELECT SLEEP") == 1 })
		execute(t, admin, "KILL QUERY "+strconv.Itoa(int(conn.ConnectionID())))
		if err := <-done; err != nil {
			require.ErrorContains(t, err, "statement interrupted")
		}
		require.Equal(t, "mine", value(t, conn, "SELECT 'mine'"))
	})
}

func TestAReadOnlyServerIsNotWritableAndNothingIsApplied(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		cfg := server.NewDatabase(t)
		createNewTables(t, cfg, nil)
		store := openStore(t, server.NewUser(t, cfg, "ALL")) // whom read_only does not spare
		require.NoError(t, store.Set(t.Context(), "name", "key", nil, time.Minute, nil))
		server.SetGlobal(t, "read_only", 1)
		for _, opts := range []*mysqlsession.SetOptions{nil, {OldKey: "key"}} {
			err := store.Set(t.Context(), "name", "new", nil, time.Minute, opts)
			require.ErrorIs(t, err, mysqlsession.ErrNotWritable)
			require.True(t, mysqlsession.SafeToRetry(err))
		}
		_, err := store.Get(t.Context(), "name", "key")
		require.NoError(t, err)
	})
}

// After a failover the old primary answers on, read-only: a pool that kept its connections
// would go on reading there, and see sessions that were revoked on the new one.
func TestAReadOnlyServerIsLeftByTheWholePool(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		cfg := server.NewDatabase(t)
		createNewTables(t, cfg, nil)
		cfg = server.NewUser(t, cfg, "ALL") // whom read_only does not spare
		cfg.PoolSize = 4
		store := openStore(t, cfg)
		require.NoError(t, store.Set(t.Context(), "name", "key", nil, time.Minute, nil))
		release(hold(t, store.Pool(), cfg.PoolSize))
		before := store.Pool().Stat()
		require.Equal(t, cfg.PoolSize, before.IdleConns)

		server.SetGlobal(t, "read_only", 1)
		require.ErrorIs(t, store.Set(t.Context(), "name", "key", nil, time.Minute, nil), mysqlsession.ErrNotWritable)
		after := store.Pool().Stat()
		require.EqualValues(t, 2, after.BrokenDestroyCount-before.BrokenDestroyCount, "the one that was told, and a new one")
		require.EqualValues(t, 3, after.DeadDestroyCount-before.DeadDestroyCount, "all others, before their next use")
	})
}

// A reply that comes after its caller has left must never be the next caller's.
func TestNobodyGetsTheReplyOfACancelledCall(t *testing.T) {
	const callers, each = 8, 60
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		cfg := server.NewDatabase(t)
		cfg.PoolSize = 3
		pool, err := mysqlsession.NewPool(t.Context(), cfg)
		require.NoError(t, err)
		defer func() { assert.NoError(t, pool.Close()) }()
		var group sync.WaitGroup
		for caller := range callers {
			group.Go(func() {
				for n := range each {
					tag := strconv.Itoa(caller) + "/" + strconv.Itoa(n)
					ctx, cancel := context.WithTimeout(t.Context(), time.Duration(n%7)*time.Millisecond/2+time.Microsecond)
					err := pool.Do(ctx, func(conn *mysqlsession.Conn) error {
						return conn.Query(ctx, "SELECT ?, SLEEP(0.001 * ?)", func(row mysqlsession.Row) error {
							if got := row.String(0); got != tag {
								t.Errorf("the reply to %s was given to %s", got, tag)
							}
							return nil
						}, tag, n%3)
					})
					cancel()
					if err != nil && ctx.Err() == nil {
						t.Error(err)
					}
				}
			})
		}
		group.Wait()
		stat := pool.Stat()
		require.Zero(t, stat.AcquiredConns)
		require.Positive(t, stat.DrainedCount, "some must have been cancelled in mid-call, and their connections kept")
	})
}
