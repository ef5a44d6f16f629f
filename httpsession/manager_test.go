package httpsession_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/mysqlsession/mysqlsession"
	"github.com/mysqlsession/mysqlsession/httpsession"
	"github.com/mysqlsession/mysqlsession/internal/sitetest"
)

func TestAnApplicationPassesEveryJourney(t *testing.T) {
	sitetest.Run(t, sitetest.Site{Name: "session", Cookie: "session", Serve: func(t *testing.T, store *mysqlsession.Store, lifetime time.Duration, pause func()) string {
		return serveJourneys(t, store, pause, httpsession.Config{Insecure: true, IdleTimeout: lifetime})
	}})
}

func TestAnApplicationThatLoadsByItselfPassesEveryJourney(t *testing.T) {
	sitetest.Run(t, sitetest.Site{Name: "lazy", Cookie: "lazy", Serve: func(t *testing.T, store *mysqlsession.Store, lifetime time.Duration, pause func()) string {
		return serveJourneys(t, store, pause, httpsession.Config{Insecure: true, IdleTimeout: lifetime, CookieName: "lazy", Lazy: true})
	}})
}

func serveJourneys(t *testing.T, store *mysqlsession.Store, pause func(), cfg httpsession.Config) string {
	sessions, err := httpsession.New[content](store, cfg)
	require.NoError(t, err)
	mux := http.NewServeMux()
	handle := func(pattern string, serve func(w http.ResponseWriter, s *session, r *http.Request)) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			s, err := sessions.Load(r.Context())
			switch {
			case err != nil:
				http.Error(w, "no sessions at the moment", http.StatusServiceUnavailable)
			case s.Subject() == "" && !strings.Contains(pattern, "/log"):
				http.Error(w, "sign in first", http.StatusUnauthorized)
			default:
				serve(w, s, r)
			}
		})
	}
	add := func(pause func()) func(w http.ResponseWriter, s *session, _ *http.Request) {
		return func(w http.ResponseWriter, s *session, _ *http.Request) {
			pause()
			s.Value().Count++
			_, _ = fmt.Fprint(w, s.Value().Count)
		}
	}
	handle("POST /login", func(_ http.ResponseWriter, s *session, r *http.Request) { s.SignIn(r.FormValue("user")) })
	handle("GET /whoami", func(w http.ResponseWriter, s *session, _ *http.Request) { _, _ = io.WriteString(w, s.Subject()) })
	handle("POST /add", add(func() {}))
	handle("POST /late", add(pause))
	handle("POST /rotate", func(_ http.ResponseWriter, s *session, _ *http.Request) { s.Rotate() })
	handle("POST /logout", func(_ http.ResponseWriter, s *session, _ *http.Request) { s.Destroy() })
	return sitetest.Server(t, sessions.Handler(mux))
}

func TestASessionIsReadByLoadAloneIfLazy(t *testing.T) {
	onEach(t, func(t *testing.T, s *site) {
		b := s.browser()
		s.handle(s.sessions.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			assert.PanicsWithValue(t, "httpsession: From before Load, with Config.Lazy", func() { s.sessions.From(r.Context()) })
			loaded, err := s.sessions.Load(r.Context())
			require.NoError(t, err)
			again, err := s.sessions.Load(r.Context())
			require.NoError(t, err)
			assert.Same(t, loaded, again)
			assert.Same(t, loaded, s.sessions.From(r.Context()))
			loaded.Value().Count++
		})))
		b.send(http.MethodGet)
		s.called()
		b.send(http.MethodGet)
		assert.Equal(t, calls{"get": 1, "set": 1}, s.called())

		s.handle(s.sessions.Handler(http.NotFoundHandler()))
		s.pass(10 * time.Minute)
		a := b.send(http.MethodGet)
		assert.Equal(t, http.StatusNotFound, a.StatusCode)
		assert.Empty(t, a.Header["Vary"])
		assert.Empty(t, s.called())
	}, func(cfg *httpsession.Config) { cfg.Lazy = true })
}

func TestWhereLoadFailsThereIsNoSessionToTakeForAStrangers(t *testing.T) {
	onEach(t, func(t *testing.T, s *site) {
		b := s.browser()
		b.brings(strings.Repeat("A", 43))
		s.handle(s.sessions.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			session, err := s.sessions.Load(r.Context())
			assert.ErrorIs(t, err, mysqlsession.ErrClosed)
			assert.Nil(t, session)
			assert.Panics(t, func() { s.sessions.From(r.Context()) })
			w.WriteHeader(http.StatusTeapot)
		})))
		require.NoError(t, s.store.Close())
		assert.Equal(t, http.StatusTeapot, b.send(http.MethodGet).StatusCode)
	}, func(cfg *httpsession.Config) { cfg.Lazy = true })
}

