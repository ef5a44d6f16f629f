package httpsession_test

import (
	"context"
	"encoding/base64"
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/mysqlsession/mysqlsession"
	"github.com/mysqlsession/mysqlsession/httpsession"
	"github.com/mysqlsession/mysqlsession/internal/dbtest"
)

// onEach runs a test with a site of its own on each server.
func onEach(t *testing.T, body func(t *testing.T, s *site), change ...func(cfg *httpsession.Config)) {
	t.Helper()
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) { body(t, newSite(t, server, change...)) })
}

type calls = map[string]int

func TestAVisitorWhoLeavesNothingHasNeitherRowNorCookieAndCostsNothing(t *testing.T) {
	onEach(t, func(t *testing.T, s *site) {
		b := s.browser()
		s.called()
		for _, do := range []func(*session){
			func(*session) {},
			func(s *session) { assert.Zero(t, *s.Value()) },
			func(s *session) { s.Value().Count++; s.Value().Count-- },
			func(s *session) { s.Rotate() },
			func(s *session) { s.Destroy() },
		} {
			assert.Empty(t, b.does(do).Header["Set-Cookie"])
		}
		assert.Zero(t, s.rows())
		assert.Empty(t, s.called())
	})
}

func TestARequestCostsOneReadAndWhatItChangesOneWrite(t *testing.T) {
	onEach(t, func(t *testing.T, s *site) {
		b := s.browser()
		b.count()
		assert.Equal(t, calls{"set": 1}, s.called())
		b.sees()
		assert.Equal(t, calls{"get": 1}, s.called())
		b.count()
		assert.Equal(t, calls{"get": 1, "set": 1}, s.called())
		b.does(func(s *session) { s.Value().Count = 2 })
		assert.Equal(t, calls{"get": 1}, s.called(), "nothing has changed")
		s.handle(s.sessions.Handler(http.NotFoundHandler()))
		b.send(http.MethodGet)
		assert.Equal(t, calls{"get": 1}, s.called())
		value, _ := b.sees()
		assert.Equal(t, content{Count: 2}, value)
		assert.Equal(t, 1, s.rows())
	})
}

func TestSignInGivesTheSessionANewIDAndASubject(t *testing.T) {
	onEach(t, func(t *testing.T, s *site) {
		b := s.browser()
		b.count()
		before := b.id()
		a := b.does(func(s *session) {
			s.SignIn("ada")
			assert.Empty(t, s.ID())
		})
		require.Len(t, a.Header["Set-Cookie"], 1)
		assert.NotEqual(t, before, b.id())
		b.does(func(s *session) { assert.Equal(t, b.id(), s.ID()) })
		value, subject := b.sees()
		assert.Equal(t, content{Count: 1}, value)
		assert.Equal(t, "ada", subject)
		value, subject = s.browser().brings(before).sees()
		assert.Zero(t, value)
		assert.Empty(t, subject)
	})
}

func TestSignInAsSomebodyElseStartsAfresh(t *testing.T) {
	onEach(t, func(t *testing.T, s *site) {
		b := s.browser()
		b.does(func(s *session) { s.SignIn("ada"); s.Value().Count = 7 })
		ada := b.id()
		b.does(func(s *session) { s.SignIn("grace"); s.Value().Name = "Grace" })
		value, subject := b.sees()
		assert.Equal(t, content{Name: "Grace"}, value)
		assert.Equal(t, "grace", subject)
		_, subject = s.browser().brings(ada).sees()
		assert.Empty(t, subject)
		before := b.id()
		b.does(func(s *session) { s.SignIn("grace") })
		value, _ = b.sees()
		assert.Equal(t, content{Name: "Grace"}, value)
		assert.NotEqual(t, before, b.id())
	})
}

func TestSignOutEverywhereEndsTheSubjectsSessionsAndNoOthers(t *testing.T) {
	onEach(t, func(t *testing.T, s *site) {
		var adas []*browser
		for range 3 {
			b := s.browser()
			b.does(func(s *session) { s.SignIn("ada") })
			adas = append(adas, b)
		}
		adas[1].does(func(s *session) { s.Rotate() }) // it is still hers
		grace := s.browser()
		grace.does(func(s *session) { s.SignIn("grace") })

		count, err := s.sessions.SignOutEverywhere(t.Context(), "ada")
		require.NoError(t, err)
		assert.GreaterOrEqual(t, count, int64(3))
		for _, b := range adas {
			_, subject := b.sees()
			assert.Empty(t, subject)
		}
		_, subject := grace.sees()
		assert.Equal(t, "grace", subject)
	})
}

