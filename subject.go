package mysqlsession

import (
	"context"
	"slices"
	"time"

	"github.com/mysqlsession/mysqlsession/internal/wire"
)

// pageSize is how many rows of ids one statement reads.
const pageSize = 500

// ReadMetadata returns a subject's live sessions under that audience: expiry by id. Of
// nobody it is an empty map and no error. Each page of 500 comes from one moment.
func (s *Store) ReadMetadata(ctx context.Context, name, audience, subject string) (map[string]time.Time, error) {
	ctx, began := s.begin(ctx, "read metadata")
	sessions, err := s.readSubject(ctx, name, audience, subject)
	return sessions, s.end(ctx, "read metadata", began, err)
}

func (s *Store) readSubject(ctx context.Context, name, audience, subject string) (map[string]time.Time, error) {
	q := subjectQuery{name: name, audience: audience, subject: subject}
	if err := q.check(); err != nil {
		return nil, &callError{"read metadata", err}
	}
	sessions := make(map[string]time.Time)
	for q.more() {
		err := s.do(ctx, "read metadata", func(c *Conn, shape *schema) error {
			return s.subjectPage(ctx, c, shape, &q)
		})
		if err != nil {
			return nil, err
		}
		for _, row := range q.page {
			if row.live {
				sessions[row.key] = time.Unix(row.expires, 0)
			}
		}
	}
	return sessions, nil
}

// CountSubject is how many live sessions a subject has under that audience: as many as
// ReadMetadata returns, at one moment and in one round trip. Of nobody it is 0.
func (s *Store) CountSubject(ctx context.Context, name, audience, subject string) (int64, error) {
	ctx, began := s.begin(ctx, "count subject")
	live, err := s.countSubject(ctx, name, audience, subject)
	return live, s.end(ctx, "count subject", began, err)
}

func (s *Store) countSubject(ctx context.Context, name, audience, subject string) (live int64, err error) {
	q := subjectQuery{name: name, audience: audience, subject: subject}
	if err := q.check(); err != nil {
		return 0, &callError{"count subject", err}
	}
	err = s.do(ctx, "count subject", func(c *Conn, shape *schema) error {
		if err := s.allow(ctx, c, shape, (*schema).needMetadata); err != nil {
			return err
		}
		return c.roundTrip(ctx, effectNone, []request{{
			statement: s.texts.countSubject, parameters: subjectParameters(name, Metadata{audience, subject}, s.now()), columns: 1,
			row: func(row []wire.Value) error {
				var ok bool
				if live, ok = row[0].Int(); !ok {
					return detail(ErrProtocol, "a count is no number")
				}
				return nil
			},
		}})
	})
	if err != nil {
		return 0, err
	}
	return live, nil
}

// subjectParameters are those of isSubjects.
func subjectParameters(name string, m Metadata, now int64) []wire.Parameter {
	audience, subject := wire.Text(m.Audience), wire.Text(m.Subject)
	return []wire.Parameter{audience, subject, audience, subject, wire.Text(name), wire.Int(now)}
}

// DeleteSubject removes a subject's sessions under that audience, with all their
// metadata: it is logged out everywhere. It returns how many were live; those that
// had expired and awaited the clean-up go too, uncounted. A session that is stored
// meanwhile may stay; but the ids that take the place of others do not get away by that, for it
// looks again until it finds none, 32 times at most. Each look is all or nothing; after an
// error the count says how many are gone.
func (s *Store) DeleteSubject(ctx context.Context, name, audience, subject string) (int64, error) {
	ctx, began := s.begin(ctx, "delete subject")
	q := subjectQuery{name: name, audience: audience, subject: subject}
	deleted, err := s.endSubject(ctx, "delete subject", q, q.check())
	return deleted, s.end(ctx, "delete subject", began, err)
}

// DeleteOthers is DeleteSubject of all sessions but one: a subject is logged out everywhere
// else. key is that session's id as Get takes it, with HashKeys too. What it replaced and
// what lives on for its StaleTTL goes with the others. Is key nobody's, or another
// subject's, nothing is spared.
func (s *Store) DeleteOthers(ctx context.Context, name, audience, subject, key string) (int64, error) {
	ctx, began := s.begin(ctx, "delete others")
	q := subjectQuery{name: name, audience: audience, subject: subject}
	err := q.check()
	if err == nil {
		q.spared, err = s.stored(name, key)
	}
	deleted, err := s.endSubject(ctx, "delete others", q, err)
	return deleted, s.end(ctx, "delete others", began, err)
}

// subjectPasses is how often a subject's sessions are looked for, at most. Who has a session
// rotated again and again can be between two ids at one look, but not at so many.
const subjectPasses = 32

func (s *Store) endSubject(ctx context.Context, operation string, q subjectQuery, invalid error) (deleted int64, err error) {
	if invalid != nil {
		return 0, &callError{operation, invalid}
	}
	spared := false // there was the session to be spared
	for range subjectPasses {
		var p pass
		err = s.do(ctx, operation, func(c *Conn, shape *schema) (err error) {
			p, err = s.deleteSubject(ctx, c, shape, q, spared)
			return err
		})
		if err != nil {
			return deleted, err
		}
		deleted, spared = deleted+p.deleted, p.spared
		if !p.again {
			break
		}
	}
	return deleted, nil
}

