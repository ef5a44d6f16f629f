package mysqlsession_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/mysqlsession/mysqlsession"
	"github.com/mysqlsession/mysqlsession/internal/dbtest"
	"github.com/mysqlsession/mysqlsession/internal/wire"
)

// abandoned is a connection of a pool's whose call was given up when only the beginning of
// its reply had come. rest lets the remainder come, and then a reply to a ping.
func abandoned(t *testing.T, capabilities wire.Capability, begun, remainder []byte) (conn *mysqlsession.Conn, rest chan struct{}) {
	t.Helper()
	rest = make(chan struct{})
	arrived := make(chan struct{})
	conn = converseAs(t, scriptedConfig(), capabilities, "8.4.0", func(p *serverEnd) {
		if p.take(1) != nil {
			return
		}
		p.reply(begun) // returns when it has been read
		close(arrived)
		if _, open := <-rest; !open {
			return
		}
		p.reply(remainder)
		if p.take(1) == nil {
			p.reply(ok(1, committing, 0))
		}
		p.ended()
	}).Drains()
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-arrived
		cancel()
	}()
	_, err := query(ctx, conn)
	require.ErrorIs(t, err, context.Canceled)
	return conn, rest
}

func TestWhereverAReplyWasLeftItsRestIsReadAndTheConnectionServesOn(t *testing.T) {
	replies := map[string]struct {
		capabilities wire.Capability
		reply        []byte
	}{
		"OK":    {wire.CapabilityDeprecateEOF, ok(1, committing, 1)},
		"error": {wire.CapabilityDeprecateEOF, failure(1, 1064, "42000", "no")},
		"rows":  {wire.CapabilityDeprecateEOF, resultSet(textRow, "one", "two")},
		"rows with two ends": {0, slices.Concat(packet(1, []byte{1}), definition(2, columnBlob), oldEnd(3, committing),
			textRow(4, "one"), oldEnd(5, committing))},
		"rows and then an error": {wire.CapabilityDeprecateEOF, slices.Concat(packet(1, []byte{1}), definition(2, columnBlob),
			textRow(3, "one"), failure(4, 1317, "70100", "interrupted"))},
	}
	for name, r := range replies {
		for cut := range len(r.reply) {
			t.Run(fmt.Sprintf("%s/%d", name, cut), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					conn, rest := abandoned(t, r.capabilities, r.reply[:cut], r.reply[cut:])
					require.True(t, conn.Draining())
					require.ErrorIs(t, conn.Ping(t.Context()), mysqlsession.ErrClosed, "its holder is done with it")
					rest <- struct{}{}
					require.True(t, conn.Drain())
					require.True(t, conn.Reusable())
					require.NoError(t, conn.Ping(t.Context()))
				})
			})
		}
	}
}

func TestAConnectionWhoseReplyDoesNotComeInTimeIsClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reply := resultSet(textRow, "one")
		conn, rest := abandoned(t, wire.CapabilityDeprecateEOF, reply[:len(reply)/2], nil)
		began := time.Now()
		require.False(t, conn.Drain())
		require.Equal(t, mysqlsession.DrainBudget, time.Since(began))
		require.ErrorIs(t, conn.Ping(t.Context()), mysqlsession.ErrClosed)
		require.False(t, conn.Draining())
		close(rest)
	})
}

func TestAnAbandonedReplyThatMakesNoSenseClosesTheConnection(t *testing.T) {
	reply := resultSet(textRow, "one", "two")
	cut := len(reply) / 2
	for name, rest := range map[string][]byte{
		"out of sequence":              textRow(77, "one"),
		"longer than may be":           {0xff, 0xff, 0xff, 5},
		"empty where a row must be":    packet(4, nil),
		"another result announced":     slices.Concat(reply[cut:len(reply)-11], end(5, committing|wire.StatusMoreResults)),
		"a transaction is open":        slices.Concat(reply[cut:len(reply)-11], end(5, committing|wire.StatusInTransaction)),
		"more than the reply":          slices.Concat(reply[cut:], ok(1, committing, 0)),
		"an error that ends the whole": slices.Concat(reply[cut:len(reply)-11], failure(5, 1053, "08S01", "going")),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				conn, proceed := abandoned(t, wire.CapabilityDeprecateEOF, reply[:cut], rest)
				proceed <- struct{}{}
				require.False(t, conn.Drain())
				require.False(t, conn.Reusable())
				require.ErrorIs(t, conn.Ping(t.Context()), mysqlsession.ErrClosed)
			})
		})
	}
}

