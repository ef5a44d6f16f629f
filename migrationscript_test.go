package mysqlsession_test

import (
	"database/sql"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/mysqlsession/mysqlsession"
	"github.com/mysqlsession/mysqlsession/internal/conformance"
	"github.com/mysqlsession/mysqlsession/internal/dbtest"
)

// runScript runs a plan as another client would: on one connection, in a database and
// with settings that are not those of this package.
func runScript(t *testing.T, admin *sql.DB, plan []mysqlsession.MigrationStep) {
	t.Helper()
	conn, err := admin.Conn(t.Context())
	require.NoError(t, err)
	defer func() { require.NoError(t, conn.Close()) }()
	_, err = conn.ExecContext(t.Context(), "SET NAMES latin1, SESSION sql_mode = 'ANSI_QUOTES,NO_BACKSLASH_ESCAPES'")
	require.NoError(t, err)
	for _, step := range plan {
		for _, statement := range step.Statements {
			_, err := conn.ExecContext(t.Context(), statement)
			require.NoError(t, err, statement)
		}
	}
}

func TestAMigrationThatAnotherClientRunsDoesWhatMigrateDoes(t *testing.T) {
	wide := make([]string, 0, 2)
	for _, statement := range conformance.DocumentTables() {
		wide = append(wide, strings.Replace(statement, "CHARACTER SET ascii", "CHARACTER SET utf16", 1))
	}
	tables := map[string][]string{
		"empty database":        nil,
		"the document's tables": conformance.DocumentTables(),
		"a wide character set":  wide,
		"a comment to be kept":  append(conformance.DocumentTables(), `ALTER TABLE sessions MODIFY name VARCHAR(255) CHARACTER SET ascii COMMENT 'it''s \\ "größer"; 愛'`),
		"no metadata table":     conformance.DocumentTables()[:1],
	}
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		for name, statements := range tables {
			t.Run(name, func(t *testing.T) {
				cfg, twin := server.NewDatabase(t), server.NewDatabase(t)
				for _, database := range []string{cfg.Database, twin.Database} {
					admin := server.AdminIn(t, database)
					for _, statement := range statements {
						execute(t, admin, statement)
					}
					if len(statements) > 1 {
						oldRows(t, admin)
					}
				}
				store := openStore(t, cfg)
				plan, err := store.MigrationPlan(t.Context())
				require.NoError(t, err)
				require.NotEmpty(t, plan)
				before := definitions(t, server.AdminIn(t, cfg.Database))
				again, err := store.MigrationPlan(t.Context())
				require.NoError(t, err)
				assert.Equal(t, plan, again, "a plan changes nothing")
				assert.Equal(t, before, definitions(t, server.AdminIn(t, cfg.Database)))

				runScript(t, server.Admin(t), plan)
				require.NoError(t, openStore(t, twin).Migrate(t.Context()))

				noFindings(t, cfg)
				admin, twinAdmin := server.AdminIn(t, cfg.Database), server.AdminIn(t, twin.Database)
				assert.Equal(t, definitions(t, twinAdmin), definitions(t, admin))
				assert.Equal(t, contents(t, twinAdmin), contents(t, admin))
				plan, err = store.MigrationPlan(t.Context())
				require.NoError(t, err)
				assert.Empty(t, plan)
			})
		}
	})
}

func TestAMigrationPlanSetsTheTimeZoneOfTheConnectionsThatUseTheTables(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		cfg := server.NewDatabase(t)
		cfg.TimeZone = "+00:00"
		admin := server.AdminIn(t, cfg.Database)
		execute(t, admin, "SET time_zone = '+05:00'; "+strings.Replace(conformance.DocumentTables()[0], "DATETIME", "TIMESTAMP NULL", 1)+
			"; INSERT INTO sessions VALUES ('id', 'name', 'value', '2031-05-06 07:08:09')")
		plan, err := openStore(t, cfg).MigrationPlan(t.Context())
		require.NoError(t, err)
		runScript(t, server.Admin(t), plan)
		assert.Equal(t, []string{"2031-05-06 02:08:09"}, texts(t, admin, "SELECT exp FROM sessions"))
	})
}

func TestAMigrationTellsTheHookOfItsSteps(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		cfg := server.NewDatabase(t)
		createDocumentTables(t, cfg, server.AdminIn(t, cfg.Database))
		var told []mysqlsession.MigrationStep
		cfg.Trace = &mysqlsession.Trace{Migration: func(step mysqlsession.MigrationStep) { told = append(told, step) }}
		store := openStore(t, cfg)
		plan, err := store.MigrationPlan(t.Context())
		require.NoError(t, err)
		require.Greater(t, len(plan), 2)
		assert.Empty(t, told, "a plan runs nothing")
		require.NoError(t, store.Migrate(t.Context()))
		assert.Equal(t, plan[1:], told, "all but the session's set-up")
		require.NoError(t, store.Migrate(t.Context()))
		assert.Len(t, told, len(plan)-1, "there was nothing left to do")
	})
}

func TestAMigrationPlanOfTablesThatCannotBeMendedSaysWhy(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		cfg := server.NewDatabase(t)
		execute(t, server.AdminIn(t, cfg.Database), "CREATE TABLE sessions (id INT)")
		store := openStore(t, cfg)
		_, err := store.MigrationPlan(t.Context())
		require.ErrorIs(t, err, mysqlsession.ErrSchema)
		require.ErrorContains(t, err, "mysqlsession: plan the migration: ")
		require.NoError(t, store.Close())
		_, err = store.MigrationPlan(t.Context())
		require.ErrorIs(t, err, mysqlsession.ErrClosed)
	})
}
