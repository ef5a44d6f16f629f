package scsstore_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"sync/atomic"
	"testing"
	"time"

	"github.com/alexedwards/scs/v2"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/mysqlsession/mysqlsession"
	scsstore "github.com/mysqlsession/mysqlsession/adapters/scs"
	"github.com/mysqlsession/mysqlsession/internal/dbtest"
	"github.com/mysqlsession/mysqlsession/internal/sitetest"
)

// onlyPlain hides the methods with a context, as a store that wraps another may.
type onlyPlain struct{ scs.Store }

func TestASiteWithSCSPassesEveryJourney(t *testing.T) {
	for name, change := range map[string]func(m *scs.SessionManager, s *scsstore.Store){
		"as it comes":          func(*scs.SessionManager, *scsstore.Store) {},
		"with an idle timeout": func(m *scs.SessionManager, _ *scsstore.Store) { m.IdleTimeout = m.Lifetime },
		"with hashed tokens":   func(m *scs.SessionManager, _ *scsstore.Store) { m.HashTokenInStore = true },
		"without contexts":     func(m *scs.SessionManager, s *scsstore.Store) { m.Store = onlyPlain{s} },
	} {
		t.Run(name, func(t *testing.T) {
			sitetest.Run(t, sitetest.Site{
				Name: "session", Cookie: "session",
				Serve: func(t *testing.T, store *mysqlsession.Store, lifetime time.Duration, pause func()) string {
					manager := newManager(scsstore.New(store))
					manager.Lifetime = lifetime
					change(manager, scsstore.New(store))
					return sitetest.Server(t, site(manager, pause))
				},
			})
		})
	}
}

func newManager(store scs.Store) *scs.SessionManager {
	manager := scs.New()
	manager.Store = store
	manager.ErrorFunc = answerError
	return manager
}

// site is what sitetest takes through its journeys.
func site(manager *scs.SessionManager, pause func()) http.Handler {
	answer := func(w http.ResponseWriter, r *http.Request, err error) {
		if err != nil {
			answerError(w, r, err)
		}
	}
	signedIn := func(next http.HandlerFunc) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			if !manager.Exists(r.Context(), "user") {
				http.Error(w, "sign in first", http.StatusUnauthorized)
				return
			}
			next(w, r)
		}
	}
	add := func(pause func()) http.HandlerFunc {
		return signedIn(func(w http.ResponseWriter, r *http.Request) {
			pause()
			n := manager.GetInt(r.Context(), "count") + 1
			manager.Put(r.Context(), "count", n)
			fmt.Fprintln(w, n)
		})
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /login", func(w http.ResponseWriter, r *http.Request) {
		err := manager.RenewToken(r.Context())
		if err == nil {
			manager.Put(r.Context(), "user", r.FormValue("user"))
		}
		answer(w, r, err)
	})
	mux.HandleFunc("GET /whoami", signedIn(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintln(w, manager.GetString(r.Context(), "user"))
	}))
	mux.HandleFunc("POST /add", add(func() {}))
	mux.HandleFunc("POST /late", add(pause))
	mux.HandleFunc("POST /rotate", signedIn(func(w http.ResponseWriter, r *http.Request) {
		answer(w, r, manager.RenewToken(r.Context()))
	}))
	mux.HandleFunc("POST /logout", func(w http.ResponseWriter, r *http.Request) {
		answer(w, r, manager.Destroy(r.Context()))
	})
	return manager.LoadAndSave(mux)
}

// browser is one with a jar of cookies.
func browser(t *testing.T) *http.Client {
	t.Helper()
	jar, err := cookiejar.New(nil)
	require.NoError(t, err)
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Jar: jar, Transport: transport}
}

// post sends a request, and returns status and the names of the cookies that were set.
func post(t *testing.T, client *http.Client, address string) (status int, set []string) {
	t.Helper()
	response, err := client.Post(address, "text/plain", http.NoBody)
	if !assert.NoError(t, err) {
		return 0, nil
	}
	assert.NoError(t, response.Body.Close())
	for _, c := range response.Cookies() {
		set = append(set, c.Name)
	}
	return response.StatusCode, set
}

func cookieOf(t *testing.T, client *http.Client, address string) string {
	t.Helper()
	u, err := url.Parse(address)
	require.NoError(t, err)
	cookies := client.Jar.Cookies(u)
	require.Len(t, cookies, 1)
	return cookies[0].Value
}

