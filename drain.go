package mysqlsession

import (
	"time"

	"github.com/mysqlsession/mysqlsession/internal/wire"
)

// drainBudget is how long the rest of a reply may take to arrive that nobody waits for any
// more. A connection whose statement ends soon is worth more than a new login; one that is
// stuck must not be missing for long.
const drainBudget = 250 * time.Millisecond

// unread is what is still to come of a round trip's replies.
type unread struct {
	replies int // not read to their end, the current one included
	part    replyPart
	columns int // definitions to come, in partColumns
}

// replyPart is how far the current reply has been read. Its packets are the first one and,
// if that counts columns, their definitions, an end unless that is left out, and rows up
// to the end (https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_com_query_response_text_resultset.html).
type replyPart uint8

const (
	partFirst replyPart = iota
	partColumns
	partColumnsEnd
	partRows
)

// draining reports whether the connection's last call was given up while its replies were
// on their way, so that the connection can be used again when they have been read.
func (c *Conn) draining() bool { return connState(c.state.Load()) == connDraining }

// drain reads what is left of the replies, for at most drainBudget, and reports whether
// that is all of it: then the connection is ready. If not, it is closed. Only one goroutine
// may call it.
func (c *Conn) drain() bool {
	_ = c.transport.SetDeadline(time.Now().Add(drainBudget)) // on a closed connection the read fails
	for c.unread.replies > 0 {
		if err := c.drainPacket(); err != nil {
			c.abort()
			return false
		}
	}
	c.stream.Trim()
	if !c.state.CompareAndSwap(uint32(connDraining), uint32(connReady)) || !c.reusable() {
		c.abort()
		return false
	}
	return true
}

// drainPacket reads one packet and moves on past it.
func (c *Conn) drainPacket() error {
	u := &c.unread
	if u.part == partFirst {
		payload, err := c.first(c.outcomes[len(c.outcomes)-u.replies].frames)
		if err != nil {
			return err
		}
		return c.drainFirst(payload)
	}
	payload, err := c.next()
	if err != nil {
		return err
	}
	switch u.part {
	case partColumns:
		c.pastColumn()
		return nil
	case partColumnsEnd:
		u.part = partRows
		return nil
	}
	kind, err := wire.ItemKind(payload, c.transport.capabilities)
	switch {
	case err != nil:
		return err
	case kind == wire.KindError:
		return c.drainError(payload)
	case kind != wire.KindEnd:
		return nil
	}
	end, err := wire.ParseEnd(payload, c.transport.capabilities)
	if err != nil {
		return err
	}
	return c.ended(end)
}

func (c *Conn) drainFirst(payload []byte) error {
	kind, err := wire.ReplyKind(payload)
	switch {
	case err != nil:
		return err
	case kind == wire.KindError:
		return c.drainError(payload)
	case kind == wire.KindOK:
		ok, err := wire.ParseOK(payload)
		if err != nil {
			return err
		}
		return c.ended(ok)
	}
	count, err := wire.ParseColumnCount(payload)
	if err != nil {
		return err
	}
	c.pastCount(count)
	return nil
}

// drainError takes an error that nobody asks for any more. One that ends the connection
// ends it.
func (c *Conn) drainError(payload []byte) error {
	refused, err := serverError(payload)
	if err != nil {
		return err
	}
	if c.discards(refused) {
		return refused
	}
	c.pastReply()
	return nil
}

// pastCount, pastColumn and pastReply note how far a reply has been read.

func (c *Conn) pastCount(columns int) { c.unread.part, c.unread.columns = partColumns, columns }

func (c *Conn) pastColumn() {
	u := &c.unread
	if u.columns--; u.columns > 0 {
		return
	}
	u.part = partColumnsEnd
	if c.transport.capabilities&wire.CapabilityDeprecateEOF != 0 {
		u.part = partRows
	}
}

func (c *Conn) pastReply() { c.unread.replies, c.unread.part = c.unread.replies-1, partFirst }