// A caller that leaves in mid-transaction must not leave the transaction to a pool.
func TestACallGivenUpInATransactionClosesTheConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conn := converse(t, scriptedConfig(), func(p *serverEnd) {
			if p.take(2) == nil {
				p.reply(ok(1, 0, 0)) // autocommit is off; the statement's reply does not come
			}
			p.ended()
		}).Drains()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		err := conn.Transact(ctx, "DELETE FROM sessions")
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.False(t, conn.Draining())
		require.ErrorIs(t, conn.Ping(t.Context()), mysqlsession.ErrClosed)
	})
}

// What would be sent next would be the rest of a statement to the server, and the answers to
// the statements that it has had would be taken for the next caller's.
func TestACallGivenUpWhileItsStatementsAreSentClosesTheConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		arrived, left := make(chan struct{}), make(chan struct{})
		conn := converse(t, scriptedConfig(), func(p *serverEnd) {
			if p.take(1) == nil {
				close(arrived)
				<-left // it reads no further
			}
		}).Drains()
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			<-arrived
			synctest.Wait()
			cancel()
		}()
		err := conn.Together(ctx, "DELETE FROM sessions", "DELETE FROM "+strings.Repeat("sessions", 1<<18))
		close(left)
		require.ErrorIs(t, err, context.Canceled)
		require.True(t, mysqlsession.OutcomeUnknown(err), "the first statement may have run")
		require.False(t, conn.Draining())
		require.ErrorIs(t, conn.Ping(t.Context()), mysqlsession.ErrClosed)
	})
}

func TestAConnectionOutsideAPoolIsClosedWhenItsCallIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conn, closed := answering(t, scriptedConfig(), false)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		require.ErrorIs(t, conn.Ping(ctx), context.DeadlineExceeded)
		requireClosed(t, conn, closed)
	})
}

// pausing is how long the statement takes that callers give up.
const pausing = "SELECT SLEEP(0.02), ?"

func TestAPoolKeepsConnectionsWhoseCallersLeft(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		cfg := server.NewDatabase(t)
		cfg.PoolSize = 1
		pool, err := mysqlsession.NewPool(t.Context(), cfg)
		require.NoError(t, err)
		t.Cleanup(func() { assert.NoError(t, pool.Close()) })
		connection := func() (id uint32) {
			require.NoError(t, pool.Do(t.Context(), func(c *mysqlsession.Conn) error {
				id = c.ConnectionID()
				// The statement is prepared, so that a call is one round trip.
				return c.Query(t.Context(), pausing, func(mysqlsession.Row) error { return nil }, 0)
			}))
			return id
		}
		first := connection()
		for range 10 {
			err := pool.Do(t.Context(), func(c *mysqlsession.Conn) error {
				ctx, cancel := context.WithTimeout(t.Context(), 5*time.Millisecond)
				defer cancel()
				return c.Query(ctx, pausing, func(mysqlsession.Row) error { return errors.New("a row for nobody") }, 1)
			})
			require.ErrorIs(t, err, context.DeadlineExceeded)
			require.Equal(t, first, connection(), "a call that is given up costs no new connection")
		}
		stat := pool.Stat()
		require.EqualValues(t, 10, stat.DrainedCount)
		require.EqualValues(t, 1, stat.NewConnsCount)
		require.Zero(t, stat.BrokenDestroyCount)
	})
}