// A request is slow while another one of the same browser signs in, which replaces the
// session. Had the slow one's save been taken, or dropped without an error, scs would set the
// old session's cookie, and the browser would lose the one that it has just got.
func TestALateSaveDoesNotTakeTheNewSessionsCookieAway(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		pausing, goOn := make(chan struct{}), make(chan struct{})
		manager := newManager(scsstore.New(open(t, server.NewDatabase(t))))
		address := sitetest.Server(t, site(manager, func() { pausing <- struct{}{}; <-goOn }))
		client := browser(t)
		post(t, client, address+"/login?user=ada")
		var status int
		var set []string
		late := make(chan struct{})
		go func() {
			defer close(late)
			status, set = post(t, client, address+"/late")
		}()
		<-pausing
		post(t, client, address+"/login?user=grace")
		current := cookieOf(t, client, address)
		goOn <- struct{}{}
		<-late
		assert.Equal(t, http.StatusOK, status, "what the handler has answered stands")
		assert.Empty(t, set)
		require.Equal(t, current, cookieOf(t, client, address))
		response, err := client.Get(address + "/whoami")
		require.NoError(t, err)
		require.NoError(t, response.Body.Close())
		require.Equal(t, http.StatusOK, response.StatusCode)
	})
}

func TestSCSsOwnErrorFuncAnswersALateSaveWith500(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		s := scsstore.New(open(t, server.NewDatabase(t)))
		manager := scs.New()
		manager.Store = s
		var failed atomic.Int64
		theirs := manager.ErrorFunc
		manager.ErrorFunc = func(w http.ResponseWriter, r *http.Request, err error) {
			assert.ErrorIs(t, err, mysqlsession.ErrNotFound)
			failed.Add(1)
			theirs(w, r, err)
		}
		id := saved(t, manager, "user", "ada")
		handler := manager.LoadAndSave(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			manager.Put(r.Context(), "key", "value")
			assert.NoError(t, s.Delete(id))
		}))
		request := httptest.NewRequest(http.MethodGet, "/", http.NoBody)
		request.AddCookie(&http.Cookie{Name: "session", Value: id})
		recorder := httptest.NewRecorder()
		handler.ServeHTTP(recorder, request)
		require.Equal(t, http.StatusInternalServerError, recorder.Code)
		require.Empty(t, recorder.Result().Cookies())
		require.EqualValues(t, 1, failed.Load())
	})
}

// load is a request's context with a session.
func load(t *testing.T, manager *scs.SessionManager, token string) context.Context {
	t.Helper()
	ctx, err := manager.Load(t.Context(), token)
	require.NoError(t, err)
	return ctx
}

// saved is the token of a new session that holds a value.
func saved(t *testing.T, manager *scs.SessionManager, key string, value any) string {
	t.Helper()
	ctx := load(t, manager, "")
	manager.Put(ctx, key, value)
	token, _, err := manager.Commit(ctx)
	require.NoError(t, err)
	return token
}

// eachManager runs body on every server, with a manager whose ids are stored as they are,
// one that hashes them, and one whose store does.
func eachManager(t *testing.T, body func(t *testing.T, manager *scs.SessionManager)) {
	t.Helper()
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		for _, hashes := range []string{"nobody", "scs", "the store"} {
			t.Run(hashes+" hashes", func(t *testing.T) {
				cfg := server.NewDatabase(t)
				cfg.HashKeys = hashes == "the store"
				manager := newManager(scsstore.New(open(t, cfg)))
				manager.HashTokenInStore = hashes == "scs"
				body(t, manager)
			})
		}
	})
}

func TestARenewedSessionIsThereUnderItsNewTokenAlone(t *testing.T) {
	eachManager(t, func(t *testing.T, manager *scs.SessionManager) {
		old := saved(t, manager, "user", "ada")
		slow, ctx := load(t, manager, old), load(t, manager, old)
		require.NoError(t, manager.RenewToken(ctx))
		manager.Put(slow, "user", "late")
		_, _, err := manager.Commit(slow)
		require.ErrorIs(t, err, mysqlsession.ErrNotFound, "between the old one's end and the new one's save")
		renewed, _, err := manager.Commit(ctx)
		require.NoError(t, err)
		_, _, err = manager.Commit(ctx)
		require.NoError(t, err, "once more in the same request")
		require.NotEqual(t, old, renewed)
		require.Equal(t, "ada", manager.GetString(load(t, manager, renewed), "user"))
		require.Empty(t, manager.GetString(load(t, manager, old), "user"))
		_, _, err = manager.Commit(slow)
		require.ErrorIs(t, err, mysqlsession.ErrNotFound)
	})
}

func TestADestroyedSessionIsGoneAndTheRequestMayBeginAnother(t *testing.T) {
	eachManager(t, func(t *testing.T, manager *scs.SessionManager) {
		old := saved(t, manager, "user", "ada")
		ctx := load(t, manager, old)
		require.NoError(t, manager.Destroy(ctx))
		require.NoError(t, manager.Destroy(ctx), "of the request that has no session any more")
		manager.Put(ctx, "user", "grace")
		next, _, err := manager.Commit(ctx)
		require.NoError(t, err)
		require.NotEqual(t, old, next)
		require.Equal(t, "grace", manager.GetString(load(t, manager, next), "user"))
		require.Empty(t, manager.GetString(load(t, manager, old), "user"))
	})
}

