package mysqlsession_test

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/mysqlsession/mysqlsession"
	"github.com/mysqlsession/mysqlsession/internal/wire"
)

// calls are what can be done with a connection, by what is known when its reply is lost.
var calls = []struct {
	name    string
	writes  bool
	command func(ctx context.Context, conn *mysqlsession.Conn) error
}{
	{"a write", true, func(ctx context.Context, conn *mysqlsession.Conn) error {
		_, err := conn.Exec(ctx, "DO something")
		return err
	}},
	{"a read", false, func(ctx context.Context, conn *mysqlsession.Conn) error { return conn.Ping(ctx) }},
}

// What is closed ends what is under way. That is not the caller's own context, which may be
// alive.
func TestACallWhoseContextEndedBecauseSomethingWasClosedSaysSo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conn := converse(t, scriptedConfig(), func(p *serverEnd) { p.ended() })
		ctx, end := context.WithCancelCause(t.Context())
		go func() {
			synctest.Wait()
			end(mysqlsession.ErrClosed)
		}()
		err := conn.Ping(ctx)
		require.ErrorIs(t, err, mysqlsession.ErrClosed)
		require.NotErrorIs(t, err, context.Canceled)
	})
}

func TestAConnectionLostBehindARequestLeavesAWritesOutcomeUnknown(t *testing.T) {
	ends := []struct {
		name  string
		reply []byte
	}{
		{"before the reply", nil},
		{"in its header", []byte{7, 0}},
		{"in its packet", ok(1, committing, 0)[:8]},
		{"behind an unfinished list", slices.Concat(packet(1, []byte{1}), definition(2, columnBlob))},
	}
	for _, call := range calls {
		for _, test := range ends {
			t.Run(call.name+" "+test.name, func(t *testing.T) {
				conn := converse(t, scriptedConfig(), func(p *serverEnd) {
					_ = p.take(1)
					p.reply(test.reply)
				})
				err := call.command(t.Context(), conn)
				require.ErrorIs(t, err, mysqlsession.ErrUnavailable)
				require.True(t, errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF), err)
				require.Equal(t, call.writes, mysqlsession.OutcomeUnknown(err))
				require.Equal(t, !call.writes, mysqlsession.SafeToRetry(err))
				require.ErrorIs(t, conn.Ping(t.Context()), mysqlsession.ErrClosed)
			})
		}
	}
}

func TestARequestThatWasNotSentWholeIsSafeToRetry(t *testing.T) {
	for _, call := range calls {
		t.Run(call.name, func(t *testing.T) {
			conn := converse(t, scriptedConfig(), func(p *serverEnd) {
				_, _ = io.ReadFull(p.Conn, make([]byte, 3)) // and hangs up
			})
			err := call.command(t.Context(), conn)
			require.ErrorIs(t, err, mysqlsession.ErrUnavailable)
			require.True(t, mysqlsession.SafeToRetry(err))
			require.False(t, mysqlsession.OutcomeUnknown(err))
		})
	}
}

// A server that has closed an idle connection has said so with sequence number 0, which
// means that it had not read the request.
func TestANoticeFromBeforeTheRequestMeansThatItWasNotApplied(t *testing.T) {
	for _, call := range calls {
		t.Run(call.name, func(t *testing.T) {
			conn, closed := answering(t, scriptedConfig(), false, failure(0, 4031, "HY000", "secret"))
			err := call.command(t.Context(), conn)
			require.ErrorIs(t, err, mysqlsession.ErrUnavailable)
			require.True(t, mysqlsession.SafeToRetry(err))
			require.False(t, mysqlsession.OutcomeUnknown(err))
			require.ErrorContains(t, err, "4031")
			require.NotContains(t, err.Error(), "secret")
			requireClosed(t, conn, closed)
		})
	}
}

