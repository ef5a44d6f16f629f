package mysqlsession

import (
	"errors"
	"strings"

	"github.com/mysqlsession/mysqlsession/internal/wire"
)

// preparedStatement is a statement that the server holds for one connection.
type preparedStatement struct {
	id       uint32
	lastUsed uint64 // the cache's clock
}

// statementCache holds a connection's prepared statements by their text.
type statementCache struct {
	byText   map[string]*preparedStatement
	capacity int
	clock    uint64
	text     bool     // prepare nothing more: the user wants text, or the server is full
	closing  []uint32 // to be closed with the next request; a close has no reply
}

func newStatementCache(mode StatementMode, capacity int) statementCache {
	return statementCache{
		byText:   make(map[string]*preparedStatement),
		capacity: capacity,
		text:     mode == StatementModeText,
	}
}

// find returns the statement, or nil, and notes the use.
func (s *statementCache) find(text string) *preparedStatement {
	p := s.byText[text]
	if p != nil {
		s.clock++
		p.lastUsed = s.clock
	}
	return p
}

// forget drops a statement that the server has lost, or wants prepared anew.
func (s *statementCache) forget(text string) {
	if p := s.byText[text]; p != nil {
		s.closing = append(s.closing, p.id)
		delete(s.byText, text)
	}
}

// add takes a statement in. When the cache is full the least recently used ones go, but
// none that has been used since floor, and so by the round trip that is being made.
func (s *statementCache) add(text string, id uint32, floor uint64) {
	for len(s.byText) >= s.capacity {
		oldest, least := "", floor+1
		for t, p := range s.byText {
			if p.lastUsed < least {
				oldest, least = t, p.lastUsed
			}
		}
		if least > floor {
			break // more at a time than there is room for
		}
		s.forget(oldest)
	}
	s.clock++
	// A copy: the caller's requests must not be forced off its stack by the text.
	s.byText[strings.Clone(text)] = &preparedStatement{id: id, lastUsed: s.clock}
}

// appendClosing appends what closes the statements that are no longer wanted. Until it has
// been sent they stay in the list.
func (s *statementCache) appendClosing(dst []byte) []byte {
	for _, id := range s.closing {
		dst = wire.AppendCloseStatement(dst, id)
	}
	return dst
}

// errTooManyPrepared is max_prepared_stmt_count reached.
const errTooManyPrepared = 1461

// prepare finds the prepared statement of each request that has parameters, and prepares
// those that the connection does not have yet, all in one round trip. A request that
// stays without one travels as text.
func (c *Conn) prepare(w *watch, requests []request) error {
	floor := c.statements.clock
	missing := 0
	for i := range requests {
		r := &requests[i]
		r.prepared = nil
		if len(r.parameters) == 0 {
			continue
		}
		if r.prepared = c.statements.find(r.statement); r.prepared == nil && !c.statements.text {
			missing++
		}
	}
	if missing == 0 {
		return nil
	}
	return c.prepareMissing(w, requests, floor)
}

func (c *Conn) prepareMissing(w *watch, requests []request, floor uint64) error {
	c.out = c.statements.appendClosing(c.out[:0])
	for i := range requests {
		if requests[i].wantsPreparing(requests[:i]) {
			c.out = wire.AppendPrepare(c.out, requests[i].statement)
		}
	}
	if _, err := c.send(w, 1); err != nil {
		return err
	}
	w.receiving(c.readTimeout)
	var refused error
	for i := range requests {
		r := &requests[i]
		if !r.wantsPreparing(requests[:i]) {
			continue
		}
		p, err := c.receivePrepared(r)
		var e *ServerError
		switch {
		case err == nil:
			c.statements.add(r.statement, p.ID, floor)
		case errors.As(err, &e) && e.Code == errTooManyPrepared:
			c.statements.text = true
		case errors.As(err, &e), errors.Is(err, errParameterCount):
			if refused == nil {
				refused = err
			}
		default:
			return err
		}
	}
	if refused != nil {
		return refused
	}
	for i := range requests {
		if len(requests[i].parameters) > 0 {
			requests[i].prepared = c.statements.find(requests[i].statement)
		}
	}
	return nil
}

// wantsPreparing reports whether the request's statement has to be prepared, and no
// request before it does so.
func (r *request) wantsPreparing(before []request) bool {
	if len(r.parameters) == 0 || r.prepared != nil {
		return false
	}
	for i := range before {
		if before[i].prepared == nil && len(before[i].parameters) > 0 && before[i].statement == r.statement {
			return false
		}
	}
	return true
}

// receivePrepared reads the reply to one prepare, the definitions of parameters and
// columns included, which say nothing that an execution's reply does not say again.
func (c *Conn) receivePrepared(r *request) (wire.Prepared, error) {
	payload, err := c.first(wire.Frames(1 + len(r.statement)))
	if err != nil {
		return wire.Prepared{}, err
	}
	kind, err := wire.ReplyKind(payload)
	if err != nil {
		return wire.Prepared{}, protocolError(err)
	}
	if kind == wire.KindError {
		e, err := serverError(payload)
		if err != nil {
			return wire.Prepared{}, err
		}
		return wire.Prepared{}, e
	}
	p, err := wire.ParsePrepared(payload)
	if err != nil {
		return wire.Prepared{}, protocolError(err)
	}
	if err := c.readColumns(p.Parameters); err != nil {
		return wire.Prepared{}, err
	}
	if err := c.readColumns(p.Columns); err != nil {
		return wire.Prepared{}, err
	}
	if p.Parameters != len(r.parameters) {
		c.statements.closing = append(c.statements.closing, p.ID)
		return wire.Prepared{}, &notAppliedError{errParameterCount}
	}
	return p, nil
}
