package mysqlsession_test

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mysqlsession/mysqlsession"
)

// preparer is a server that prepares, executes and closes, and writes down what it did.
type preparer struct {
	mu      sync.Mutex
	log     []string
	refuse  map[string]uint16 // error codes, by the statement whose prepare gets it
	failing map[string]uint16 // error codes, by the statement whose execution gets it once
}

func (s *preparer) serve(p *serverEnd) {
	statements := make(map[uint32]string)
	for {
		command, rest, err := p.command()
		if err != nil || command == commandQuit {
			return
		}
		s.answer(p, command, rest, statements)
	}
}

func (s *preparer) answer(p *serverEnd, command byte, rest []byte, statements map[uint32]string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch command {
	case commandQuery:
		s.log = append(s.log, "query "+string(rest))
		p.reply(ok(1, committing, 0))
	case commandPrepare:
		text := string(rest)
		s.log = append(s.log, "prepare "+text)
		if code := s.refuse[text]; code != 0 {
			p.reply(failure(1, code, "HY000", ""))
			return
		}
		id := uint32(len(statements) + 1)
		statements[id] = text
		p.reply(prepared(id, 0, strings.Count(text, "?")))
	case commandExecute:
		text := statements[binary.LittleEndian.Uint32(rest)]
		s.log = append(s.log, "execute "+text)
		if code := s.failing[text]; code != 0 {
			delete(s.failing, text)
			p.reply(failure(1, code, "HY000", ""))
			return
		}
		p.reply(ok(1, committing, 0))
	case commandCloseStatement:
		s.log = append(s.log, "close "+statements[binary.LittleEndian.Uint32(rest)])
	}
}

// took returns what the server did since the last call.
func (s *preparer) took() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	log := s.log
	s.log = nil
	return log
}

func exec(t *testing.T, conn *mysqlsession.Conn, statement string, arguments ...any) {
	t.Helper()
	_, err := conn.Exec(t.Context(), statement, arguments...)
	require.NoError(t, err)
}

func TestAStatementIsPreparedOnceAndThenExecutedInOneRoundTrip(t *testing.T) {
	var server preparer
	conn := converse(t, scriptedConfig(), server.serve)
	exec(t, conn, "a ?", 1)
	require.Equal(t, uint64(2), conn.RoundTrips())
	for range 3 {
		exec(t, conn, "a ?", "another value")
	}
	require.Equal(t, uint64(5), conn.RoundTrips())
	require.Equal(t, []string{"prepare a ?", "execute a ?", "execute a ?", "execute a ?", "execute a ?"}, server.took())
}

func TestAStatementWithoutArgumentsIsNotPrepared(t *testing.T) {
	var server preparer
	conn := converse(t, scriptedConfig(), server.serve)
	exec(t, conn, "a")
	require.Equal(t, []string{"query a"}, server.took())
}

func TestTheLeastRecentlyUsedStatementIsClosedWithTheNextRequest(t *testing.T) {
	cfg := scriptedConfig()
	cfg.StatementCacheCapacity = 2
	var server preparer
	conn := converse(t, cfg, server.serve)
	exec(t, conn, "a ?", 1)
	exec(t, conn, "b ?", 1)
	exec(t, conn, "a ?", 1)
	server.took()
	exec(t, conn, "c ?", 1)
	require.Equal(t, []string{"prepare c ?", "close b ?", "execute c ?"}, server.took())
	exec(t, conn, "a ?", 1)
	require.Equal(t, []string{"execute a ?"}, server.took(), "it had been used")
	exec(t, conn, "b ?", 1)
	require.Equal(t, []string{"prepare b ?", "close c ?", "execute b ?"}, server.took())
}

// A transaction may need more statements than there is room for. They go when it has ended.
func TestStatementsOfOneRoundTripAreKeptTogetherAndNoLonger(t *testing.T) {
	cfg := scriptedConfig()
	cfg.StatementCacheCapacity = 2
	var server preparer
	conn := converse(t, cfg, server.serve)
	require.NoError(t, conn.TransactWith(t.Context(), []any{1}, "a ?", "b ?", "c ?", "b ?"))
	require.Equal(t, []string{
		"prepare a ?", "prepare b ?", "prepare c ?",
		"query SET autocommit = 0", "execute a ?", "execute b ?", "execute c ?", "execute b ?",
		"query COMMIT", "query SET autocommit = 1",
	}, server.took())
	exec(t, conn, "d ?", 1)
	took := server.took()
	require.ElementsMatch(t, []string{"prepare d ?", "close a ?", "close c ?", "execute d ?"}, took)
	exec(t, conn, "b ?", 1)
	exec(t, conn, "d ?", 1)
	require.Equal(t, []string{"execute b ?", "execute d ?"}, server.took())
}