func TestACallEndsWithItsContextAtOnceAndItsConnectionIsClosed(t *testing.T) {
	cause := errors.New("the server is going down")
	contexts := []struct {
		name string
		make func(t *testing.T) (context.Context, context.CancelFunc)
		want []error
	}{
		{"by its deadline", func(t *testing.T) (context.Context, context.CancelFunc) {
			return context.WithTimeoutCause(t.Context(), time.Second, cause)
		}, []error{context.DeadlineExceeded, cause}},
		{"by its cancellation", func(t *testing.T) (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithCancelCause(t.Context())
			timer := time.AfterFunc(time.Second, func() { cancel(cause) })
			return ctx, func() { timer.Stop(); cancel(nil) }
		}, []error{context.Canceled, cause}},
	}
	for _, call := range calls {
		for _, ending := range contexts {
			t.Run(call.name+" "+ending.name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					conn, closed := answering(t, scriptedConfig(), false) // no reply
					ctx, cancel := ending.make(t)
					defer cancel()
					began := time.Now()
					err := call.command(ctx, conn)
					require.Equal(t, time.Second, time.Since(began))
					for _, want := range ending.want {
						require.ErrorIs(t, err, want)
					}
					require.NotErrorIs(t, err, mysqlsession.ErrUnavailable, "it says nothing about the server")
					require.Equal(t, call.writes, mysqlsession.OutcomeUnknown(err))
					require.Equal(t, !call.writes, mysqlsession.SafeToRetry(err))
					requireClosed(t, conn, closed)
				})
			})
		}
	}
}

func TestAWriteGivenUpBeforeItWasSentIsSafeToRetry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hang := make(chan struct{})
		conn := converse(t, scriptedConfig(), func(p *serverEnd) {
			_, _ = io.ReadFull(p.Conn, make([]byte, 7))
			<-hang
		})
		defer close(hang)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := conn.Exec(ctx, "DO something")
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.True(t, mysqlsession.SafeToRetry(err))
		require.False(t, mysqlsession.OutcomeUnknown(err))
		require.ErrorIs(t, conn.Ping(t.Context()), mysqlsession.ErrClosed)
	})
}

// slowlyInterrupted is a connection on which an interruption takes its time.
type slowlyInterrupted struct {
	net.Conn
	begun, proceed chan struct{}
}

func (c *slowlyInterrupted) SetDeadline(deadline time.Time) error {
	c.begun <- struct{}{}
	<-c.proceed
	return c.Conn.SetDeadline(deadline)
}

// The interruption that a cancelled context begins must not hit the connection's next user.
func TestACallWaitsForAnInterruptionThatCameTooLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		slow := &slowlyInterrupted{Conn: near, begun: make(chan struct{}), proceed: make(chan struct{})}
		conn := mysqlsession.NewConn(slow, near, wire.CapabilityDeprecateEOF, "8.4.0", scriptedConfig())
		go func() {
			p := newServerEnd(far)
			for p.take(1) == nil {
				p.reply(resultSet(textRow, "value"))
			}
		}()
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() {
			done <- conn.Query(ctx, "SELECT something", func(mysqlsession.Row) error {
				cancel()
				<-slow.begun // everything of the reply is there
				return nil
			})
		}()
		synctest.Wait()
		require.Empty(t, done, "the connection is not free before the interruption is over")
		close(slow.proceed)
		require.NoError(t, <-done)
		values, err := query(t.Context(), conn)
		require.NoError(t, err)
		require.Equal(t, []string{"value"}, values)
		go func() { <-slow.begun }() // Close sets a deadline too
		require.NoError(t, conn.Close())
	})
}

// A deadline that the call sets for itself must not undo the interruption just before it.
func TestACancellationInTheCallsFirstMomentEndsItAtOnce(t *testing.T) {
	for range 1000 {
		synctest.Test(t, func(t *testing.T) {
			near, far := net.Pipe()
			defer func() { _ = far.Close() }()
			go func() { _, _ = io.Copy(io.Discard, far) }()
			conn := mysqlsession.NewConn(near, near, wire.CapabilityDeprecateEOF, "8.4.0", scriptedConfig())
			defer func() { _ = conn.Close() }()
			ctx, cancel := context.WithCancel(t.Context())
			go cancel()
			began := time.Now()
			require.ErrorIs(t, conn.Ping(ctx), context.Canceled)
			require.Zero(t, time.Since(began))
		})
	}
}

