package mysqlsession_test

import (
	"context"
	"database/sql"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/mysqlsession/mysqlsession"
	"github.com/mysqlsession/mysqlsession/internal/dbtest"
)

// notes creates a table with the rows 1 and 2, each holding 0.
func notes(t *testing.T, admin *sql.DB) {
	t.Helper()
	execute(t, admin, "CREATE TABLE notes (id INT PRIMARY KEY, n INT NOT NULL DEFAULT 0) ENGINE=InnoDB")
	execute(t, admin, "INSERT INTO notes (id) VALUES (1), (2)")
}

// changedNotes counts the rows that a transaction under test has changed or added.
func changedNotes(t *testing.T, admin *sql.DB) int {
	t.Helper()
	return count(t, admin, "SELECT COUNT(*) FROM notes WHERE n = 7")
}

func TestATransactionCommitsInTwoRoundTripsAndLeavesNothingOpen(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		cfg := server.NewDatabase(t)
		admin := server.AdminIn(t, cfg.Database)
		notes(t, admin)
		conn := connect(t, cfg)
		before := conn.RoundTrips()
		require.NoError(t, conn.Transact(t.Context(),
			"UPDATE notes SET n = 7 WHERE id = 1", "INSERT INTO notes VALUES (3, 7)"))
		require.Equal(t, uint64(2), conn.RoundTrips()-before)
		require.True(t, conn.Reusable())
		require.Equal(t, "1", value(t, conn, "SELECT @@autocommit"))
		require.Equal(t, 2, changedNotes(t, admin))
	})
}

func TestASetWithEverythingTakesTwoRoundTripsOncePrepared(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		store := openOnOneConnection(t, server.NewDatabase(t))
		options := &mysqlsession.SetOptions{
			OldKey: "old", StaleTTL: time.Minute,
			Metadata: []mysqlsession.Metadata{{Audience: "a", Subject: "one"}, {Audience: "a", Subject: "two"}},
		}
		trips := func() uint64 {
			conn, err := store.Pool().Acquire(t.Context())
			require.NoError(t, err)
			defer conn.Release()
			return conn.Conn().RoundTrips()
		}
		for _, mustExist := range []bool{false, true} {
			options.MustExist = mustExist
			require.NoError(t, store.Set(t.Context(), "name", "old", []byte("value"), time.Minute, nil))
			require.NoError(t, store.Set(t.Context(), "name", "new", []byte("value"), time.Minute, options))
			before := trips()
			require.NoError(t, store.Set(t.Context(), "name", "new", []byte("value"), time.Minute, options))
			require.Equal(t, uint64(2), trips()-before)
		}
		before := trips()
		require.NoError(t, store.Set(t.Context(), "name", "new", []byte("value"), time.Minute, nil))
		_, err := store.Get(t.Context(), "name", "new")
		require.NoError(t, err)
		_, err = store.Get(t.Context(), "name", "new")
		require.NoError(t, err)
		require.Equal(t, uint64(1+2+1), trips()-before, "a first read is prepared")
	})
}

// deadlock provokes a deadlock in the middle of a transaction that run starts on the
// connection. Its opponent gets a lock with the statement theirs, at which the one that
// begins with waits then waits, and asks with the statement ours for a lock that the
// transaction has already.
func deadlock(t *testing.T, admin *sql.DB, connection uint32, run func() error, theirs, waits, ours string) error {
	t.Helper()
	opponent, err := admin.BeginTx(t.Context(), nil)
	require.NoError(t, err)
	defer func() { _ = opponent.Rollback() }() // no error if it has ended
	_, err = opponent.ExecContext(t.Context(), theirs)
	require.NoError(t, err)
	// The victim is the one that has changed less.
	_, err = opponent.ExecContext(t.Context(), "INSERT INTO ballast VALUES "+strings.Repeat("(0), ", 199)+"(0)")
	require.NoError(t, err)

	done := make(chan error, 1)
	go func() { done <- run() }()
	eventually(t, "the transaction waits for its opponent", func() bool { return count(t, admin, running, connection, waits) == 1 })
	_, err = opponent.ExecContext(t.Context(), ours)
	require.NoError(t, err, "the opponent must be the one that survives")
	require.NoError(t, opponent.Commit())
	return <-done
}

