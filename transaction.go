package mysqlsession

import (
	"context"

	"github.com/mysqlsession/mysqlsession/internal/wire"
)

// beginRequest opens a transaction. It is not START TRANSACTION: the server goes on with
// what was sent behind a statement that failed, and after a deadlock, which ends the
// transaction, it would commit each of those by itself. With autocommit off they open
// another one, which is rolled back.
func beginRequest() request { return request{statement: "SET autocommit = 0"} }

// transact runs requests, of which the first is beginRequest, as one transaction in two
// round trips: the statements, and then, when all replies have been read and verify has
// nothing against them, COMMIT. A failure before the commit has applied nothing.
func (c *Conn) transact(ctx context.Context, requests []request, verify func() error) error {
	if err := c.open(ctx, requests, verify); err != nil {
		return err
	}
	return c.commit(ctx)
}

// open runs requests, of which the first is beginRequest, in a transaction that is left to
// proceed and commit. verify is also asked when a statement failed, as it may know the
// reason: its error goes before. After an error there is no transaction.
func (c *Conn) open(ctx context.Context, requests []request, verify func() error) error {
	if err := c.enter(); err != nil {
		return err
	}
	usable, err := c.exchange(ctx, effectPending, requests)
	refused := c.outcomes[0].answered && c.outcomes[0].err != nil
	c.leave(usable && !refused)
	if refused {
		// There was no transaction: each of the others was committed by itself, or not.
		return &unknownOutcomeError{err}
	}
	if verify != nil && !c.closed() && (err == nil || asServerError(err) != nil) {
		if objection := verify(); objection != nil {
			err = objection
		}
	}
	return c.unlessFailed(ctx, err)
}

// proceed runs more requests in the open transaction. After an error there is none.
func (c *Conn) proceed(ctx context.Context, requests []request) error {
	return c.unlessFailed(ctx, c.roundTrip(ctx, effectPending, requests))
}

// unlessFailed rolls the transaction back if there is an error, or the caller is gone.
func (c *Conn) unlessFailed(ctx context.Context, err error) error {
	if err == nil && ctx.Err() != nil {
		err = &notAppliedError{contextError(ctx, ctx.Err())}
	}
	if err != nil {
		c.rollback(ctx)
	}
	return err
}

// commit ends the transaction. The connection commits by itself again, or is closed. The
// requests of behind are sent in the same round trip, each to be committed by itself; what
// becomes of them says nothing about the transaction.
func (c *Conn) commit(ctx context.Context, behind ...request) error {
	var room [2]request
	requests := append(append(room[:0], request{statement: "COMMIT"}, request{statement: "SET autocommit = 1"}), behind...)
	if err := c.enter(); err != nil {
		return err
	}
	usable, err := c.exchange(ctx, effectWrite, requests)
	commit, autocommit := c.outcomes[0], c.outcomes[1]
	c.leave(usable && autocommit.done()) // nobody must get it while it does not commit by itself
	refused := asServerError(commit.err)
	switch {
	case commit.done():
		return nil
	case refused != nil && autocommit.done() && !fateOf(refused, c.server.mariadb).rolledBack():
		// Was the transaction still open behind its COMMIT, the other statement committed it.
		return &unknownOutcomeError{commit.err}
	}
	return err
}

// rollback ends the transaction. If that fails, or the caller is gone, the connection is
// closed, which rolls back too.
func (c *Conn) rollback(ctx context.Context) {
	if c.closed() {
		return
	}
	if ctx.Err() != nil {
		c.abort()
		return
	}
	requests := [...]request{{statement: "ROLLBACK"}, {statement: "SET autocommit = 1"}}
	if c.roundTrip(ctx, effectNone, requests[:]) != nil {
		c.abort()
	}
}

// sessionParameters appends the parameters of isSession.
func sessionParameters(dst []wire.Parameter, name, key string) []wire.Parameter {
	return append(dst, wire.Text(key), wire.Text(key), wire.Text(name))
}
