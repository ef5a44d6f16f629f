//go:build unix

package main

import (
	"bytes"
	"context"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/mysqlsession/mysqlsession"
	"github.com/mysqlsession/mysqlsession/internal/conformance"
	"github.com/mysqlsession/mysqlsession/internal/dbtest"
)

// tooLong is how long a program that is to end at once may take on a busy machine.
const tooLong = 10 * time.Second

// atTerminal runs the program at a terminal, where answer is typed when the question is
// asked, and returns what the terminal shows.
func atTerminal(t *testing.T, arguments, question, answer string) (code int, shown string) {
	t.Helper()
	command := exec.Command(os.Args[0])
	asProgram(command, arguments)
	terminal, err := pty.Start(command)
	require.NoError(t, err)
	defer func() { _ = terminal.Close() }()
	killer := time.AfterFunc(tooLong, func() { _ = command.Process.Kill() })
	defer killer.Stop()

	var all bytes.Buffer
	buffer := make([]byte, 4096)
	for answered := false; ; {
		n, err := terminal.Read(buffer)
		all.Write(buffer[:n])
		if !answered && strings.Contains(all.String(), question) {
			answered = true
			_, err := io.WriteString(terminal, answer)
			require.NoError(t, err)
		}
		if err != nil {
			break // EIO on Linux, when the other end is gone
		}
	}
	_ = command.Wait()
	require.Contains(t, all.String(), question)
	return command.ProcessState.ExitCode(), strings.ReplaceAll(all.String(), "\r\n", "\n")
}

func TestRevokeAllAsksAtATerminal(t *testing.T) {
	const question = "Revoke 3 sessions of alice, web? [y/N] "
	eachDatabase(t, func(t *testing.T, server dbtest.Server, cfg mysqlsession.Config) {
		store := aliceAndBob(t, server, cfg)
		for _, answer := range []string{"n\n", "\n", "yea\n"} {
			code, shown := atTerminal(t, "sessions revoke-all"+ofAlice, question, answer)
			assert.Equal(t, exitFailure, code)
			assert.Contains(t, shown, "mysqlsession: not confirmed, nothing was done\n")
		}
		code, shown := atTerminal(t, "sessions revoke-all"+ofAlice, question, "\x03")
		assert.Equal(t, exitInterrupted, code)
		assert.NotContains(t, shown, "mysqlsession:")
		assert.Len(t, alive(t, store), 4)

		code, shown = atTerminal(t, "sessions revoke-all"+ofAlice, question, "Yes\n")
		assert.Zero(t, code)
		assert.Contains(t, shown, "revoked 3 sessions\n")
		assert.Equal(t, []string{bobsID}, alive(t, store))
		code, _ = atTerminal(t, "sessions revoke-all --everybody --name session", "Revoke every session of name session? [y/N] ", "y\n")
		assert.Zero(t, code)
		assert.Empty(t, alive(t, store))
	})
}

func TestAtATerminalAnIDIsAskedForAndAValueCannotCommandIt(t *testing.T) {
	eachDatabase(t, func(t *testing.T, _ dbtest.Server, cfg mysqlsession.Config) {
		require.NoError(t, storeIn(t, cfg).Set(t.Context(), "session", "an-id", []byte("\x1b[2J\"größer\"\n"), time.Hour, nil))
		code, shown := atTerminal(t, "sessions show - --value", "id: ", "an-id\n")
		assert.Zero(t, code)
		assert.Contains(t, shown, `\x1b[2J"größer"\n`+"\n")
		code, _ = atTerminal(t, "sessions show -", "id: ", "\x03")
		assert.Equal(t, exitInterrupted, code)
	})
}

// A statement that waits for somebody's lock on the table is the longest there is.
func TestCtrlCEndsAMigrationAtOnceAndTheNextOneGoesOn(t *testing.T) {
	eachDatabase(t, func(t *testing.T, server dbtest.Server, cfg mysqlsession.Config) {
		admin := server.AdminIn(t, cfg.Database)
		for _, statement := range conformance.DocumentTables() {
			_, err := admin.ExecContext(t.Context(), statement)
			require.NoError(t, err)
		}
		reader, err := admin.BeginTx(t.Context(), nil)
		require.NoError(t, err)
		_, err = reader.ExecContext(t.Context(), "SELECT * FROM sessions_meta")
		require.NoError(t, err)

		command := exec.Command(os.Args[0])
		asProgram(command, "migrate")
		var out, said bytes.Buffer
		command.Stdout, command.Stderr = &out, &said
		require.NoError(t, command.Start())
		require.Eventually(t, func() bool {
			var waiting int
			err := admin.QueryRowContext(context.Background(), "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE DB = ? AND STATE LIKE 'Waiting for table metadata lock'", cfg.Database).Scan(&waiting)
			return err == nil && waiting > 0
		}, tooLong, 10*time.Millisecond, "the migration does not wait for the lock")
		killer := time.AfterFunc(tooLong, func() { _ = command.Process.Kill() })
		defer killer.Stop()
		begun := time.Now()
		require.NoError(t, command.Process.Signal(syscall.SIGINT))
		_ = command.Wait()
		assert.Equal(t, exitInterrupted, command.ProcessState.ExitCode())
		assert.Less(t, time.Since(begun), 2*time.Second)
		assert.Equal(t, 1, strings.Count(out.String(), "\n"), out.String())
		assert.Empty(t, said.String())

		require.NoError(t, reader.Rollback())
		got := execute(t, "migrate")
		assert.Zero(t, got.code, got.said)
		assert.Equal(t, result{out: upToDate + "\n"}, execute(t, "migrate"))
	})
}

func TestWhoeverStopsReadingGetsNoErrorMessageAndEndsNoMigrationHalfway(t *testing.T) {
	eachDatabase(t, func(t *testing.T, _ dbtest.Server, _ mysqlsession.Config) {
		for _, arguments := range []string{"migrate --print", "migrate", "sessions count --json", "--help"} {
			read, write, err := os.Pipe()
			require.NoError(t, err)
			require.NoError(t, read.Close())
			command := exec.Command(os.Args[0])
			asProgram(command, arguments)
			var said bytes.Buffer
			command.Stdout, command.Stderr = write, &said
			err = command.Run()
			require.NoError(t, write.Close())
			var exit *exec.ExitError
			if arguments != "--help" { // which cobra writes without looking back
				require.ErrorAs(t, err, &exit, arguments)
				assert.Equal(t, exitClosedPipe, exit.ExitCode(), arguments)
			}
			assert.Empty(t, said.String(), arguments)
		}
		assert.Equal(t, result{out: upToDate + "\n"}, execute(t, "migrate"))
	})
}

func TestOutputThatCannotBeWrittenIsAFailure(t *testing.T) {
	eachDatabase(t, func(t *testing.T, _ dbtest.Server, cfg mysqlsession.Config) {
		storeIn(t, cfg)
		for _, arguments := range []string{"migrate", "cleanup", "cleanup --json", "sessions count --json"} {
			full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
			if err != nil {
				full, err = os.Open("/dev/null") // where there is no such device: not open for writing
			}
			require.NoError(t, err)
			command := exec.Command(os.Args[0])
			asProgram(command, arguments)
			var said bytes.Buffer
			command.Stdout, command.Stderr = full, &said
			var exit *exec.ExitError
			require.ErrorAs(t, command.Run(), &exit, arguments)
			require.NoError(t, full.Close())
			assert.Equal(t, exitFailure, exit.ExitCode(), arguments)
			assert.Contains(t, said.String(), "mysqlsession: write /dev/stdout: ", arguments)
		}
	})
}
