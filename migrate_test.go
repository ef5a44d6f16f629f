package mysqlsession_test

import (
	"database/sql"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/mysqlsession/mysqlsession"
	"github.com/mysqlsession/mysqlsession/internal/dbtest"
)

// oldRows fills the document's tables as a gateway would have: one session that
// lives, one of a subject with two metadata rows, one expired, two with a NULL.
func oldRows(t *testing.T, admin *sql.DB) {
	t.Helper()
	execute(t, admin, `INSERT INTO sessions (sid, name, data, exp) VALUES
		('Plain', 'session', '{"a": 1}  ', '2036-05-06 07:08:09'),
		('WithMetadata', 'Session ', '', '2036-05-06 07:08:09'),
		('Expired', 'session', 'old', '2001-01-01 00:00:00'),
		('NullData', 'session', NULL, '2036-05-06 07:08:09'),
		('NullExp', NULL, 'value', NULL)`)
	execute(t, admin, `INSERT INTO sessions_meta (aud, sub, sid) VALUES
		('App', 'Alice ', 'WithMetadata'), ('app', 'admins', 'WithMetadata')`)
}

// keptRows asserts that what oldRows wrote is there and can be read.
func keptRows(t *testing.T, store *mysqlsession.Store, admin *sql.DB) {
	t.Helper()
	value, err := store.Get(t.Context(), "session", "Plain")
	require.NoError(t, err)
	assert.Equal(t, `{"a": 1}  `, string(value))
	value, err = store.Get(t.Context(), "Session ", "WithMetadata")
	require.NoError(t, err)
	assert.Empty(t, value)
	sessions, err := store.ReadMetadata(t.Context(), "Session ", "App", "Alice ")
	require.NoError(t, err)
	assert.Contains(t, sessions, "WithMetadata")
	assert.Equal(t, 2, count(t, admin, "SELECT COUNT(*) FROM sessions_meta"))
	for _, key := range []string{"Expired", "NullData", "NullExp"} {
		_, err = store.Get(t.Context(), "session", key)
		assert.ErrorIs(t, err, mysqlsession.ErrNotFound)
	}
}

// upToDate asserts that the tables are what Migrate makes of them.
func upToDate(t *testing.T, store *mysqlsession.Store, admin *sql.DB) {
	t.Helper()
	findings, err := store.Check(t.Context())
	require.NoError(t, err)
	assert.Empty(t, findings)
	binary := columns(t, admin)
	assert.Equal(t, map[string]string{
		"sessions.sid": "varbinary", "sessions.name": "varbinary", "sessions.data": "mediumblob", "sessions.exp": "datetime",
		"sessions_meta.aud": "varbinary", "sessions_meta.sub": "varbinary", "sessions_meta.sid": "varbinary",
	}, binary)
	assert.Equal(t, 1, count(t, admin, foreignKeys), "foreign keys")
	assert.Equal(t, 1, count(t, admin, `SELECT COUNT(*) FROM information_schema.STATISTICS
		WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = 'sessions' AND COLUMN_NAME = 'exp'`), "indexes of exp")
}

const foreignKeys = `SELECT COUNT(*) FROM information_schema.REFERENTIAL_CONSTRAINTS
	WHERE CONSTRAINT_SCHEMA = DATABASE() AND TABLE_NAME = 'sessions_meta' AND REFERENCED_TABLE_NAME = 'sessions'
	AND DELETE_RULE = 'CASCADE' AND UPDATE_RULE = 'CASCADE'`

// columns maps each column of the database to its type.
func columns(t *testing.T, admin *sql.DB) map[string]string {
	t.Helper()
	rows, err := admin.QueryContext(t.Context(), `SELECT CONCAT(TABLE_NAME, '.', COLUMN_NAME), LOWER(DATA_TYPE)
		FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = DATABASE()`)
	require.NoError(t, err)
	defer func() { require.NoError(t, rows.Close()) }()
	types := map[string]string{}
	for rows.Next() {
		var column, kind string
		require.NoError(t, rows.Scan(&column, &kind))
		types[column] = kind
	}
	require.NoError(t, rows.Err())
	return types
}

// foreignKeyName is the name that the server gave the document's foreign key.
func foreignKeyName(t *testing.T, admin *sql.DB) string {
	t.Helper()
	var name string
	require.NoError(t, admin.QueryRowContext(t.Context(), strings.Replace(foreignKeys, "COUNT(*)", "CONSTRAINT_NAME", 1)).Scan(&name))
	return name
}