func TestFromOutsideOfTheHandlerSaysWhatIsMissing(t *testing.T) {
	onEach(t, func(t *testing.T, s *site) {
		assert.PanicsWithValue(t, "httpsession: no session in the context: the manager's Handler must be around this one",
			func() { s.sessions.From(t.Context()) })
	})
}

func TestAHandlerInsideAHandlerHasTheSameSession(t *testing.T) {
	onEach(t, func(t *testing.T, s *site) {
		b := s.browser()
		b.count()
		s.called()
		s.handle(s.sessions.Handler(counting(s.sessions, func(http.ResponseWriter, *http.Request) {})))
		assert.Empty(t, b.send(http.MethodGet).Header["Set-Cookie"])
		assert.Equal(t, calls{"get": 1, "set": 1}, s.called())
	})
}

func TestTwoManagersHaveSessionsOfTheirOwn(t *testing.T) {
	onEach(t, func(t *testing.T, s *site) {
		other := s.manager(func(cfg *httpsession.Config) { cfg.CookieName = "other" })
		b := s.browser()
		s.handle(s.sessions.Handler(other.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			s.sessions.From(r.Context()).Value().Count += 1
			other.From(r.Context()).Value().Count += 2
		}))))
		assert.Len(t, b.send(http.MethodGet).Cookies(), 2)
		b.send(http.MethodGet)
		s.handle(s.sessions.Handler(other.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = fmt.Fprint(w, s.sessions.From(r.Context()).Value().Count, other.From(r.Context()).Value().Count)
		}))))
		assert.Equal(t, "2 4", b.send(http.MethodGet).body)
	})
}

func TestAnErrorHandlerIsGivenTheErrorAndAnswers(t *testing.T) {
	onEach(t, func(t *testing.T, s *site) {
		s.handle(counting(s.sessions, func(http.ResponseWriter, *http.Request) {}))
		failure := errors.New("no table")
		s.failing.with(failure)
		a := s.browser().send(http.MethodGet)
		assert.Equal(t, http.StatusBadGateway, a.StatusCode)
		assert.Equal(t, "/: no table", a.body)
		assert.Empty(t, s.logged.String())
	}, func(cfg *httpsession.Config) {
		cfg.ErrorHandler = func(w http.ResponseWriter, r *http.Request, err error) {
			w.WriteHeader(http.StatusBadGateway)
			_, _ = fmt.Fprintf(w, "%s: %v", r.URL.Path, err)
		}
	})
}

func TestWhatWouldFailAgainIs500(t *testing.T) {
	onEach(t, func(t *testing.T, s *site) {
		numbers, err := httpsession.New[float64](s.store, httpsession.Config{})
		require.NoError(t, err)
		s.handle(numbers.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			*numbers.From(r.Context()).Value() = math.NaN()
		})))
		assert.Equal(t, http.StatusInternalServerError, s.browser().send(http.MethodGet).StatusCode)

		s.handle(s.sessions.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			s.sessions.From(r.Context()).Value().Name = strings.Repeat("a", 1<<20)
		})))
		assert.Equal(t, http.StatusInternalServerError, s.browser().send(http.MethodGet).StatusCode)
		assert.Zero(t, s.rows())
	})
}

// fickle is a value that can be stored once.
type fickle struct{ Stored bool }

func (f fickle) MarshalJSON() ([]byte, error) {
	if f.Stored {
		return nil, errors.New("not again")
	}
	return []byte("{}"), nil
}

func (f *fickle) UnmarshalJSON([]byte) error { f.Stored = true; return nil }

func TestARequestWhoseHandlerDoesNotLookEncodesNothing(t *testing.T) {
	onEach(t, func(t *testing.T, s *site) {
		sessions, err := httpsession.New[fickle](s.store, httpsession.Config{})
		require.NoError(t, err)
		b := s.browser()
		s.handle(sessions.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { sessions.From(r.Context()).SignIn("ada") })))
		require.Equal(t, http.StatusOK, b.send(http.MethodGet).StatusCode)
		s.handle(sessions.Handler(http.NotFoundHandler()))
		assert.Equal(t, http.StatusNotFound, b.send(http.MethodGet).StatusCode)
	})
}

