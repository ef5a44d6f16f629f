package mysqlsession

import (
	"context"
	"slices"
	"time"

	"github.com/mysqlsession/mysqlsession/internal/coalesce"
	"github.com/mysqlsession/mysqlsession/internal/wire"
)

// The kinds of calls. Those of one kind share statements.
const (
	kindGet = iota
	kindSet
	kindSetMetadata // a Set with metadata
	kindRotate      // a Set that ends another session
	kindReplace     // a Set for which a session must be live
	kindSetLimited  // a Set that may have others evicted; each runs alone
	kindTouch
	kindDelete
	kinds
)

// operationNames are the kinds' names, in errors and hooks.
var operationNames = [kinds]string{"get", "set", "set", "set", "set", "set", "touch", "delete"}

// callOverhead is about what a call, or a row of its metadata, takes of a request besides
// its strings.
const callOverhead = 64

// task is one call as what serves it sees it.
type task struct {
	put
	err    error           // what became of it in a batch
	buffer []byte          // what value was copied to, for as long as the batch may need it
	ctx    context.Context // the call's own, for the hook that is told of the batch; nil if none is
}

// call runs a call of the given kind: at once if a lane is free, else in a batch.
func (s *Store) call(ctx context.Context, kind int, p *put) error {
	if s.group == nil {
		return s.callAlone(ctx, kind, p)
	}
	lane, ok := s.group.Begin()
	if !ok {
		return s.callInBatch(ctx, kind, p)
	}
	defer s.group.End(lane)
	return s.callAlone(ctx, kind, p)
}

// begin is when an operation begins, if somebody is told of its end, and the context that
// it goes on with.
func (s *Store) begin(ctx context.Context, operation string) (context.Context, time.Time) {
	trace := s.config.Trace
	if trace.CallStart == nil && trace.Call == nil {
		return ctx, time.Time{}
	}
	began := time.Now()
	if trace.CallStart != nil {
		ctx = trace.CallStart(ctx, s.callInfo(operation))
	}
	return ctx, began
}

// end tells of an operation that has ended, and returns its error.
func (s *Store) end(ctx context.Context, operation string, began time.Time, err error) error {
	if s.config.Trace.Call != nil {
		info := s.callInfo(operation)
		info.Duration, info.Err = time.Since(began), err
		s.config.Trace.Call(ctx, info)
	}
	return err
}

// callInfo is what is known of an operation from the beginning.
func (s *Store) callInfo(operation string) CallInfo {
	peer := s.pool.peer.Load()
	return CallInfo{
		Pool: s.pool.config.Pool, Operation: operation, Database: s.place.database, Table: s.place.table,
		System: peer.system, Address: peer.address,
	}
}

func (s *Store) callAlone(ctx context.Context, kind int, p *put) error {
	return s.do(ctx, operationNames[kind], func(c *Conn, shape *schema) error {
		return s.single(ctx, c, shape, kind, p)
	})
}

// single does the work of one call.
func (s *Store) single(ctx context.Context, c *Conn, shape *schema, kind int, p *put) (err error) {
	switch kind {
	case kindGet:
		p.value, err = s.get(ctx, c, p.name, p.key, p.now)
		return err
	case kindTouch:
		return s.touch(ctx, c, p)
	case kindDelete:
		return s.delete(ctx, c, p)
	default:
		return s.set(ctx, c, shape, p)
	}
}

// callInBatch has a call served together with others.
func (s *Store) callInBatch(ctx context.Context, kind int, p *put) error {
	c := s.newCall(ctx, kind, p)
	err := s.group.Wait(ctx, c)
	switch {
	case err == coalesce.ErrLeftBatch:
		// Nobody knows what the batch does with the call from now on: it is left to it.
		err = contextError(ctx, ctx.Err())
		if kind == kindGet {
			err = &notAppliedError{err}
		} else {
			err = &unknownOutcomeError{err}
		}
		return s.failure(operationNames[kind], err)
	case err == coalesce.ErrLeftQueue:
		err = &notAppliedError{contextError(ctx, ctx.Err())}
	}
	p.value = c.Value.value
	s.putAway(c)
	if err == nil || err == ErrNotFound {
		return err
	}
	return s.failure(operationNames[kind], err)
}

func (s *Store) newCall(ctx context.Context, kind int, p *put) *coalesce.Call[task] {
	c, _ := s.calls.Get().(*coalesce.Call[task])
	if c == nil {
		c = coalesce.NewCall[task]()
	}
	t := &c.Value
	c.Kind, t.put = kind, *p
	if s.config.Trace.CallStart != nil && s.config.Trace.Batch != nil {
		t.ctx = ctx
	}
	c.Weight = callOverhead + len(p.name) + len(p.key) + len(p.old) + len(p.value)
	for _, m := range p.metadata {
		c.Weight += callOverhead + len(m.Audience) + len(m.Subject) + len(p.key)
	}
	if ctx.Done() != nil && kind != kindGet {
		// The caller may leave, and change what is its own, while the batch is being sent.
		t.buffer = append(t.buffer[:0], p.value...)
		t.value = t.buffer
		t.metadata = slices.Clone(p.metadata)
	}
	return c
}

// putAway keeps a call to be used again.
func (s *Store) putAway(c *coalesce.Call[task]) {
	buffer := c.Value.buffer
	if cap(buffer) > wire.KeptBuffer {
		buffer = nil
	}
	c.Value = task{buffer: buffer}
	s.calls.Put(c)
}

// newGroup makes what combines a store's calls.
func (s *Store) newGroup() *coalesce.Group[task] {
	list := make([]coalesce.Kind, kinds)
	for i := range list {
		list[i].MaxCalls = s.config.CoalesceMaxRows
	}
	list[kindSet].Fit = rungDown
	for _, i := range []int{kindSetMetadata, kindRotate, kindReplace} {
		list[i].MaxCalls = min(s.config.CoalesceMaxRows, transactionCalls)
	}
	list[kindSetLimited].MaxCalls = 1
	return coalesce.New(coalesce.Config[task]{
		Kinds:      list,
		MaxLanes:   min(s.config.CoalesceMaxLanes, s.pool.config.PoolSize),
		Open:       s.openLane,
		Backlog:    backlog{s.pool},
		Timeout:    s.pool.config.ConnectTimeout,
		ErrTimeout: ErrAcquireTimeout,
		ErrTooLate: errTooLate,
		ErrClosed:  ErrClosed,
		CloseGrace: closeGrace,
	})
}

// backlog is the pool's: calls that wait to be combined share it with those that wait for
// a connection.
type backlog struct{ pool *Pool }

func (b backlog) Join() error     { return b.pool.join() }
func (b backlog) Leave(calls int) { b.pool.depart(calls) }
