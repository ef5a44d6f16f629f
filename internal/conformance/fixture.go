package conformance

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/base64"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/mysqlsession/mysqlsession"
)

// cookie is the name that tests store their sessions under unless names matter.
const cookie = "session"

// fixture is what one test works with: a store on empty tables, and its clock.
type fixture struct {
	*testing.T
	subject Subject
	store   *mysqlsession.Store
	clock   *clock
	// nulls says that the test itself wrote rows with a NULL.
	nulls bool
}

// clock is a clock that moves only when told.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) Set(now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = now
}

func (c *clock) Advance(d time.Duration) { c.Set(c.Now().Add(d)) }

// beginning is when every test begins: well before what MariaDB 10.11's dates can
// hold, and not at the start of a second.
func beginning() time.Time { return time.Date(2031, time.May, 6, 7, 8, 9, 250_000_000, time.UTC) }

func newFixture(t *testing.T, subject Subject) *fixture {
	t.Helper()
	f := &fixture{T: t, subject: subject, clock: &clock{now: beginning()}}
	// Registered before the store's Close, so it runs after it.
	t.Cleanup(f.verifyAndEmpty)
	f.store = f.open(func(*mysqlsession.Config) {})
	return f
}

// open opens another store on the same tables and with the same clock.
func (f *fixture) open(change func(cfg *mysqlsession.Config)) *mysqlsession.Store {
	f.Helper()
	cfg := f.subject.Config
	cfg.Clock = f.clock.Now
	cfg.CleanupInterval = -1
	cfg.PoolSize = 4
	change(&cfg)
	store, err := mysqlsession.Open(f.Context(), cfg)
	require.NoError(f, err)
	f.Cleanup(func() {
		broken := store.Pool().Stat().BrokenDestroyCount
		assert.Zero(f, broken, "connections that were closed as unfit: no test here gives a reason to")
		assert.NoError(f, store.Close())
		// A batch has a connection for a moment longer than its callers wait for it.
		assert.Zero(f, store.Pool().Stat().AcquiredConns, "connections that were not given back")
	})
	if f.subject.Company {
		f.keepCompany(store)
	}
	return store
}

// verifyAndEmpty checks what must hold of the tables after every test, and makes them
// ready for the next.
func (f *fixture) verifyAndEmpty() {
	assert.Zero(f, f.count(`SELECT COUNT(*) FROM sessions_meta m LEFT JOIN sessions s ON s.sid = m.sid
		WHERE s.sid IS NULL`), "metadata without a session")
	if !f.nulls {
		assert.Zero(f, f.count("SELECT COUNT(*) FROM sessions WHERE name IS NULL OR data IS NULL OR exp IS NULL"),
			"rows with a NULL")
	}
	f.exec("DELETE FROM sessions_meta")
	f.exec("DELETE FROM sessions")
}

// background is for looking at tables in cleanups, when the test's context has ended.
func background() context.Context { return context.Background() }

func (f *fixture) exec(statement string, arguments ...any) {
	f.Helper()
	_, err := f.subject.Admin.ExecContext(background(), statement, arguments...)
	require.NoError(f, err, statement)
}

func (f *fixture) count(query string, arguments ...any) int {
	f.Helper()
	var count int
	require.NoError(f, f.subject.Admin.QueryRowContext(background(), query, arguments...).Scan(&count), query)
	return count
}

// storedExpiry is the exp column of a row, read behind the store's back.
func (f *fixture) storedExpiry(key string) time.Time {
	f.Helper()
	var seconds sql.NullInt64
	query := "SELECT CAST(UNIX_TIMESTAMP(exp) AS SIGNED) FROM sessions WHERE sid = ?"
	require.NoError(f, f.subject.Admin.QueryRowContext(background(), query, key).Scan(&seconds))
	require.True(f, seconds.Valid, "exp is NULL")
	return time.Unix(seconds.Int64, 0)
}

// id is a session id as applications make them: 43 characters of base64url.
func id(label string) string {
	digest := sha256.Sum256([]byte(label))
	return base64.RawURLEncoding.EncodeToString(digest[:])
}

func (f *fixture) set(key, value string, ttl time.Duration, options ...mysqlsession.SetOptions) {
	f.Helper()
	require.NoError(f, f.trySet(key, value, ttl, options...))
}

func (f *fixture) trySet(key, value string, ttl time.Duration, options ...mysqlsession.SetOptions) error {
	f.Helper()
	var chosen *mysqlsession.SetOptions
	if len(options) > 0 {
		chosen = &options[0]
	}
	return f.store.Set(f.Context(), cookie, key, []byte(value), ttl, chosen)
}

// holds asserts that the session is live and has the value.
func (f *fixture) holds(key, value string) {
	f.Helper()
	got, err := f.store.Get(f.Context(), cookie, key)
	if assert.NoError(f, err) {
		assert.Equal(f, value, string(got))
	}
}

// gone asserts that there is no live session of the key.
func (f *fixture) gone(key string) {
	f.Helper()
	got, err := f.store.Get(f.Context(), cookie, key)
	assert.ErrorIs(f, err, mysqlsession.ErrNotFound)
	assert.Nil(f, got)
}

// refused asserts that a call failed with the sentinel, and that the error's text
// does not give away the session id.
func (f *fixture) refused(err, sentinel error, key string) {
	f.Helper()
	if !assert.ErrorIs(f, err, sentinel) || key == "" {
		return
	}
	assert.NotContains(f, err.Error(), key)
}

// metadata reads the sessions of a subject.
func (f *fixture) metadata(audience, subject string) map[string]time.Time {
	f.Helper()
	sessions, err := f.store.ReadMetadata(f.Context(), cookie, audience, subject)
	require.NoError(f, err)
	require.NotNil(f, sessions)
	return sessions
}

func (f *fixture) sessions() int { f.Helper(); return f.count("SELECT COUNT(*) FROM sessions") }

// of is SetOptions with metadata alone, given as audience and subject in turn.
func of(pairs ...string) mysqlsession.SetOptions {
	var options mysqlsession.SetOptions
	for i := 0; i+1 < len(pairs); i += 2 {
		options.Metadata = append(options.Metadata, mysqlsession.Metadata{Audience: pairs[i], Subject: pairs[i+1]})
	}
	return options
}

// at is the expiry of a session that was set now: whole seconds, the ttl rounded up.
func (f *fixture) at(ttl time.Duration) time.Time {
	seconds := (ttl + time.Second - 1) / time.Second
	return time.Unix(f.clock.Now().Unix(), 0).Add(seconds * time.Second)
}

func (f *fixture) equalTime(want, got time.Time) {
	f.Helper()
	assert.True(f, want.Equal(got), "want %s, got %s", want.UTC(), got.UTC())
}
