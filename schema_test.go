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

func TestMigrateRefusesWhatItCannotMendAndChangesNothing(t *testing.T) {
	document := conformance.DocumentTables()
	tests := []struct {
		name       string
		statements []string
		says       []string
	}{
		{"a table of something else", []string{"CREATE TABLE sessions (session_id VARCHAR(255) PRIMARY KEY, data TEXT)"}, []string{"table sessions", "another table"}},
		{"metadata of something else", []string{document[0], "CREATE TABLE sessions_meta (sid CHAR(43), k INT, v INT)"}, []string{"table sessions_meta", "another table"}},
		{"a view", []string{strings.Replace(document[0], "sessions", "kept", 1), "CREATE VIEW sessions AS SELECT * FROM kept"}, []string{"sessions", "view"}},
		{"numbers", []string{"CREATE TABLE sessions (sid BIGINT PRIMARY KEY, name VARCHAR(255), data TEXT, exp DATETIME)"}, []string{"sessions.sid", "BIGINT"}},
		{"seconds", []string{"CREATE TABLE sessions (sid CHAR(43) PRIMARY KEY, name VARCHAR(255), data TEXT, exp BIGINT)"}, []string{"sessions.exp", "BIGINT"}},
		{"another's foreign key", append(document,
			"CREATE TABLE audit (id INT PRIMARY KEY, session CHAR(43) CHARACTER SET ascii, CONSTRAINT of_audit FOREIGN KEY (session) REFERENCES sessions (sid))"),
			[]string{"of_audit", "audit", "drop that key"}},
		{"a foreign key to another", []string{"CREATE TABLE apps (app VARCHAR(255) PRIMARY KEY) CHARACTER SET ascii", document[0],
			strings.Replace(document[1], "CONSTRAINT FOREIGN KEY", "CONSTRAINT of_app FOREIGN KEY (aud) REFERENCES apps (app), CONSTRAINT FOREIGN KEY", 1)},
			[]string{"of_app", "apps", "drop that key"}},
		{"rows of one id", []string{"CREATE TABLE sessions (sid VARBINARY(43), name VARBINARY(255), data MEDIUMBLOB, exp DATETIME)",
			"INSERT INTO sessions VALUES ('twice', 'a', 'b', NULL), ('twice', 'c', 'd', NULL)"}, []string{"primary key on sid", "duplicate key"}},
	}
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		for _, test := range tests {
			t.Run(test.name, func(t *testing.T) {
				cfg := server.NewDatabase(t)
				admin := server.AdminIn(t, cfg.Database)
				for _, statement := range test.statements {
					execute(t, admin, statement)
				}
				before := definitions(t, admin)

				err := openStore(t, cfg).Migrate(t.Context())

				require.Error(t, err)
				for _, part := range test.says {
					assert.Contains(t, err.Error(), part)
				}
				assert.NotContains(t, err.Error(), "twice", "an error must not show ids")
				assert.Equal(t, before, definitions(t, admin))
			})
		}
	})
}

// definitions is how the server would make all tables of the database again.
func definitions(t *testing.T, admin *sql.DB) []string {
	t.Helper()
	var all []string
	for _, table := range texts(t, admin, "SELECT TABLE_NAME FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE() AND TABLE_TYPE = 'BASE TABLE' ORDER BY TABLE_NAME") {
		all = append(all, tableDefinition(t, admin, table))
	}
	return all
}

