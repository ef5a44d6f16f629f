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
	err := c.roundTrip(ctx, effectPending, requests)
	if err == nil && verify != nil {
		err = verify()
	}
	if err != nil {
		c.rollback(ctx)
		return err
	}
	if err := ctx.Err(); err != nil {
		c.rollback(ctx)
		return &notAppliedError{contextError(ctx, err)}
	}
	return c.commit(ctx)
}

// more runs further requests of an open transaction; after an error it is rolled back.
func (c *Conn) more(ctx context.Context, requests []request) error {
	err := c.roundTrip(ctx, effectPending, requests)
	if err != nil {
		c.rollback(ctx)
	}
	return err
}

// commit ends the transaction. The connection commits by itself again.
func (c *Conn) commit(ctx context.Context) error {
	requests := [...]request{{statement: "COMMIT"}, {statement: "SET autocommit = 1"}}
	err := c.roundTrip(ctx, effectWrite, requests[:])
	if err == nil {
		return nil
	}
	committed := requests[0].err == nil && requests[1].err != nil
	if requests[1].err != nil {
		c.abort() // nobody must get it while it does not commit by itself
	}
	if committed {
		return nil
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
