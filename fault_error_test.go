package mysqlsession_test

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/mysqlsession/mysqlsession"
	"github.com/mysqlsession/mysqlsession/internal/dbtest"
)

// reportedError is an error that a server reports for a statement, and what must come of it.
type reportedError struct {
	code    uint16
	mariadb bool // the code has this meaning on a MariaDB
	mysql   bool // on a MySQL
	discard bool // the connection is closed
	again   bool // a write is done again on another connection; a read is whenever it is closed
	unknown bool // whether a write was applied
	is      error
}

var reportedErrors = []reportedError{
	{code: 1047, mariadb: true, mysql: true, discard: true, again: true},                                    // Galera's node is not ready
	{code: 1053, mariadb: true, mysql: true, discard: true, again: true},                                    // shutting down
	{code: 1290, mariadb: true, mysql: true, discard: true, again: true},                                    // read-only
	{code: 1792, mariadb: true, mysql: true, discard: true, again: true},                                    // read-only
	{code: 1836, mariadb: true, mysql: true, discard: true, again: true},                                    // read-only
	{code: 1927, mariadb: true, discard: true},                                                              // connection was killed
	{code: 3032, mysql: true, discard: true},                                                                // offline mode
	{code: 3168, mysql: true, discard: true},                                                                // unavailable
	{code: 3169, mysql: true, discard: true},                                                                // session was killed
	{code: 4031, mysql: true, discard: true},                                                                // idle for too long
	{code: 4031, mariadb: true},                                                                             // a trigger's affair
	{code: 1158, mariadb: true, mysql: true, discard: true, again: true},                                    // it could not read the request
	{code: 1161, mariadb: true, mysql: true, discard: true, unknown: true, is: mysqlsession.ErrUnavailable}, // nor write the answer
	{code: 1105, mariadb: true, mysql: true, discard: true, unknown: true},                                  // a proxy has lost its server
	{code: 9001, mariadb: true, mysql: true, discard: true, unknown: true},                                  // ProxySQL's word for it
	{code: 1153, mariadb: true, mysql: true, discard: true, is: mysqlsession.ErrValueTooLarge},              // over max_allowed_packet
	{code: 1021, mariadb: true, mysql: true},                                                                // disk full
	{code: 1114, mariadb: true, mysql: true},                                                                // table full
	{code: 1317, mariadb: true, mysql: true},                                                                // KILL QUERY
	{code: 1969, mariadb: true, is: mysqlsession.ErrUnavailable},                                            // max_statement_time
	{code: 3024, mysql: true, is: os.ErrDeadlineExceeded},                                                   // max_execution_time
	{code: 1041, mariadb: true, mysql: true},                                                                // out of memory
}

func (r reportedError) on(server dbtest.Server) bool {
	return server.MariaDB() && r.mariadb || !server.MariaDB() && r.mysql
}

// signal is a statement that fails like this on one connection.
func (r reportedError) signal(connection uint32) string {
	return fmt.Sprintf("IF CONNECTION_ID() = %d THEN SIGNAL SQLSTATE 'HY000' SET MYSQL_ERRNO = %d, MESSAGE_TEXT = 'the server''s words'; END IF",
		connection, r.code)
}

// The first connection's statements fail; another connection's do not.
func TestAWritesErrorIsHandledAsItsCodeDemands(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		f := behindProxy(t, server, func(cfg *mysqlsession.Config) { cfg.PoolSize = 1 })
		f.secrets = append(f.secrets, "the server's words")
		for _, r := range reportedErrors {
			if !r.on(server) {
				continue
			}
			t.Run(strconv.Itoa(int(r.code)), func(t *testing.T) {
				require.NoError(t, f.set(t.Context(), keptValue))
				execute(t, f.admin, "CREATE TRIGGER refuse BEFORE INSERT ON sessions FOR EACH ROW "+r.signal(idleConnection(t, f.pool)))
				before := f.pool.Stat()
				err := f.call(t, t.Context(), 0, func(ctx context.Context) error { return f.set(ctx, "new p4yload") })
				after := f.pool.Stat()
				execute(t, f.admin, "DROP TRIGGER refuse")
				require.Equal(t, r.discard, after.BrokenDestroyCount > before.BrokenDestroyCount)
				requireReported(t, r, err, r.again)
				require.Equal(t, map[bool]string{true: "new p4yload", false: keptValue}[r.again], f.stored(t))
				require.Equal(t, r.unknown, mysqlsession.OutcomeUnknown(err))
				f.healed(t)
			})
		}
	})
}

