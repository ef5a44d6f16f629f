package mysqlsession

import (
	"context"
	"errors"
	"time"

	"github.com/mysqlsession/mysqlsession/internal/coalesce"
	"github.com/mysqlsession/mysqlsession/internal/wire"
)

// requestOverhead is more than a statement of a batch takes without its parameters, where
// statements are not prepared.
const requestOverhead = 8 << 10

// lane is a connection on which batches run, one at a time. It is for one goroutine.
type lane struct {
	store  *Store
	member *pooled // nil: none at the moment
	hold   uint64

	tasks      []*task // of the batch
	parameters []wire.Parameter
	contexts   []context.Context // for the hook
}

// openLane waits for a connection. The wait is nobody's: each call that it is for has a
// limit, and a place in the backlog, of its own.
func (s *Store) openLane(ctx context.Context) (coalesce.Lane[task], error) {
	l := &lane{store: s}
	err := l.acquire(ctx)
	switch {
	case err == nil:
		return l, nil
	case errors.Is(err, ErrAcquireTimeout):
		return nil, nil
	default:
		return nil, err
	}
}

func (l *lane) acquire(ctx context.Context) (err error) {
	l.member, l.hold, err = l.store.pool.acquire(ctx, false)
	if err == nil {
		l.member.turns = true
	}
	return err
}

// Close gives the connection back.
func (l *lane) Close() {
	if l.member != nil {
		l.store.pool.release(l.member, l.hold)
		l.member = nil
	}
}

// Wanted reports whether the connection must be given back: others wait for one, or it
// must not be used any longer.
func (l *lane) Wanted() bool { return l.member == nil || !l.store.pool.keeps(l.member) }

// Budget is what one request may carry to the server: less where it travels as text, in
// hexadecimal.
func (l *lane) Budget() int {
	c := l.member.conn
	budget := l.store.config.CoalesceMaxBytes
	if limit := c.server.maxAllowedPacket; limit > 0 {
		budget = min(budget, limit-requestOverhead)
	}
	if c.statements.text {
		budget /= 2
	}
	return budget
}

// Run does the work of a batch.
func (l *lane) Run(ctx context.Context, calls []*coalesce.Call[task]) {
	tasks := l.tasks[:0]
	for _, call := range calls {
		tasks = append(tasks, &call.Value)
	}
	kind, since, began := calls[0].Kind, calls[0].Since(), time.Now()
	var err error
	if len(tasks) == 1 {
		l.runApart(ctx, kind, tasks)
		if err = tasks[0].err; err == ErrNotFound {
			err = nil // an answer
		}
	} else {
		err = l.runTogether(ctx, kind, tasks)
	}
	if l.store.config.Trace.Batch != nil {
		l.tell(operationNames[kind], tasks, began.Sub(since), time.Since(began), err)
	}
	for _, call := range calls {
		call.Err = call.Value.err
	}
	clear(tasks)
	l.tasks = tasks
}

// tell tells the hook what became of a batch.
func (l *lane) tell(operation string, tasks []*task, wait, duration time.Duration, err error) {
	contexts := l.contexts[:0]
	if l.store.config.Trace.CallStart != nil {
		for _, t := range tasks {
			contexts = append(contexts, t.ctx)
		}
	}
	call := l.store.callInfo(operation)
	l.store.config.Trace.Batch(BatchInfo{
		Pool: call.Pool, Operation: operation, Database: call.Database, Table: call.Table, System: call.System, Address: call.Address,
		Calls: len(tasks), Wait: wait, Duration: duration, Contexts: contexts, Err: err,
	})
	clear(contexts)
	l.contexts = contexts
}

// runTogether does the work of all tasks with as few statements as it takes. It returns
// why that could not be, if it could not.
func (l *lane) runTogether(ctx context.Context, kind int, tasks []*task) error {
	err := l.together(ctx, kind, tasks)
	switch {
	case err == nil:
	case hasWaited(err):
		l.runAround(ctx, kind, tasks, err)
	default:
		l.runRefused(ctx, kind, tasks, err)
	}
	return err
}

// together is the attempt to do all tasks' work at once.
func (l *lane) together(ctx context.Context, kind int, tasks []*task) error {
	return l.attempt(ctx, func(c *Conn, shape *schema) error {
		for _, t := range tasks {
			t.err = nil
		}
		switch kind {
		case kindGet:
			return l.store.gets(ctx, c, tasks, &l.parameters)
		case kindSet:
			return l.store.sets(ctx, c, shape, tasks, &l.parameters)
		case kindTouch:
			return l.store.touches(ctx, c, tasks)
		case kindDelete:
			return l.store.deletes(ctx, c, shape, tasks)
		default:
			return l.store.transactions(ctx, c, shape, tasks)
		}
	})
}

// runRefused has tasks that could not be done together done apart if that may help.
func (l *lane) runRefused(ctx context.Context, kind int, tasks []*task, err error) {
	if mayBeOnes(err) {
		l.runApart(ctx, kind, tasks)
		return
	}
	for _, t := range tasks {
		t.err = err
	}
}

// runAround does the work of the tasks around those whose sessions others hold, after all
// have waited for one of these, for as long as they may. Were each to wait once more by
// itself, one after the other, the last would wait for as many times that.
func (l *lane) runAround(ctx context.Context, kind int, tasks []*task, waited error) {
	var held map[string]bool
	err := l.attempt(ctx, func(c *Conn, _ *schema) (err error) {
		held, err = l.store.held(ctx, c, tasks)
		return err
	})
	if err != nil && !hasWaited(err) {
		l.runRefused(ctx, kind, tasks, waited)
		return
	}
	var free []*task
	for _, t := range tasks {
		if err != nil || held[t.key] || held[t.old] { // or somebody holds the whole table
			t.err = waited
		} else {
			free = append(free, t)
		}
	}
	if len(free) == 0 {
		return
	}
	if err := l.together(ctx, kind, free); err != nil {
		l.runRefused(ctx, kind, free, err)
	}
}

// hasWaited reports whether the error is that of waiting too long for a lock.
func hasWaited(err error) bool {
	refused := asServerError(err)
	return refused != nil && isNotApplied(err) && fateOf(refused, false).waited
}

// runApart does the work of each task by itself, in the order in which they came.
func (l *lane) runApart(ctx context.Context, kind int, tasks []*task) {
	for _, t := range tasks {
		t.err = l.attempt(ctx, func(c *Conn, shape *schema) error {
			return l.store.single(ctx, c, shape, kind, &t.put)
		})
	}
}

// mayBeOnes reports whether the error of a batch may be that of one task in it, which then
// must not fail the others: the request was too large, or the server has refused it and
// done nothing. What is repeated may have been done before, by another statement of the
// same request, where doing it twice is doing it once.
func mayBeOnes(err error) bool {
	if !isNotApplied(err) || errors.Is(err, ErrNotWritable) {
		return false
	}
	return asServerError(err) != nil || errors.Is(err, ErrValueTooLarge)
}

// attempt runs the work on the lane's connection, or, if that was lost, on another one,
// and again where the server is known not to have applied it.
func (l *lane) attempt(ctx context.Context, work func(c *Conn, shape *schema) error) error {
	return persist(ctx, func() (error, bool) {
		if l.member == nil {
			if err := l.acquire(ctx); err != nil {
				return &finalError{err}, false
			}
		}
		err := l.store.workOn(ctx, l.member, work)
		mariadb := l.member.conn.server.mariadb
		if err != nil && !l.member.conn.reusable() || errors.Is(err, ErrNotWritable) {
			l.Close()
		}
		return err, mariadb
	})
}
