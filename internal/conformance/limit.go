package conformance

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/mysqlsession/mysqlsession"
)

// limited is of with a limit.
func limited(most int, pairs ...string) mysqlsession.SetOptions {
	options := of(pairs...)
	options.MaxPerSubject = most
	return options
}

// listed asserts which sessions a subject has.
func (f *fixture) listed(audience, subject string, keys ...string) {
	f.Helper()
	sessions := f.metadata(audience, subject)
	assert.ElementsMatch(f, keys, slices.Collect(maps.Keys(sessions)))
	live, err := f.store.CountSubject(f.Context(), cookie, audience, subject)
	require.NoError(f, err)
	assert.EqualValues(f, len(keys), live)
}

// inPlaceOf adds a session that is replaced.
func inPlaceOf(old string, staleTTL time.Duration, options mysqlsession.SetOptions) mysqlsession.SetOptions {
	options.OldKey, options.StaleTTL = old, staleTTL
	return options
}

func limitTests() []test {
	return []test{
		{"a limit keeps as many sessions as it says", func(f *fixture) {
			for _, most := range []int{1, 2, 5} {
				subject := fmt.Sprint("alice", most)
				var keys []string
				for i := range 8 {
					keys = append(keys, id(fmt.Sprint(subject, i)))
					f.set(keys[i], "value", time.Minute+time.Duration(i)*time.Second, limited(most, "app", subject))
					f.listed("app", subject, keys[max(0, i+1-most):]...)
				}
			}
			assert.Equal(f, 1+2+5, f.sessions(), "nothing else is left in the tables")
			assert.Equal(f, 1+2+5, f.count("SELECT COUNT(*) FROM sessions_meta"))
		}},
		{"the session that expires first is evicted, however old it is", func(f *fixture) {
			f.set(id("a"), "value", time.Hour, limited(3, "app", "alice", "app", "admins"))
			f.set(id("b"), "value", time.Minute, limited(3, "app", "alice", "app", "admins"))
			f.set(id("c"), "value", 2*time.Hour, limited(3, "app", "alice"))
			f.set(id("d"), "value", time.Hour, limited(3, "app", "alice"))
			f.listed("app", "alice", id("a"), id("c"), id("d"))
			f.listed("app", "admins", id("a"))
			f.gone(id("b"))
			require.NoError(f, f.store.Touch(f.Context(), cookie, id("a"), 3*time.Hour))
			f.set(id("e"), "value", time.Second, limited(3, "app", "alice"))
			f.listed("app", "alice", id("a"), id("c"), id("e"))
			f.set(id("f"), "value", time.Second, limited(1, "app", "alice"))
			f.listed("app", "alice", id("f"))
		}},
		{"of sessions that expire at once the one with the smallest id is evicted", func(f *fixture) {
			f.set("c", "value", time.Minute, limited(3, "app", "alice"))
			f.set("a", "value", time.Minute, limited(3, "app", "alice"))
			f.set("B", "value", time.Minute, limited(3, "app", "alice"))
			f.set("0", "value", time.Minute, limited(3, "app", "alice"))
			f.listed("app", "alice", "0", "a", "c")
			f.set("z", "value", time.Minute, limited(2, "app", "alice"))
			f.listed("app", "alice", "c", "z")
		}},
		{"a session that is stored again has its place already", func(f *fixture) {
			f.set(id("a"), "value", time.Minute, limited(2, "app", "alice"))
			f.set(id("b"), "value", time.Hour, limited(2, "app", "alice"))
			for range 3 {
				f.set(id("a"), "value", time.Minute, limited(2, "app", "alice"))
			}
			f.listed("app", "alice", id("a"), id("b"))
		}},
		{"a limit counts no session that has expired", func(f *fixture) {
			f.set(id("a"), "value", time.Second, limited(2, "app", "alice"))
			f.set(id("b"), "value", time.Hour, limited(2, "app", "alice"))
			f.clock.Advance(2 * time.Second)
			f.set(id("c"), "value", time.Minute, limited(2, "app", "alice"))
			f.listed("app", "alice", id("b"), id("c"))
		}},
		{"a limit leaves other names, audiences and subjects alone", limitOfOthers},
		{"a limit holds for each subject, and a session may be of several", limitOfSeveral},
		{"what is replaced neither counts nor is evicted", limitAndRotation},
		{"a set with a limit that fails evicts nothing", limitAndFailure},
		{"a limit that cannot work is refused", func(f *fixture) {
			f.refused(f.trySet(id("a"), "value", time.Minute, limited(-1, "app", "alice")), mysqlsession.ErrInvalidOptions, id("a"))
			f.refused(f.trySet(id("a"), "value", time.Minute, limited(1)), mysqlsession.ErrInvalidOptions, id("a"))
			assert.Zero(f, f.sessions())
		}},
		{"concurrent sign-ins of one subject leave as many as its limit", concurrentLimits},
	}
}

