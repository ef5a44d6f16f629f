package mysqlsession

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"slices"

	"github.com/mysqlsession/mysqlsession/internal/wire"
)

// evictedAtOnce is how many of a subject's sessions one Set evicts at most: a transaction
// that deleted a hundred thousand would run into the time limits, and so would the next.
const evictedAtOnce = 1024

// excess is which sessions of a subject are too many.
type excess struct {
	subject Metadata
	keys    []string
}

// setLimited is setAll for a task with a limit. In the transaction are, in this order, the
// turn of each subject, the task's own work, the question which sessions are too many, and
// in a further round trip for each subject that has some, their end. The turns go with the
// COMMIT.
func (s *Store) setLimited(ctx context.Context, c *Conn, shape *schema, t *task) error {
	over, turns := limited(&t.put)
	requests := []request{beginRequest()}
	ends := make([]request, len(turns))
	for i, key := range turns {
		requests = append(requests, s.turnRequest(c, &t.put, key))
		ends[i] = request{statement: s.texts.deleteFree, parameters: []wire.Parameter{wire.Text(key)}}
	}
	first := len(requests)
	requests, writes := s.appendTasks(requests, c, []*task{t})
	for i := range over {
		requests = append(requests, s.excessRequest(&t.put, &over[i]))
	}
	err := c.open(ctx, requests, func() error { return missing(writes, c.outcomes[first:]) })
	switch {
	case err == errSomeMissing:
		_ = c.roundTrip(ctx, effectNone, ends) // the one before may have left them to this one
		return ErrNotFound
	case err != nil:
		return err
	}
	if err := s.evict(ctx, c, shape, &t.put, over); err != nil {
		return err
	}
	return c.commit(ctx, ends...)
}

// limited is the subjects that a limit is for, each once, and the ids of their turns in the
// order in which they are taken, so that no two Sets can wait for one another's.
func limited(p *put) (over []excess, turns []string) {
	for _, m := range p.metadata {
		if slices.ContainsFunc(over, func(e excess) bool { return e.subject == m }) {
			continue
		}
		over = append(over, excess{subject: m})
		turns = append(turns, turnKey(p.name, m))
	}
	slices.Sort(turns)
	return over, turns
}

// turnKey is the id of the row that stands for a subject's turn. No session has it: a
// session's id has no space.
func turnKey(name string, m Metadata) string {
	var text []byte
	for _, part := range []string{name, m.Audience, m.Subject} {
		text = append(binary.BigEndian.AppendUint16(text, uint16(len(part))), part...)
	}
	sum := sha256.Sum256(text)
	return " " + base64.RawURLEncoding.EncodeToString(sum[:16])
}

// turnRequest waits until no other Set with a limit is at the subject, and keeps them
// waiting until this transaction ends. Two that sign a subject in at the same time do not
// see one another's sessions, and a subject that is new has no row that could be locked. So
// both store the same row, a session that has expired. In a cluster of several writers that
// makes the two conflict, but only if it changes the row each time: hence the value.
//
// Behind the COMMIT the row is deleted unless somebody has it locked, or waits to: when
// InnoDB removes a row, it gives all that wait to store it a lock on the gap, with which
// each keeps out the others, and all but one are victims of a deadlock. So the last one
// deletes it. Should it be left over, the clean-up does.
func (s *Store) turnRequest(c *Conn, p *put, key string) request {
	return request{
		statement:  s.texts.upsertSessions[dialect(c.server.rowAlias())].of(1),
		parameters: []wire.Parameter{wire.Text(key), wire.Text(p.name), wire.Text(rand.Text()), wire.Int(max(p.now-1, 1))},
	}
}

// excessRequest asks which of a subject's sessions are too many. The one that is stored
// has its place; the one that it replaces needs none.
func (s *Store) excessRequest(p *put, e *excess) request {
	old := p.old
	if old == "" {
		old = p.key
	}
	parameters := append(subjectParameters(p.name, e.subject, p.now), wire.Text(p.key), wire.Text(old), wire.Int(int64(p.limit-1)), wire.Int(evictedAtOnce))
	return request{
		statement: s.texts.selectExcess, parameters: parameters, columns: 1,
		row: func(row []wire.Value) error {
			e.keys = append(e.keys, string(row[0].Raw()))
			return nil
		},
	}
}

// evict deletes what is too many, subject by subject. A session may be of two of them, so
// those that come later are asked for again once an earlier one has lost some.
func (s *Store) evict(ctx context.Context, c *Conn, shape *schema, p *put, over []excess) error {
	for i := range over {
		if len(over[i].keys) == 0 {
			continue
		}
		requests := s.appendDeletes(nil, shape, p.name, over[i].keys)
		for j := range over[i+1:] {
			if later := &over[i+1+j]; len(later.keys) > 0 {
				later.keys = nil
				requests = append(requests, s.excessRequest(p, later))
			}
		}
		if err := c.proceed(ctx, requests); err != nil {
			return err
		}
	}
	return nil
}
