package mysqlsession

import (
	"context"
	"time"

	"github.com/mysqlsession/mysqlsession/internal/wire"
)

// Touch makes a live session live for ttl from now, whatever it had left: also one that was
// replaced and lives on for its StaleTTL, so touch by the id that is current. Errors:
// ErrNotFound, ErrInvalidTTL.
func (s *Store) Touch(ctx context.Context, name, key string, ttl time.Duration) error {
	if err := checkSession(name, key); err != nil {
		return &callError{"touch", err}
	}
	now := s.now()
	expires, err := expiry(now, ttl)
	if err != nil {
		return &callError{"touch", err}
	}
	return s.do(ctx, "touch", func(c *Conn, _ *schema) error {
		if err := checkExpiry(c, expires); err != nil {
			return err
		}
		var room [5]wire.Parameter
		parameters := append(sessionParameters(append(room[:0], wire.Int(expires)), name, key), wire.Int(now))
		return c.change(ctx, s.texts.touchSession, parameters)
	})
}

// Delete removes a session and its metadata. Deleting what is not there is no error.
func (s *Store) Delete(ctx context.Context, name, key string) error {
	if err := checkSession(name, key); err != nil {
		return &callError{"delete", err}
	}
	err := s.do(ctx, "delete", func(c *Conn, _ *schema) error {
		var room [3]wire.Parameter
		return c.change(ctx, s.texts.deleteSession, sessionParameters(room[:0], name, key))
	})
	if err == ErrNotFound {
		return nil
	}
	return err
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
