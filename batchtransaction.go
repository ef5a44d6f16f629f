package mysqlsession

import (
	"context"
	"errors"
	"slices"
	"strings"
)

// transactionCalls is how many calls one transaction may serve: each takes some statements
// of its own, and keeps its rows locked until the last one is done.
const transactionCalls = 64

// write is one statement of a transaction that changes one session.
type write struct {
	key     string // of the session
	request request
	decides *task // the task whose session must have been live for this, if it must be
}

// errSomeMissing has a transaction rolled back because some of its tasks must not happen.
var errSomeMissing = errors.New(prefix + "some sessions are not live")

// transactions does the work of tasks that take several statements each, in one
// transaction: all or nothing for each of them. A task whose session had to be live and is
// not leaves the others alone: they are done again without it.
//
// Rows are locked in the order of their ids, those of metadata after that, so that two of
// these cannot wait for one another. What concerns one session happens in the order in
// which the tasks came, so the outcome is the same as that of one after the other.
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
	var writes []write
	var rows []metadataRow
	for _, t := range tasks {
		writes = append(writes, s.writesOf(c, t)...)
		for _, m := range t.metadata {
			rows = append(rows, metadataRow{m, t.key})
		}
	}
	slices.SortStableFunc(writes, func(a, b write) int { return strings.Compare(a.key, b.key) })
	requests := make([]request, 1, 1+len(writes)+8)
	requests[0] = beginRequest()
	for i := range writes {
		requests = append(requests, writes[i].request)
	}
	requests = s.appendMetadata(requests, c, rows)
	return c.transact(ctx, requests, func() error { return missing(writes, c.outcomes[1:]) })
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

// writesOf is what a task does to sessions.
func (s *Store) writesOf(c *Conn, t *task) []write {
	session := write{key: t.key, request: s.sessionRequest(c, &t.put, nil)}
	if t.old == "" {
		if t.mustExist {
			session.decides = t
		}
		return []write{session}
	}
	end := write{key: t.old, request: s.endRequest(c, &t.put)}
	if t.mustExist {
		end.decides = t
	}
	return []write{session, end}
}
