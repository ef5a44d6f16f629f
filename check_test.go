package mysqlsession_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/mysqlsession/mysqlsession/internal/conformance"
	"github.com/mysqlsession/mysqlsession/internal/dbtest"
)

// finding is what Check says about the tables that the statements make.
type finding struct {
	name       string
	statements []string
	want       []string
}

const (
	fine         = "CREATE TABLE sessions (sid VARBINARY(43) PRIMARY KEY, name VARBINARY(255), data MEDIUMBLOB, exp DATETIME, INDEX (exp))"
	fineMetadata = "CREATE TABLE sessions_meta (aud VARBINARY(255), sub VARBINARY(255), sid VARBINARY(43), PRIMARY KEY (aud, sub, sid), " +
		"FOREIGN KEY (sid) REFERENCES sessions (sid) ON DELETE CASCADE)"
)

func findingsAboutTypes() []finding {
	document := conformance.DocumentTables()
	return []finding{
		{"nothing", nil, []string{
			"error: sessions does not exist; run Migrate",
			"notice: sessions_meta does not exist, so that operations with metadata fail; run Migrate"}},
		{"the document's tables", document, []string{
			"warning: sessions.sid has character set ascii, so that anything but ASCII is refused, and trailing spaces with it, and compares without regard to case and trailing spaces; run Migrate",
			"warning: sessions.name has character set ascii, so that anything but ASCII is refused; run Migrate",
			"warning: sessions.data has character set ascii, so that anything but ASCII is refused; run Migrate",
			"warning: sessions_meta.aud has character set ascii, so that anything but ASCII is refused, and compares without regard to case and trailing spaces; run Migrate",
			"warning: sessions_meta.sub has character set ascii, so that anything but ASCII is refused, and compares without regard to case and trailing spaces; run Migrate",
			"warning: sessions_meta.sid has character set ascii, so that anything but ASCII is refused, and trailing spaces with it, and compares without regard to case and trailing spaces; run Migrate"}},
		{"a binary collation", []string{strings.Replace(fine, "sid VARBINARY(43)", "sid VARCHAR(43) CHARACTER SET ascii COLLATE ascii_bin", 1),
			strings.Replace(fineMetadata, "sid VARBINARY(43)", "sid VARCHAR(43) CHARACTER SET ascii COLLATE ascii_bin", 1)}, []string{
			"warning: sessions.sid has character set ascii, so that anything but ASCII is refused, and compares without regard to trailing spaces; run Migrate",
			"warning: sessions_meta.sid has character set ascii, so that anything but ASCII is refused, and compares without regard to trailing spaces; run Migrate"}},
		{"small columns", []string{strings.Replace(fine, "name VARBINARY(255), data MEDIUMBLOB", "name VARBINARY(64), data BLOB", 1), fineMetadata}, []string{
			"warning: sessions.name holds 64 bytes, and 255 are allowed; run Migrate",
			"warning: sessions.data holds 65535 bytes, and MaxPacketSize allows values of 1048572; run Migrate"}},
		{"wrong types", []string{"CREATE TABLE sessions (sid INT PRIMARY KEY, name BINARY(9), data MEDIUMTEXT CHARACTER SET utf16, exp INT, INDEX (exp))"}, []string{
			"error: sessions.sid is INT, which does not hold a string as it is; ALTER TABLE `sessions` MODIFY `sid` VARBINARY(43) NOT NULL",
			"error: sessions.name is BINARY, which pads what is shorter; run Migrate",
			"error: sessions.data has character set utf16, which stores ASCII in other bytes; run Migrate",
			"error: sessions.exp is INT where DATETIME is needed; ALTER TABLE `sessions` MODIFY `exp` DATETIME",
			"notice: sessions_meta does not exist, so that operations with metadata fail; run Migrate"}},
		{"a timestamp", []string{strings.Replace(fine, "exp DATETIME", "exp TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP ON UPDATE CURRENT_TIMESTAMP", 1), fineMetadata}, []string{
			"error: sessions.exp becomes the current time whenever a row changes, so that sessions end at once; run Migrate",
			"warning: sessions.exp is TIMESTAMP, which ends in 2038 on most servers; run Migrate"}},
	}
}