// MariaDB takes a foreign key to a partitioned table when it is told not to check, and
// then finds no session for any row.
func TestMigrateAddsNoForeignKeyThatCannotWork(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		cfg := server.NewDatabase(t)
		admin := server.AdminIn(t, cfg.Database)
		execute(t, admin, "CREATE TABLE sessions (sid CHAR(43) PRIMARY KEY, name VARCHAR(255), data MEDIUMTEXT, exp DATETIME) CHARACTER SET ascii PARTITION BY KEY (sid) PARTITIONS 4")
		assert.Len(t, migrateOnce(t, cfg), 2)
		execute(t, admin, "DROP TABLE sessions_meta")
		execute(t, admin, "CREATE TABLE sessions_meta (aud VARCHAR(255), sub VARCHAR(255), sid CHAR(43), PRIMARY KEY (aud, sub, sid)) CHARACTER SET ascii")
		assert.Len(t, migrateOnce(t, cfg), 1)
		assert.Empty(t, migrateOnce(t, cfg))
		options := &mysqlsession.SetOptions{Metadata: []mysqlsession.Metadata{{Audience: "app", Subject: "alice"}}}
		require.NoError(t, openStore(t, cfg).Set(t.Context(), "name", "key", []byte("\xff"), time.Minute, options))
	})
}

func TestMigrateLeavesWhatUsersAdded(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		cfg := server.NewDatabase(t)
		admin := server.AdminIn(t, cfg.Database)
		createDocumentTables(t, cfg, admin)
		execute(t, admin, `ALTER TABLE sessions ADD COLUMN tenant VARCHAR(20) CHARACTER SET utf8mb4 NOT NULL DEFAULT 'é' FIRST, ADD INDEX by_tenant (tenant),
			MODIFY name VARCHAR(255) COMMENT 'the cookie''s \\ name'`)
		oldRows(t, admin)

		migrateOnce(t, cfg)

		made := tableDefinition(t, admin, "sessions")
		assert.Contains(t, made, "KEY `by_tenant` (`tenant`)")
		assert.Contains(t, made, "cookie''s \\\\ name")
		assert.Equal(t, 5, count(t, admin, "SELECT COUNT(*) FROM sessions WHERE tenant = 'é'"))
		noFindings(t, cfg)
	})
}

func TestMigrateFindsTablesInOtherDatabases(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		for name, create := range map[string]bool{"empty databases": false, "the document's tables": true} {
			t.Run(name, func(t *testing.T) {
				cfg, first, second := server.NewDatabase(t), server.NewDatabase(t), server.NewDatabase(t)
				admin := server.AdminIn(t, first.Database)
				if create {
					document := conformance.DocumentTables()
					execute(t, admin, document[0])
					execute(t, admin, strings.NewReplacer("EXISTS sessions_meta", "EXISTS "+second.Database+".sessions_meta",
						"REFERENCES sessions", "REFERENCES "+first.Database+".sessions").Replace(document[1]))
				}
				for _, names := range [][2]string{
					{first.Database + ".sessions", second.Database + ".sessions_meta"},
					{"sessions", second.Database + ".people"},
				} {
					cfg := cfg
					cfg.TableName, cfg.TableNameMeta = names[0], names[1]
					store := openStore(t, cfg)
					require.NoError(t, store.Migrate(t.Context()))
					findings, err := store.Check(t.Context())
					require.NoError(t, err)
					assert.Empty(t, findings)
					options := &mysqlsession.SetOptions{Metadata: []mysqlsession.Metadata{{Audience: "app", Subject: "alice"}}}
					require.NoError(t, store.Set(t.Context(), "name", "key", []byte("\xff"), time.Minute, options))
					assert.Equal(t, 1, count(t, admin, "SELECT COUNT(*) FROM "+names[1]))
					require.NoError(t, store.Delete(t.Context(), "name", "key"))
					assert.Zero(t, count(t, admin, "SELECT COUNT(*) FROM "+names[1]))
				}
			})
		}
	})
}

