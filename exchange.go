package mysqlsession

import (
	"context"
	"errors"
	"io"
	"os"
	"time"

	"github.com/mysqlsession/mysqlsession/internal/wire"
)

// request is one statement of a round trip.
type request struct {
	statement  string
	parameters []wire.Parameter
	ping       bool // COM_PING in place of a statement
	// columns is how many columns a row must have; 0: any number, and no row is
	// wanted if row is nil.
	columns int
	// row gets each row; the values are valid until it returns. After its first error
	// the remaining rows are read and dropped.
	row func(values []wire.Value) error

	prepared *preparedStatement // set by the round trip; nil: sent as text
}

// outcome is what became of one request. It is kept apart from the request, so that a
// caller's requests, with their parameters and closures, can stay on its stack.
type outcome struct {
	frames   int  // that the request was sent in: its reply's sequence numbers go on from there
	answered bool // the reply was read to its end
	result   Result
	err      error // the server's error for this statement, or row's
}

// done reports whether the server has done what the request asked for.
func (o *outcome) done() bool { return o.answered && o.err == nil }

// effect is what the requests of a round trip may have done when the connection is lost
// behind them.
type effect uint8

const (
	effectNone    effect = iota // they read
	effectPending               // they wrote in a transaction that only a later COMMIT makes real
	effectWrite                 // they wrote
)

// roundTrip writes the requests in one piece and reads all their replies. It returns the
// first error: of the exchange, after which the connection is closed, or of a statement.
// Statements behind a failed one have run too. c.outcomes tells of each, until the next
// round trip.
func (c *Conn) roundTrip(ctx context.Context, may effect, requests []request) error {
	if err := c.enter(); err != nil {
		return err
	}
	usable, err := c.exchange(ctx, may, requests)
	c.leave(usable)
	return err
}

// exchange is roundTrip for a caller that has entered. It reports whether the connection
// may be used again.
func (c *Conn) exchange(ctx context.Context, may effect, requests []request) (usable bool, err error) {
	clear(c.outcomes)
	c.outcomes = append(c.outcomes[:0], make([]outcome, len(requests))...)
	if err := ctx.Err(); err != nil {
		return true, &notAppliedError{contextError(ctx, err)}
	}
	c.unread = unread{}
	w := c.watch(ctx)
	sent := false
	err = c.prepare(&w, requests)
	if err == nil {
		c.out = c.statements.appendClosing(c.out[:0])
		err = c.encode(requests)
	}
	if err == nil {
		sent, err = c.send(&w, len(requests))
	}
	if err == nil {
		err = c.receiveAll(&w, requests)
	}
	w.stop()
	return c.settle(&w, may, sent, err)
}

// affected is how many rows the last round trip's requests changed, or matched.
func (c *Conn) affected() (rows int64) {
	for i := range c.outcomes {
		rows += c.outcomes[i].result.RowsAffected
	}
	return rows
}

// settle decides what becomes of the connection and what the caller is told.
//
// A connection lives on only if every reply was read to its end, with nothing behind it,
// and the server did not say that it is done with it: a reply left in the socket would be
// the next caller's answer, and so somebody else's session. When it was the caller who left,
// a pool may read the rest: drain. Not in mid-transaction, which would have to be ended, and
// not if the requests were sent in part only: the next one would be taken for their rest.
func (c *Conn) settle(w *watch, may effect, sent bool, err error) (usable bool, _ error) {
	refused, _ := err.(*ServerError) // a prepare
	if answered := err == nil || refused != nil || isNotApplied(err); !answered {
		c.silent = !w.ended && errors.Is(err, os.ErrDeadlineExceeded)
		c.drains = c.keeps && c.unread.replies > 0 && w.ended && may != effectPending && errors.Is(err, os.ErrDeadlineExceeded)
		err = w.cause(err)
		if sent && may == effectWrite && !isNotApplied(err) {
			return false, &unknownOutcomeError{err}
		}
		return false, &notAppliedError{err}
	}
	usable = c.stream.Buffered() == 0 && !c.discards(refused)
	for i := range c.outcomes {
		if e := c.outcomes[i].err; e != nil {
			own, _ := e.(*ServerError) // not one that a callback brought from elsewhere
			usable = usable && !c.discards(own)
			if err == nil {
				err, refused = e, own
			}
		}
	}
	if refused == nil {
		return usable, err
	}
	switch fate := fateOf(refused, c.server.mariadb); {
	case fate.repeat == remedyUnknown && sent && may == effectWrite:
		return usable, &unknownOutcomeError{err}
	case fate.discard && may != effectWrite && (fate.repeat == remedyNone || fate.repeat == remedyUnknown):
		// The server, or what stands for it, ends the connection. Nothing has come of it.
		return usable, &notAppliedError{&lostError{cause: err, text: err.Error()}}
	}
	return usable, &notAppliedError{err}
}