// The README says how: scs finds the session in a context without its end.
func TestAVisitorWhoHasGoneIsSignedOutAsTheReadmeSays(t *testing.T) {
	eachManager(t, func(t *testing.T, manager *scs.SessionManager) {
		token := saved(t, manager, "user", "ada")
		ctx, cancel := context.WithCancel(load(t, manager, token))
		cancel()
		require.ErrorIs(t, manager.Destroy(ctx), context.Canceled)
		require.Equal(t, "ada", manager.GetString(load(t, manager, token), "user"))
		require.NoError(t, manager.Destroy(context.WithoutCancel(ctx)))
		require.Empty(t, manager.GetString(load(t, manager, token), "user"))
	})
}

func TestAMergedSessionIsGone(t *testing.T) {
	eachManager(t, func(t *testing.T, manager *scs.SessionManager) {
		before, after := saved(t, manager, "basket", 7), saved(t, manager, "user", "ada")
		ctx := load(t, manager, after)
		require.NoError(t, manager.MergeSession(ctx, "no such session"))
		require.NoError(t, manager.MergeSession(ctx, before))
		_, _, err := manager.Commit(ctx)
		require.NoError(t, err)
		merged := load(t, manager, after)
		require.Equal(t, "ada", manager.GetString(merged, "user"))
		require.Equal(t, 7, manager.GetInt(merged, "basket"))
		require.Zero(t, manager.GetInt(load(t, manager, before), "basket"))
	})
}

func TestAnIdleTimeoutMovesWithEveryRequest(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		cfg := server.NewDatabase(t)
		ahead := clockAhead(&cfg)
		manager := newManager(scsstore.New(open(t, cfg)))
		manager.IdleTimeout = time.Minute
		token := saved(t, manager, "user", "ada")
		for range 3 {
			ahead.Add(int64(50 * time.Second))
			ctx := load(t, manager, token)
			require.Equal(t, "ada", manager.GetString(ctx, "user"))
			require.Equal(t, scs.Modified, manager.Status(ctx))
			_, _, err := manager.Commit(ctx)
			require.NoError(t, err)
		}
		ahead.Add(int64(70 * time.Second))
		require.Empty(t, manager.GetString(load(t, manager, token), "user"))
	})
}

func TestIterateSeesEverySessionAndCanDestroyIt(t *testing.T) {
	eachManager(t, func(t *testing.T, manager *scs.SessionManager) {
		none := func(context.Context) error { return assert.AnError }
		require.NoError(t, manager.Iterate(t.Context(), none))
		ada, grace := saved(t, manager, "user", "ada"), saved(t, manager, "user", "grace")
		var users []string
		require.NoError(t, manager.Iterate(t.Context(), func(ctx context.Context) error {
			user := manager.GetString(ctx, "user")
			users = append(users, user)
			if user == "ada" {
				return manager.Destroy(ctx)
			}
			return nil
		}))
		require.ElementsMatch(t, []string{"ada", "grace"}, users)
		require.Equal(t, "grace", manager.GetString(load(t, manager, grace), "user"))
		still := manager.GetString(load(t, manager, ada), "user")
		if manager.HashTokenInStore {
			// scs hashes the hash that it is given. The README says so.
			require.Equal(t, "ada", still)
		} else {
			require.Empty(t, still)
		}
	})
}

func TestIterateCanChangeASessionUnlessItsTokenIsHashed(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		for _, hashed := range []bool{false, true} {
			cfg := server.NewDatabase(t)
			cfg.HashKeys = hashed
			s := scsstore.New(open(t, cfg))
			manager := newManager(s)
			token := saved(t, manager, "user", "ada")
			require.NoError(t, manager.Iterate(t.Context(), func(ctx context.Context) error {
				manager.Put(ctx, "user", "grace")
				_, _, err := manager.Commit(ctx)
				if hashed {
					require.ErrorContains(t, err, "HashKeys")
					listed := manager.Token(ctx)
					_, found, err := s.Find(listed)
					require.NoError(t, err)
					require.False(t, found, "what is in the table opens no session")
					require.NotContains(t, listed, token)
				} else {
					require.NoError(t, err)
				}
				return nil
			}))
			want := map[bool]string{false: "grace", true: "ada"}[hashed]
			require.Equal(t, want, manager.GetString(load(t, manager, token), "user"))
			all, err := s.All()
			require.NoError(t, err)
			require.Len(t, all, 1)
		}
	})
}