func TestMigrateWaitsForAnotherOneAsLongAsItsContext(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		cfg := server.NewDatabase(t)
		cfg.ReadTimeout = 500 * time.Millisecond
		admin := server.AdminIn(t, cfg.Database)
		other, err := admin.Conn(t.Context())
		require.NoError(t, err)
		defer func() { require.NoError(t, other.Close()) }()
		name := mysqlsession.MigrationLockName(cfg.Database, "sessions")
		var got int
		require.NoError(t, other.QueryRowContext(t.Context(), "SELECT GET_LOCK(?, 0)", name).Scan(&got))
		require.Equal(t, 1, got)

		short, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		store := openStore(t, cfg)
		require.ErrorIs(t, store.Migrate(short), context.DeadlineExceeded)
		assert.Empty(t, definitions(t, admin))

		ended := make(chan error, 1)
		go func() { ended <- store.Migrate(t.Context()) }()
		waitUntil(t, admin, "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE INFO LIKE 'SELECT GET_LOCK%' AND TIME >= 2 AND DB = '"+cfg.Database+"'")
		assert.Empty(t, definitions(t, admin))
		require.NoError(t, other.QueryRowContext(t.Context(), "SELECT RELEASE_LOCK(?)", name).Scan(&got))
		require.NoError(t, <-ended)
		noFindings(t, cfg)
	})
}

// waitUntil waits until the query's number is not 0.
func waitUntil(t *testing.T, admin *sql.DB, query string) {
	t.Helper()
	require.Eventually(t, func() bool {
		var n int
		return admin.QueryRowContext(t.Context(), query).Scan(&n) == nil && n > 0
	}, time.Minute, 50*time.Millisecond, query)
}

// Neither the client's read timeout nor the server's statement timeout ends a statement
// that has to wait for its table.
func TestMigrateIsBoundByNoTimeoutOfStatements(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		cfg := server.NewDatabase(t)
		cfg.ReadTimeout = 500 * time.Millisecond
		admin := server.AdminIn(t, cfg.Database)
		createDocumentTables(t, cfg, admin)
		oldRows(t, admin)
		reader, err := admin.BeginTx(t.Context(), nil)
		require.NoError(t, err)
		defer func() { _ = reader.Rollback() }() // done already, if all went well
		_, err = reader.ExecContext(t.Context(), "DO (SELECT COUNT(*) FROM sessions_meta)")
		require.NoError(t, err)

		store := openStore(t, cfg)
		ended := make(chan error, 1)
		go func() { ended <- store.Migrate(t.Context()) }()
		waitUntil(t, admin, "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE STATE LIKE 'Waiting for table metadata lock' AND TIME >= 2 AND DB = '"+cfg.Database+"'")
		require.NoError(t, reader.Commit())
		require.NoError(t, <-ended)
		noFindings(t, cfg)
		assert.Len(t, contents(t, admin), 7)
	})
}

// A statement that waits for its table holds up everybody who comes after it.
func TestMigrateMakesWayForTrafficAndTriesAgain(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		cfg := server.NewDatabase(t)
		admin := server.AdminIn(t, cfg.Database)
		createDocumentTables(t, cfg, admin)
		reader, err := admin.BeginTx(t.Context(), nil)
		require.NoError(t, err)
		defer func() { _ = reader.Rollback() }() // done already, if all went well
		_, err = reader.ExecContext(t.Context(), "DO (SELECT COUNT(*) FROM sessions_meta)")
		require.NoError(t, err)

		conn, ended := connect(t, cfg), make(chan error, 1)
		go func() {
			ended <- mysqlsession.MigrateImpatiently(t.Context(), conn, "sessions", "sessions_meta", time.Second)
		}()
		const waiting = "FROM information_schema.PROCESSLIST WHERE ID = CONNECTION_ID() OR STATE LIKE 'Waiting for table metadata lock' AND DB = DATABASE()"
		waitUntil(t, admin, "SELECT COUNT(*) - 1 "+waiting)
		waitUntil(t, admin, "SELECT COUNT(*) = 1 "+waiting)
		require.NoError(t, reader.Commit())
		require.NoError(t, <-ended)
		noFindings(t, cfg)
		run := 0
		require.NoError(t, conn.Query(t.Context(), "SHOW SESSION STATUS LIKE 'Com_alter_table'", func(row mysqlsession.Row) error {
			n, err := row.Int64(1)
			run = int(n)
			return err
		}))
		assert.GreaterOrEqual(t, run, 5, "four statements, one of them again")
	})
}

