package mysqlsession_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/mysqlsession/mysqlsession"
	"github.com/mysqlsession/mysqlsession/internal/conformance"
	"github.com/mysqlsession/mysqlsession/internal/dbtest"
)

// migrateOnce migrates sessions and sessions_meta and returns the statements that were run.
func migrateOnce(t *testing.T, cfg mysqlsession.Config) []string {
	t.Helper()
	var run []string
	require.NoError(t, mysqlsession.MigrateOn(t.Context(), connect(t, cfg), "sessions", "sessions_meta",
		func(statement string) { run = append(run, statement) }))
	return run
}

// noFindings asserts that Check has nothing to say.
func noFindings(t *testing.T, cfg mysqlsession.Config) {
	t.Helper()
	findings, err := openStore(t, cfg).Check(t.Context())
	require.NoError(t, err)
	assert.Empty(t, findings)
}

// contents is every row of both tables, byte for byte, in the order of the bytes.
func contents(t *testing.T, admin *sql.DB) []string {
	t.Helper()
	var all []string
	for _, query := range []string{
		"SELECT CONCAT_WS(' ', HEX(sid), IFNULL(HEX(name), 'null'), IFNULL(HEX(data), 'null'), IFNULL(exp, 'null')) row_text FROM sessions ORDER BY HEX(sid)",
		"SELECT CONCAT_WS(' ', HEX(aud), HEX(sub), HEX(sid)) FROM sessions_meta ORDER BY HEX(aud), HEX(sub), HEX(sid)",
	} {
		all = append(all, texts(t, admin, query)...)
	}
	return all
}

// texts is the first column of a query's rows.
func texts(t *testing.T, admin *sql.DB, query string, arguments ...any) []string {
	t.Helper()
	rows, err := admin.QueryContext(t.Context(), query, arguments...)
	require.NoError(t, err, query)
	defer func() { require.NoError(t, rows.Close()) }()
	var all []string
	for rows.Next() {
		var s string
		require.NoError(t, rows.Scan(&s))
		all = append(all, s)
	}
	require.NoError(t, rows.Err())
	return all
}

// definition is how the server would make the table again.
func tableDefinition(t *testing.T, admin *sql.DB, table string) string {
	t.Helper()
	var name, statement string
	require.NoError(t, admin.QueryRowContext(t.Context(), "SHOW CREATE TABLE "+table).Scan(&name, &statement))
	return statement
}

func asciiBytes() string {
	all := make([]byte, 0x80)
	for i := range all {
		all[i] = byte(i)
	}
	return string(all)
}

func TestMigrateKeepsEveryASCIIByteAndPadsNoID(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		cfg := server.NewDatabase(t)
		admin := server.AdminIn(t, cfg.Database)
		createDocumentTables(t, cfg, admin)
		all := asciiBytes()
		execute(t, admin, "INSERT INTO sessions VALUES ('short', ?, ?, '2030-01-01'), (?, ?, ?, NULL), ('nulls', NULL, NULL, NULL)",
			all, all, strings.Repeat("x", 43), strings.Repeat("n", 255), strings.Repeat(all, 1000)+"  ")
		execute(t, admin, "INSERT INTO sessions_meta VALUES (?, ?, 'short'), ('', '', 'short'), ('a ', ' ', ?)", all, all, strings.Repeat("x", 43))
		before := contents(t, admin)
		require.Len(t, before, 6)

		migrateOnce(t, cfg)

		assert.Equal(t, before, contents(t, admin))
		assert.Equal(t, 1, count(t, admin, "SELECT COUNT(*) FROM sessions WHERE LENGTH(sid) = 5 AND sid = 'short'"))
		assert.Equal(t, 1, count(t, admin, "SELECT COUNT(*) FROM sessions_meta WHERE LENGTH(sid) = 5 AND aud = ''"))
		noFindings(t, cfg)
	})
}

func TestMigrateKeepsTheStoredBytesOfUTF8(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		for _, charset := range []string{"utf8mb4", "latin1"} {
			t.Run(charset, func(t *testing.T) {
				cfg := server.NewDatabase(t)
				admin := server.AdminIn(t, cfg.Database)
				for _, statement := range conformance.DocumentTables() {
					execute(t, admin, strings.Replace(statement, "CHARACTER SET ascii", "CHARACTER SET "+charset, 1))
				}
				longest := strings.Repeat("é", 255)
				execute(t, admin, "INSERT INTO sessions VALUES ('id', ?, 'größer', '2030-01-01')", longest)
				execute(t, admin, "INSERT INTO sessions_meta VALUES (?, 'ñ', 'id')", longest)
				before := contents(t, admin)

				migrateOnce(t, cfg)

				assert.Equal(t, before, contents(t, admin))
				noFindings(t, cfg)
			})
		}
	})
}

