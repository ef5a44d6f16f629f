package mysqlsession

import (
	"cmp"
	"context"
	"time"

	"github.com/mysqlsession/mysqlsession/internal/wire"
)

// eachBatch is how many values Each holds at the same time.
const eachBatch = 16

// Each calls fn with every live session of a name, in the order of their ids. It walks in
// small steps and holds no connection while fn runs, which may call the store. What is
// stored or removed meanwhile may be seen or not; no session is seen twice. fn's error
// ends the walk and is returned as it is. Sessions whose value is too large to read, which
// other programs can store, are passed over: ErrPacketTooLarge, when all others were seen.
func (s *Store) Each(ctx context.Context, name string, fn func(key string, value []byte, expires time.Time) error) error {
	return s.calling(ctx, "each", func(ctx context.Context) error { return s.eachSession(ctx, name, fn) })
}

func (s *Store) eachSession(ctx context.Context, name string, fn func(key string, value []byte, expires time.Time) error) error {
	type session struct {
		value   []byte
		expires int64
	}
	var tooLarge error
	err := s.walk(ctx, "each", name, func(keys []string) error {
		for len(keys) > 0 {
			n := min(len(keys), eachBatch)
			batch := make(map[string]session, n)
			err := s.do(ctx, "each", func(c *Conn, _ *schema) error {
				return s.fetch(ctx, c, name, keys[:n], func(key string, value []byte, expires int64) {
					if value == nil {
						tooLarge = &callError{"each", s.tooLargeToRead()}
						return
					}
					batch[key] = session{value, expires}
				})
			})
			if err != nil {
				return err
			}
			for _, key := range keys[:n] {
				if v, ok := batch[key]; ok {
					if err := fn(key, v.value, time.Unix(v.expires, 0)); err != nil {
						return err
					}
				}
			}
			keys = keys[n:]
		}
		return nil
	})
	return cmp.Or(err, tooLarge)
}

// DeleteAll removes every session of a name, expired ones included, with their metadata,
// and returns how many. It goes in steps of 500, each all or nothing; after an error the
// count says how many are gone. Sessions that are stored meanwhile may stay.
func (s *Store) DeleteAll(ctx context.Context, name string) (int64, error) {
	ctx, began := s.begin(ctx, "delete all")
	total, err := s.deleteSessions(ctx, name)
	return total, s.end(ctx, "delete all", began, err)
}

func (s *Store) deleteSessions(ctx context.Context, name string) (int64, error) {
	var total int64
	err := s.walk(ctx, "delete all", name, func(keys []string) error {
		var deleted int64
		err := s.do(ctx, "delete all", func(c *Conn, shape *schema) error {
			requests := s.appendDeletes([]request{beginRequest()}, shape, name, keys)
			return c.transact(ctx, requests, func() error {
				deleted = c.affected()
				return nil
			})
		})
		if err == nil {
			total += deleted
		}
		return err
	})
	return total, err
}

// walk calls each with the ids of a name, page by page. It reads all ids, also those of
// other names, which no index tells apart: each statement then does a bounded amount of
// work however few of them are wanted. A subject's turn is no session.
func (s *Store) walk(ctx context.Context, operation, name string, each func(keys []string) error) error {
	if err := checkName("name", name); err != nil {
		return &callError{operation, err}
	}
	after := ""
	for {
		var keys []string
		rows, last := 0, after
		err := s.do(ctx, operation, func(c *Conn, _ *schema) error {
			keys, rows, last = keys[:0], 0, after
			parameters := []wire.Parameter{wire.Text(after), wire.Int(pageSize)}
			return c.roundTrip(ctx, effectNone, []request{{
				statement: s.texts.selectPage, parameters: parameters, columns: 2,
				row: func(row []wire.Value) error {
					rows++
					last = string(row[0].Raw())
					if string(row[1].Raw()) == name && !row[1].IsNull() && !isTurn(last) {
						keys = append(keys, last)
					}
					return nil
				},
			}})
		})
		if err != nil {
			return err
		}
		if len(keys) > 0 {
			if err := each(keys); err != nil {
				return err
			}
		}
		if rows < pageSize {
			return nil
		}
		after = last
	}
}