func TestASubjectThatCouldNotBeFoundAgainIsRefused(t *testing.T) {
	onEach(t, func(t *testing.T, s *site) {
		b := s.browser()
		b.count()
		id := b.id()
		for _, subject := range []string{"", "a\xffb", strings.Repeat("a", 256)} {
			s.handle(s.sessions.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				s.sessions.From(r.Context()).SignIn(subject)
			})))
			assert.Equal(t, http.StatusInternalServerError, b.send(http.MethodPost).StatusCode)
			assert.Contains(t, s.logged.String(), "invalid name")
		}
		assert.Equal(t, id, b.id())
		b.does(func(s *session) { s.SignIn(""); s.Destroy() })
		_, subject := b.sees()
		assert.Empty(t, subject)
	})
}

func TestRotateChangesTheIDAndNothingElse(t *testing.T) {
	onEach(t, func(t *testing.T, s *site) {
		b := s.browser()
		b.does(func(s *session) { s.SignIn("ada"); s.Value().Count = 1 })
		before := b.id()
		b.does(func(s *session) { s.Rotate(); s.Rotate(); s.Value().Count++ })
		assert.NotEqual(t, before, b.id())
		value, subject := b.sees()
		assert.Equal(t, content{Count: 2}, value)
		assert.Equal(t, "ada", subject)
		value, subject = s.browser().brings(before).sees()
		assert.Zero(t, value)
		assert.Empty(t, subject)
	})
}

func TestASessionThatHoldsNothingAnyMoreIsRotatedLikeAnyOther(t *testing.T) {
	onEach(t, func(t *testing.T, s *site) {
		b := s.browser()
		b.count()
		before := b.id()
		b.does(func(s *session) { s.Value().Count = 0; s.Rotate() })
		assert.NotEqual(t, before, b.id())
		b.does(func(s *session) { assert.Equal(t, b.id(), s.ID()) })
	})
}

func TestAnIDThatWasReplacedCanBeReadForStaleTTLAndNothingElse(t *testing.T) {
	const grace = 10 * time.Second
	onEach(t, func(t *testing.T, s *site) {
		b := s.browser()
		b.does(func(s *session) { s.SignIn("ada"); s.Value().Count = 1 })
		old := b.id()
		// A request that has read the session before it gets another id, and saves it after.
		late, goOn := make(chan *session), make(chan struct{})
		slow := s.sessions.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			late <- s.sessions.From(r.Context())
			<-goOn
		}))
		other := s.browser().brings(old)
		s.handle(slow)
		done := make(chan struct{})
		go func() { defer close(done); other.send(http.MethodGet) }()
		(<-late).Value().Count = 100
		b.does(func(s *session) { s.Rotate(); s.Value().Count = 2 })
		close(goOn)
		<-done

		for range 4 {
			s.pass(grace / 5)
			value, subject := other.sees()
			assert.Equal(t, content{Count: 1}, value, "as it was before it was rotated")
			assert.Equal(t, "ada", subject)
			s.called()
			a := other.does(func(s *session) { s.Value().Count = 200 })
			assert.Empty(t, a.Header["Set-Cookie"])
			assert.Equal(t, calls{"get": 2}, s.called())
			other.does(func(s *session) { s.Rotate(); s.Value().Name = "Eve" })
			other.does(func(s *session) {
				assert.ErrorIs(t, s.Update(t.Context(), func(*content) error { return nil }), mysqlsession.ErrNotFound)
			})
			assert.Equal(t, old, other.id())
		}
		s.pass(2*grace/5 + time.Second)
		value, _ := other.sees()
		assert.Zero(t, value)
		value, _ = b.sees()
		assert.Equal(t, content{Count: 2}, value)
	}, func(cfg *httpsession.Config) {
		cfg.StaleTTL, cfg.TouchInterval = grace, time.Nanosecond
	})
}

func TestStaleIDsEndWithSignInAndWithSignOutEverywhere(t *testing.T) {
	onEach(t, func(t *testing.T, s *site) {
		b := s.browser()
		b.count()
		planted := b.id()
		b.does(func(s *session) { s.SignIn("ada") })
		value, _ := s.browser().brings(planted).sees()
		assert.Zero(t, value)

		old := b.id()
		b.does(func(s *session) { s.Rotate() })
		_, subject := s.browser().brings(old).sees()
		require.Equal(t, "ada", subject)
		_, err := s.sessions.SignOutEverywhere(t.Context(), "ada")
		require.NoError(t, err)
		for _, id := range []string{old, b.id()} {
			_, subject = s.browser().brings(id).sees()
			assert.Empty(t, subject)
		}
	}, func(cfg *httpsession.Config) { cfg.StaleTTL = 10 * time.Second })
}