func TestMigrateWorksWhereTablesMustHavePrimaryKeys(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		if server.MariaDB() {
			return // the server has no such setting
		}
		for name, statements := range map[string][]string{"nothing": nil, "the document's tables": conformance.DocumentTables()} {
			t.Run(name, func(t *testing.T) {
				cfg := server.NewDatabase(t)
				for _, statement := range statements {
					execute(t, server.AdminIn(t, cfg.Database), statement)
				}
				cfg.AfterConnect = func(ctx context.Context, conn *mysqlsession.Conn) error {
					_, err := conn.Exec(ctx, "SET SESSION sql_require_primary_key = 1")
					return err
				}
				store := openStore(t, cfg)
				require.NoError(t, store.Migrate(t.Context()))
				noFindings(t, cfg)
			})
		}
	})
}

func TestTextColumnsRefuseWhatTheyWouldChange(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		cfg := server.NewDatabase(t)
		admin := server.AdminIn(t, cfg.Database)
		createDocumentTables(t, cfg, admin)
		execute(t, admin, "ALTER TABLE sessions MODIFY name CHAR(30), MODIFY data TEXT(200)")
		store := openStore(t, cfg)
		set := func(name, value string, metadata ...mysqlsession.Metadata) error {
			return store.Set(t.Context(), name, "key", []byte(value), time.Minute, &mysqlsession.SetOptions{Metadata: metadata})
		}
		tests := []struct {
			name string
			err  error
			want error
			says []string
		}{
			{"value", set("name", "\x80"), mysqlsession.ErrTextColumn, []string{"sessions.data", "ascii", "Migrate"}},
			{"name", set("n\xc3\xa4me", ""), mysqlsession.ErrTextColumn, []string{"sessions.name", "Migrate"}},
			{"trailing space", set("name ", ""), mysqlsession.ErrTextColumn, []string{"sessions.name", "trailing spaces", "Migrate"}},
			{"long name", set(strings.Repeat("n", 31), ""), mysqlsession.ErrInvalidName, []string{"31", "sessions.name", "30"}},
			{"long value", set("name", strings.Repeat("v", 256)), mysqlsession.ErrValueTooLarge, []string{"256", "sessions.data", "255"}},
			{"audience", set("name", "", mysqlsession.Metadata{Audience: "\xff"}), mysqlsession.ErrTextColumn, []string{"sessions_meta.aud", "Migrate"}},
			{"subject", set("name", "", mysqlsession.Metadata{Subject: "\xff"}), mysqlsession.ErrTextColumn, []string{"sessions_meta.sub", "Migrate"}},
		}
		for _, test := range tests {
			t.Run(test.name, func(t *testing.T) {
				require.ErrorIs(t, test.err, test.want)
				for _, part := range test.says {
					assert.Contains(t, test.err.Error(), part)
				}
			})
		}
		assert.Empty(t, contents(t, admin))
		require.NoError(t, set(" name", asciiBytes()+"  ", mysqlsession.Metadata{Audience: "a ", Subject: asciiBytes()}))
	})
}

func TestASaveIsRefusedWhereItWouldAddARowEachTime(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		cfg := server.NewDatabase(t)
		admin := server.AdminIn(t, cfg.Database)
		execute(t, admin, "CREATE TABLE sessions (sid VARBINARY(43), name VARBINARY(255), data MEDIUMBLOB, exp DATETIME, INDEX (sid), INDEX (exp))")
		err := openStore(t, cfg).Set(t.Context(), "name", "key", nil, time.Minute, nil)
		require.ErrorIs(t, err, mysqlsession.ErrSchema)
		assert.Contains(t, err.Error(), "unique index on sid")
	})
}