// The bytes of UTF-16 would be those of no session if they became binary as they are.
func TestMigrateTurnsWideCharacterSetsIntoUTF8First(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		for _, charset := range []string{"utf16", "ucs2", "utf32"} {
			t.Run(charset, func(t *testing.T) {
				cfg := server.NewDatabase(t)
				admin := server.AdminIn(t, cfg.Database)
				for _, statement := range conformance.DocumentTables() {
					execute(t, admin, strings.Replace(statement, "CHARACTER SET ascii", "CHARACTER SET "+charset, 1))
				}
				execute(t, admin, "INSERT INTO sessions VALUES ('id', 'name', 'größer', '2036-01-01')")
				execute(t, admin, "INSERT INTO sessions_meta VALUES ('app', 'alice', 'id')")
				store := openStore(t, cfg)
				_, err := store.Get(t.Context(), "name", "id")
				require.ErrorIs(t, err, mysqlsession.ErrSchema)
				assert.Contains(t, err.Error(), charset)

				require.NoError(t, store.Migrate(t.Context()))

				value, err := store.Get(t.Context(), "name", "id")
				require.NoError(t, err)
				assert.Equal(t, "größer", string(value))
				keys, err := store.ReadMetadata(t.Context(), "name", "app", "alice")
				require.NoError(t, err)
				assert.Contains(t, keys, "id")
				noFindings(t, cfg)
			})
		}
	})
}

func TestMigrateRunsNoStatementWhenNothingIsToDo(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		for name, create := range map[string]func(*testing.T, mysqlsession.Config, *sql.DB){
			"new tables": createNewTables, "the document's tables": createDocumentTables,
		} {
			t.Run(name, func(t *testing.T) {
				cfg := server.NewDatabase(t)
				admin := server.AdminIn(t, cfg.Database)
				create(t, cfg, admin)
				migrateOnce(t, cfg)
				before := tableDefinition(t, admin, "sessions") + tableDefinition(t, admin, "sessions_meta")

				conn := connect(t, cfg)
				require.NoError(t, mysqlsession.MigrateOn(t.Context(), conn, "sessions", "sessions_meta", func(statement string) {
					t.Errorf("ran %s", statement)
				}))

				assert.Equal(t, before, tableDefinition(t, admin, "sessions")+tableDefinition(t, admin, "sessions_meta"))
				require.NoError(t, conn.Query(t.Context(), "SHOW SESSION STATUS WHERE Variable_name IN ('Com_alter_table', 'Com_create_table', 'Com_delete')",
					func(row mysqlsession.Row) error {
						assert.Equal(t, "0", row.String(1), row.String(0))
						return nil
					}))
			})
		}
	})
}

