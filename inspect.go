package mysqlsession

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/mysqlsession/mysqlsession/internal/wire"
)

// SessionInfo is what is known of a session besides its value.
type SessionInfo struct {
	// StoredID is the id that the table has. Without HashKeys it is the session's own:
	// whoever learns it has the session.
	StoredID string
	Name     string     // the one that it is stored under
	Expires  time.Time  // zero for a row of an old table that has no expiry
	Live     bool       // it can be read: it has not expired, and has a value
	Size     int64      // bytes of the value
	Metadata []Metadata // what it belongs to. Only Inspect reads that
}

// countedPage is how many rows one statement counts: milliseconds of work, and few round
// trips for a table of millions.
const countedPage = 10_000

// Inspect returns what is known of a session without reading its value, also of one that
// has expired and awaits the clean-up. It is for those who look after a site: it finds the
// session under any name. Where there is no metadata table it belongs to nobody. Errors:
// ErrNotFound.
func (s *Store) Inspect(ctx context.Context, key string) (SessionInfo, error) {
	ctx, began := s.begin(ctx, "inspect")
	info, err := s.inspectSession(ctx, key)
	return info, s.end(ctx, "inspect", began, err)
}

func (s *Store) inspectSession(ctx context.Context, key string) (SessionInfo, error) {
	key, err := s.stored("", key)
	if err != nil {
		return SessionInfo{}, &callError{"inspect", err}
	}
	var info SessionInfo
	err = s.do(ctx, "inspect", func(c *Conn, shape *schema) (err error) {
		info, err = s.inspect(ctx, c, shape, key)
		return err
	})
	if err != nil {
		return SessionInfo{}, err
	}
	return info, nil
}

func (s *Store) inspect(ctx context.Context, c *Conn, shape *schema, key string) (info SessionInfo, err error) {
	found := false
	requests := []request{{
		statement: s.texts.selectInfo, parameters: []wire.Parameter{wire.Int(s.now()), wire.Text(key)}, columns: 5,
		row: func(row []wire.Value) error {
			// A row that an old table's collation takes for the same one is not.
			if string(row[0].Raw()) != key || row[1].IsNull() {
				return nil
			}
			found = true
			return info.read(row)
		},
	}}
	switch err := s.allow(ctx, c, shape, (*schema).needMetadata); {
	case err != nil && !errors.Is(err, ErrSchema):
		return info, err
	case err == nil:
		requests = append(requests, request{
			statement: s.texts.selectMetadata, parameters: []wire.Parameter{wire.Text(key)}, columns: 3,
			row: func(row []wire.Value) error {
				if string(row[0].Raw()) == key {
					info.Metadata = append(info.Metadata, Metadata{Audience: string(row[1].Raw()), Subject: string(row[2].Raw())})
				}
				return nil
			},
		})
	}
	if err := c.roundTrip(ctx, effectNone, requests); err != nil {
		return info, err
	}
	if !found {
		return info, ErrNotFound
	}
	return info, nil
}

// read takes over id, name, expiry, whether the session is live, and its size.
func (info *SessionInfo) read(row []wire.Value) error {
	info.StoredID, info.Name = string(row[0].Raw()), string(row[1].Raw())
	if !row[2].IsNull() { // as it may be in old tables
		expires, ok := row[2].Int()
		if !ok {
			return detail(ErrProtocol, "an expiry is no number")
		}
		info.Expires = time.Unix(expires, 0)
	}
	live, _ := row[3].Int() // NULL without an expiry
	info.Live = live == 1
	info.Size, _ = row[4].Int() // NULL without a value
	return nil
}

// InspectSubject is ReadMetadata over all names, with what is known of each session, those
// that have expired and await the clean-up included, sorted by stored id. Of nobody it is
// empty.
func (s *Store) InspectSubject(ctx context.Context, audience, subject string) ([]SessionInfo, error) {
	ctx, began := s.begin(ctx, "inspect subject")
	sessions, err := s.inspectSubject(ctx, audience, subject)
	return sessions, s.end(ctx, "inspect subject", began, err)
}