func TestDestroyTakesRowAndCookie(t *testing.T) {
	onEach(t, func(t *testing.T, s *site) {
		b := s.browser()
		b.does(func(s *session) { s.SignIn("ada"); s.Value().Count = 1 })
		id := b.id()
		a := b.does(func(s *session) { s.Destroy() })
		require.Len(t, a.Cookies(), 1)
		assert.Negative(t, a.Cookies()[0].MaxAge)
		assert.Empty(t, b.id())
		assert.Zero(t, s.rows())
		value, _ := s.browser().brings(id).sees()
		assert.Zero(t, value)
	})
}

func TestWhatIsStoredAfterDestroyIsANewSession(t *testing.T) {
	onEach(t, func(t *testing.T, s *site) {
		b := s.browser()
		b.does(func(s *session) { s.SignIn("ada"); s.Value().Count = 1 })
		id := b.id()
		b.does(func(s *session) { s.Destroy(); s.Value().Name = "signed out" })
		assert.NotEqual(t, id, b.id())
		value, subject := b.sees()
		assert.Equal(t, content{Name: "signed out"}, value)
		assert.Empty(t, subject)
		_, subject = s.browser().brings(id).sees()
		assert.Empty(t, subject)
	})
}

func TestASessionThatWasRevokedDuringARequestStaysSo(t *testing.T) {
	onEach(t, func(t *testing.T, s *site) {
		for name, do := range map[string]func(s *session){
			"save":   func(s *session) { s.Value().Count++ },
			"rotate": func(s *session) { s.Rotate() },
			"touch":  func(*session) {},
			"update": func(s *session) {
				err := s.Update(context.Background(), func(c *content) error { c.Count++; return nil })
				assert.ErrorIs(t, err, mysqlsession.ErrNotFound)
				assert.ErrorIs(t, s.Update(context.Background(), func(*content) error { return nil }), mysqlsession.ErrNotFound)
			},
			"save now": func(s *session) {
				s.Value().Count++
				assert.ErrorIs(t, s.Save(context.Background()), mysqlsession.ErrNotFound)
				assert.ErrorIs(t, s.Save(context.Background()), mysqlsession.ErrNotFound)
			},
			"rotate now": func(s *session) {
				s.Rotate()
				assert.ErrorIs(t, s.Save(context.Background()), mysqlsession.ErrNotFound)
				assert.NoError(t, s.Save(context.Background()))
			},
		} {
			t.Run(name, func(t *testing.T) {
				b := s.browser()
				b.does(func(s *session) { s.SignIn("ada") })
				id := b.id()
				s.pass(2 * time.Minute)
				a := b.does(func(session *session) {
					_, err := s.sessions.SignOutEverywhere(context.Background(), "ada")
					assert.NoError(t, err)
					do(session)
				})
				assert.Empty(t, a.Header["Set-Cookie"])
				assert.Equal(t, id, b.id())
				_, subject := b.sees()
				assert.Empty(t, subject)
				b.does(func(session *session) { session.SignIn("ada") })
				_, subject = b.sees()
				assert.Equal(t, "ada", subject)
			})
		}
		assert.NotContains(t, s.logged.String(), "level=ERROR")
	})
}

func TestSignInSucceedsWhateverBecameOfTheSessionBefore(t *testing.T) {
	onEach(t, func(t *testing.T, s *site) {
		for _, before := range []func(*session){func(*session) {}, (*session).Rotate, count} {
			b := s.browser()
			b.count()
			b.does(func(session *session) {
				require.NoError(t, s.store.Delete(context.Background(), s.sessions.Name(), session.ID()))
				before(session)
				session.SignIn("ada")
			})
			_, subject := b.sees()
			assert.Equal(t, "ada", subject)
		}
	})
}

func TestUpdateLosesNoChange(t *testing.T) {
	onEach(t, func(t *testing.T, s *site) {
		b := s.browser()
		b.does(func(s *session) {
			assert.NoError(t, s.Update(context.Background(), func(c *content) error { c.Count++; return nil }))
		})
		s.handle(s.sessions.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			session := s.sessions.From(r.Context())
			assert.NoError(t, session.Update(r.Context(), func(c *content) error { c.Count++; return nil }))
		})))
		const requests = 20
		var group sync.WaitGroup
		for range requests {
			group.Go(func() { b.send(http.MethodPost) })
		}
		group.Wait()
		value, _ := b.sees()
		assert.Equal(t, 1+requests, value.Count)
	})
}