// discards reports whether the server's error says that the connection is done for.
func (c *Conn) discards(refused *ServerError) bool {
	if refused == nil {
		return false
	}
	fate := fateOf(refused, c.server.mariadb)
	c.refuses = c.refuses || fate.leave
	return fate.discard
}

// encode appends the requests to c.out.
func (c *Conn) encode(requests []request) error {
	for i := range requests {
		r := &requests[i]
		start := len(c.out)
		switch {
		case r.ping:
			c.out = wire.AppendPing(c.out)
		case r.prepared != nil:
			c.out = wire.AppendExecute(c.out, r.prepared.id, r.parameters)
		case len(r.parameters) == 0:
			c.out = wire.AppendQuery(c.out, r.statement)
		default:
			var ok bool
			if c.out, ok = wire.AppendLiteralQuery(c.out, r.statement, r.parameters); !ok {
				return &notAppliedError{errParameterCount}
			}
		}
		var size int
		size, c.outcomes[i].frames = wire.Measure(len(c.out) - start)
		// The server takes one byte less than max_allowed_packet says.
		if limit := c.server.maxAllowedPacket; limit > 0 && size >= limit {
			return &notAppliedError{detail(ErrValueTooLarge, "request of %d bytes, server's max_allowed_packet is %d", size, limit)}
		}
	}
	return nil
}

var errParameterCount = errors.New(prefix + "number of arguments differs from the statement's placeholders")

// send writes c.out, which holds count requests. It reports whether the server may have
// one of them whole: it does not run what it has only a part of.
func (c *Conn) send(w *watch, count int) (sent bool, err error) {
	w.sending(c.sendTimeout)
	c.roundTrips++
	n, err := c.transport.Write(c.out)
	c.statements.closing = c.statements.closing[:0]
	return n == len(c.out) || n > 0 && count > 1, err
}

// receiveAll reads the reply to each request.
func (c *Conn) receiveAll(w *watch, requests []request) error {
	w.receiving(c.readTimeout)
	c.unread = unread{replies: len(requests)}
	for i := range requests {
		if err := c.receive(&requests[i], &c.outcomes[i]); err != nil {
			return err
		}
		c.outcomes[i].answered = true
	}
	return nil
}

// receive reads one reply. The error is one of the exchange.
func (c *Conn) receive(r *request, o *outcome) error {
	payload, err := c.first(o.frames)
	if err != nil {
		return err
	}
	kind, err := wire.ReplyKind(payload)
	if err != nil {
		return protocolError(err)
	}
	switch kind {
	case wire.KindOK:
		ok, err := wire.ParseOK(payload)
		if err != nil {
			return protocolError(err)
		}
		o.result = Result{RowsAffected: int64(ok.AffectedRows), LastInsertID: ok.LastInsertID, Warnings: int(ok.Warnings)}
		return c.ended(ok)
	case wire.KindError:
		return c.failed(r, o, payload)
	default:
		return c.receiveRows(r, o, payload)
	}
}

