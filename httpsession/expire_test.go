package httpsession_test

import (
	"context"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/mysqlsession/mysqlsession"
	"github.com/mysqlsession/mysqlsession/httpsession"
)

func TestAnActiveSessionCostsATouchAMinute(t *testing.T) {
	onEach(t, func(t *testing.T, s *site) {
		b := s.browser()
		b.count()
		s.called()
		const requests = 600
		for range requests {
			s.pass(time.Second)
			b.sees()
		}
		made := s.called()
		assert.Equal(t, calls{"get": requests, "touch": 10}, made)
	})
}

func TestWhatWasSavedNeedsNoTouch(t *testing.T) {
	onEach(t, func(t *testing.T, s *site) {
		for _, write := range []func(*session){
			func(s *session) { s.Value().Count++ },
			func(s *session) { s.Rotate() },
			func(s *session) {
				assert.NoError(t, s.Update(context.Background(), func(c *content) error { c.Count++; return nil }))
			},
		} {
			b := s.browser()
			b.count()
			s.pass(2 * time.Minute)
			s.called()
			b.does(write)
			b.sees()
			assert.NotContains(t, s.called(), "touch")
		}
	})
}

func TestRequestsAtTheSameMomentTouchOnce(t *testing.T) {
	onEach(t, func(t *testing.T, s *site) {
		b := s.browser()
		b.count()
		s.pass(2 * time.Minute)
		s.called()
		var group sync.WaitGroup
		s.handle(s.sessions.Handler(http.NotFoundHandler()))
		for range 20 {
			group.Go(func() { b.send(http.MethodGet) })
		}
		group.Wait()
		assert.Equal(t, calls{"get": 20, "touch": 1}, s.called())
	})
}

func TestASessionLivesWhileItIsUsedAndEndsWhenItIsNot(t *testing.T) {
	onEach(t, func(t *testing.T, s *site) {
		b := s.browser()
		b.count()
		for range 5 { // more than one IdleTimeout
			s.pass(10 * time.Minute)
			value, _ := b.sees()
			require.Equal(t, 1, value.Count)
		}
		s.pass(30*time.Minute + time.Second)
		value, _ := b.sees()
		assert.Zero(t, value)
	})
}

func TestASessionEndsWithItsLifetimeHoweverMuchItIsUsed(t *testing.T) {
	onEach(t, func(t *testing.T, s *site) {
		b := s.browser()
		b.count()
		for range 3 {
			s.pass(19 * time.Minute)
			b.count()
			b.does(func(s *session) { s.Rotate() })
		}
		b.does(func(s *session) { s.SignIn("ada") })
		for range 2 {
			s.pass(29 * time.Minute)
			_, subject := b.sees()
			assert.Equal(t, "ada", subject, "it counts from the sign-in")
		}
		s.pass(2 * time.Minute)
		value, subject := b.sees()
		assert.Zero(t, value)
		assert.Empty(t, subject)
	}, func(cfg *httpsession.Config) { cfg.IdleTimeout, cfg.Lifetime = 30*time.Minute, time.Hour })
}

func TestARememberedSessionNeedsNoUseAndEndsWithItsCookie(t *testing.T) {
	const day = 24 * time.Hour
	onEach(t, func(t *testing.T, s *site) {
		b := s.browser()
		b.count()
		s.pass(time.Minute)
		before := b.id()
		b.does(func(s *session) { s.SignIn("ada"); s.Remember() })
		assert.NotEqual(t, before, b.id())
		for range 2 {
			s.pass(3 * day)
			s.called()
			_, subject := b.sees()
			assert.Equal(t, "ada", subject)
			assert.Equal(t, calls{"get": 1}, s.called())
			b.count()
		}
		// Neither what is saved nor another id makes it any longer.
		a := b.does(func(s *session) { s.Rotate() })
		require.Len(t, a.Cookies(), 1)
		assert.Equal(t, int(day/time.Second), a.Cookies()[0].MaxAge)
		s.pass(day - time.Second)
		value, _ := b.sees()
		assert.Equal(t, 3, value.Count)
		s.pass(time.Second)
		value, _ = s.browser().brings(b.id()).sees()
		assert.Zero(t, value)
	}, func(cfg *httpsession.Config) { cfg.RememberLifetime = 7 * day })
}

func TestASessionThatIsRememberedLaterGetsANewCookieForIt(t *testing.T) {
	onEach(t, func(t *testing.T, s *site) {
		b := s.browser()
		b.does(func(s *session) { s.SignIn("ada") })
		a := b.does(func(s *session) { s.Remember() })
		require.Len(t, a.Cookies(), 1)
		assert.Equal(t, 30*24*60*60, a.Cookies()[0].MaxAge)
		b.does(func(s *session) { s.SignIn("grace") })
		s.pass(31 * time.Minute)
		_, subject := b.sees()
		assert.Empty(t, subject, "it was another one that was to be remembered")
	})
}

func TestALifetimeThatRunsOutDuringARequestIsKept(t *testing.T) {
	onEach(t, func(t *testing.T, s *site) {
		for _, do := range []func(*session){
			func(s *session) { s.Value().Count++ },
			func(s *session) { s.Rotate() },
			func(s *session) { _ = s.Value() },
			func(s *session) {
				assert.ErrorIs(t, s.Update(context.Background(), func(*content) error { return nil }), mysqlsession.ErrNotFound)
			},
		} {
			b := s.browser()
			b.count()
			s.pass(59 * time.Minute)
			id := b.id()
			require.NoError(t, s.store.Touch(t.Context(), s.sessions.Name(), id, 24*time.Hour)) // as another program might
			b.does(func(session *session) {
				s.pass(time.Minute)
				do(session)
			})
			value, _ := b.sees()
			assert.Zero(t, value)
			assert.Equal(t, id, b.id())
			assert.Empty(t, s.logged.String())
		}
	}, func(cfg *httpsession.Config) { cfg.IdleTimeout, cfg.Lifetime = time.Hour, time.Hour })
}