// pass is what became of a subject's sessions in one pass of deleteSubject.
type pass struct {
	deleted int64
	spared  bool // the session to be spared is live
	again   bool // there may be more
}

// deleteSubject reads all ids, and deletes by them in one transaction. A DELETE that joins
// would lock what it reads, in the index's order, and deadlock with live traffic. What was
// stored between the two is looked for behind the COMMIT, in its round trip: it may be what a
// session was replaced by that is deleted here.
//
// Is the session to be spared gone that was there before, it was replaced itself, nobody
// knows by which, and nothing is deleted.
func (s *Store) deleteSubject(ctx context.Context, c *Conn, shape *schema, q subjectQuery, before bool) (p pass, err error) {
	var live, expired []string
	for q.more() {
		if err := s.subjectPage(ctx, c, shape, &q); err != nil {
			return p, err
		}
		for _, row := range q.page {
			switch {
			case row.key == q.spared:
				p.spared = row.live
			case row.live:
				live = append(live, row.key)
			default:
				expired = append(expired, row.key)
			}
		}
	}
	if len(live)+len(expired) == 0 || before && !p.spared {
		return p, nil
	}
	requests := []request{beginRequest()}
	requests = s.appendDeletes(requests, shape, q.name, live)
	counted := len(requests)
	requests = s.appendDeletes(requests, shape, q.name, expired)
	err = c.open(ctx, requests, func() error {
		for i := range requests[1:counted] {
			p.deleted += c.outcomes[1+i].result.RowsAffected
		}
		return nil
	})
	if err != nil {
		return p, err
	}
	q = subjectQuery{name: q.name, audience: q.audience, subject: q.subject, spared: q.spared}
	if err := c.commit(ctx, s.subjectRequest(&q)); err != nil {
		return p, err
	}
	p.again = !c.outcomes[2].done() || q.rows == pageSize || slices.ContainsFunc(q.page, func(row subjectRow) bool { return row.live && row.key != q.spared })
	return p, nil
}

// appendDeletes appends the statements that delete the keys, in the order of their locks.
func (s *Store) appendDeletes(requests []request, shape *schema, name string, keys []string) []request {
	slices.Sort(keys)
	for chunk := range slices.Chunk(keys, ladderTop) {
		size := coarseUp(len(chunk))
		parameters := append(keyParameters(chunk, size), wire.Text(name))
		requests = append(requests, request{statement: s.texts.deleteSessions[keying(shape.primary)].of(size), parameters: parameters})
	}
	return requests
}

// keyParameters is the keys as parameters, filled up to size with one of them.
func keyParameters(keys []string, size int) []wire.Parameter {
	parameters := make([]wire.Parameter, 0, size+1)
	for i := range size {
		parameters = append(parameters, wire.Text(keys[min(i, len(keys)-1)]))
	}
	return parameters
}

// subjectQuery walks through a subject's sessions page by page.
type subjectQuery struct {
	name, audience, subject string
	spared                  string // the id of a session to be left alone; "": none

	after string // the last page's last id
	rows  int    // how many the last page had, those of others included
	begun bool
	page  []subjectRow
}

type subjectRow struct {
	key     string
	expires int64 // 0 for one without
	live    bool
}

func (q *subjectQuery) check() error {
	if err := checkName("name", q.name); err != nil {
		return err
	}
	return checkMetadata(q.audience, q.subject)
}

// more reports whether there may be a further page.
func (q *subjectQuery) more() bool { return !q.begun || q.rows == pageSize }

// subjectPage reads the next page.
func (s *Store) subjectPage(ctx context.Context, c *Conn, shape *schema, q *subjectQuery) error {
	if err := s.allow(ctx, c, shape, (*schema).needMetadata); err != nil {
		return err
	}
	next := *q // to be asked for again if this fails half-way
	if err := c.roundTrip(ctx, effectNone, []request{s.subjectRequest(&next)}); err != nil {
		return err
	}
	*q = next
	q.begun = true
	return nil
}

// subjectRequest asks for the next page.
func (s *Store) subjectRequest(q *subjectQuery) request {
	parameters := []wire.Parameter{wire.Int(s.now()), wire.Text(q.audience), wire.Text(q.subject), wire.Text(q.after), wire.Int(pageSize)}
	q.page, q.rows = q.page[:0], 0
	return request{
		statement: s.texts.selectSubject, parameters: parameters, columns: 7,
		row: func(row []wire.Value) error {
			q.rows++
			q.after = string(row[0].Raw())
			if string(row[1].Raw()) != q.audience || string(row[2].Raw()) != q.subject || string(row[4].Raw()) != q.name || row[4].IsNull() {
				return nil
			}
			expires, ok := row[5].Int()
			if !ok && !row[5].IsNull() { // NULL in old tables
				return detail(ErrProtocol, "an expiry is no number")
			}
			live, _ := row[6].Int()
			q.page = append(q.page, subjectRow{key: string(row[3].Raw()), expires: expires, live: live == 1})
			return nil
		},
	}
}