const ballast = "CREATE TABLE ballast (n INT) ENGINE=InnoDB"

// The server goes on behind a deadlock. What it then does must not last.
func TestADeadlockInTheMiddleOfAPipelineLeavesNothingCommitted(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		cfg := server.NewDatabase(t)
		admin := server.AdminIn(t, cfg.Database)
		notes(t, admin)
		execute(t, admin, ballast)
		conn := connect(t, cfg)
		err := deadlock(t, admin, conn.ConnectionID(), func() error {
			return conn.Transact(t.Context(),
				"UPDATE notes SET n = 7 WHERE id = 1",
				"UPDATE notes SET n = 7 WHERE id = 2", // the victim
				"INSERT INTO notes VALUES (3, 7)", "INSERT INTO notes VALUES (4, 7)")
		}, "UPDATE notes SET n = 1 WHERE id = 2", "UPDATE notes SET n = 7 WHERE id = 2", "UPDATE notes SET n = 1 WHERE id = 1")
		var refused *mysqlsession.ServerError
		require.ErrorAs(t, err, &refused)
		require.Equal(t, uint16(1213), refused.Code)
		require.True(t, mysqlsession.SafeToRetry(err))
		require.False(t, mysqlsession.OutcomeUnknown(err))
		require.Zero(t, changedNotes(t, admin), "statements behind the deadlock have run, and were rolled back")
		require.True(t, conn.Reusable(), "the connection is kept")
		require.NoError(t, conn.Transact(t.Context(), "INSERT INTO notes VALUES (3, 7)"))
		require.Equal(t, 1, changedNotes(t, admin))
	})
}

func TestAStoreRepeatsWhatADeadlockUndid(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		cfg := server.NewDatabase(t)
		admin := server.AdminIn(t, cfg.Database)
		execute(t, admin, ballast)
		store := openOnOneConnection(t, cfg)
		for _, key := range []string{"a", "b"} {
			require.NoError(t, store.Set(t.Context(), "name", key, []byte("old"), time.Minute, nil))
		}
		metadata := []mysqlsession.Metadata{{Audience: "audience", Subject: "subject"}}
		err := deadlock(t, admin, idleConnection(t, store.Pool()), func() error {
			return store.Set(t.Context(), "name", "b", []byte("new"), time.Minute,
				&mysqlsession.SetOptions{OldKey: "a", Metadata: metadata})
		}, "UPDATE sessions SET data = 'theirs' WHERE sid = 'b'", "INSERT INTO", "UPDATE sessions SET data = 'theirs' WHERE sid = 'a'")
		require.NoError(t, err)
		got, err := store.Get(t.Context(), "name", "b")
		require.NoError(t, err)
		require.Equal(t, "new", string(got))
		_, err = store.Get(t.Context(), "name", "a")
		require.ErrorIs(t, err, mysqlsession.ErrNotFound)
		require.Equal(t, int64(1), store.Pool().Stat().NewConnsCount)
	})
}

