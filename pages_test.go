package mysqlsession_test

import (
	"context"
	"database/sql"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/mysqlsession/mysqlsession"
	"github.com/mysqlsession/mysqlsession/internal/conformance"
	"github.com/mysqlsession/mysqlsession/internal/dbtest"
)

// runAll runs statements that are separated by semicolons.
func runAll(t *testing.T, admin *sql.DB, statements string) {
	t.Helper()
	for statement := range strings.SplitSeq(statements, ";") {
		if strings.TrimSpace(statement) != "" {
			execute(t, admin, statement)
		}
	}
}

func TestAGatewaysSessionsAreListedAndEndedAsItsPageSays(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		cfg := server.NewDatabase(t)
		admin := server.AdminIn(t, cfg.Database)
		for _, statement := range conformance.DocumentTables() {
			execute(t, admin, statement)
		}
		hours := time.Now().Add(time.Hour).Unix()
		for sid, subject := range map[string]string{"first": "YWxpY2U", "second": "YWxpY2U", "bobs": "Ym9i", "hashed": hashedSubject("alice")} {
			execute(t, admin, "INSERT INTO sessions VALUES (?, 'session', '{}', FROM_UNIXTIME(?))", sid, hours)
			execute(t, admin, "INSERT INTO sessions_meta VALUES ('ZGVmYXVsdA', ?, ?)", subject, sid)
		}
		store := openStore(t, cfg)

		require.NoError(t, signOutAtTheGateway(t.Context(), store))
		assert.Equal(t, 2, count(t, admin, "SELECT COUNT(*) FROM sessions"), "bob's, and that of the hashed subject")
		n, err := store.DeleteSubject(t.Context(), "session", "ZGVmYXVsdA", hashedSubject("alice"))
		require.NoError(t, err)
		assert.EqualValues(t, 1, n)
	})
}

// oldStore is a table of scs's mysqlstore, with a live session and one that has expired, both
// written as it does: a time of UTC, whatever the time zone of server and connection.
func oldStore(t *testing.T, admin *sql.DB) (live, expired string, end time.Time) {
	t.Helper()
	execute(t, admin, "CREATE TABLE sessions (token CHAR(43) PRIMARY KEY, data BLOB NOT NULL, expiry TIMESTAMP(6) NOT NULL)")
	live, expired, end = newKey(), newKey(), time.Now().Add(time.Hour).UTC()
	for token, expiry := range map[string]time.Time{live: end, expired: end.Add(-2 * time.Hour)} {
		execute(t, admin, "INSERT INTO sessions (token, data, expiry) VALUES (?, ?, ?)", token, []byte{0, 'x', 255}, expiry)
	}
	return live, expired, end
}

// requireMoved requires that a store has the session that was live, and no other.
func requireMoved(t *testing.T, store *mysqlsession.Store, live, expired string, end time.Time) {
	t.Helper()
	value, err := store.Get(t.Context(), "session", live)
	require.NoError(t, err)
	assert.Equal(t, []byte{0, 'x', 255}, value)
	_, err = store.Get(t.Context(), "session", expired)
	assert.ErrorIs(t, err, mysqlsession.ErrNotFound)
	info, err := store.Inspect(t.Context(), live)
	require.NoError(t, err)
	assert.WithinDuration(t, end, info.Expires, time.Second)
}

func TestSessionsOfSCSAreMovedByOneStatement(t *testing.T) {
	statements := blocks(t, "docs/from-scs-mysqlstore.md", "sql")
	require.Len(t, statements, 3, "plain, hashed, and the old table's end")
	inUTC := strings.Replace(statements[0], "FROM_UNIXTIME(TIMESTAMPDIFF(SECOND, '1970-01-01', expiry))", "expiry", 1)
	require.NotEqual(t, inUTC, statements[0])
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		for _, zone := range []string{"SYSTEM", "-03:00", "+05:30"} {
			server.SetGlobal(t, "time_zone", zone)
			for name, test := range map[string]struct {
				statement string
				change    func(cfg *mysqlsession.Config)
			}{
				"plain":  {statements[0], func(*mysqlsession.Config) {}},
				"hashed": {statements[1], func(cfg *mysqlsession.Config) { cfg.HashKeys = true }},
				"in UTC": {inUTC, func(cfg *mysqlsession.Config) { cfg.TimeZone = "+00:00" }},
			} {
				t.Run(zone+"/"+name, func(t *testing.T) {
					cfg := server.NewDatabase(t)
					admin := server.AdminIn(t, cfg.Database)
					live, expired, end := oldStore(t, admin)
					cfg.TableName = "web_sessions"
					test.change(&cfg)
					store := openStore(t, cfg)
					require.NoError(t, store.Migrate(t.Context()))

					runAll(t, admin, test.statement)
					requireMoved(t, store, live, expired, end)
					assert.Equal(t, 1, count(t, admin, "SELECT COUNT(*) FROM web_sessions"))
					runAll(t, admin, statements[2])
					requireMoved(t, store, live, expired, end)
				})
			}
		}
	})
}

func TestMigrateLeavesTheTableOfSCSAlone(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		cfg := server.NewDatabase(t)
		admin := server.AdminIn(t, cfg.Database)
		oldStore(t, admin)
		require.Error(t, openStore(t, cfg).Migrate(t.Context()))
		assert.Equal(t, 2, count(t, admin, "SELECT COUNT(*) FROM sessions WHERE token <> '' AND expiry > 0"))
		assert.Equal(t, 3, count(t, admin, "SELECT COUNT(*) FROM information_schema.columns WHERE table_schema = DATABASE()"))
	})
}

func TestSessionsOfATableOfOnesOwnAreMovedByTheStatementsOfThePage(t *testing.T) {
	statements := blocks(t, "docs/from-database-sql.md", "sql")
	require.Len(t, statements, 2, "the sessions, and whose they are")
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		cfg := server.NewDatabase(t)
		admin := server.AdminIn(t, cfg.Database)
		execute(t, admin, "CREATE TABLE old_sessions (id CHAR(43) PRIMARY KEY, user VARCHAR(255), data BLOB, expires BIGINT)")
		live, anonymous, expired, end := newKey(), newKey(), newKey(), time.Now().Add(time.Hour)
		execute(t, admin, "INSERT INTO old_sessions VALUES (?, 'ada', 'value', ?), (?, NULL, 'value', ?), (?, 'ada', 'value', 1)",
			live, end.Unix(), anonymous, end.Unix(), expired)
		store := openStore(t, cfg)
		require.NoError(t, store.Migrate(t.Context()))

		runAll(t, admin, strings.Join(statements, ""))
		sessions, err := store.ReadMetadata(t.Context(), "session", "web", "ada")
		require.NoError(t, err)
		assert.Equal(t, map[string]time.Time{live: time.Unix(end.Unix(), 0)}, sessions)
		for id, there := range map[string]bool{live: true, anonymous: true, expired: false} {
			data, found, err := loadSession(t.Context(), store, id)
			require.NoError(t, err)
			assert.Equal(t, there, found)
			_, withSQL, err := loadWithSQL(t.Context(), admin, id)
			require.NoError(t, err)
			assert.Equal(t, there, withSQL)
			assert.Equal(t, there, string(data) == "value")
		}
	})
}

func TestThePagesSettingsAreTaken(t *testing.T) {
	// Neither reaches the server that it names, which there is not.
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	assert.ErrorIs(t, openWithSQL(ctx), context.Canceled)
	assert.ErrorIs(t, openInItsPlace(ctx), context.Canceled)
}
