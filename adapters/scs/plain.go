package scsstore

import (
	"context"
	"time"
)

// Find is FindCtx within Options.Timeout.
func (s *Store) Find(token string) (data []byte, found bool, err error) {
	ctx, cancel := s.limit()
	defer cancel()
	return s.FindCtx(ctx, token)
}

// Commit is CommitCtx within Options.Timeout.
func (s *Store) Commit(token string, data []byte, expiry time.Time) error {
	ctx, cancel := s.limit()
	defer cancel()
	return s.CommitCtx(ctx, token, data, expiry)
}

// Delete is DeleteCtx within Options.Timeout.
func (s *Store) Delete(token string) error {
	ctx, cancel := s.limit()
	defer cancel()
	return s.DeleteCtx(ctx, token)
}

// All is AllCtx within Options.Timeout.
func (s *Store) All() (map[string][]byte, error) {
	ctx, cancel := s.limit()
	defer cancel()
	return s.AllCtx(ctx)
}

func (s *Store) limit() (context.Context, context.CancelFunc) {
	if s.opts.Timeout < 0 {
		return context.WithCancel(context.Background())
	}
	return context.WithTimeout(context.Background(), s.opts.Timeout)
}