// variants are tables that one finds in the wild, and what becomes of them.
func variants() map[string][]string {
	document := conformance.DocumentTables()
	binaryIDs := []string{
		strings.Replace(document[0], "CHAR(43)", "BINARY(43)", 1),
		strings.Replace(document[1], "CHAR(43)", "BINARY(43)", 1),
	}
	return map[string][]string{
		"nothing":                  nil,
		"the document's tables":    document,
		"sessions alone":           document[:1],
		"fixed binary ids":         binaryIDs,
		"case-sensitive collation": {document[0] + " COLLATE ascii_bin", document[1] + " COLLATE ascii_bin"},
		"without transactions":     {document[0] + " ENGINE=MyISAM", document[1] + " ENGINE=MyISAM"},
		"sessions without transactions": {
			document[0] + " ENGINE=MyISAM",
			"CREATE TABLE sessions_meta (aud VARCHAR(255), sub VARCHAR(255), sid CHAR(43), PRIMARY KEY (aud, sub, sid)) CHARACTER SET ascii",
		},
		"no key at all": {
			"CREATE TABLE sessions (sid CHAR(43), name VARCHAR(255), data MEDIUMTEXT, exp DATETIME) CHARACTER SET ascii",
			"CREATE TABLE sessions_meta (aud VARCHAR(255), sub VARCHAR(255), sid CHAR(43)) CHARACTER SET ascii",
		},
		"small columns": {
			"CREATE TABLE sessions (sid VARBINARY(20) PRIMARY KEY, name VARBINARY(20), data BLOB, exp DATETIME)",
			"CREATE TABLE sessions_meta (aud VARBINARY(20), sub VARBINARY(20), sid VARBINARY(20), PRIMARY KEY (aud, sub, sid), " +
				"FOREIGN KEY (sid) REFERENCES sessions (sid) ON DELETE CASCADE)",
		},
		"another primary key": {
			"CREATE TABLE sessions (id BIGINT AUTO_INCREMENT PRIMARY KEY, sid CHAR(43), name VARCHAR(255), data LONGTEXT, exp DATETIME) CHARACTER SET ascii",
			"CREATE TABLE sessions_meta (id BIGINT AUTO_INCREMENT PRIMARY KEY, sid CHAR(43), aud VARCHAR(255), sub VARCHAR(255)) CHARACTER SET ascii",
		},
		"keys in another order": {document[0],
			"CREATE TABLE sessions_meta (aud VARCHAR(255), sub VARCHAR(255), sid CHAR(43), PRIMARY KEY (sid, aud, sub)) CHARACTER SET ascii"},
		"a timestamp": {
			"CREATE TABLE sessions (sid CHAR(43) PRIMARY KEY, name TINYTEXT, data TEXT, exp TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP ON UPDATE CURRENT_TIMESTAMP) CHARACTER SET ascii",
			document[1]},
		"a key that restricts": {document[0], strings.Replace(document[1], "ON DELETE CASCADE ON UPDATE CASCADE", "", 1)},
		"two keys": {document[0], strings.Replace(document[1], "CONSTRAINT FOREIGN KEY",
			"CONSTRAINT `a``b é` FOREIGN KEY (sid) REFERENCES sessions (sid), CONSTRAINT FOREIGN KEY", 1)},
		"the same key twice": {document[0], strings.Replace(document[1], "CONSTRAINT FOREIGN KEY",
			"FOREIGN KEY (sid) REFERENCES sessions (sid) ON DELETE CASCADE, CONSTRAINT FOREIGN KEY", 1)},
		"the same key twice, on binary columns": {
			"CREATE TABLE sessions (sid VARBINARY(43) PRIMARY KEY, name VARBINARY(255), data MEDIUMBLOB, exp DATETIME, INDEX (exp))",
			"CREATE TABLE sessions_meta (aud VARBINARY(255), sub VARBINARY(255), sid VARBINARY(43), PRIMARY KEY (aud, sub, sid), " +
				"FOREIGN KEY (sid) REFERENCES sessions (sid) ON DELETE CASCADE, FOREIGN KEY (sid) REFERENCES sessions (sid) ON DELETE CASCADE)"},
		"columns in capitals": {"CREATE TABLE sessions (SID CHAR(43) PRIMARY KEY, NAME VARCHAR(255), DATA MEDIUMTEXT, EXP DATETIME, INDEX (EXP)) CHARACTER SET ascii",
			"CREATE TABLE sessions_meta (AUD VARCHAR(255), SUB VARCHAR(255), SID CHAR(43), PRIMARY KEY (AUD, SUB, SID)) CHARACTER SET ascii"},
		"missing columns": {"CREATE TABLE sessions (sid CHAR(43) PRIMARY KEY) CHARACTER SET ascii", document[1]},
		"JSON values":     {strings.Replace(document[0], "MEDIUMTEXT", "LONGTEXT CHECK (JSON_VALID(data))", 1), document[1]},
	}
}

func TestMigrateMakesWhatTheStoreNeedsOfTablesInTheWild(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		for name, statements := range variants() {
			t.Run(name, func(t *testing.T) {
				if name == "JSON values" && !server.MariaDB() {
					return // there a check is the table's, not the column's, and JSON is a type
				}
				cfg := server.NewDatabase(t)
				admin := server.AdminIn(t, cfg.Database)
				for _, statement := range statements {
					execute(t, admin, statement)
				}
				findings, err := openStore(t, cfg).Check(t.Context())
				require.NoError(t, err)
				assert.Contains(t, fixes(findings), "run Migrate")
				planned, err := mysqlsession.PlanOn(t.Context(), connect(t, cfg), "sessions", "sessions_meta")
				require.NoError(t, err)
				assert.NotEmpty(t, planned)

				assert.Equal(t, planned, migrateOnce(t, cfg), "what is run is what was planned")

				assert.Empty(t, migrateOnce(t, cfg))
				noFindings(t, cfg)
				worksInFull(t, cfg, admin)
			})
		}
	})
}

func fixes(findings []mysqlsession.Finding) []string {
	var all []string
	for _, finding := range findings {
		all = append(all, finding.Fix)
	}
	return all
}

