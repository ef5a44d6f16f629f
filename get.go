package mysqlsession

import (
	"context"
	"slices"

	"github.com/mysqlsession/mysqlsession/internal/wire"
)

// Get returns the value of a live session, a copy that is the caller's. An empty value is
// not nil. Errors: ErrNotFound; ErrPacketTooLarge for a value that another program stored
// and that MaxPacketSize does not let through.
func (s *Store) Get(ctx context.Context, name, key string) ([]byte, error) {
	ctx, began := s.begin(ctx, "get")
	value, err := s.getSession(ctx, name, key)
	return value, s.end(ctx, "get", began, err)
}

func (s *Store) getSession(ctx context.Context, name, key string) ([]byte, error) {
	key, err := s.stored(name, key)
	if err != nil {
		return nil, &callError{"get", err}
	}
	p := put{name: name, key: key, now: s.now()}
	if err := s.call(ctx, kindGet, &p); err != nil {
		return nil, err
	}
	return p.value, nil
}

func (s *Store) get(ctx context.Context, c *Conn, name, key string, now int64) ([]byte, error) {
	var value []byte
	found, null := false, false
	parameters := [...]wire.Parameter{wire.Text(key), wire.Int(now)}
	requests := [...]request{{
		statement: s.texts.selectValue, parameters: parameters[:], columns: 3,
		row: func(row []wire.Value) error {
			// A row that an old table's collation takes for the same one is not.
			if string(row[0].Raw()) != key || string(row[1].Raw()) != name || row[1].IsNull() {
				return nil
			}
			found, null = true, row[2].IsNull()
			if !null {
				value = copyOf(row[2].Raw())
			}
			return nil
		},
	}}
	if err := c.roundTrip(ctx, effectNone, requests[:]); err != nil {
		return nil, err
	}
	switch {
	case !found:
		return nil, ErrNotFound
	case null:
		return nil, s.whyNull(ctx, c, name, key, now)
	default:
		return value, nil
	}
}

// whyNull tells what is behind a value that came as NULL: one that is too large to read,
// or, in an old table, none.
func (s *Store) whyNull(ctx context.Context, c *Conn, name, key string, now int64) error {
	why := ErrNotFound
	err := c.roundTrip(ctx, effectNone, []request{{
		statement: s.texts.selectLength, parameters: append(sessionParameters(nil, name, key), wire.Int(now)), columns: 1,
		row: func([]wire.Value) error {
			why = s.tooLargeToRead()
			return nil
		},
	}})
	if err != nil {
		return err
	}
	return why
}

// copyOf is a copy of b that is not nil.
func copyOf(b []byte) []byte {
	value := make([]byte, len(b))
	copy(value, b)
	return value
}

func (s *Store) tooLargeToRead() error {
	return detail(ErrPacketTooLarge, "a value of more than %d bytes", s.largestValue())
}

// GetMany returns the values of those of the sessions that are live, by id, read by the
// same statements as calls of Get that are combined: one for each 128 ids, and one for each
// value over 64 KiB. An id may be given twice. Errors are those of Get. With
// ErrPacketTooLarge, for values that other programs stored, all others are returned too.
func (s *Store) GetMany(ctx context.Context, name string, keys []string) (map[string][]byte, error) {
	ctx, began := s.begin(ctx, "get many")
	values, err := s.getSessions(ctx, name, keys)
	return values, s.end(ctx, "get many", began, err)
}

func (s *Store) getSessions(ctx context.Context, name string, keys []string) (map[string][]byte, error) {
	for _, key := range keys {
		if _, err := s.stored(name, key); err != nil {
			return nil, &callError{"get many", err}
		}
	}
	values := make(map[string][]byte, len(keys))
	var tooLarge error
	for some := range slices.Chunk(keys, ladderTop) {
		list, tasks := make([]task, len(some)), make([]*task, len(some))
		for i, key := range some {
			key, _ = s.stored(name, key) // it has been checked
			list[i].put = put{name: name, key: key, now: s.now()}
			tasks[i] = &list[i]
		}
		err := s.do(ctx, "get many", func(c *Conn, _ *schema) error { return s.gets(ctx, c, tasks, new([]wire.Parameter)) })
		if err != nil {
			return nil, err
		}
		for i, key := range some {
			switch t := &list[i]; {
			case t.err == nil:
				values[key] = t.value
			case t.err != ErrNotFound:
				tooLarge = &callError{"get many", t.err}
			}
		}
	}
	return values, tooLarge
}

// fetch calls each with those of the sessions, at most ladderTop, that are live; the value
// is nil when it is too large to read.
func (s *Store) fetch(ctx context.Context, c *Conn, name string, keys []string, each func(key string, value []byte, expires int64)) error {
	size := rungUp(len(keys))
	parameters := make([]wire.Parameter, 0, size+1)
	wanted := make(map[string]struct{}, len(keys))
	for _, key := range keys {
		parameters = append(parameters, wire.Text(key))
		wanted[key] = struct{}{}
	}
	for len(parameters) < size {
		parameters = append(parameters, wire.Text(keys[0]))
	}
	parameters = append(parameters, wire.Int(s.now()))
	return c.roundTrip(ctx, effectNone, []request{{
		statement: s.texts.selectSessions.of(size), parameters: parameters, columns: 4,
		row: func(row []wire.Value) error {
			key := string(row[0].Raw())
			if _, ok := wanted[key]; !ok || string(row[1].Raw()) != name || row[1].IsNull() {
				return nil
			}
			if row[2].IsNull() {
				each(key, nil, 0)
				return nil
			}
			expires, ok := row[3].Int()
			if !ok {
				return detail(ErrProtocol, "an expiry is no number")
			}
			each(key, copyOf(row[2].Raw()), expires)
			return nil
		},
	}})
}