func TestAServerWithoutRoomForStatementsGetsText(t *testing.T) {
	server := preparer{refuse: map[string]uint16{"b ?, ?": 1461}}
	conn := converse(t, scriptedConfig(), server.serve)
	exec(t, conn, "a ?", 1)
	server.took()
	exec(t, conn, "b ?, ?", "it's", -7)
	require.Equal(t, []string{"prepare b ?, ?", "query b X'69742773', -7"}, server.took())
	exec(t, conn, "c ?", nil)
	exec(t, conn, "a ?", 1)
	require.Equal(t, []string{"query c NULL", "execute a ?"}, server.took(), "it is not asked again, and what it has it keeps")
}

func TestInTextModeNothingIsPrepared(t *testing.T) {
	cfg := scriptedConfig()
	cfg.StatementMode = mysqlsession.StatementModeText
	var server preparer
	conn := converse(t, cfg, server.serve)
	exec(t, conn, "a ?, ?, ?, ?", []byte("\x00\xff"), uint64(1<<63), []byte{}, true)
	require.Equal(t, []string{"query a X'00FF', 9223372036854775808, X'', 1"}, server.took())
	require.Equal(t, uint64(1), conn.RoundTrips())
}

func TestAStatementThatTheServerHasLostIsPreparedAnewTheNextTime(t *testing.T) {
	for _, code := range []uint16{1243, 1615} {
		t.Run(fmt.Sprint(code), func(t *testing.T) {
			server := preparer{failing: map[string]uint16{"a ?": code}}
			conn := converse(t, scriptedConfig(), server.serve)
			_, err := conn.Exec(t.Context(), "a ?", 1)
			require.True(t, mysqlsession.SafeToRetry(err), err)
			server.took()
			exec(t, conn, "a ?", 1)
			require.Equal(t, []string{"close a ?", "prepare a ?", "execute a ?"}, server.took())
		})
	}
}

func TestAWrongNumberOfArgumentsIsAnErrorAndKeepsTheConnection(t *testing.T) {
	for _, mode := range []mysqlsession.StatementMode{mysqlsession.StatementModePrepared, mysqlsession.StatementModeText} {
		t.Run(string(mode), func(t *testing.T) {
			cfg := scriptedConfig()
			cfg.StatementMode = mode
			var server preparer
			conn := converse(t, cfg, server.serve)
			for range 2 {
				for _, arguments := range [][]any{{1}, {1, 2, 3}} {
					_, err := conn.Exec(t.Context(), "a ?, ?", arguments...)
					require.ErrorContains(t, err, "number of arguments")
					require.True(t, mysqlsession.SafeToRetry(err))
				}
			}
			exec(t, conn, "a ?, ?", 1, 2)
			took := server.took()
			require.Equal(t, map[mysqlsession.StatementMode]string{
				mysqlsession.StatementModePrepared: "execute a ?, ?",
				mysqlsession.StatementModeText:     "query a 1, 2",
			}[mode], took[len(took)-1])
			require.False(t, slices.ContainsFunc(took[:len(took)-1], func(entry string) bool {
				return strings.HasPrefix(entry, "execute") || strings.HasPrefix(entry, "query")
			}), "nothing may be executed: %q", took)
		})
	}
}

func TestAStatementThatCannotBePreparedIsAnErrorAndNothingIsExecuted(t *testing.T) {
	server := preparer{refuse: map[string]uint16{"b ?": 1064}}
	conn := converse(t, scriptedConfig(), server.serve)
	err := conn.TransactWith(t.Context(), []any{1}, "a ?", "b ?", "c ?")
	require.ErrorContains(t, err, "statement not understood (server error 1064")
	require.True(t, mysqlsession.SafeToRetry(err))
	require.Equal(t, []string{"prepare a ?", "prepare b ?", "prepare c ?", "query ROLLBACK", "query SET autocommit = 1"}, server.took())
	require.True(t, conn.Reusable())

	// A proxy's word for a lost server is no doubt about what was never executed.
	server.refuse["d ?"] = 1105
	_, err = conn.Exec(t.Context(), "d ?", 1)
	require.False(t, mysqlsession.OutcomeUnknown(err))
	require.True(t, mysqlsession.SafeToRetry(err))
}