func findingsAboutKeys() []finding {
	return []finding{
		{"no keys", []string{"CREATE TABLE sessions (sid VARBINARY(43), name VARBINARY(255), data MEDIUMBLOB, exp DATETIME, INDEX (sid(10)))",
			"CREATE TABLE sessions_meta (aud VARBINARY(255), sub VARBINARY(255), sid VARBINARY(43))"}, []string{
			"error: sessions.sid is in no primary key or unique index, so that each save would add a row; run Migrate",
			"warning: sessions.exp is in no index, so that each clean-up reads the whole table; run Migrate",
			"warning: sessions_meta has no primary key or unique index on aud, sub, sid, so that rows are doubled; run Migrate",
			"warning: sessions_meta has no index on aud, sub, so that looking up a subject reads the whole table; run Migrate",
			"warning: sessions_meta.sid is in no index, so that deleting a session reads the whole table; run Migrate",
			"warning: sessions_meta.sid has no foreign key to sessions with ON DELETE CASCADE, so that the metadata of deleted sessions stays; run Migrate"}},
		{"no cascade", []string{fine, strings.Replace(fineMetadata, "ON DELETE CASCADE", "", 1)}, []string{
			"error: sessions_meta.sid has a foreign key without ON DELETE CASCADE, so that sessions with metadata cannot be deleted; run Migrate"}},
		{"two keys", []string{fine, strings.Replace(fineMetadata, "FOREIGN KEY", "FOREIGN KEY (sid) REFERENCES sessions (sid) ON DELETE CASCADE, FOREIGN KEY", 1)}, []string{
			"notice: sessions_meta.sid has 2 foreign keys to sessions, each of which is checked with each row; run Migrate"}},
		{"another's key", []string{fine, strings.Replace(fine, "TABLE sessions", "TABLE others", 1),
			strings.Replace(fineMetadata, "FOREIGN KEY", "CONSTRAINT `o'k` FOREIGN KEY (sid) REFERENCES others (sid), FOREIGN KEY", 1)}, []string{
			"error: sessions_meta.sid references table others, so that metadata of sessions in sessions is refused; ALTER TABLE `sessions_meta` DROP FOREIGN KEY `o'k`"}},
		{"no transactions", []string{fine + " ENGINE=MyISAM"}, []string{
			"warning: sessions has engine MyISAM, which has no transactions: an operation that fails halfway leaves what it did; run Migrate",
			"notice: sessions_meta does not exist, so that operations with metadata fail; run Migrate"}},
		{"partitions", []string{fine + " PARTITION BY KEY (sid) PARTITIONS 2", strings.Replace(fineMetadata, ", FOREIGN KEY (sid) REFERENCES sessions (sid) ON DELETE CASCADE", ", INDEX (sid)", 1)}, []string{
			"warning: sessions_meta.sid has no foreign key to sessions with ON DELETE CASCADE, so that the metadata of deleted sessions stays; use tables of InnoDB without partitions, which can have foreign keys"}},
		{"a column of somebody", []string{strings.Replace(fine, "INDEX", "tenant INT NOT NULL, region INT NOT NULL DEFAULT 1, note TEXT, doubled INT AS (tenant * 2) STORED, INDEX", 1), fineMetadata}, []string{
			"error: sessions.tenant has to be given a value and the store does not know it, so that nothing can be stored; give the column a default, or let it be NULL"}},
		{"tables of something else", []string{"CREATE TABLE sessions (session_id INT PRIMARY KEY, data MEDIUMBLOB)", "CREATE TABLE sessions_meta (sid VARBINARY(43), sub VARBINARY(255))"}, []string{
			"error: sessions.sid does not exist; choose another table: this one was not made for sessions",
			"error: sessions.name does not exist; choose another table: this one was not made for sessions",
			"error: sessions.exp does not exist; choose another table: this one was not made for sessions",
			"error: sessions.session_id has to be given a value and the store does not know it, so that nothing can be stored; give the column a default, or let it be NULL",
			"error: sessions_meta.aud does not exist; choose another table: this one was not made for sessions"}},
		{"views", []string{strings.Replace(fine, "TABLE sessions", "TABLE kept", 1), "CREATE VIEW sessions AS SELECT * FROM kept"}, []string{
			"warning: sessions is a view, and the table behind it has not been checked; name the table itself in the configuration",
			"notice: sessions_meta does not exist, so that operations with metadata fail; run Migrate"}},
		{"keys on less", []string{strings.Replace(fine, "sid VARBINARY(43) PRIMARY KEY", "sid VARBINARY(43) UNIQUE, PRIMARY KEY (sid(10)), UNIQUE INDEX one (name, exp)", 1),
			"CREATE TABLE sessions_meta (aud VARBINARY(255), sub VARBINARY(255), sid VARBINARY(43), UNIQUE INDEX (aud, sub, sid), PRIMARY KEY (aud, sub), " +
				"FOREIGN KEY (sid) REFERENCES sessions (sid) ON DELETE CASCADE)"}, []string{
			"error: sessions has unique index one on less than sid, so that a save may replace another's row; ALTER TABLE `sessions` DROP INDEX `one`",
			"error: sessions has unique index PRIMARY on less than sid, so that a save may replace another's row; ALTER TABLE `sessions` DROP INDEX `PRIMARY`",
			"error: sessions_meta has unique index PRIMARY on less than aud, sub, sid, so that a save may replace another's row; ALTER TABLE `sessions_meta` DROP INDEX `PRIMARY`"}},
	}
}

func TestFindingsNameSubjectProblemAndFixInAFixedOrder(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		for _, test := range append(findingsAboutTypes(), findingsAboutKeys()...) {
			t.Run(test.name, func(t *testing.T) {
				cfg := server.NewDatabase(t)
				admin := server.AdminIn(t, cfg.Database)
				for _, statement := range test.statements {
					execute(t, admin, statement)
				}
				findings, err := openStore(t, cfg).Check(t.Context())
				require.NoError(t, err)
				var lines []string
				for _, finding := range findings {
					lines = append(lines, finding.String())
				}
				assert.Equal(t, test.want, lines)
			})
		}
	})
}
