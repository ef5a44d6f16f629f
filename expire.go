package mysqlsession

import (
	"context"
	"math"
	"time"

	"github.com/mysqlsession/mysqlsession/internal/wire"
)

// Touch makes a live session live for ttl from now, whatever it had left: also one that was
// replaced and lives on for its StaleTTL, so touch by the id that is current. Errors:
// ErrNotFound, ErrInvalidTTL.
func (s *Store) Touch(ctx context.Context, name, key string, ttl time.Duration) error {
	ctx, began := s.begin(ctx, "touch")
	return s.end(ctx, "touch", began, s.touchSession(ctx, name, key, ttl))
}

func (s *Store) touchSession(ctx context.Context, name, key string, ttl time.Duration) error {
	key, err := s.stored(name, key)
	if err != nil {
		return &callError{"touch", err}
	}
	now := s.now()
	expires, err := expiry(now, ttl)
	if err != nil {
		return &callError{"touch", err}
	}
	return s.call(ctx, kindTouch, &put{name: name, key: key, now: now, expires: expires})
}

func (s *Store) touch(ctx context.Context, c *Conn, p *put) error {
	if err := checkExpiry(c, p.expires); err != nil {
		return err
	}
	var room [5]wire.Parameter
	parameters := append(sessionParameters(append(room[:0], wire.Int(p.expires)), p.name, p.key), wire.Int(p.now))
	return c.change(ctx, s.texts.touchSession, parameters)
}

// LongestTTL is the longest time to live, in whole seconds, that Set, Touch and Update take at
// this moment: until the server's dates end. That is in 2038 on MariaDB before 11.5 and MySQL
// before 8.0.28, in 2106 on later ones of MariaDB, and further away than a time.Duration goes
// on later ones of MySQL. It is negative when they have ended. A second later it is a second
// less, so leave some of it. It needs a connection, but asks the server nothing.
func (s *Store) LongestTTL(ctx context.Context) (time.Duration, error) {
	if s.closed.Load() {
		return 0, ErrClosed
	}
	var left int64 // seconds
	err := s.pool.Do(ctx, func(c *Conn) error {
		left = c.server.lastMoment().Unix() - s.now()
		return nil
	})
	if err != nil {
		return 0, s.failure("longest time to live", err)
	}
	return time.Duration(min(left, math.MaxInt64/int64(time.Second))) * time.Second, nil
}

// Delete removes a session and its metadata. Deleting what is not there is no error.
func (s *Store) Delete(ctx context.Context, name, key string) error {
	ctx, began := s.begin(ctx, "delete")
	return s.end(ctx, "delete", began, s.deleteSession(ctx, name, key))
}

func (s *Store) deleteSession(ctx context.Context, name, key string) error {
	key, err := s.stored(name, key)
	if err != nil {
		return &callError{"delete", err}
	}
	return s.deleteKey(ctx, name, key)
}

// DeleteStored is Delete for an id as ReadMetadata and Each return it. With HashKeys that is
// the hash of what Get takes; without, there is no difference to Delete.
func (s *Store) DeleteStored(ctx context.Context, name, storedID string) error {
	ctx, began := s.begin(ctx, "delete")
	return s.end(ctx, "delete", began, s.deleteStored(ctx, name, storedID))
}

func (s *Store) deleteStored(ctx context.Context, name, storedID string) error {
	if err := checkSession(name, storedID); err != nil {
		return &callError{"delete", err}
	}
	return s.deleteKey(ctx, name, storedID)
}

func (s *Store) deleteKey(ctx context.Context, name, key string) error {
	if err := s.call(ctx, kindDelete, &put{name: name, key: key}); err != ErrNotFound {
		return err
	}
	return nil
}

func (s *Store) delete(ctx context.Context, c *Conn, p *put) error {
	var room [3]wire.Parameter
	return c.change(ctx, s.texts.deleteSession, sessionParameters(room[:0], p.name, p.key))
}

// change runs one statement that writes. ErrNotFound if it matched no row.
func (c *Conn) change(ctx context.Context, statement string, parameters []wire.Parameter) error {
	requests := [...]request{{statement: statement, parameters: parameters}}
	if err := c.roundTrip(ctx, effectWrite, requests[:]); err != nil {
		return err
	}
	if c.outcomes[0].result.RowsAffected == 0 {
		return ErrNotFound
	}
	return nil
}