// receiveRows reads a reply of which the column count has come.
func (c *Conn) receiveRows(r *request, o *outcome, payload []byte) error {
	count, err := wire.ParseColumnCount(payload)
	if err != nil {
		return protocolError(err)
	}
	if r.columns != 0 && r.columns != count {
		return detail(ErrProtocol, "reply of %d columns where %d were asked for", count, r.columns)
	}
	c.pastCount(count)
	if err := c.readColumns(count); err != nil {
		return err
	}
	if cap(c.values) < count {
		c.values = make([]wire.Value, count)
	}
	values := c.values[:count]
	for {
		payload, err := c.next()
		if err != nil {
			return err
		}
		kind, err := wire.ItemKind(payload, c.transport.capabilities)
		switch {
		case err != nil:
			return protocolError(err)
		case kind == wire.KindError:
			return c.failed(r, o, payload)
		case kind == wire.KindEnd:
			end, err := wire.ParseEnd(payload, c.transport.capabilities)
			if err != nil {
				return protocolError(err)
			}
			o.result.Warnings = int(end.Warnings)
			return c.ended(end)
		}
		if r.prepared != nil {
			err = wire.DecodeBinaryRow(payload, c.columns, values)
		} else {
			err = wire.DecodeTextRow(payload, values)
		}
		if err != nil {
			return protocolError(err)
		}
		if r.row != nil && o.err == nil {
			o.err = r.row(values)
		}
	}
}

// readColumns reads count definitions, and what ends them, into c.columns.
func (c *Conn) readColumns(count int) error {
	c.columns = c.columns[:0]
	for range count {
		payload, err := c.next()
		if err != nil {
			return err
		}
		column, err := wire.ParseColumn(payload)
		if err != nil {
			return protocolError(err)
		}
		c.columns = append(c.columns, column)
		c.pastColumn()
	}
	if count == 0 || c.transport.capabilities&wire.CapabilityDeprecateEOF != 0 {
		return nil
	}
	payload, err := c.next()
	if err != nil {
		return err
	}
	if kind, err := wire.ItemKind(payload, c.transport.capabilities); err != nil || kind != wire.KindEnd {
		return protocolError(wire.ErrMalformed)
	}
	c.unread.part = partRows
	return nil
}

// ended takes the status that ends a reply.
func (c *Conn) ended(ok wire.OK) error {
	c.status = ok.Status
	c.pastReply()
	if ok.Status&wire.StatusMoreResults != 0 {
		return detail(ErrProtocol, "a statement gave more than one result")
	}
	return nil
}

// failed takes the server's error for one statement.
func (c *Conn) failed(r *request, o *outcome, payload []byte) error {
	e, err := serverError(payload)
	if err != nil {
		return err
	}
	if r.prepared != nil && fateOf(e, c.server.mariadb).repeat == remedyPrepare {
		c.statements.forget(r.statement)
	}
	o.err = e
	c.pastReply()
	return nil
}

func serverError(payload []byte) (*ServerError, error) {
	f, err := wire.ParseFailure(payload)
	if err != nil {
		return nil, protocolError(err)
	}
	return &ServerError{Code: f.Code, SQLState: f.State, Message: string(f.Message)}, nil
}

// first reads the first packet of the reply to a request of so many frames. A server that closes an idle connection may
// have said so before it read the request: an error with sequence number 0, and the
// request has not been executed.
func (c *Conn) first(frames int) ([]byte, error) {
	c.stream.Begin(frames)
	payload, err := c.stream.Next(c.packetLimit)
	if errors.Is(err, wire.ErrSequence) && c.stream.Sequence() == 1 {
		if e, bad := serverError(payload); bad == nil {
			return nil, &goodbyeError{e}
		}
	}
	return payload, c.readError(err)
}

// goodbyeError is the server's notice that it closes the connection on its own account.
type goodbyeError struct{ notice *ServerError }

