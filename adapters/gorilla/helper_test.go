package gorillastore_test

import (
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/sessions"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/mysqlsession/mysqlsession"
	gorillastore "github.com/mysqlsession/mysqlsession/adapters/gorilla"
	"github.com/mysqlsession/mysqlsession/internal/dbtest"
	"github.com/mysqlsession/mysqlsession/internal/faultproxy"
)

// name is the name that most tests store sessions under.
const name = "web"

// fixture is a store with a database of its own, on a clock that can be put ahead.
type fixture struct {
	*gorillastore.Store
	sessions *mysqlsession.Store
	proxy    *faultproxy.Proxy // between the store and the server
	ahead    atomic.Int64      // in nanoseconds
}

// each runs a test on every server.
func each(t *testing.T, body func(t *testing.T, f *fixture)) {
	t.Helper()
	eachWith(t, func(*mysqlsession.Config) {}, body)
}

func eachWith(t *testing.T, change func(cfg *mysqlsession.Config), body func(t *testing.T, f *fixture)) {
	t.Helper()
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		f := &fixture{}
		cfg := server.NewDatabase(t)
		var err error
		f.proxy, err = faultproxy.New(net.JoinHostPort(cfg.Host, strconv.Itoa(int(cfg.Port))))
		require.NoError(t, err)
		t.Cleanup(f.proxy.Close)
		cfg.Host, cfg.Port, cfg.Socket = f.proxy.Address().IP.String(), uint16(f.proxy.Address().Port), ""
		cfg.CleanupInterval = -1
		cfg.Clock = func() time.Time { return time.Now().Add(time.Duration(f.ahead.Load())) }
		change(&cfg)
		f.sessions, err = mysqlsession.Open(t.Context(), cfg)
		require.NoError(t, err)
		t.Cleanup(func() { assert.NoError(t, f.sessions.Close()) })
		require.NoError(t, f.sessions.Migrate(t.Context()))
		f.Store = gorillastore.New(f.sessions, signingKey, encryptionKey)
		body(t, f)
	})
}

// cutOff cuts the store off from its server, and mend connects it again.
func (f *fixture) cutOff() {
	f.proxy.Refuse()
	f.proxy.Reset()
}

func (f *fixture) mend(t *testing.T) {
	t.Helper()
	require.NoError(t, f.proxy.Admit())
	// The pool may pause before it dials again, and says so until then.
	require.Eventually(t, func() bool {
		_, err := f.sessions.GetMany(t.Context(), name, []string{"x"})
		return err == nil
	}, 10*time.Second, 20*time.Millisecond)
}

// request is one with these cookies.
func request(t *testing.T, cookies ...*http.Cookie) *http.Request {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", http.NoBody)
	for _, cookie := range cookies {
		r.AddCookie(cookie)
	}
	return r
}

// saved is the cookie of a session that a request has stored with these values.
func (f *fixture) saved(t *testing.T, values map[any]any, cookies ...*http.Cookie) *http.Cookie {
	t.Helper()
	session, r := f.session(t, cookies...)
	for key, value := range values {
		session.Values[key] = value
	}
	return f.save(t, r, session)
}

// save saves a session, and returns its cookie.
func (f *fixture) save(t *testing.T, r *http.Request, session *sessions.Session) *http.Cookie {
	t.Helper()
	w := httptest.NewRecorder()
	require.NoError(t, session.Save(r, w))
	return onlyCookie(t, w)
}

func onlyCookie(t *testing.T, w *httptest.ResponseRecorder) *http.Cookie {
	t.Helper()
	cookies := w.Result().Cookies()
	require.Len(t, cookies, 1)
	return cookies[0]
}

// session is what a request with these cookies gets.
func (f *fixture) session(t *testing.T, cookies ...*http.Cookie) (*sessions.Session, *http.Request) {
	t.Helper()
	r := request(t, cookies...)
	session, err := f.Get(r, name)
	require.NoError(t, err)
	return session, r
}

// isNew asserts that the cookie leads to no session.
func (f *fixture) isNew(t *testing.T, cookie *http.Cookie) {
	t.Helper()
	session, _ := f.session(t, cookie)
	require.True(t, session.IsNew)
	require.Empty(t, session.ID)
	require.Empty(t, session.Values)
}

// values are those of the session that the cookie leads to.
func (f *fixture) values(t *testing.T, cookie *http.Cookie) map[any]any {
	t.Helper()
	session, _ := f.session(t, cookie)
	require.False(t, session.IsNew)
	return session.Values
}

// live is how many sessions there are.
func (f *fixture) live(t *testing.T) int {
	t.Helper()
	counts, err := f.sessions.Count(t.Context())
	require.NoError(t, err)
	total := 0
	for _, c := range counts {
		total += int(c.Live)
	}
	return total
}

// lives asserts how long a session's row lives.
func (f *fixture) lives(t *testing.T, id string, want time.Duration) {
	t.Helper()
	info, err := f.sessions.Inspect(t.Context(), id)
	require.NoError(t, err)
	assert.WithinDuration(t, time.Now().Add(time.Duration(f.ahead.Load())+want), info.Expires, 30*time.Second)
}
