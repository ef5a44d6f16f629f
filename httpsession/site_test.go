package httpsession_test

import (
	"bytes"
	"context"
	"database/sql"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/mysqlsession/mysqlsession"
	"github.com/mysqlsession/mysqlsession/httpsession"
	"github.com/mysqlsession/mysqlsession/internal/dbtest"
)

func TestMain(m *testing.M) { dbtest.Main(m) }

// content is what the sessions of these tests hold.
type content struct {
	Name  string `json:"name,omitempty"`
	Count int    `json:"count,omitempty"`
}

type (
	manager = httpsession.Manager[content]
	session = httpsession.Session[content]
)

// site is an application in use by one test: a database, a store that counts its calls, a
// manager, and what it has logged.
type site struct {
	t        *testing.T
	store    *mysqlsession.Store
	failing  *failing
	sessions *manager
	admin    *sql.DB
	server   *httptest.Server
	logged   *lines

	mutex sync.Mutex // guards what follows
	calls map[string]int
	time  time.Time
	serve http.Handler
}

// newSite makes a site on a server. Its clock stands still until it is told.
func newSite(t *testing.T, server dbtest.Server, change ...func(cfg *httpsession.Config)) *site {
	t.Helper()
	s := &site{t: t, calls: map[string]int{}, time: time.Now().Truncate(time.Second), logged: new(lines)}
	cfg := server.NewDatabase(t)
	cfg.Clock, cfg.CleanupInterval, cfg.HashKeys = s.now, -1, true
	cfg.Trace = &mysqlsession.Trace{Call: func(_ context.Context, info mysqlsession.CallInfo) {
		s.mutex.Lock()
		defer s.mutex.Unlock()
		s.calls[info.Operation]++
	}}
	s.admin = server.AdminIn(t, cfg.Database)
	var err error
	s.store, err = mysqlsession.Open(t.Context(), cfg)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, s.store.Close()) })
	require.NoError(t, s.store.Migrate(t.Context()))

	s.failing = &failing{Store: s.store}
	s.sessions = s.manager(change...)
	s.server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mutex.Lock()
		serve := s.serve
		s.mutex.Unlock()
		serve.ServeHTTP(w, r)
	}))
	s.server.EnableHTTP2 = true
	s.server.Config.ErrorLog = slog.NewLogLogger(slog.NewTextHandler(s.logged, nil), slog.LevelError)
	s.server.StartTLS()
	t.Cleanup(s.server.Close)
	return s
}

// manager makes another manager on the site's store.
func (s *site) manager(change ...func(cfg *httpsession.Config)) *manager {
	s.t.Helper()
	cfg := httpsession.Config{Clock: s.now, Logger: slog.New(slog.NewTextHandler(s.logged, nil))}
	for _, c := range change {
		c(&cfg)
	}
	sessions, err := httpsession.New[content](s.failing, cfg)
	require.NoError(s.t, err)
	return sessions
}

func (s *site) now() time.Time {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	return s.time
}

// pass lets time pass.
func (s *site) pass(d time.Duration) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.time = s.time.Add(d)
}

// called are the store's calls since the last time it was asked.
func (s *site) called() map[string]int {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	calls := s.calls
	s.calls = map[string]int{}
	return calls
}

// rows is how many rows the table of sessions has, those that have ended included.
func (s *site) rows() (count int) {
	s.t.Helper()
	require.NoError(s.t, s.admin.QueryRow("SELECT COUNT(*) FROM sessions").Scan(&count))
	return count
}

// handle has requests from now on served by handler, without a session.
func (s *site) handle(handler http.Handler) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.serve = handler
}

// lines is what was written, by several at a time.
type lines struct {
	mutex  sync.Mutex
	buffer bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	return l.buffer.Write(p)
}

func (l *lines) String() string {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	return l.buffer.String()
}

// failing is a store whose writes fail while it has an error.
type failing struct {
	httpsession.Store
	mutex sync.Mutex
	err   error
}

func (f *failing) with(err error) {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	f.err = err
}

func (f *failing) failure() error {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	return f.err
}

func (f *failing) Set(ctx context.Context, name, key string, value []byte, ttl time.Duration, opts *mysqlsession.SetOptions) error {
	if err := f.failure(); err != nil {
		return err
	}
	return f.Store.Set(ctx, name, key, value, ttl, opts)
}

func (f *failing) Touch(ctx context.Context, name, key string, ttl time.Duration) error {
	if err := f.failure(); err != nil {
		return err
	}
	return f.Store.Touch(ctx, name, key, ttl)
}

func (f *failing) Delete(ctx context.Context, name, key string) error {
	if err := f.failure(); err != nil {
		return err
	}
	return f.Store.Delete(ctx, name, key)
}

// browser is a visitor with a cookie jar.
type browser struct {
	*site
	client *http.Client
}

func (s *site) browser() *browser {
	s.t.Helper()
	jar, err := cookiejar.New(nil)
	require.NoError(s.t, err)
	client := *s.server.Client()
	client.Jar = jar
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &browser{s, &client}
}

// answer is a response that was read.
type answer struct {
	*http.Response
	body string
}

// send sends a request, and does not follow where it leads.
func (b *browser) send(method string) answer {
	b.t.Helper()
	request, err := http.NewRequestWithContext(b.t.Context(), method, b.server.URL, http.NoBody)
	require.NoError(b.t, err)
	response, err := b.client.Do(request)
	require.NoError(b.t, err)
	body, err := io.ReadAll(response.Body)
	require.NoError(b.t, err)
	require.NoError(b.t, response.Body.Close())
	return answer{response, string(body)}
}

// does sends a request that does something with the session and answers with 200.
func (b *browser) does(do func(session *session)) answer {
	b.t.Helper()
	b.handle(b.sessions.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		do(b.sessions.From(r.Context()))
	})))
	a := b.send(http.MethodGet)
	require.Equal(b.t, http.StatusOK, a.StatusCode)
	return a
}

// sees is what the browser's session holds, and whose it is.
func (b *browser) sees() (value content, subject string) {
	b.t.Helper()
	b.does(func(s *session) { value, subject = *s.Value(), s.Subject() })
	return value, subject
}

// count adds one to the session's counter, which makes it one that is stored.
func (b *browser) count() answer {
	b.t.Helper()
	return b.does(count)
}

func count(s *session) { s.Value().Count++ }

func (b *browser) address() *url.URL {
	address, err := url.Parse(b.server.URL)
	require.NoError(b.t, err)
	return address
}

// id is the session id that the browser has, "" if it has none.
func (b *browser) id() string {
	b.t.Helper()
	for _, cookie := range b.client.Jar.Cookies(b.address()) {
		return cookie.Value
	}
	return ""
}

// brings gives the browser a session id.
func (b *browser) brings(id string) *browser {
	b.client.Jar.SetCookies(b.address(), []*http.Cookie{{Name: "__Host-session", Value: id, Path: "/", Secure: true}})
	return b
}
