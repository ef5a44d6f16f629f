package mysqlsession

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/mysqlsession/mysqlsession/internal/wire"
)

// transactionCalls is how many calls one transaction may serve: it keeps their rows locked
// until the last statement is done.
const transactionCalls = 64

// write is one statement of a transaction that changes sessions.
type write struct {
	key     string // of the session, for a statement that changes one
	request request
	decides *task // the task whose session must have been live for this, if it must be
}

// errSomeMissing has a transaction rolled back because some of its tasks must not happen.
var errSomeMissing = errors.New(prefix + "some sessions are not live")

// transactions does the work of tasks that take several statements each, in one
// transaction: all or nothing for each of them. A task whose session had to be live and is
// not leaves the others alone: they are done again without it.
func (s *Store) transactions(ctx context.Context, c *Conn, shape *schema, tasks []*task) error {
	tasks, err := s.admit(ctx, c, shape, tasks)
	if err != nil {
		return err
	}
	for len(tasks) > 0 {
		err := s.transactAll(ctx, c, tasks)
		if err != errSomeMissing {
			return err
		}
		tasks = slices.DeleteFunc(tasks, func(t *task) bool { return t.err != nil })
	}
	return nil
}

func (s *Store) transactAll(ctx context.Context, c *Conn, tasks []*task) error {
	requests, writes := s.appendTasks([]request{beginRequest()}, c, tasks)
	return c.transact(ctx, requests, func() error { return missing(writes, c.outcomes[1:]) })
}

// appendTasks appends the statements that do the tasks' work: those of writes, which
// change sessions, and behind them those that add metadata.
func (s *Store) appendTasks(requests []request, c *Conn, tasks []*task) (_ []request, writes []write) {
	if mustKeepOrder(tasks) {
		writes = s.orderedWrites(c, tasks)
	} else {
		writes = s.mergedWrites(c, tasks)
	}
	requests = slices.Grow(requests, len(writes)+8)
	for i := range writes {
		requests = append(requests, writes[i].request)
	}
	var rows []metadataRow
	for _, t := range tasks {
		for _, m := range t.metadata {
			rows = append(rows, metadataRow{m, t.key})
		}
	}
	return s.appendMetadata(requests, c, rows), writes
}

// missing gives ErrNotFound to the tasks whose session is not live. It is errSomeMissing if
// something has been done for them that must not be.
func missing(writes []write, outcomes []outcome) (err error) {
	for i := range writes {
		t := writes[i].decides
		if t == nil || !outcomes[i].done() || outcomes[i].result.RowsAffected > 0 {
			continue
		}
		t.err = ErrNotFound
		if t.old != "" || len(t.metadata) > 0 {
			err = errSomeMissing
		}
	}
	return err
}

// mustKeepOrder reports whether the tasks' statements must be kept apart: because some
// depend on what is there, which only a statement of their own tells, or because an id
// that one of them stores is another's to end, so that it matters which came first.
func mustKeepOrder(tasks []*task) bool {
	if len(tasks) == 1 {
		return true
	}
	stored := make(map[string]struct{}, len(tasks))
	for _, t := range tasks {
		if t.mustExist {
			return true
		}
		stored[t.key] = struct{}{}
	}
	for _, t := range tasks {
		if _, both := stored[t.old]; both {
			return true
		}
	}
	return false
}

// orderedWrites is what the tasks do to sessions, in the order of the sessions' ids: rows
// are locked in that order, so that two of these transactions cannot wait for one another.
// What concerns one session stays in the order in which the tasks came, so the outcome is
// that of one task after the other.
func (s *Store) orderedWrites(c *Conn, tasks []*task) []write {
	writes := make([]write, 0, 2*len(tasks))
	for _, t := range tasks {
		session := write{key: t.key, request: s.sessionRequest(c, &t.put, nil)}
		if t.old == "" {
			if t.mustExist {
				session.decides = t
			}
			writes = append(writes, session)
			continue
		}
		end := write{key: t.old, request: s.endRequest(c, &t.put)}
		if t.mustExist {
			end.decides = t
		}
		writes = append(writes, session, end)
	}
	slices.SortStableFunc(writes, byWrittenKey)
	return writes
}

func byWrittenKey(a, b write) int { return strings.Compare(a.key, b.key) }

// mergedWrites is the same in few statements of many rows: first those that store, then
// those that end. Tasks that replace a session store under new ids, which nobody else can
// have locked, so it is the order of the old ids that keeps two of these transactions from
// waiting for one another.
func (s *Store) mergedWrites(c *Conn, tasks []*task) []write {
	sorted := slices.Clone(tasks)
	slices.SortStableFunc(sorted, byKey)
	var writes []write
	for rest := sorted; len(rest) > 0; {
		n := rungDown(len(rest))
		writes = append(writes, write{request: s.upsertRequest(c, rest[:n], nil)})
		rest = rest[n:]
	}
	return append(writes, s.mergedEnds(c, tasks)...)
}

// mergedEnds brings the replaced sessions' expiries forward, by one statement if it is the
// same new one for all, as it is unless names differ or a second has just passed.
func (s *Store) mergedEnds(c *Conn, tasks []*task) []write {
	ending := slices.DeleteFunc(slices.Clone(tasks), func(t *task) bool { return t.old == "" })
	if len(ending) == 0 {
		return nil
	}
	first := ending[0]
	if slices.ContainsFunc(ending, func(t *task) bool { return t.staleEnd != first.staleEnd || t.name != first.name }) {
		writes := make([]write, len(ending))
		for i, t := range ending {
			writes[i] = write{key: t.old, request: s.endRequest(c, &t.put)}
		}
		slices.SortStableFunc(writes, byWrittenKey)
		return writes
	}
	keys := make([]string, len(ending))
	for i, t := range ending {
		keys[i] = t.old
	}
	slices.Sort(keys)
	keys = slices.Compact(keys)
	size := coarseUp(len(keys))
	parameters := append([]wire.Parameter{wire.Int(s.staleEnd(c, &first.put))}, keyParameters(keys, size)...)
	parameters = append(append(parameters, keyParameters(keys, size)...), wire.Text(first.name))
	return []write{{request: request{statement: s.texts.endSessions[s.keying()].of(size), parameters: parameters}}}
}