func limitOfOthers(f *fixture) {
	others := [][2]string{{"App", "alice"}, {"app", "Alice"}, {"app", "bob"}, {"api", "alice"}, {"", ""}}
	for _, other := range others {
		f.set(id(strings.Join(other[:], "/")), "value", time.Second, of(other[0], other[1]))
	}
	another := of("app", "alice")
	require.NoError(f, f.store.Set(f.Context(), "another", id("another"), []byte("value"), time.Second, &another))
	f.set(id("a"), "value", time.Minute, limited(1, "app", "alice"))
	f.set(id("b"), "value", time.Minute, limited(1, "app", "alice"))
	f.listed("app", "alice", id("b"))
	for _, other := range others {
		f.listed(other[0], other[1], id(strings.Join(other[:], "/")))
	}
	_, err := f.store.Get(f.Context(), "another", id("another"))
	assert.NoError(f, err)
}

// One that goes for the sake of one subject need not go for another's as well.
func limitOfSeveral(f *fixture) {
	f.set(id("both"), "value", time.Hour, of("app", "alice", "app", "admins"))
	f.set(id("alice"), "value", 2*time.Hour, of("app", "alice"))
	f.set(id("admin"), "value", time.Second, of("app", "admins"))
	f.set(id("admin 2"), "value", time.Minute, of("app", "admins"))
	f.set(id("new"), "value", time.Minute, limited(2, "app", "alice", "app", "admins", "app", "alice"))
	f.listed("app", "alice", id("alice"), id("new"))
	f.listed("app", "admins", id("admin 2"), id("new"))

	f.set(id("all"), "value", time.Minute, of("app", "1", "app", "2", "app", "3"))
	f.set(id("one"), "value", time.Second, of("app", "1"))
	f.set(id("three"), "value", time.Hour, of("app", "3"))
	f.set(id("four"), "value", time.Hour, limited(2, "app", "1", "app", "2", "app", "3"))
	f.listed("app", "1", id("four"))
	f.listed("app", "2", id("four"))
	f.listed("app", "3", id("three"), id("four"))
}

func limitAndRotation(f *fixture) {
	f.set(id("phone"), "value", time.Hour, limited(2, "app", "alice"))
	f.set(id("laptop"), "value", time.Minute, limited(2, "app", "alice"))
	f.set(id("laptop 2"), "value", time.Minute, inPlaceOf(id("laptop"), 10*time.Second, limited(2, "app", "alice")))
	f.holds(id("laptop"), "value")
	f.holds(id("phone"), "value")
	// Now it is somebody else's past: it counts, and it is the first to go.
	f.set(id("phone 2"), "value", time.Hour, inPlaceOf(id("phone"), 10*time.Second, limited(2, "app", "alice")))
	f.gone(id("laptop"))
	f.listed("app", "alice", id("phone"), id("phone 2"), id("laptop 2"))
	options := inPlaceOf(id("phone 2"), 0, limited(1, "app", "alice"))
	options.MustExist = true
	f.set(id("phone 3"), "value", time.Second, options)
	f.listed("app", "alice", id("phone 3"))
}