func TestALockThatTakesTooLongIsAnErrorAndLeavesNothing(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		cfg := server.NewDatabase(t)
		cfg.LockWaitTimeout = time.Second
		admin := server.AdminIn(t, cfg.Database)
		notes(t, admin)
		conn := connect(t, cfg)
		opponent, err := admin.BeginTx(t.Context(), nil)
		require.NoError(t, err)
		defer func() { require.NoError(t, opponent.Rollback()) }()
		_, err = opponent.ExecContext(t.Context(), "UPDATE notes SET n = 1 WHERE id = 2")
		require.NoError(t, err)

		tests := map[string]func(ctx context.Context) error{
			"one statement": func(ctx context.Context) error {
				_, err := conn.Exec(ctx, "UPDATE notes SET n = ?", 7)
				return err
			},
			"a transaction": func(ctx context.Context) error {
				return conn.Transact(ctx, "UPDATE notes SET n = 7 WHERE id = 1",
					"UPDATE notes SET n = 7 WHERE id = 2", "INSERT INTO notes VALUES (3, 7)")
			},
		}
		for name, run := range tests {
			t.Run(name, func(t *testing.T) {
				err := run(t.Context())
				var refused *mysqlsession.ServerError
				require.ErrorAs(t, err, &refused)
				require.Equal(t, uint16(1205), refused.Code)
				require.True(t, mysqlsession.SafeToRetry(err))
				require.Zero(t, changedNotes(t, admin))
				require.True(t, conn.Reusable())
			})
		}
	})
}

// A COMMIT that fails must not leave its transaction open, as what switches autocommit on
// would commit it, and the caller was told that nothing was applied.
func TestACommitThatTheServerRefusesHasRolledBack(t *testing.T) {
	tests := map[uint16]func(t *testing.T, server dbtest.Server){
		1205: func(t *testing.T, server dbtest.Server) { // a backup's lock holds it up
			backup, err := server.Admin(t).Conn(t.Context())
			require.NoError(t, err)
			_, err = backup.ExecContext(t.Context(), "FLUSH TABLES WITH READ LOCK")
			require.NoError(t, err)
			t.Cleanup(func() { assert.NoError(t, backup.Close()) })
			t.Cleanup(func() {
				_, err := backup.ExecContext(context.Background(), "UNLOCK TABLES")
				assert.NoError(t, err)
			})
		},
		1290: func(t *testing.T, server dbtest.Server) { // a failover
			server.SetGlobal(t, "read_only", 1)
		},
	}
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		cfg := server.NewDatabase(t)
		cfg.LockWaitTimeout = time.Second
		admin := server.AdminIn(t, cfg.Database)
		notes(t, admin)
		cfg = server.NewUser(t, cfg, "ALL") // whom read_only does not spare
		for code, obstruct := range tests {
			conn := connect(t, cfg)
			t.Run(strconv.Itoa(int(code)), func(t *testing.T) {
				err := conn.TransactAnd(t.Context(), func() { obstruct(t, server) }, "INSERT INTO notes VALUES (3, 7)")
				var refused *mysqlsession.ServerError
				require.ErrorAs(t, err, &refused)
				require.Equal(t, code, refused.Code)
				require.True(t, mysqlsession.SafeToRetry(err))
			})
			require.NoError(t, conn.Close())
			require.Zero(t, changedNotes(t, admin), "%d", code)
		}
	})
}

// Without its privilege the transaction is refused before anything runs. That says nothing
// about the session, whose owner must not be logged out.
func TestASessionIsNotTakenForMissingWhenItsTransactionCannotBePrepared(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		cfg := server.NewDatabase(t)
		createNewTables(t, cfg, nil)
		restricted := server.NewUser(t, cfg, "SELECT")
		execute(t, server.Admin(t), "GRANT INSERT, UPDATE, DELETE ON "+cfg.Database+".sessions TO '"+restricted.Username+"'@'%'")
		store := openStore(t, restricted)
		require.NoError(t, store.Set(t.Context(), "name", "key", nil, time.Minute, nil))
		err := store.Set(t.Context(), "name", "key", nil, time.Minute, &mysqlsession.SetOptions{
			MustExist: true, Metadata: []mysqlsession.Metadata{{Audience: "a", Subject: "s"}},
		})
		require.NotErrorIs(t, err, mysqlsession.ErrNotFound)
		require.ErrorContains(t, err, "privilege missing")
	})
}
