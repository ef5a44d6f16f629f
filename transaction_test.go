package mysqlsession_test

import (
	"context"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mysqlsession/mysqlsession"
	"github.com/mysqlsession/mysqlsession/internal/wire"
)

// The notice says that the request in front of it was not read. One behind an answer says
// nothing about what was answered: a committed transaction must not be taken for undone.
func TestANoticeBehindAnAnswerTakesNothingBack(t *testing.T) {
	conn := converse(t, scriptedConfig(), func(p *serverEnd) {
		_ = p.take(2) // SET autocommit = 0, and the statement
		p.reply(ok(1, 0, 0), ok(1, wire.StatusInTransaction, 1))
		_ = p.take(2) // COMMIT, SET autocommit = 1
		p.reply(ok(1, 0, 0), failure(0, 1927, "70100", "killed"))
		p.ended()
	})
	require.NoError(t, conn.Transact(t.Context(), "INSERT"), "the commit was answered")
	require.ErrorIs(t, conn.Ping(t.Context()), mysqlsession.ErrClosed)
}

func TestACommitIsKnownOnceItIsAnswered(t *testing.T) {
	tests := []struct {
		name      string
		reply     []byte
		committed bool
	}{
		{"lost before its answer", nil, false},
		{"lost behind its answer", ok(1, 0, 0), true},
		{"autocommit refused behind its answer", slices.Concat(ok(1, 0, 0), failure(1, 1227, "42000", "")), true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			conn := converse(t, scriptedConfig(), func(p *serverEnd) {
				_ = p.take(2)
				p.reply(ok(1, 0, 0), ok(1, wire.StatusInTransaction, 1))
				_ = p.take(2)
				p.reply(test.reply)
			})
			err := conn.Transact(t.Context(), "INSERT")
			require.Equal(t, test.committed, err == nil, err)
			require.Equal(t, !test.committed, mysqlsession.OutcomeUnknown(err))
			require.False(t, conn.Reusable())
			require.ErrorIs(t, conn.Ping(t.Context()), mysqlsession.ErrClosed)
		})
	}
}

// Switching autocommit on commits what is open, also when the COMMIT in front has failed.
func TestACommitThatFailsLeavesItsOutcomeUnknownUnlessTheServerRolledBack(t *testing.T) {
	tests := []struct {
		name    string
		code    uint16
		unknown bool
	}{
		{"a deadlock's victim", 1213, false},
		{"a write set that was not certified", 3101, false},
		{"waited too long for a lock", 1205, false},
		{"the server was turned read-only", 1290, false},
		{"interrupted", 1317, true},
		{"an error during COMMIT", 1180, true},
		// Of Group Replication, which may yet apply what it could not agree on in time.
		{"its group was lost", 3100, true},
		{"the member is not online", 3098, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			conn := converse(t, scriptedConfig(), func(p *serverEnd) {
				_ = p.take(2)
				p.reply(ok(1, 0, 0), ok(1, wire.StatusInTransaction, 1))
				_ = p.take(2)
				p.reply(failure(1, test.code, "HY000", ""), ok(1, committing, 0))
				p.ended()
			})
			err := conn.Transact(t.Context(), "INSERT")
			var refused *mysqlsession.ServerError
			require.ErrorAs(t, err, &refused)
			require.Equal(t, test.code, refused.Code)
			require.Equal(t, test.unknown, mysqlsession.OutcomeUnknown(err))
			require.Equal(t, !test.unknown, mysqlsession.SafeToRetry(err))
		})
	}
}

func TestATransactionThatFailsIsRolledBackAndItsConnectionKept(t *testing.T) {
	commands := make(chan string, 8)
	conn := converse(t, scriptedConfig(), func(p *serverEnd) {
		script := [][]byte{
			ok(1, 0, 0), failure(1, 1213, "40001", ""), ok(1, wire.StatusInTransaction, 1), // goes on after the error
			ok(1, 0, 0), ok(1, committing, 0),
		}
		for _, reply := range script {
			_, statement, _ := p.command()
			commands <- string(statement)
			p.reply(reply)
		}
		p.ended()
	})
	err := conn.Transact(t.Context(), "UPDATE", "INSERT")
	require.True(t, mysqlsession.SafeToRetry(err))
	require.ErrorContains(t, err, "deadlock")
	for _, want := range []string{"SET autocommit = 0", "UPDATE", "INSERT", "ROLLBACK", "SET autocommit = 1"} {
		require.Equal(t, want, <-commands)
	}
	require.True(t, conn.Reusable())
	require.Equal(t, uint64(2), conn.RoundTrips())
}