func TestAnErrorInUpdateChangesNothing(t *testing.T) {
	onEach(t, func(t *testing.T, s *site) {
		b := s.browser()
		b.count()
		refused := errors.New("refused")
		b.does(func(s *session) {
			assert.Equal(t, refused, s.Update(context.Background(), func(c *content) error { c.Count++; return refused }))
			assert.Equal(t, 1, s.Value().Count)
		})
		value, _ := b.sees()
		assert.Equal(t, 1, value.Count)
	})
}

// The function may look for something else in the same store, and not find it. That was taken
// for the end of the session, whose changes were dropped then.
func TestAnErrorNotFoundOfUpdatesFunctionIsNotTheSessions(t *testing.T) {
	onEach(t, func(t *testing.T, s *site) {
		b := s.browser()
		b.count()
		b.does(func(s *session) {
			err := s.Update(t.Context(), func(*content) error { return mysqlsession.ErrNotFound })
			assert.Equal(t, mysqlsession.ErrNotFound, err)
			s.Value().Count = 7
		})
		value, _ := b.sees()
		assert.Equal(t, 7, value.Count)
	})
}

func TestAnIDThatTheStoreDoesNotKnowIsNeverTakenUp(t *testing.T) {
	onEach(t, func(t *testing.T, s *site) {
		planted := base64.RawURLEncoding.EncodeToString(make([]byte, 32))
		for _, do := range []func(*session){
			func(s *session) { s.Value().Count++ },
			func(s *session) { s.SignIn("ada") },
		} {
			b := s.browser().brings(planted)
			a := b.does(func(s *session) { assert.Empty(t, s.ID()); assert.Zero(t, *s.Value()) })
			assert.Empty(t, a.Header["Set-Cookie"], "it could take away one that another response has just set")
			b.does(do)
			assert.NotEmpty(t, b.id())
			assert.NotEqual(t, planted, b.id())
		}
		_, err := s.store.Get(t.Context(), s.sessions.Name(), planted)
		assert.ErrorIs(t, err, mysqlsession.ErrNotFound)
	})
}

func TestAValueThatTheTypeCannotHoldIsNoSession(t *testing.T) {
	onEach(t, func(t *testing.T, s *site) {
		b := s.browser()
		b.count()
		id := b.id()
		for _, row := range []string{"", "?", "null", `{"value":{"count":1}}`, `{"began":1e9,"value":{"count":"one"}}`} {
			require.NoError(t, s.store.Set(t.Context(), s.sessions.Name(), id, []byte(row), time.Hour, nil))
			b.does(func(s *session) { assert.Empty(t, s.ID()); assert.Zero(t, *s.Value()) })
			stored, err := s.store.Get(t.Context(), s.sessions.Name(), id)
			require.NoError(t, err)
			assert.Equal(t, row, string(stored))
		}
		assert.Contains(t, s.logged.String(), "cannot be decoded")
		assert.NotContains(t, s.logged.String(), id)
	})
}

func TestReadingASessionOfAnotherVersionDoesNotWriteIt(t *testing.T) {
	onEach(t, func(t *testing.T, s *site) {
		b := s.browser()
		b.count()
		row, err := s.store.Get(t.Context(), s.sessions.Name(), b.id())
		require.NoError(t, err)
		other := strings.Replace(string(row), `"count":1`, `"more": true, "count": 1`, 1)
		require.NoError(t, s.store.Set(t.Context(), s.sessions.Name(), b.id(), []byte(other), time.Hour, nil))
		s.called()
		b.sees()
		assert.Equal(t, calls{"get": 1}, s.called())
		b.count()
		assert.Equal(t, calls{"get": 1, "set": 1}, s.called())
	})
}

func TestASubjectHasNoMoreSessionsThanItMay(t *testing.T) {
	onEach(t, func(t *testing.T, s *site) {
		signIn := func(user string) *browser {
			b := s.browser()
			b.does(func(s *session) { s.SignIn(user) })
			return b
		}
		is := func(user string, b *browser) {
			t.Helper()
			_, subject := b.sees()
			assert.Equal(t, user, subject)
		}
		grace, first := signIn("grace"), signIn("ada")
		s.pass(time.Minute)
		second := signIn("ada")
		s.pass(time.Minute)
		second.does(func(s *session) { s.Rotate() }) // is no sign-in
		second.does(func(s *session) { s.SignIn("ada") })
		s.pass(time.Minute)
		is("ada", first) // and so lives on, longer than the second
		s.pass(time.Minute)
		third := signIn("ada")
		is("ada", first)
		is("", second)
		is("ada", third)
		is("grace", grace)
	}, func(cfg *httpsession.Config) { cfg.MaxPerSubject = 2 })
}