func (e *goodbyeError) Error() string { return "server closed the connection: " + e.notice.Error() }
func (e *goodbyeError) Unwrap() []error {
	return []error{ErrUnavailable}
}

func (c *Conn) next() ([]byte, error) {
	payload, err := c.stream.Next(c.packetLimit)
	return payload, c.readError(err)
}

func (c *Conn) readError(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, wire.ErrTooLarge):
		return detail(ErrPacketTooLarge, "a reply packet of more than %d bytes", c.packetLimit)
	case errors.Is(err, wire.ErrSequence), errors.Is(err, wire.ErrMalformed):
		return protocolError(err)
	default:
		return err
	}
}

func protocolError(err error) error { return detail(ErrProtocol, "%v", err) }

// watch bounds one round trip by its context and the connection's timeouts. A deadline of
// the context's is left to the context: the socket's own clock would often be the quicker
// one, and has no cause to tell.
type watch struct {
	conn   *Conn
	ctx    context.Context
	limit  time.Duration
	phase  string
	cancel func() bool // nil: the context cannot end
	ended  bool        // the context ended during the round trip
}

func (c *Conn) watch(ctx context.Context) watch {
	w := watch{conn: c, ctx: ctx}
	if ctx.Done() != nil {
		c.interrupting.Store(false)
		w.cancel = context.AfterFunc(ctx, c.interrupt)
	}
	return w
}

// sending and receiving set the socket's deadline for what comes next.
func (w *watch) sending(limit time.Duration) {
	w.phase, w.limit = "the request could not be sent", limit
	_ = w.conn.transport.SetWriteDeadline(within(limit)) // on a closed connection the write fails
	w.recheck()
}

func (w *watch) receiving(limit time.Duration) {
	w.phase, w.limit = "no reply", limit
	_ = w.conn.transport.SetReadDeadline(within(limit)) // on a closed connection the read fails
	w.recheck()
}

// within is the deadline of a limit; 0 is none.
func within(limit time.Duration) time.Time {
	if limit <= 0 {
		return time.Time{}
	}
	return time.Now().Add(limit)
}

// recheck sees that a deadline set just now did not undo the interruption by a context
// that ended just before. The interruption marks itself before it sets its deadline, so
// either we see the mark here or its deadline comes after ours.
func (w *watch) recheck() {
	if w.cancel != nil && w.conn.interrupting.Load() {
		_ = w.conn.transport.SetDeadline(longAgo)
	}
}

// stop ends the watch. When the context has ended, it waits for the interruption, which
// would otherwise hit the connection's next user.
func (w *watch) stop() {
	if w.cancel != nil && !w.cancel() {
		<-w.conn.interrupted
		w.ended = true
	}
}

// cause says why the exchange failed: the context's error if that is what ended it, a
// timeout by its name, else the loss of the connection.
func (w *watch) cause(err error) error {
	if w.conn.closed() && !w.ended {
		return ErrClosed // by another goroutine: the socket's own word for it may be any
	}
	if errors.Is(err, ErrProtocol) || errors.Is(err, ErrPacketTooLarge) {
		return err
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		if ctxErr := w.ctx.Err(); ctxErr != nil {
			return contextError(w.ctx, ctxErr)
		}
		return &lostError{cause: err, text: w.phase + " within " + w.limit.String()}
	}
	if w.ended {
		return contextError(w.ctx, w.ctx.Err())
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return &lostError{cause: err, text: "server closed the connection"}
	}
	var bye *goodbyeError
	if errors.As(err, &bye) {
		if w.conn.outcomes[0].answered {
			return err // what was answered had been read
		}
		return &notAppliedError{err}
	}
	return &lostError{cause: err, text: "connection lost: " + err.Error()}
}

// lostError is a connection that ended, or fell silent, in mid-call.
type lostError struct {
	cause error
	text  string
}

func (e *lostError) Error() string   { return e.text }
func (e *lostError) Unwrap() []error { return []error{ErrUnavailable, e.cause} }