func (s *Store) inspectSubject(ctx context.Context, audience, subject string) ([]SessionInfo, error) {
	if err := checkMetadata(audience, subject); err != nil {
		return nil, &callError{"inspect subject", err}
	}
	var sessions []SessionInfo
	for after, rows := "", pageSize; rows == pageSize; {
		var page []SessionInfo
		last := after
		err := s.do(ctx, "inspect subject", func(c *Conn, shape *schema) error {
			page, rows, last = nil, 0, after
			if err := s.allow(ctx, c, shape, (*schema).needMetadata); err != nil {
				return err
			}
			parameters := []wire.Parameter{wire.Int(s.now()), wire.Text(audience), wire.Text(subject), wire.Text(after), wire.Int(pageSize)}
			return c.roundTrip(ctx, effectNone, []request{{
				statement: s.texts.selectSubjectInfo, parameters: parameters, columns: 8,
				row: func(row []wire.Value) error {
					rows++
					last = string(row[0].Raw())
					if string(row[1].Raw()) != audience || string(row[2].Raw()) != subject || row[4].IsNull() {
						return nil
					}
					var info SessionInfo
					err := info.read(row[3:])
					page = append(page, info)
					return err
				},
			}})
		})
		if err != nil {
			return nil, err
		}
		sessions, after = append(sessions, page...), last
	}
	slices.SortFunc(sessions, func(a, b SessionInfo) int { return cmp.Compare(a.StoredID, b.StoredID) })
	return sessions, nil
}

// NameCount is how many sessions of a name there are.
type NameCount struct {
	Name    string
	Live    int64 // that can be read
	Expired int64 // that await the clean-up
}

// Count counts the sessions of each name, sorted by name. It reads the whole table, 10,000
// rows at a time: what is stored or removed meanwhile may be counted or not. Rows of old
// tables that have no name, and live ones without a value, which nobody can read, are not
// counted.
func (s *Store) Count(ctx context.Context) ([]NameCount, error) {
	ctx, began := s.begin(ctx, "count")
	counts, err := s.count(ctx)
	return counts, s.end(ctx, "count", began, err)
}

func (s *Store) count(ctx context.Context) ([]NameCount, error) {
	counts := map[string]NameCount{}
	for after, rows := "", int64(countedPage); rows == countedPage; {
		var page []NameCount
		last := after
		err := s.do(ctx, "count", func(c *Conn, _ *schema) error {
			page, rows, last = nil, 0, after
			now := wire.Int(s.now())
			return c.roundTrip(ctx, effectNone, []request{{
				statement: s.texts.countPage, parameters: []wire.Parameter{now, now, wire.Text(after), wire.Int(countedPage)}, columns: 5,
				row: func(row []wire.Value) error {
					live, ok := row[1].Int()
					expired, alsoOK := row[2].Int()
					n, andOK := row[3].Int()
					if !ok || !alsoOK || !andOK {
						return detail(ErrProtocol, "a count is no number")
					}
					rows += n
					last = string(row[4].Raw())
					if !row[0].IsNull() {
						page = append(page, NameCount{string(row[0].Raw()), live, expired})
					}
					return nil
				},
			}})
		})
		if err != nil {
			return nil, err
		}
		for _, counted := range page {
			sum := counts[counted.Name]
			counts[counted.Name] = NameCount{counted.Name, sum.Live + counted.Live, sum.Expired + counted.Expired}
		}
		after = last
	}
	list := make([]NameCount, 0, len(counts))
	for _, count := range counts {
		list = append(list, count)
	}
	slices.SortFunc(list, func(a, b NameCount) int { return cmp.Compare(a.Name, b.Name) })
	return list, nil
}

// CountExpired is how many sessions Cleanup would remove now. It reads the index on the
// expiry only, as far as they reach.
func (s *Store) CountExpired(ctx context.Context) (int64, error) {
	ctx, began := s.begin(ctx, "count expired")
	expired, err := s.countExpired(ctx)
	return expired, s.end(ctx, "count expired", began, err)
}

func (s *Store) countExpired(ctx context.Context) (int64, error) {
	var expired int64
	err := s.do(ctx, "count expired", func(c *Conn, _ *schema) error {
		return c.roundTrip(ctx, effectNone, []request{{
			statement: s.texts.countExpired, parameters: []wire.Parameter{wire.Int(s.now())}, columns: 1,
			row: func(row []wire.Value) error {
				n, ok := row[0].Int()
				if !ok {
					return detail(ErrProtocol, "a count is no number")
				}
				expired = n
				return nil
			},
		}})
	})
	return expired, err
}
