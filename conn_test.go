package mysqlsession_test

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mysqlsession/mysqlsession"
	"github.com/mysqlsession/mysqlsession/internal/wire"
)

// closeBound is how long Close may take.
const closeBound = 250 * time.Millisecond

func TestClosingSaysGoodbyeOnce(t *testing.T) {
	commands := make(chan byte, 2)
	conn := converse(t, scriptedConfig(), func(p *serverEnd) {
		for {
			command, _, err := p.command()
			if err != nil {
				close(commands)
				return
			}
			commands <- command
		}
	})
	require.NoError(t, conn.Close())
	require.NoError(t, conn.Close())
	require.Equal(t, byte(commandQuit), <-commands)
	require.Zero(t, <-commands, "nothing may follow")
}

func TestClosingIsBoundedWhenThePeerTakesNothing(t *testing.T) {
	for _, secure := range []bool{false, true} {
		t.Run(map[bool]string{false: "plain", true: "TLS"}[secure], func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				hang := make(chan struct{})
				conn := stuckPeer(t, secure, hang)
				defer close(hang)
				began := time.Now()
				require.NoError(t, conn.Close())
				require.LessOrEqual(t, time.Since(began), closeBound)
				require.ErrorIs(t, conn.Ping(t.Context()), mysqlsession.ErrClosed)
			})
		})
	}
}

// stuckPeer returns a connection to a peer that reads nothing until hang is closed.
func stuckPeer(t *testing.T, secure bool, hang <-chan struct{}) *mysqlsession.Conn {
	t.Helper()
	near, far := net.Pipe()
	var upper net.Conn = near
	if secure {
		server := tls.Server(far, &tls.Config{Certificates: []tls.Certificate{newCertificate(t)}})
		client := tls.Client(near, &tls.Config{InsecureSkipVerify: true})
		shaken := make(chan error, 1)
		go func() { shaken <- server.HandshakeContext(t.Context()) }()
		require.NoError(t, client.HandshakeContext(t.Context()))
		require.NoError(t, <-shaken)
		upper = client
	}
	conn := mysqlsession.NewConn(upper, near, wire.CapabilityDeprecateEOF, "8.4.0", scriptedConfig())
	serve(t, conn, far, func(*serverEnd) { <-hang })
	return conn
}

func TestClosingEndsACallInProgress(t *testing.T) {
	for _, call := range calls {
		t.Run(call.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				conn, _ := answering(t, scriptedConfig(), false)
				failed := make(chan error, 1)
				go func() { failed <- call.command(t.Context(), conn) }()
				synctest.Wait()
				began := time.Now()
				require.NoError(t, conn.Close())
				err := <-failed
				require.Zero(t, time.Since(began))
				require.ErrorIs(t, err, mysqlsession.ErrClosed)
				require.Equal(t, call.writes, mysqlsession.OutcomeUnknown(err))
			})
		})
	}
}

func TestASecondCallAtTheSameTimeGetsAnErrorAndDisturbsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		answer := make(chan struct{})
		conn := converse(t, scriptedConfig(), func(p *serverEnd) {
			_ = p.take(1)
			<-answer
			p.reply(resultSet(textRow, "mine"))
			_ = p.take(1)
			p.reply(ok(1, committing, 0))
			p.ended()
		})
		done := make(chan error, 1)
		var values []string
		go func() {
			var err error
			values, err = query(t.Context(), conn)
			done <- err
		}()
		synctest.Wait()
		_, err := conn.Exec(t.Context(), "DO something")
		require.EqualError(t, err, "mysqlsession: exec on peer: connection is in use by another call")
		require.True(t, mysqlsession.SafeToRetry(err))
		close(answer)
		require.NoError(t, <-done)
		require.Equal(t, []string{"mine"}, values)
		require.NoError(t, conn.Ping(t.Context()))
	})
}

