package main

import (
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/mysqlsession/mysqlsession"
	"github.com/mysqlsession/mysqlsession/internal/conformance"
	"github.com/mysqlsession/mysqlsession/internal/dbtest"
)

func TestMigrateTellsItsStepsAndHasNothingToDoASecondTime(t *testing.T) {
	eachDatabase(t, func(t *testing.T, server dbtest.Server, cfg mysqlsession.Config) {
		got := execute(t, "migrate")
		assert.Zero(t, got.code, got.said)
		assert.Regexp(t, regexp.MustCompile(`^create table sessions\ncreate table sessions_meta\ndone, 2 steps in \S+\n$`), got.out)
		assert.Empty(t, got.said)

		got = execute(t, "migrate")
		assert.Equal(t, result{out: "nothing to do, both tables are up to date\n"}, got)
		findings, err := storeIn(t, cfg).Check(t.Context())
		require.NoError(t, err)
		assert.Empty(t, findings)
	})
}

func TestThePrintedSQLIsAllThatAnotherClientHasToRun(t *testing.T) {
	eachDatabase(t, func(t *testing.T, server dbtest.Server, cfg mysqlsession.Config) {
		admin := server.AdminIn(t, cfg.Database)
		for _, statement := range conformance.DocumentTables() {
			_, err := admin.ExecContext(t.Context(), statement)
			require.NoError(t, err)
		}
		_, err := admin.ExecContext(t.Context(), "INSERT INTO sessions VALUES ('id', 'name', 'value', '2036-01-01')")
		require.NoError(t, err)

		got := execute(t, "migrate", "--print")
		assert.Zero(t, got.code, got.said)
		assert.Empty(t, got.said)
		assert.Equal(t, got, execute(t, "migrate", "--print"), "it has run nothing")
		for _, line := range []string{"-- set up the session\n", "USE `" + cfg.Database + "`;\n", "ALTER TABLE `sessions` MODIFY"} {
			assert.Contains(t, got.out, line)
		}
		for line := range strings.Lines(got.out) {
			assert.Regexp(t, `^(-- .+|.+;|)\n$`, line, "a statement or a comment is a line")
		}

		_, err = server.Admin(t).ExecContext(t.Context(), got.out)
		require.NoError(t, err)
		got = execute(t, "migrate", "--print")
		assert.Equal(t, result{said: "mysqlsession: nothing to do, both tables are up to date\n"}, got)
		var value string
		require.NoError(t, admin.QueryRowContext(t.Context(), "SELECT data FROM sessions").Scan(&value))
		assert.Equal(t, "value", value)
	})
}

func TestMigrateFailsWithTheStepThatTheServerRefused(t *testing.T) {
	eachDatabase(t, func(t *testing.T, server dbtest.Server, cfg mysqlsession.Config) {
		t.Setenv(dsnVariable, server.NewUser(t, cfg, "SELECT").ConnString())
		got := execute(t, "migrate")
		assert.Equal(t, exitFailure, got.code)
		assert.Equal(t, "create table sessions\n", got.out)
		assert.Regexp(t, `^mysqlsession: migrate: .*create table sessions: .*1142.*\n$`, got.said)
	})
}

func TestWhatANameHoldsEndsNoComment(t *testing.T) {
	assert.Equal(t, "drop foreign key a DROP TABLE x", oneLine("drop foreign key a\nDROP TABLE x"))
	assert.Equal(t, "a b c", oneLine("a\x1bb\u2028c"))
	assert.Equal(t, "größer 愛", oneLine("größer 愛"))
}
