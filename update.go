package mysqlsession

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"math/rand/v2"
	"time"

	"github.com/mysqlsession/mysqlsession/internal/wire"
)

const (
	// updateAttempts is how often Update tries before it says ErrConflict.
	updateAttempts = 32
	// updatePause is the longest pause between two of them.
	updatePause = 20 * time.Millisecond
)

// Update changes a live session's value to what fn makes of it, and lets it live for ttl
// from now. If somebody else changes the value meanwhile, fn is called again with the new
// one: no change is lost, and nobody waits for a lock. fn must not call the store for the
// same session; its error ends the call and is returned as it is. old is fn's to keep or
// change. Like Touch it lengthens the life of a session that was replaced.
//
// Errors: ErrNotFound, ErrConflict after 32 attempts, those of Get and Set.
func (s *Store) Update(ctx context.Context, name, key string, ttl time.Duration, fn func(old []byte) ([]byte, error)) error {
	return s.calling(ctx, "update", func(ctx context.Context) error { return s.updateSession(ctx, name, key, ttl, fn) })
}

func (s *Store) updateSession(ctx context.Context, name, key string, ttl time.Duration, fn func(old []byte) ([]byte, error)) error {
	for attempt := range updateAttempts {
		old, err := s.getSession(ctx, name, key)
		if err != nil {
			return err
		}
		// The server compares digests, so the old value does not travel twice.
		sum := sha256.Sum256(old)
		digest := hex.AppendEncode(nil, sum[:])
		value, err := fn(old)
		if err != nil {
			return err
		}
		p := put{name: name, key: key, value: value}
		if err := p.check(s, ttl, nil); err != nil {
			return &callError{"update", err}
		}
		switch err := s.exchange(ctx, &p, digest); err {
		case ErrNotFound: // changed, or gone: the next read tells
		default:
			return err
		}
		if !pause(ctx, rand.N(min(time.Millisecond<<min(attempt, 10), updatePause))) {
			return &callError{"update", &notAppliedError{contextError(ctx, ctx.Err())}}
		}
	}
	return &callError{"update", detail(ErrConflict, "%d attempts", updateAttempts)}
}

// exchange stores p if the session is live and its value has the digest; ErrNotFound if not.
func (s *Store) exchange(ctx context.Context, p *put, digest []byte) error {
	return s.do(ctx, "update", func(c *Conn, shape *schema) error {
		if err := s.allow(ctx, c, shape, p.fits); err != nil {
			return err
		}
		if err := checkExpiry(c, p.expires); err != nil {
			return err
		}
		var room [8]wire.Parameter
		parameters := append(room[:0], wire.Bytes(p.value), wire.Int(p.expires))
		parameters = append(sessionParameters(parameters, p.name, p.key), wire.Int(p.now), wire.Bytes(digest))
		return c.change(ctx, s.texts.exchangeSession, parameters)
	})
}