func dropForeignKey(t *testing.T, admin *sql.DB) {
	t.Helper()
	execute(t, admin, "ALTER TABLE sessions_meta DROP FOREIGN KEY `"+foreignKeyName(t, admin)+"`")
}

func TestMigrateMakesBothTablesInAnEmptyDatabase(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		cfg := server.NewDatabase(t)
		admin := server.AdminIn(t, cfg.Database)
		store := openStore(t, cfg)

		err := store.Set(t.Context(), "name", "key", []byte("value"), time.Minute, nil)
		require.ErrorIs(t, err, mysqlsession.ErrSchema)
		assert.Contains(t, err.Error(), "sessions")
		assert.Contains(t, err.Error(), "Migrate")

		require.NoError(t, store.Migrate(t.Context()))
		upToDate(t, store, admin)
		require.NoError(t, store.Set(t.Context(), "name", "key", []byte("value"), time.Minute, nil))
	})
}

func TestMigrateMakesTablesOfOtherNames(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		cfg := server.NewDatabase(t)
		admin := server.AdminIn(t, cfg.Database)
		cfg.TableName = "web$Sessions_1"
		store := openStore(t, cfg)
		require.NoError(t, store.Migrate(t.Context()))
		findings, err := store.Check(t.Context())
		require.NoError(t, err)
		assert.Empty(t, findings)
		options := &mysqlsession.SetOptions{Metadata: []mysqlsession.Metadata{{Audience: "app", Subject: "alice"}}}
		require.NoError(t, store.Set(t.Context(), "name", "key", []byte("value"), time.Minute, options))
		assert.Equal(t, 1, count(t, admin, "SELECT COUNT(*) FROM `web$Sessions_1_meta`"))

		cfg.TableName, cfg.TableNameMeta = cfg.Database+".qualified", cfg.Database+".people"
		other := cfg
		qualified := openStore(t, other)
		require.NoError(t, qualified.Migrate(t.Context()))
		require.NoError(t, qualified.Set(t.Context(), "name", "key", []byte("value"), time.Minute, options))
		assert.Equal(t, 1, count(t, admin, "SELECT COUNT(*) FROM people"))
	})
}

func TestMigrateUpgradesTheDocumentsTablesAndKeepsTheirRows(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		cfg := server.NewDatabase(t)
		admin := server.AdminIn(t, cfg.Database)
		createDocumentTables(t, cfg, admin)
		oldRows(t, admin)
		store := openStore(t, cfg)
		keptRows(t, store, admin)

		require.NoError(t, store.Migrate(t.Context()))

		upToDate(t, store, admin)
		keptRows(t, store, admin)
		require.NoError(t, store.Set(t.Context(), "session", "Plain", []byte("\x00\xff"), time.Hour, nil),
			"the store knows that the columns are binary now")
		require.NoError(t, store.Delete(t.Context(), "Session ", "WithMetadata"))
		assert.Zero(t, count(t, admin, "SELECT COUNT(*) FROM sessions_meta"))
	})
}

// A migration that was killed leaves the tables after any of its steps.
func TestMigrateGoesOnWhereAnotherWasInterrupted(t *testing.T) {
	const (
		sessions = `ALTER TABLE sessions MODIFY sid VARBINARY(43) NOT NULL, MODIFY name VARBINARY(255), MODIFY data MEDIUMBLOB`
		metadata = `ALTER TABLE sessions_meta MODIFY aud VARBINARY(255) NOT NULL, MODIFY sub VARBINARY(255) NOT NULL,
			MODIFY sid VARBINARY(43) NOT NULL`
		orphan = `INSERT INTO sessions_meta (aud, sub, sid) VALUES ('app', 'orphan', 'gone meanwhile')`
	)
	steps := []struct {
		name       string
		statements []string // after the foreign key was dropped
	}{
		{"the foreign key is dropped", nil},
		{"sessions are altered", []string{sessions}},
		{"metadata are altered", []string{metadata}},
		{"both tables are altered", []string{sessions, metadata}},
		{"metadata were orphaned meanwhile", []string{sessions, metadata, orphan}},
		{"metadata were orphaned early", []string{orphan}},
		{"the index is gone", []string{"ALTER TABLE sessions DROP INDEX exp"}},
		{"one column was altered by hand", []string{"ALTER TABLE sessions MODIFY data LONGBLOB"}},
	}
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		for _, step := range steps {
			t.Run(step.name, func(t *testing.T) {
				cfg := server.NewDatabase(t)
				admin := server.AdminIn(t, cfg.Database)
				createDocumentTables(t, cfg, admin)
				oldRows(t, admin)
				dropForeignKey(t, admin)
				for _, statement := range step.statements {
					execute(t, admin, statement)
				}
				store := openStore(t, cfg)
				require.NoError(t, store.Migrate(t.Context()))
				findings, err := store.Check(t.Context())
				require.NoError(t, err)
				assert.Empty(t, findings)
				assert.Equal(t, 1, count(t, admin, foreignKeys))
				keptRows(t, store, admin)
				require.NoError(t, store.Migrate(t.Context()))
			})
		}
	})
}

