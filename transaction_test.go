package mysqlsession_test

import (
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