func TestAReadsErrorIsHandledAsItsCodeDemands(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		f := behindProxy(t, server, func(cfg *mysqlsession.Config) { cfg.PoolSize = 1 })
		f.secrets = append(f.secrets, "the server's words")
		execute(t, f.admin, "RENAME TABLE sessions TO real_sessions")
		for _, r := range reportedErrors {
			if !r.on(server) || r.is != nil {
				continue
			}
			t.Run(strconv.Itoa(int(r.code)), func(t *testing.T) {
				execute(t, f.admin, "CREATE FUNCTION refuse() RETURNS INT NOT DETERMINISTIC NO SQL BEGIN "+
					r.signal(idleConnection(t, f.pool))+"; RETURN 1; END")
				execute(t, f.admin, "CREATE VIEW sessions AS SELECT * FROM real_sessions WHERE refuse() = 1")
				before := f.pool.Stat()
				err := f.call(t, t.Context(), 0, func(ctx context.Context) error { return f.get(ctx, keptValue) })
				after := f.pool.Stat()
				execute(t, f.admin, "DROP VIEW sessions; DROP FUNCTION refuse")
				require.Equal(t, r.discard, after.BrokenDestroyCount > before.BrokenDestroyCount)
				requireReported(t, r, err, r.discard)
			})
		}
		execute(t, f.admin, "RENAME TABLE real_sessions TO sessions")
		f.healed(t)
	})
}

// requireReported sees that the caller is told, or not if it was done again.
func requireReported(t *testing.T, r reportedError, err error, again bool) {
	t.Helper()
	if again {
		require.NoError(t, err)
		return
	}
	requireServerError(t, err, r.code)
	require.Equal(t, !r.unknown, mysqlsession.SafeToRetry(err))
	if r.is != nil {
		require.ErrorIs(t, err, r.is)
	}
}

// Calls that met a server on its way down, twice, got an error that did not say so.
func TestAServerThatServesNobodyIsUnavailable(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		f := behindProxy(t, server, nil)
		for _, code := range []uint16{1047, 1053, 1203, 1040} {
			execute(t, f.admin, fmt.Sprintf("CREATE TRIGGER refuse BEFORE INSERT ON sessions FOR EACH ROW "+
				"SIGNAL SQLSTATE '08S01' SET MYSQL_ERRNO = %d, MESSAGE_TEXT = ''", code))
			err := f.call(t, t.Context(), 0, func(ctx context.Context) error { return f.set(ctx, "p4yload") })
			execute(t, f.admin, "DROP TRIGGER refuse")
			requireServerError(t, err, code)
			require.ErrorIs(t, err, mysqlsession.ErrUnavailable)
			require.True(t, mysqlsession.SafeToRetry(err))
			f.healed(t)
		}
	})
}

func TestAServerThatTakesNoMoreConnectionsIsUsedWithThoseThereAre(t *testing.T) {
	const room = 12 // MariaDB takes no less than 10
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		f := behindProxy(t, server, func(cfg *mysqlsession.Config) { cfg.PoolSize = 4 })
		server.SetGlobal(t, "max_connections", room)
		var others []*mysqlsession.Conn
		var full error
		for range room {
			conn, err := mysqlsession.Connect(t.Context(), f.cfg)
			if full = err; full != nil {
				break
			}
			others = append(others, conn)
		}
		requireServerError(t, full, 1040)
		require.ErrorIs(t, full, mysqlsession.ErrUnavailable)
		var group sync.WaitGroup
		for range 8 {
			group.Go(func() {
				for range 20 {
					assert.NoError(t, f.call(t, t.Context(), 10*time.Second, func(ctx context.Context) error { return f.echo(ctx, f.tag()) }))
				}
			})
		}
		group.Wait()
		require.Equal(t, 1, f.pool.Stat().TotalConns, "it has not grown")
		for _, conn := range others {
			require.NoError(t, conn.Close())
		}
		eventually(t, "the server is rid of them", func() bool {
			held := make([]*mysqlsession.PoolConn, 0, 4)
			defer func() { release(held) }()
			for range 4 {
				conn, err := f.pool.Acquire(within(t, time.Second))
				if err != nil {
					return false
				}
				held = append(held, conn)
			}
			return true
		})
		f.healed(t)
	})
}

