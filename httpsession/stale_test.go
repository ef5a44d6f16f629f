package httpsession_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/mysqlsession/mysqlsession"
	"github.com/mysqlsession/mysqlsession/httpsession"
)

// between is a store that does something before a Set under one name.
type between struct {
	httpsession.Store
	name string
	do   func()
}

func (b *between) Set(ctx context.Context, name, key string, value []byte, ttl time.Duration, opts *mysqlsession.SetOptions) error {
	if name == b.name {
		b.do()
	}
	return b.Store.Set(ctx, name, key, value, ttl, opts)
}

// A rotation stores the old id anew, for StaleTTL. It did so also when the session had been
// revoked just before, and no sign-out found it any more.
func TestASignOutEverywhereDuringARotationLeavesNoStaleID(t *testing.T) {
	onEach(t, func(t *testing.T, s *site) {
		b := s.browser()
		b.does(func(s *session) { s.SignIn("ada") })
		old := b.id()
		s.failing.Store = &between{s.store, "__Host-session~old", func() {
			_, err := s.sessions.SignOutEverywhere(t.Context(), "ada")
			require.NoError(t, err)
		}}
		b.does(func(s *session) { s.Rotate() })
		for _, id := range []string{old, b.id()} {
			_, subject := s.browser().brings(id).sees()
			assert.Empty(t, subject)
		}
		assert.Zero(t, s.rows())
	}, func(cfg *httpsession.Config) { cfg.StaleTTL = 10 * time.Second })
}

// Config.StaleTTL says so: it is what remains of a sign-out.
func TestASignOutOfOneIDLeavesTheOtherOneForStaleTTL(t *testing.T) {
	onEach(t, func(t *testing.T, s *site) {
		b, late := s.browser(), s.browser()
		b.does(func(s *session) { s.SignIn("ada") })
		late.brings(b.id())
		b.does(func(s *session) { s.Rotate() })
		other := s.browser().brings(late.id())
		late.does(func(s *session) { s.Destroy() })
		_, subject := b.sees()
		assert.Equal(t, "ada", subject)
		b.does(func(s *session) { s.Destroy() })
		_, subject = other.sees()
		assert.Equal(t, "ada", subject)
		s.pass(11 * time.Second)
		_, subject = other.sees()
		assert.Empty(t, subject)
	}, func(cfg *httpsession.Config) { cfg.StaleTTL = 10 * time.Second })
}
