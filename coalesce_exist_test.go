package mysqlsession_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/mysqlsession/mysqlsession"
	"github.com/mysqlsession/mysqlsession/internal/dbtest"
)

// member is options with one row of metadata.
func member(subject string) *mysqlsession.SetOptions {
	return &mysqlsession.SetOptions{Metadata: []mysqlsession.Metadata{{Audience: "audience", Subject: subject}}}
}

// must is options with MustExist, and OldKey and metadata where they are given.
func must(old, subject string) *mysqlsession.SetOptions {
	opts := &mysqlsession.SetOptions{OldKey: old, MustExist: true}
	if subject != "" {
		opts.Metadata = member(subject).Metadata
	}
	return opts
}

// subjects is the ids of a subject's sessions.
func (c *company) subjects(t *testing.T, subject string) []string {
	t.Helper()
	sessions, err := c.ReadMetadata(t.Context(), "name", "audience", subject)
	require.NoError(t, err)
	keys := []string{}
	for key := range sessions {
		keys = append(keys, key)
	}
	return sorted(keys)
}

func TestInABatchOnlyThoseWhoseSessionIsGoneAreNotFoundAndLeaveNothing(t *testing.T) {
	tests := map[string]struct{ old, metadata bool }{
		"alone":             {false, false},
		"with metadata":     {false, true},
		"in place of one":   {true, false},
		"with all of these": {true, true},
	}
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		cfg := server.NewDatabase(t)
		createNewTables(t, cfg, nil)
		admin := server.AdminIn(t, cfg.Database)
		c := newCompany(t, cfg)
		for name, test := range tests {
			t.Run(name, func(t *testing.T) {
				execute(t, admin, "DELETE FROM sessions")
				var calls []call
				var gone []int
				for i := range 20 {
					key, opts := fmt.Sprintf("key%02d", i), must("", "")
					if test.metadata {
						opts.Metadata = member("subject").Metadata
					}
					live := key
					if test.old {
						live, opts.OldKey = "old"+key, "old"+key
					}
					switch i % 4 {
					case 0: // never there
						gone = append(gone, i)
					case 1: // there, under another name
						require.NoError(t, c.Set(t.Context(), "another", live, []byte("another's"), time.Minute, nil))
						gone = append(gone, i)
					default:
						require.NoError(t, c.set(t, live, "old")())
					}
					calls = append(calls, c.set(t, key, "new", opts))
				}
				errs := c.together(t, calls...)
				require.Equal(t, []string{"set 20"}, c.batches())
				errorsOnlyOf(t, errs, mysqlsession.ErrNotFound, gone...)
				stored := []string{}
				for i := range 20 {
					key, value := fmt.Sprintf("key%02d", i), "new"
					if i%4 < 2 {
						value = ""
					} else {
						stored = append(stored, key)
					}
					c.holds(t, key, value)
					if test.old {
						c.holds(t, "old"+key, "")
					}
				}
				assert.Equal(t, 5, count(t, admin, "SELECT COUNT(*) FROM sessions WHERE name = 'another' AND data = ?", "another's"), "untouched")
				if test.metadata {
					assert.Equal(t, stored, c.subjects(t, "subject"))
					assert.Equal(t, len(stored), count(t, admin, "SELECT COUNT(*) FROM sessions_meta"))
				}
			})
		}
	})
}

func TestInABatchExpiredSessionsAreAsGoneAsThoseNeverThere(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		cfg := server.NewDatabase(t)
		createNewTables(t, cfg, nil)
		now := time.Date(2031, time.May, 6, 7, 8, 9, 0, time.UTC)
		cfg.Clock = func() time.Time { return now }
		c := newCompany(t, cfg)
		for _, key := range []string{"a", "b", "c"} {
			require.NoError(t, c.Set(t.Context(), "name", key, []byte("old"), time.Minute, nil))
			require.NoError(t, c.Set(t.Context(), "name", key+"live", []byte("old"), time.Hour, nil))
		}
		now = now.Add(time.Minute + time.Second)
		var a, live string
		errorsOnlyOf(t, c.together(t, c.get(t, "a", &a), c.get(t, "alive", &live)), mysqlsession.ErrNotFound, 0)
		assert.Empty(t, a)
		assert.Equal(t, "old", live)
		errorsOnlyOf(t, c.together(t, c.touch(t, "a", time.Hour), c.touch(t, "alive", time.Hour)), mysqlsession.ErrNotFound, 0)
		errs := c.together(t, c.set(t, "a", "new", must("", "")), c.set(t, "alive", "new", must("", "")),
			c.set(t, "b", "new", must("", "subject")), c.set(t, "blive", "new", must("", "subject")),
			c.set(t, "d", "new", must("c", "subject")), c.set(t, "dlive", "new", must("clive", "subject")))
		require.Equal(t, []string{"set 6"}, c.batches())
		errorsOnlyOf(t, errs, mysqlsession.ErrNotFound, 0, 2, 4)
		for _, key := range []string{"a", "b", "c", "d", "clive"} {
			c.holds(t, key, "")
		}
		assert.Equal(t, []string{"blive", "dlive"}, c.subjects(t, "subject"))
	})
}