// A connection keeps the limit that it was opened with. The next one learns of the new one
// before it sends anything.
func TestAPacketLimitThatIsLoweredMeanwhileIsHeeded(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		f := behindProxy(t, server, func(cfg *mysqlsession.Config) { cfg.PoolSize = 1 })
		value := string(make([]byte, 300<<10))
		require.NoError(t, f.set(t.Context(), value))
		server.SetGlobal(t, "max_allowed_packet", 128<<10)
		require.NoError(t, f.call(t, t.Context(), 0, func(ctx context.Context) error { return f.set(ctx, value+"p4yload") }))
		require.Zero(t, f.pool.Stat().BrokenDestroyCount)
		acquire(t, f.pool).Discard()
		before := f.pool.Stat()
		sent := f.proxy.Passed(0)
		for range 3 {
			err := f.call(t, t.Context(), 0, func(ctx context.Context) error { return f.set(ctx, value) })
			require.ErrorIs(t, err, mysqlsession.ErrValueTooLarge)
			require.True(t, mysqlsession.SafeToRetry(err))
		}
		require.Less(t, f.proxy.Passed(0)-sent, int64(64<<10), "it was not sent")
		require.Equal(t, before.BrokenDestroyCount, f.pool.Stat().BrokenDestroyCount)
		require.NoError(t, f.get(t.Context(), value+"p4yload"), "what is larger can still be read")
		f.healed(t)
	})
}

// Where one ALTER waits for one forgotten transaction, all that comes behind it waits too.
func TestADDLThatWaitsForALockHoldsCallsUpForLockWaitTimeout(t *testing.T) {
	const limit = time.Second
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		f := behindProxy(t, server, func(cfg *mysqlsession.Config) { cfg.LockWaitTimeout = limit })
		forgotten := lockSession(t, f.admin, "another")
		altering, err := f.admin.Conn(t.Context())
		require.NoError(t, err)
		defer func() { require.NoError(t, altering.Close()) }()
		altered := make(chan error, 1)
		go func() {
			_, err := altering.ExecContext(context.WithoutCancel(t.Context()), "ALTER TABLE sessions ADD COLUMN more INT")
			altered <- err
		}()
		eventually(t, "the ALTER waits", func() bool {
			return count(t, f.admin, "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE STATE LIKE 'Waiting for table metadata lock%' AND DB = ?", f.cfg.Database) == 1
		})
		calls := map[string]func(ctx context.Context) error{
			"set": func(ctx context.Context) error { return f.set(ctx, "p4yload") },
			"get": func(ctx context.Context) error { return f.get(ctx, keptValue) },
		}
		for name, call := range calls {
			err := f.call(t, t.Context(), limit, call)
			requireServerError(t, err, 1205)
			require.True(t, mysqlsession.SafeToRetry(err), name)
		}
		require.Zero(t, f.pool.Stat().BrokenDestroyCount, "the connection is kept")
		require.NoError(t, forgotten.Rollback())
		require.NoError(t, <-altered)
		require.NoError(t, f.get(t.Context(), keptValue))
		f.healed(t)
	})
}

// A clean-up that deleted by the expiry's index deadlocked with writers.
func TestTheCleanUpFailsNobodysCall(t *testing.T) {
	const expired, callers, each = 3000, 6, 60
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		f := behindProxy(t, server, func(cfg *mysqlsession.Config) {
			cfg.PoolSize, cfg.CleanupBatchSize, cfg.Coalesce = 4, 50, mysqlsession.CoalesceOn
		})
		for start := 0; start < expired; start += 500 {
			statement := "INSERT INTO sessions (sid, name, data, exp) VALUES "
			for i := range 500 {
				statement += fmt.Sprintf("('expired-%d', 'name', 'x', '2020-01-01'), ", start+i)
			}
			execute(t, f.admin, statement[:len(statement)-2])
		}
		var group sync.WaitGroup
		for caller := range callers {
			group.Go(func() {
				for n := range each {
					assert.NoError(t, f.call(t, t.Context(), 5*time.Second, func(ctx context.Context) error { return f.echo(ctx, f.tag()) }))
					// Also those that the clean-up is about to take.
					key := "expired-" + strconv.Itoa(caller*each+n)
					assert.NoError(t, f.store.Set(t.Context(), "name", key, []byte(key), time.Minute, nil))
					assert.NoError(t, f.store.Delete(t.Context(), "name", "expired-"+strconv.Itoa(expired-caller*each-n)))
				}
			})
		}
		_, err := f.store.Cleanup(t.Context())
		require.NoError(t, err)
		group.Wait()
		require.Zero(t, count(t, f.admin, "SELECT COUNT(*) FROM sessions WHERE exp < NOW()"))
		require.Zero(t, f.pool.Stat().BrokenDestroyCount)
		f.healed(t)
	})
}