func TestATransactionLostBeforeItsCommitIsSafeToRetry(t *testing.T) {
	conn := converse(t, scriptedConfig(), func(p *serverEnd) {
		_ = p.take(2)
		p.reply(ok(1, 0, 0))
	})
	err := conn.Transact(t.Context(), "INSERT")
	require.ErrorIs(t, err, mysqlsession.ErrUnavailable)
	require.True(t, mysqlsession.SafeToRetry(err))
	require.False(t, mysqlsession.OutcomeUnknown(err))
}

// inTransaction answers what opens a transaction and one statement in it.
func inTransaction(p *serverEnd) {
	_ = p.take(2)
	p.reply(ok(1, 0, 0), ok(1, wire.StatusInTransaction, 1))
}

// Without its first statement there is no transaction, and each of the others commits.
func TestATransactionThatCouldNotBeOpenedLeavesItsOutcomeUnknown(t *testing.T) {
	tests := map[string][]byte{
		"and the others done":               slices.Concat(failure(1, 1227, "42000", ""), ok(1, committing, 1)),
		"and the others refused":            slices.Concat(failure(1, 1227, "42000", ""), failure(1, 1062, "23000", "")),
		"and the connection lost behind it": failure(1, 1227, "42000", ""),
		"by a server that is going":         slices.Concat(failure(1, 1053, "08S01", ""), ok(1, committing, 1)),
	}
	for name, reply := range tests {
		t.Run(name, func(t *testing.T) {
			conn := converse(t, scriptedConfig(), func(p *serverEnd) {
				_ = p.take(2)
				p.reply(reply)
			})
			err := conn.Transact(t.Context(), "INSERT")
			require.True(t, mysqlsession.OutcomeUnknown(err), err)
			require.False(t, mysqlsession.SafeToRetry(err))
			require.ErrorIs(t, conn.Ping(t.Context()), mysqlsession.ErrClosed)
		})
	}
}

func TestACallerThatLeavesBeforeTheCommitHasChangedNothing(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	tests := map[string]struct {
		leave func(conn *mysqlsession.Conn)
		want  error
	}{
		"by its context":            {func(*mysqlsession.Conn) { cancel() }, context.Canceled},
		"by closing the connection": {func(conn *mysqlsession.Conn) { _ = conn.Close() }, mysqlsession.ErrClosed},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			commands := make(chan byte, 4)
			conn := converse(t, scriptedConfig(), func(p *serverEnd) {
				inTransaction(p)
				for {
					command, _, err := p.command()
					if err != nil {
						close(commands)
						return
					}
					commands <- command
				}
			})
			ctx := ctx
			if test.want == mysqlsession.ErrClosed {
				ctx = t.Context()
			}
			err := conn.TransactAnd(ctx, func() { test.leave(conn) }, "INSERT")
			require.ErrorIs(t, err, test.want)
			require.True(t, mysqlsession.SafeToRetry(err))
			require.False(t, mysqlsession.OutcomeUnknown(err))
			require.ErrorIs(t, conn.Ping(t.Context()), mysqlsession.ErrClosed, "its end rolls back")
			for command := range commands {
				require.NotEqual(t, byte(commandQuery), command, "no COMMIT may be sent")
			}
		})
	}
}

func TestAConnectionThatDoesNotRollBackIsClosed(t *testing.T) {
	tests := map[string][]byte{
		"hangs up":                nil,
		"refuses":                 slices.Concat(failure(1, 1317, "70100", ""), ok(1, committing, 0)),
		"keeps autocommit off":    slices.Concat(ok(1, 0, 0), failure(1, 1227, "42000", "")),
		"has lost its statements": slices.Concat(failure(1, 1047, "08S01", ""), failure(1, 1047, "08S01", "")),
	}
	for name, reply := range tests {
		t.Run(name, func(t *testing.T) {
			conn := converse(t, scriptedConfig(), func(p *serverEnd) {
				_ = p.take(2)
				p.reply(ok(1, 0, 0), failure(1, 1062, "23000", ""))
				_ = p.take(2)
				p.reply(reply)
			})
			err := conn.Transact(t.Context(), "INSERT")
			require.ErrorContains(t, err, "duplicate key", "the error is that of the statement")
			require.True(t, mysqlsession.SafeToRetry(err))
			require.ErrorIs(t, conn.Ping(t.Context()), mysqlsession.ErrClosed)
		})
	}
}