func TestACallWithAnEndedContextDoesNoInputOrOutputAndKeepsTheConnection(t *testing.T) {
	conn := converse(t, scriptedConfig(), func(p *serverEnd) {
		command, _, _ := p.command()
		assert.Equal(t, byte(commandPing), command, "only the ping may arrive")
		p.reply(ok(1, committing, 0))
		p.ended()
	})
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	expired, cancel := context.WithTimeout(t.Context(), -time.Second)
	defer cancel()
	for _, call := range calls {
		for _, ctx := range []context.Context{cancelled, expired} {
			err := call.command(ctx, conn)
			require.ErrorIs(t, err, ctx.Err())
			require.True(t, mysqlsession.SafeToRetry(err))
			require.False(t, mysqlsession.OutcomeUnknown(err))
		}
	}
	require.NoError(t, conn.Ping(t.Context()))
}

func TestReadTimeoutEndsACallWhoseReplyDoesNotCome(t *testing.T) {
	for _, call := range calls {
		t.Run(call.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cfg := scriptedConfig()
				cfg.ReadTimeout = 3 * time.Second
				conn, closed := answering(t, cfg, false, ok(1, committing, 0)[:5])
				began := time.Now()
				err := call.command(t.Context(), conn)
				require.Equal(t, cfg.ReadTimeout, time.Since(began))
				require.ErrorIs(t, err, mysqlsession.ErrUnavailable)
				require.ErrorIs(t, err, os.ErrDeadlineExceeded)
				require.ErrorContains(t, err, "no reply within 3s")
				require.Equal(t, call.writes, mysqlsession.OutcomeUnknown(err))
				requireClosed(t, conn, closed)
			})
		})
	}
}

func TestReadTimeoutBoundsAReplyThatComesInDrips(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := scriptedConfig()
		cfg.ReadTimeout = 3 * time.Second
		conn := converse(t, cfg, func(p *serverEnd) {
			_ = p.take(1)
			for _, b := range resultSet(textRow, "one", "two") {
				time.Sleep(time.Second) // of fake time
				p.reply([]byte{b})
			}
		})
		began := time.Now()
		require.ErrorIs(t, conn.Ping(t.Context()), mysqlsession.ErrUnavailable)
		require.Equal(t, cfg.ReadTimeout, time.Since(began))
	})
}

func TestSendTimeoutEndsACallThatThePeerDoesNotTake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := scriptedConfig()
		cfg.SendTimeout = 2 * time.Second
		hang := make(chan struct{})
		conn := converse(t, cfg, func(*serverEnd) { <-hang })
		defer close(hang)
		began := time.Now()
		_, err := conn.Exec(t.Context(), "DO something")
		require.Equal(t, cfg.SendTimeout, time.Since(began))
		require.ErrorIs(t, err, mysqlsession.ErrUnavailable)
		require.ErrorContains(t, err, "the request could not be sent within 2s")
		require.True(t, mysqlsession.SafeToRetry(err))
	})
}

func TestWithoutTimeoutsACallWaitsForItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := scriptedConfig()
		cfg.SendTimeout, cfg.ReadTimeout = -1, -1
		conn, _ := answering(t, cfg, false)
		ctx, cancel := context.WithTimeout(t.Context(), 24*time.Hour)
		defer cancel()
		began := time.Now()
		require.ErrorIs(t, conn.Ping(ctx), context.DeadlineExceeded)
		require.Equal(t, 24*time.Hour, time.Since(began))
	})
}

// A deadline that one call has set must not end the next.
func TestACallsDeadlineIsNotTheNextOnes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := scriptedConfig()
		cfg.SendTimeout, cfg.ReadTimeout = -1, -1
		conn := converse(t, cfg, func(p *serverEnd) {
			_ = p.take(1)
			p.reply(ok(1, committing, 0))
			_ = p.take(1)
			time.Sleep(time.Hour) // of fake time
			p.reply(ok(1, committing, 0))
			p.ended()
		})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		require.NoError(t, conn.Ping(ctx))
		require.NoError(t, conn.Ping(t.Context()))
	})
}
