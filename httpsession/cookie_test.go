package httpsession_test

import (
	"encoding/base64"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/mysqlsession/mysqlsession/httpsession"
)

func TestTheCookieIsAsSafeAsItCanBe(t *testing.T) {
	for name, test := range map[string]struct {
		change func(cfg *httpsession.Config)
		do     func(s *session)
		want   string // behind the id
	}{
		"by default": {func(*httpsession.Config) {}, count, "; Path=/; HttpOnly; Secure; SameSite=Lax"},
		"to be remembered": {
			func(*httpsession.Config) {}, func(s *session) { s.SignIn("ada"); s.Remember() },
			"; Path=/; Max-Age=2592000; HttpOnly; Secure; SameSite=Lax",
		},
		"in development": {func(cfg *httpsession.Config) { cfg.Insecure = true }, count, "; Path=/; HttpOnly; SameSite=Lax"},
		"of a domain": {
			func(cfg *httpsession.Config) { cfg.Domain, cfg.SameSite = "example.com", http.SameSiteStrictMode },
			count, "; Path=/; Domain=example.com; HttpOnly; Secure; SameSite=Strict",
		},
	} {
		t.Run(name, func(t *testing.T) {
			onEach(t, func(t *testing.T, s *site) {
				s.sessions = s.manager(test.change)
				a := s.browser().does(test.do)
				set := a.Header["Set-Cookie"]
				require.Len(t, set, 1)
				pair, attributes, _ := strings.Cut(set[0], ";")
				assert.Equal(t, test.want, ";"+attributes)
				cookie, id, _ := strings.Cut(pair, "=")
				assert.Equal(t, s.sessions.Name(), cookie)
				raw, err := base64.RawURLEncoding.Strict().DecodeString(id)
				require.NoError(t, err)
				assert.Len(t, raw, 32)
				assert.Len(t, id, 43)
			})
		})
	}
}

func TestACookieIsSentOnlyWithANewID(t *testing.T) {
	onEach(t, func(t *testing.T, s *site) {
		b := s.browser()
		assert.NotEmpty(t, b.count().Header["Set-Cookie"])
		for range 3 {
			s.pass(2 * time.Minute)
			assert.Empty(t, b.count().Header["Set-Cookie"])
		}
	})
}

func TestAResponseThatSetsTheCookieIsNotForSharedCaches(t *testing.T) {
	onEach(t, func(t *testing.T, s *site) {
		for set, want := range map[string]string{
			"": "no-store", "public, max-age=60": "no-store", "no-cache": "no-store",
			"Private, max-age=60": "Private, max-age=60", "max-age=0, no-store": "max-age=0, no-store",
		} {
			respond := func(w http.ResponseWriter, _ *http.Request) {
				if set != "" {
					w.Header().Set("Cache-Control", set)
				}
				w.Header().Set("Vary", "Accept")
			}
			b := s.browser()
			s.handle(counting(s.sessions, respond))
			a := b.send(http.MethodGet)
			assert.Equal(t, []string{want}, a.Header["Cache-Control"])
			assert.Equal(t, []string{"Accept", "Cookie"}, a.Header["Vary"])
			a = b.send(http.MethodGet)
			assert.Equal(t, set, a.Header.Get("Cache-Control"), "nothing of it is secret to the browser's own cookie")
			assert.Equal(t, []string{"Accept", "Cookie"}, a.Header["Vary"])
		}
	})
}

func TestVarySaysCookieOnceAndOnlyIfTheHandlerHasLooked(t *testing.T) {
	onEach(t, func(t *testing.T, s *site) {
		for _, vary := range []string{"cookie", "Accept, Cookie", "*"} {
			s.handle(s.sessions.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Vary", vary)
				s.sessions.From(r.Context())
			})))
			assert.Equal(t, []string{vary}, s.browser().send(http.MethodGet).Header["Vary"])
		}
		s.handle(s.sessions.Handler(http.NotFoundHandler()))
		assert.Empty(t, s.browser().send(http.MethodGet).Header["Vary"])
	})
}

func TestOfSeveralCookiesTheFirstThatHasASessionCounts(t *testing.T) {
	onEach(t, func(t *testing.T, s *site) {
		b := s.browser()
		b.count()
		planted := func(fill byte) string {
			return base64.RawURLEncoding.EncodeToString([]byte(strings.Repeat(string(fill), 32)))
		}
		ask := func(values ...string) (count int) {
			r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", http.NoBody)
			for _, value := range values {
				r.Header.Add("Cookie", s.sessions.Name()+"="+value)
			}
			s.sessions.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				count = s.sessions.From(r.Context()).Value().Count
			})).ServeHTTP(httptest.NewRecorder(), r)
			return count
		}
		s.called()
		assert.Equal(t, 1, ask("x", planted('a'), planted('a'), b.id(), planted('b')))
		assert.Equal(t, calls{"get": 2}, s.called())
		assert.Equal(t, 1, ask(planted('a'), planted('b'), planted('c'), b.id()))
		assert.Equal(t, 0, ask(planted('a'), planted('b'), planted('c'), planted('d'), b.id()), "their number is bounded")
		s.called()
		assert.Equal(t, 0, ask("", "x", b.id()+"A", b.id()[1:], strings.Repeat("=", 43), strings.Repeat("A", 42)+"B", "%00"))
		assert.Empty(t, s.called(), "what is no id is not looked up")
	})
}