func TestInABatchLiveSessionsAreTouchedAndMissingOnesNotFound(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		cfg := server.NewDatabase(t)
		createNewTables(t, cfg, nil)
		now := time.Date(2031, time.May, 6, 7, 8, 9, 0, time.UTC)
		cfg.Clock = func() time.Time { return now }
		c := newCompany(t, cfg)
		for _, missing := range []bool{false, true} {
			_, err := c.DeleteAll(t.Context(), "name")
			require.NoError(t, err)
			var calls []call
			var gone []int
			want := make(map[string]time.Duration)
			for i := range 20 {
				key, ttl := fmt.Sprintf("key%02d", i), time.Duration(1+i%3)*time.Hour
				if missing && i%4 == 0 {
					gone = append(gone, i)
				} else {
					require.NoError(t, c.set(t, key, "value")())
					want[key] = ttl
				}
				calls = append(calls, c.touch(t, key, ttl))
			}
			calls = append(calls, calls[1]) // twice the same
			errs := c.together(t, calls...)
			require.Equal(t, []string{"touch 21"}, c.batches())
			errorsOnlyOf(t, errs, mysqlsession.ErrNotFound, gone...)
			got := make(map[string]time.Duration)
			require.NoError(t, c.Each(t.Context(), "name", func(key string, _ []byte, expires time.Time) error {
				got[key] = expires.Sub(now)
				return nil
			}))
			require.Equal(t, want, got)
		}
	})
}

func TestABatchOfDeletesRemovesWhatIsThereWithItsMetadataAndNothingElse(t *testing.T) {
	onCompany(t, func(t *testing.T, _ dbtest.Server, c *company) {
		var calls []call
		for i := range 12 {
			key := fmt.Sprint("key", i)
			require.NoError(t, c.set(t, key, "value", member("subject"))())
			if i%2 == 0 {
				calls = append(calls, c.delete(t, key), c.delete(t, "missing"+key))
			}
		}
		require.NoError(t, c.Set(t.Context(), "another", "others", []byte("value"), time.Minute, nil))
		calls = append(calls, c.delete(t, "others"), c.delete(t, "key0"),
			func() error { return c.Delete(t.Context(), "third", "key1") })
		errs := c.together(t, calls...)
		require.Equal(t, []string{"delete 15"}, c.batches())
		errorsOnlyOf(t, errs, nil)
		assert.Equal(t, []string{"key1", "key11", "key3", "key5", "key7", "key9"}, c.subjects(t, "subject"))
		_, err := c.Get(t.Context(), "another", "others")
		require.NoError(t, err)
	})
}

// Two ids of an old table that differ in case are one row there, and are never mixed up.
func TestInABatchOnOldTablesSessionsOfOtherCaseAreSomebodyElses(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		cfg := server.NewDatabase(t)
		admin := server.AdminIn(t, cfg.Database)
		createDocumentTables(t, cfg, admin)
		c := newCompany(t, cfg)
		for _, key := range []string{"abc", "DEF", "ghi"} {
			require.NoError(t, c.set(t, key, "value of "+key)())
		}
		var gots [5]string
		errs := c.together(t, c.get(t, "ABC", &gots[0]), c.get(t, "abc", &gots[1]), c.get(t, "def", &gots[2]),
			c.get(t, "DEF", &gots[3]), c.get(t, "Ghi", &gots[4]))
		errorsOnlyOf(t, errs, mysqlsession.ErrNotFound, 0, 2, 4)
		assert.Equal(t, [5]string{"", "value of abc", "", "value of DEF", ""}, gots)
		errs = c.together(t, c.touch(t, "ABC", time.Hour), c.touch(t, "abc", time.Hour), c.touch(t, "def", time.Hour))
		errorsOnlyOf(t, errs, mysqlsession.ErrNotFound, 0, 2)
		errorsOnlyOf(t, c.together(t, c.delete(t, "ABC"), c.delete(t, "GHI"), c.delete(t, "DEF")), nil)
		require.Equal(t, []string{"delete 3"}, c.batches())
		c.holds(t, "abc", "value of abc")
		c.holds(t, "DEF", "")
		c.holds(t, "ghi", "value of ghi")
		require.Equal(t, 2, count(t, admin, "SELECT COUNT(*) FROM sessions"))
	})
}