func TestAVisitorWhoHasGoneIsNoErrorToLog(t *testing.T) {
	onEach(t, func(t *testing.T, s *site) {
		b := s.browser()
		b.count()
		handler := s.sessions.Handler(http.NotFoundHandler())
		s.handle(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			ctx, cancel := context.WithCancel(r.Context())
			cancel()
			handler.ServeHTTP(w, r.WithContext(ctx))
		}))
		assert.Equal(t, http.StatusServiceUnavailable, b.send(http.MethodGet).StatusCode)
		assert.Empty(t, s.logged.String())
	})
}

func TestConfigurationsThatCannotBeUsedAreRefusedByName(t *testing.T) {
	for want, cfg := range map[string]httpsession.Config{
		`CookieName is "a b"`:                  {CookieName: "a b"},
		`CookieName is "__Host-a", must be`:    {CookieName: "__Host-a", Insecure: true},
		`CookieName is "__host-a", must be`:    {CookieName: "__host-a", Domain: "example.com"},
		`CookieName is "__Secure-a"`:           {CookieName: "__Secure-a", Insecure: true},
		`Domain is "a;b"`:                      {Domain: "a;b"},
		`SameSite is "1"`:                      {SameSite: http.SameSiteDefaultMode},
		`SameSite is "4"`:                      {SameSite: http.SameSiteNoneMode, Insecure: true},
		`Name is "aaa`:                         {Name: strings.Repeat("a", 251)},
		`Audience is "aaa`:                     {Audience: strings.Repeat("a", 256)},
		`IdleTimeout is "30ns", must be at l`:  {IdleTimeout: 30},
		`Lifetime is "12h0m0s", must be neg`:   {IdleTimeout: 24 * time.Hour},
		`RememberLifetime is "-1ns", must be`:  {RememberLifetime: -1},
		`RememberLifetime is "9624h0m0s", mus`: {RememberLifetime: 401 * 24 * time.Hour},
		`TouchInterval is "30m0s", must be m`:  {TouchInterval: 30 * time.Minute},
		`TouchInterval is "-1ns"`:              {TouchInterval: -1},
		`StaleTTL is "1m1s", must be from 0`:   {StaleTTL: 61 * time.Second},
		`StaleTTL is "-1ns"`:                   {StaleTTL: -1},
	} {
		_, err := httpsession.New[content](nil, cfg)
		require.ErrorIs(t, err, httpsession.ErrInvalidConfig)
		assert.ErrorContains(t, err, "httpsession: invalid configuration: "+want)
		assert.Less(t, len(err.Error()), 250)
	}
	for _, cfg := range []httpsession.Config{
		{},
		{CookieName: "__Secure-a", Domain: "example.com"},
		{SameSite: http.SameSiteNoneMode},
		{IdleTimeout: time.Second},
		{IdleTimeout: 30 * 24 * time.Hour, Lifetime: -1},
	} {
		_, err := httpsession.New[content](nil, cfg)
		assert.NoError(t, err)
	}
}

func TestSessionsAreStoredUnderTheCookiesNameUnlessToldOtherwise(t *testing.T) {
	for want, cfg := range map[string]httpsession.Config{
		"__Host-session":   {},
		"session":          {Insecure: true},
		"__Secure-session": {Domain: "example.com"},
		"sid":              {CookieName: "sid"},
		"shop":             {CookieName: "sid", Name: "shop"},
	} {
		sessions, err := httpsession.New[content](nil, cfg)
		require.NoError(t, err)
		assert.Equal(t, want, sessions.Name())
	}
}

func TestTheReadmesExampleServes(t *testing.T) {
	onEach(t, func(t *testing.T, s *site) {
		handler, err := serveSessions(s.store, func(r *http.Request) (string, bool) { return "ada", r.Header.Get("Cookie") != "" })
		require.NoError(t, err)
		s.handle(handler)
		b := s.browser()
		ask := func(method, path string) answer {
			request, err := http.NewRequestWithContext(t.Context(), method, s.server.URL+path, http.NoBody)
			require.NoError(t, err)
			response, err := b.client.Do(request)
			require.NoError(t, err)
			body, err := io.ReadAll(response.Body)
			require.NoError(t, err)
			require.NoError(t, response.Body.Close())
			return answer{response, string(body)}
		}
		assert.Equal(t, http.StatusUnauthorized, ask(http.MethodPost, "/login").StatusCode)
		assert.Equal(t, "\"\", visit 1\n", ask(http.MethodGet, "/").body)
		assert.Equal(t, http.StatusOK, ask(http.MethodPost, "/login").StatusCode)
		assert.Equal(t, "\"ada\", visit 2\n", ask(http.MethodGet, "/").body)
		assert.Equal(t, http.StatusOK, ask(http.MethodPost, "/logout").StatusCode)
		assert.Equal(t, "\"\", visit 1\n", ask(http.MethodGet, "/").body)
	})
}