func limitAndFailure(f *fixture) {
	f.set(id("a"), "value", time.Minute, limited(1, "app", "alice"))
	options := limited(1, "app", "alice")
	options.MustExist = true
	f.refused(f.trySet(id("b"), "value", time.Minute, options), mysqlsession.ErrNotFound, id("b"))
	options.OldKey = id("c")
	f.refused(f.trySet(id("b"), "value", time.Minute, options), mysqlsession.ErrNotFound, id("b"))
	options = limited(1, "app", "alice")
	f.refused(f.trySet(id("b"), strings.Repeat("v", 1<<20), time.Minute, options), mysqlsession.ErrValueTooLarge, id("b"))
	f.refused(f.trySet(id("b"), "value", 0, options), mysqlsession.ErrInvalidTTL, id("b"))
	f.refused(f.trySet(id("b"), "value", time.Minute, limited(1, "app", "alice", "app", strings.Repeat("x", 256))), mysqlsession.ErrInvalidName, id("b"))
	f.listed("app", "alice", id("a"))
	assert.Equal(f, 1, f.sessions())
}

// concurrentLimits has new devices sign in and old ones rotate, all for one subject that is
// new. Every one of them succeeds.
func concurrentLimits(f *fixture) {
	const callers, most = 16, 3
	failures := make(chan error, callers)
	for caller := range callers {
		go func() {
			key, next := id(fmt.Sprint(caller)), id(fmt.Sprint("next", caller))
			err := f.trySet(key, "value", time.Minute, limited(most, "app", "alice"))
			if err == nil {
				err = f.trySet(next, "value", time.Minute, inPlaceOf(key, 0, limited(most, "app", "alice")))
			}
			failures <- err
		}()
	}
	for range callers {
		assert.NoError(f, <-failures)
	}
	assert.Len(f, f.metadata("app", "alice"), most)
	assert.LessOrEqual(f, f.sessions(), most+callers, "besides these only what was replaced")
}

func othersTests() []test {
	return []test{
		{"a session logs its subject out everywhere else", func(f *fixture) {
			others := func(audience, key string) int64 {
				deleted, err := f.store.DeleteOthers(f.Context(), cookie, audience, "alice", key)
				require.NoError(f, err)
				return deleted
			}
			f.set(id("old"), "value", time.Second, of("app", "alice"))
			f.set(id("a"), "value", time.Minute, of("app", "alice", "app", "admins"))
			f.set(id("b"), "value", time.Minute, of("app", "alice", "app", "admins"))
			f.set(id("c"), "value", time.Minute, of("app", "alice"))
			f.set(id("d"), "value", time.Minute, of("app", "bob", "App", "alice"))
			f.clock.Advance(2 * time.Second)
			assert.EqualValues(f, 2, others("app", id("b")))
			f.listed("app", "alice", id("b"))
			f.listed("app", "admins", id("b"))
			f.listed("app", "bob", id("d"))
			assert.Equal(f, 2, f.sessions(), "what has expired goes as well")
			assert.Zero(f, others("app", id("b")))
			assert.Zero(f, others("nowhere", id("b")))
			assert.EqualValues(f, 1, others("app", id("d")), "one that is not the subject's saves nobody")
			f.listed("app", "alice")
			f.holds(id("d"), "value")
		}},
		{"ids in another case are others", func(f *fixture) {
			f.set("key", "value", time.Minute, of("app", "alice"))
			deleted, err := f.store.DeleteOthers(f.Context(), cookie, "app", "alice", "KEY")
			require.NoError(f, err)
			assert.EqualValues(f, 1, deleted)
		}},
		{"a count is of live sessions of the name", func(f *fixture) {
			f.listed("app", "alice")
			f.set(id("a"), "value", time.Second, of("app", "alice"))
			f.set(id("b"), "value", time.Minute, of("app", "alice", "app", "admins"))
			another := of("app", "alice")
			require.NoError(f, f.store.Set(f.Context(), "another", id("c"), nil, time.Minute, &another))
			f.listed("app", "alice", id("a"), id("b"))
			f.clock.Advance(2 * time.Second)
			f.listed("app", "alice", id("b"))
			f.listed("App", "alice")
			f.listed("app", "alice ")
		}},
	}
}