func TestMigrateWithNothingToDoNeedsNoRightToChangeTables(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		cfg := server.NewDatabase(t)
		admin := server.AdminIn(t, cfg.Database)
		require.NoError(t, openStore(t, cfg).Migrate(t.Context()))

		limited := openStore(t, server.NewUser(t, cfg, "SELECT, INSERT, UPDATE, DELETE"))
		require.NoError(t, limited.Migrate(t.Context()))
		upToDate(t, limited, admin)
		require.NoError(t, limited.Set(t.Context(), "name", "key", []byte("value"), time.Minute, nil))
	})
}

func TestMigrateWithoutTheRightSaysSo(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		cfg := server.NewDatabase(t)
		limited := openStore(t, server.NewUser(t, cfg, "SELECT, INSERT, UPDATE, DELETE"))
		err := limited.Migrate(t.Context())
		var refusal *mysqlsession.ServerError
		require.ErrorAs(t, err, &refusal)
		assert.EqualValues(t, 1142, refusal.Code)
	})
}

func TestMigrateMayBeCalledByManyStoresAtOnce(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		for name, create := range map[string]func(*testing.T, mysqlsession.Config, *sql.DB){
			"empty database":        func(*testing.T, mysqlsession.Config, *sql.DB) {},
			"the document's tables": createDocumentTables,
		} {
			t.Run(name, func(t *testing.T) {
				const callers = 4
				cfg := server.NewDatabase(t)
				admin := server.AdminIn(t, cfg.Database)
				create(t, cfg, admin)
				failures := make(chan error, callers)
				var stores []*mysqlsession.Store
				for range callers {
					stores = append(stores, openStore(t, cfg))
				}
				for _, store := range stores {
					go func() { failures <- store.Migrate(t.Context()) }()
				}
				for range callers {
					require.NoError(t, <-failures)
				}
				upToDate(t, stores[0], admin)
			})
		}
	})
}

func TestMigrateRunsBesideLiveTraffic(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		cfg := server.NewDatabase(t)
		admin := server.AdminIn(t, cfg.Database)
		createDocumentTables(t, cfg, admin)
		traffic := openStore(t, cfg)
		stop, ended := make(chan struct{}), make(chan int)
		go func() {
			stored := 0
			for {
				select {
				case <-stop:
					ended <- stored
					return
				default:
				}
				// An error is what a table that changes may cause; a damaged row is not.
				options := &mysqlsession.SetOptions{Metadata: []mysqlsession.Metadata{{Audience: "app", Subject: "alice"}}}
				if traffic.Set(t.Context(), "name", fmt.Sprint("key", stored), []byte("value"), time.Hour, options) == nil {
					stored++
				}
			}
		}()
		migrator := openStore(t, cfg)
		require.NoError(t, migrator.Migrate(t.Context()))
		close(stop)
		stored := <-ended
		upToDate(t, migrator, admin)
		assert.GreaterOrEqual(t, count(t, admin, "SELECT COUNT(*) FROM sessions"), stored)
		for i := range stored {
			value, err := migrator.Get(t.Context(), "name", fmt.Sprint("key", i))
			require.NoError(t, err)
			assert.Equal(t, "value", string(value))
		}
		// The traffic's store learns of the change by itself.
		require.NoError(t, traffic.Set(t.Context(), "name", "after", []byte("value"), time.Hour, nil))
	})
}