// A call that is refused must not get the result of the one that was let in, nor the
// other way round.
func TestCallersThatShareAConnectionGetTheirOwnResultOrAnError(t *testing.T) {
	const callers, each = 4, 100
	conn := converse(t, scriptedConfig(), func(p *serverEnd) {
		for {
			command, statement, err := p.command()
			if err != nil || command == commandQuit {
				return
			}
			p.reply(ok(1, committing, uint64(statement[0]-'0')))
		}
	})
	var group sync.WaitGroup
	for caller := range callers {
		group.Go(func() {
			for served := 0; served < each; {
				result, err := conn.Exec(t.Context(), string(rune('0'+caller)))
				switch {
				case err == nil && result.RowsAffected == int64(caller):
					served++
				case err == nil:
					t.Errorf("caller %d got the result of %d", caller, result.RowsAffected)
					return
				case mysqlsession.SafeToRetry(err):
					runtime.Gosched() // another one is at it
				default:
					t.Error(err)
					return
				}
			}
		})
	}
	group.Wait()
}

func TestAnErrorOfTheRowsFunctionIsReturnedAndTheConnectionKept(t *testing.T) {
	conn := converse(t, scriptedConfig(), func(p *serverEnd) {
		_ = p.take(1)
		p.reply(resultSet(textRow, "one", "two", "three"))
		_ = p.take(1)
		p.reply(ok(1, committing, 0))
		p.ended()
	})
	enough := errors.New("enough")
	rows := 0
	err := conn.Query(t.Context(), "SELECT", func(mysqlsession.Row) error {
		rows++
		return enough
	})
	require.ErrorIs(t, err, enough)
	require.Equal(t, 1, rows, "no row follows the error")
	require.NoError(t, conn.Ping(t.Context()))
}

func TestAnArgumentThatIsNoParameterIsRefusedBeforeAnythingIsSent(t *testing.T) {
	conn := converse(t, scriptedConfig(), func(p *serverEnd) {
		_ = p.take(1)
		p.reply(ok(1, committing, 0))
		p.ended()
	})
	for _, argument := range []any{struct{}{}, 1.5, []string{"a"}, new(int), map[string]string{}} {
		_, err := conn.Exec(t.Context(), "DO ?, ?", 1, argument)
		require.ErrorContains(t, err, "argument 1 is a")
		require.Error(t, conn.Query(t.Context(), "SELECT ?, ?", nil, 1, argument))
	}
	require.NoError(t, conn.Ping(t.Context()))
}

func TestAConnectionWithSomethingOpenIsNotHandedOn(t *testing.T) {
	tests := []struct {
		name   string
		status wire.Status
		want   bool
	}{
		{"nothing open", wire.StatusAutocommit, true},
		{"a transaction", wire.StatusAutocommit | wire.StatusInTransaction, false},
		{"autocommit off", 0, false},
		{"autocommit off, and a transaction", wire.StatusInTransaction, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			conn, _ := answering(t, scriptedConfig(), false, ok(1, test.status, 0))
			require.True(t, conn.Reusable())
			require.NoError(t, conn.Ping(t.Context()))
			require.Equal(t, test.want, conn.Reusable())
		})
	}
	conn, _ := answering(t, scriptedConfig(), false)
	require.NoError(t, conn.Close())
	require.False(t, conn.Reusable())
}

func TestServerErrorsThatAnnounceAnEndCloseTheConnection(t *testing.T) {
	tests := []struct {
		code   uint16
		server string
		closed bool
	}{
		{1053, "8.4.0", true}, // shutting down
		{1290, "8.4.0", true}, // read-only
		{1153, "8.4.0", true}, // the packet was too large
		{4031, "8.4.0", true}, // idle too long
		{3098, "8.4.0", true}, // not online in its group
		{3100, "8.4.0", true}, // left its group
		{3100, "11.4.2-MariaDB", false},
		{4031, "11.4.2-MariaDB", false},
		{1927, "11.4.2-MariaDB", true},
		{1062, "8.4.0", false},
		{1317, "8.4.0", false},
		{1205, "8.4.0", false},
	}
	for _, test := range tests {
		conn := converseAs(t, scriptedConfig(), wire.CapabilityDeprecateEOF, test.server, func(p *serverEnd) {
			for p.take(1) == nil {
				p.reply(failure(1, test.code, "HY000", ""))
			}
		})
		require.Error(t, conn.Ping(context.Background()))
		err := conn.Ping(context.Background())
		require.Equal(t, test.closed, errors.Is(err, mysqlsession.ErrClosed), "%d on %s: %v", test.code, test.server, err)
	}
}