// worksInFull asserts that any bytes can be stored, and that metadata goes with its session.
func worksInFull(t *testing.T, cfg mysqlsession.Config, admin *sql.DB) {
	t.Helper()
	store := openStore(t, cfg)
	key, subject := strings.Repeat("k", 43), strings.Repeat("\xff", 255)
	value := []byte(asciiBytes() + "\xff\x00\x80 ")
	options := &mysqlsession.SetOptions{Metadata: []mysqlsession.Metadata{{Audience: subject, Subject: subject}, {Audience: "a", Subject: "b"}, {Audience: "A", Subject: "b "}}}
	for range 2 {
		require.NoError(t, store.Set(t.Context(), subject, key, value, time.Hour, options))
	}
	got, err := store.Get(t.Context(), subject, key)
	require.NoError(t, err)
	assert.Equal(t, value, got)
	keys, err := store.ReadMetadata(t.Context(), subject, subject, subject)
	require.NoError(t, err)
	assert.Contains(t, keys, key)
	assert.Equal(t, 3, count(t, admin, "SELECT COUNT(*) FROM sessions_meta"))
	require.NoError(t, store.Delete(t.Context(), subject, key))
	assert.Zero(t, count(t, admin, "SELECT COUNT(*) FROM sessions_meta"))
}

// A migration that is killed has run any number of its statements; the next one has to go
// on from there, with the traffic of a gateway in between.
func TestMigrateGoesOnAfterEachOfItsStatements(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		for stop, more := 0, true; more; stop++ {
			t.Run(fmt.Sprintf("%d statements", stop), func(t *testing.T) {
				cfg := server.NewDatabase(t)
				admin := server.AdminIn(t, cfg.Database)
				createDocumentTables(t, cfg, admin)
				oldRows(t, admin)
				before := contents(t, admin)
				ctx, kill := context.WithCancelCause(t.Context())
				defer kill(nil)
				run, killed := 0, errors.New("killed")
				err := mysqlsession.MigrateOn(ctx, connect(t, cfg), "sessions", "sessions_meta", func(string) {
					if run++; run > stop {
						kill(killed)
					}
				})
				if more = run > stop; more {
					require.ErrorIs(t, err, killed)
					require.ErrorIs(t, err, context.Canceled)
				} else {
					require.NoError(t, err)
				}
				assert.Equal(t, before, contents(t, admin))
				execute(t, admin, "INSERT INTO sessions (sid, name, data, exp) VALUES ('between', 'session', 'x', '2036-01-01')")
				execute(t, admin, "INSERT INTO sessions_meta (aud, sub, sid) VALUES ('app', 'bob', 'between')")

				migrateOnce(t, cfg)

				assert.Len(t, contents(t, admin), len(before)+2)
				execute(t, admin, "DELETE FROM sessions WHERE sid = 'between'")
				assert.Equal(t, before, contents(t, admin))
				noFindings(t, cfg)
			})
		}
	})
}

func TestMigrateRemovesOrphansInBatchesAndNothingElse(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		cfg := server.NewDatabase(t)
		admin := server.AdminIn(t, cfg.Database)
		createDocumentTables(t, cfg, admin)
		dropForeignKey(t, admin)
		const numbers = "(SELECT a.n * 1000 + b.n * 100 + c.n * 10 + d.n AS n FROM (SELECT 0 n UNION SELECT 1) a, " + digits + " b, " + digits + " c, " + digits + " d) numbers"
		execute(t, admin, "INSERT INTO sessions SELECT CONCAT('live', n), 'name', 'value', '2036-01-01' FROM "+numbers+" WHERE n % 3 = 0")
		execute(t, admin, "INSERT INTO sessions_meta SELECT 'app', CONCAT('subject', n), CONCAT('live', n) FROM "+numbers)
		execute(t, admin, "INSERT INTO sessions_meta SELECT 'other', 'subject', CONCAT('live', n) FROM "+numbers)
		live := count(t, admin, "SELECT COUNT(*) FROM sessions")

		migrateOnce(t, cfg)

		assert.Equal(t, 2*live, count(t, admin, "SELECT COUNT(*) FROM sessions_meta"))
		assert.Equal(t, live, count(t, admin, "SELECT COUNT(*) FROM sessions"))
		noFindings(t, cfg)
	})
}

const digits = "(SELECT 0 n UNION SELECT 1 UNION SELECT 2 UNION SELECT 3 UNION SELECT 4 UNION SELECT 5 UNION SELECT 6 UNION SELECT 7 UNION SELECT 8 UNION SELECT 9)"