func TestWithoutTheMetadataTableEverythingElseWorks(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		cfg := server.NewDatabase(t)
		admin := server.AdminIn(t, cfg.Database)
		createDocumentTables(t, cfg, admin)
		execute(t, admin, "DROP TABLE sessions_meta")
		store := openStore(t, cfg)
		ctx := t.Context()

		require.NoError(t, store.Set(ctx, "name", "old", []byte("value"), time.Minute, nil))
		require.NoError(t, store.Set(ctx, "name", "new", []byte("value"), time.Minute, &mysqlsession.SetOptions{OldKey: "old", StaleTTL: time.Second}))
		_, err := store.Get(ctx, "name", "new")
		require.NoError(t, err)
		require.NoError(t, store.Touch(ctx, "name", "new", time.Hour))
		require.NoError(t, store.Update(ctx, "name", "new", time.Hour, func(old []byte) ([]byte, error) { return append(old, '!'), nil }))
		require.NoError(t, store.Delete(ctx, "name", "new"))
		_, err = store.Cleanup(ctx)
		require.NoError(t, err)
		_, err = store.DeleteAll(ctx, "name")
		require.NoError(t, err)

		options := &mysqlsession.SetOptions{Metadata: []mysqlsession.Metadata{{Audience: "app", Subject: "alice"}}}
		for operation, call := range map[string]func() error{
			"Set":           func() error { return store.Set(ctx, "name", "key", nil, time.Minute, options) },
			"ReadMetadata":  func() error { _, err := store.ReadMetadata(ctx, "name", "app", "alice"); return err },
			"CountSubject":  func() error { _, err := store.CountSubject(ctx, "name", "app", "alice"); return err },
			"DeleteOthers":  func() error { _, err := store.DeleteOthers(ctx, "name", "app", "alice", "key"); return err },
			"DeleteSubject": func() error { _, err := store.DeleteSubject(ctx, "name", "app", "alice"); return err },
		} {
			err := call()
			require.ErrorIs(t, err, mysqlsession.ErrSchema, operation)
			assert.Contains(t, err.Error(), "sessions_meta", operation)
			assert.Contains(t, err.Error(), "Migrate", operation)
		}
		assert.Zero(t, count(t, admin, "SELECT COUNT(*) FROM sessions"))
	})
}

func TestCheckSaysWhatIsWrongAndHowToMendIt(t *testing.T) {
	tests := []struct {
		name       string
		statements []string // on the tables that Migrate made
		subject    string   // of one of the findings
	}{
		{"no tables", []string{"DROP TABLE sessions_meta", "DROP TABLE sessions"}, "sessions"},
		{"no metadata table", []string{"DROP TABLE sessions_meta"}, "sessions_meta"},
		{"no column", []string{"ALTER TABLE sessions DROP COLUMN name"}, "sessions.name"},
		{"a text column", []string{"ALTER TABLE sessions MODIFY data MEDIUMTEXT CHARACTER SET ascii"}, "sessions.data"},
		{"subjects without case", []string{"ALTER TABLE sessions_meta MODIFY sub VARCHAR(255) CHARACTER SET ascii"}, "sessions_meta.sub"},
		{"no index", []string{"ALTER TABLE sessions DROP INDEX exp"}, "sessions.exp"},
	}
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		for _, test := range tests {
			t.Run(test.name, func(t *testing.T) {
				cfg := server.NewDatabase(t)
				admin := server.AdminIn(t, cfg.Database)
				createNewTables(t, cfg, admin)
				for _, statement := range test.statements {
					execute(t, admin, statement)
				}
				assertFinding(t, openStore(t, cfg), test.subject)
			})
		}
		t.Run("no foreign key", func(t *testing.T) {
			cfg := server.NewDatabase(t)
			admin := server.AdminIn(t, cfg.Database)
			createNewTables(t, cfg, admin)
			dropForeignKey(t, admin)
			assertFinding(t, openStore(t, cfg), "sessions_meta")
		})
		t.Run("the document's tables", func(t *testing.T) {
			cfg := server.NewDatabase(t)
			createDocumentTables(t, cfg, server.AdminIn(t, cfg.Database))
			for _, subject := range []string{"sessions.sid", "sessions.data", "sessions_meta.aud", "sessions_meta.sub"} {
				assertFinding(t, openStore(t, cfg), subject)
			}
		})
	})
}

// assertFinding asserts that Check finds something about subject, says how to mend
// it, and that Migrate, which is how, leaves nothing to find.
func assertFinding(t *testing.T, store *mysqlsession.Store, subject string) {
	t.Helper()
	findings, err := store.Check(t.Context())
	require.NoError(t, err)
	found := false
	for _, finding := range findings {
		assert.NotEmpty(t, finding.Severity)
		assert.NotEmpty(t, finding.Problem)
		assert.NotEmpty(t, finding.Fix)
		found = found || strings.HasPrefix(finding.Subject, subject)
	}
	assert.True(t, found, "no finding about %s in %v", subject, findings)
}
