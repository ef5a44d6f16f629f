package mysqlsession_test

import (
	"context"
	"database/sql"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/mysqlsession/mysqlsession/internal/conformance"
	"github.com/mysqlsession/mysqlsession/internal/dbtest"
	"github.com/mysqlsession/mysqlsession/internal/pagetest"
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

func TestThePrivilegesThatThePageNamesAreEnough(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		cfg := server.NewDatabase(t)
		admin := server.AdminIn(t, cfg.Database)
		for _, statement := range conformance.DocumentTables() {
			execute(t, admin, statement)
		}
		store := openStore(t, server.NewUser(t, cfg, "SELECT, INSERT, UPDATE, DELETE"))
		require.NoError(t, useAStore(t.Context(), store, newKey(), newKey()))
		_, err := store.Cleanup(t.Context())
		require.NoError(t, err)
		require.NoError(t, openStore(t, server.NewUser(t, cfg, "SELECT, INSERT, UPDATE, DELETE, CREATE, ALTER, INDEX, REFERENCES")).Migrate(t.Context()))
		findings, err := store.Check(t.Context())
		require.NoError(t, err)
		require.Empty(t, findings)
		require.NoError(t, useAStore(t.Context(), store, newKey(), newKey()))
	})
}

func TestMigrateLeavesTheTableOfSCSAlone(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		cfg := server.NewDatabase(t)
		admin := server.AdminIn(t, cfg.Database)
		execute(t, admin, "CREATE TABLE sessions (token CHAR(43) PRIMARY KEY, data BLOB NOT NULL, expiry TIMESTAMP(6) NOT NULL)")
		execute(t, admin, "INSERT INTO sessions VALUES (?, 'a', NOW()), (?, 'b', NOW())", newKey(), newKey())
		require.Error(t, openStore(t, cfg).Migrate(t.Context()))
		assert.Equal(t, 2, count(t, admin, "SELECT COUNT(*) FROM sessions WHERE token <> '' AND expiry > 0"))
		assert.Equal(t, 3, count(t, admin, "SELECT COUNT(*) FROM information_schema.columns WHERE table_schema = DATABASE()"))
	})
}

func TestSessionsOfATableOfOnesOwnAreMovedByTheStatementsOfThePage(t *testing.T) {
	statements := pagetest.Blocks(t, "docs/from-database-sql.md", "sql")
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

		for _, statement := range statements {
			runAll(t, admin, statement.Text)
		}
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
