package mysqlsession_test

import (
	"database/sql"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/mysqlsession/mysqlsession"
	"github.com/mysqlsession/mysqlsession/internal/dbtest"
)

// deleting counts the statements that delete at this moment, or wait to.
const deleting = "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE DB = ? AND INFO LIKE 'DELETE%'"

// rotating is a store in which a session of ada's is about to be rotated.
type rotating struct {
	*mysqlsession.Store
	admin         *sql.DB
	rotation      *sql.Tx
	database      string
	own, old, new string
}

// rotateOnEach runs body on every server, with two sessions of ada's, her own and another one,
// whose rotation has yet to be committed.
func rotateOnEach(t *testing.T, body func(t *testing.T, r *rotating)) {
	t.Helper()
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		cfg := server.NewDatabase(t)
		r := &rotating{admin: server.AdminIn(t, cfg.Database), database: cfg.Database, own: newKey(), old: newKey(), new: newKey()}
		r.Store = openStore(t, cfg)
		require.NoError(t, r.Migrate(t.Context()))
		r.set(t, r.own, "")
		r.set(t, r.old, "")
		r.rotation = lockSession(t, r.admin, r.old)
		for _, statement := range []string{
			"INSERT INTO sessions (sid, name, data, exp) SELECT '" + r.new + "', name, data, exp FROM sessions WHERE sid = '" + r.old + "'",
			"INSERT INTO sessions_meta (aud, sub, sid) VALUES ('web', 'ada', '" + r.new + "')",
			"UPDATE sessions SET exp = '2001-02-03' WHERE sid = '" + r.old + "'",
		} {
			_, err := r.rotation.ExecContext(t.Context(), statement)
			require.NoError(t, err)
		}
		body(t, r)
	})
}

func (r *rotating) set(t *testing.T, key, old string) {
	t.Helper()
	require.NoError(t, r.Set(t.Context(), "name", key, []byte("value"), time.Hour, &mysqlsession.SetOptions{
		OldKey: old, MustExist: old != "", Metadata: []mysqlsession.Metadata{{Audience: "web", Subject: "ada"}},
	}))
}

// during has end wait for the rotation, and then meanwhile called, and the rotation committed.
func (r *rotating) during(t *testing.T, end func() (int64, error), meanwhile func()) {
	t.Helper()
	failure := make(chan error)
	go func() {
		_, err := end()
		failure <- err
	}()
	await(t, "a wait for the rotation", func() bool { return count(t, r.admin, deleting, r.database) > 0 })
	meanwhile()
	require.NoError(t, r.rotation.Commit())
	require.NoError(t, <-failure)
}

func (r *rotating) live(t *testing.T) map[string]time.Time {
	t.Helper()
	sessions, err := r.ReadMetadata(t.Context(), "name", "web", "ada")
	require.NoError(t, err)
	return sessions
}

// Whoever had got hold of a session could keep it through a sign-out everywhere by having it
// rotated again and again: the id that was read was over when it was deleted, and the next
// one was not looked for.
func TestASessionThatIsRotatedMeanwhileEndsWithItsSubjectsOthers(t *testing.T) {
	rotateOnEach(t, func(t *testing.T, r *rotating) {
		r.during(t, func() (int64, error) { return r.DeleteSubject(t.Context(), "name", "web", "ada") }, func() {})
		assert.Empty(t, r.live(t))
	})
	rotateOnEach(t, func(t *testing.T, r *rotating) {
		r.during(t, func() (int64, error) { return r.DeleteOthers(t.Context(), "name", "web", "ada", r.own) }, func() {})
		live := r.live(t)
		assert.Len(t, live, 1)
		assert.Contains(t, live, r.own)
	})
}

func TestASessionThatIsSparedAndRotatedMeanwhileStays(t *testing.T) {
	rotateOnEach(t, func(t *testing.T, r *rotating) {
		next := newKey()
		r.during(t, func() (int64, error) { return r.DeleteOthers(t.Context(), "name", "web", "ada", r.own) }, func() {
			r.set(t, next, r.own)
		})
		assert.Contains(t, r.live(t), next)
	})
}
