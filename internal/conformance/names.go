package conformance

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/mysqlsession/mysqlsession"
)

func nameTests() []test {
	return []test{
		{"a name sees only its own sessions", func(f *fixture) { isolated(f, "other") }},
		{"names are told apart byte for byte", func(f *fixture) {
			for _, other := range []string{strings.ToUpper(cookie), cookie + " ", cookie + "\x00", " " + cookie, ""} {
				isolated(f, other)
			}
		}},
		{"a set takes the row over from another name", func(f *fixture) {
			require.NoError(f, f.store.Set(f.Context(), "other", id("a"), []byte("theirs"), time.Hour, nil))
			f.set(id("a"), "ours", time.Minute)
			f.holds(id("a"), "ours")
			_, err := f.store.Get(f.Context(), "other", id("a"))
			assert.ErrorIs(f, err, mysqlsession.ErrNotFound)
			assert.Equal(f, 1, f.sessions())
			f.equalTime(f.at(time.Minute), f.storedExpiry(id("a")))
		}},
		{"a set takes the row over from a name that differs in case", func(f *fixture) {
			require.NoError(f, f.store.Set(f.Context(), strings.ToUpper(cookie), id("a"), []byte("theirs"), time.Hour, nil))
			f.set(id("a"), "ours", time.Minute)
			f.holds(id("a"), "ours")
		}},
	}
}

// isolated asserts that a session of one name cannot be seen or changed by another.
func isolated(f *fixture, other string) {
	f.set(id("a"), "value", time.Minute, of("app", "alice"))
	ctx := f.Context()

	_, err := f.store.Get(ctx, other, id("a"))
	assert.ErrorIs(f, err, mysqlsession.ErrNotFound)
	many, err := f.store.GetMany(ctx, other, []string{id("a")})
	require.NoError(f, err)
	assert.Empty(f, many)
	require.NoError(f, f.store.Each(ctx, other, func(string, []byte, time.Time) error {
		assert.Fail(f, "a session of another name was visited")
		return nil
	}))
	sessions, err := f.store.ReadMetadata(ctx, other, "app", "alice")
	require.NoError(f, err)
	assert.Empty(f, sessions)
	assert.ErrorIs(f, f.store.Touch(ctx, other, id("a"), time.Hour), mysqlsession.ErrNotFound)
	assert.ErrorIs(f, f.store.Update(ctx, other, id("a"), time.Hour, func(old []byte) ([]byte, error) {
		assert.Fail(f, "a session of another name was offered for change")
		return old, nil
	}), mysqlsession.ErrNotFound)
	require.NoError(f, f.store.Delete(ctx, other, id("a")))
	deleted, err := f.store.DeleteSubject(ctx, other, "app", "alice")
	require.NoError(f, err)
	assert.Zero(f, deleted)
	deleted, err = f.store.DeleteAll(ctx, other)
	require.NoError(f, err)
	assert.Zero(f, deleted)

	f.holds(id("a"), "value")
	f.equalTime(f.at(time.Minute), f.storedExpiry(id("a")))
	assert.Len(f, f.metadata("app", "alice"), 1)
}

// operation calls one operation of the store.
type operation struct {
	name string
	call func(f *fixture, name, key string) error
}

// keyedOperations are all that take a session id.
func keyedOperations() []operation {
	return []operation{
		{"Set", func(f *fixture, name, key string) error {
			return f.store.Set(f.Context(), name, key, []byte("value"), time.Minute, nil)
		}},
		{"Set with metadata", func(f *fixture, name, key string) error {
			options := of("app", "alice")
			return f.store.Set(f.Context(), name, key, []byte("value"), time.Minute, &options)
		}},
		{"Get", func(f *fixture, name, key string) error {
			_, err := f.store.Get(f.Context(), name, key)
			return err
		}},
		{"GetMany", func(f *fixture, name, key string) error {
			_, err := f.store.GetMany(f.Context(), name, []string{id("valid"), key})
			return err
		}},
		{"Delete", func(f *fixture, name, key string) error { return f.store.Delete(f.Context(), name, key) }},
		{"Touch", func(f *fixture, name, key string) error {
			return f.store.Touch(f.Context(), name, key, time.Minute)
		}},
		{"DeleteOthers", func(f *fixture, name, key string) error {
			_, err := f.store.DeleteOthers(f.Context(), name, "app", "alice", key)
			return err
		}},
		{"Update", func(f *fixture, name, key string) error {
			return f.store.Update(f.Context(), name, key, time.Minute, func(old []byte) ([]byte, error) { return old, nil })
		}},
	}
}

// wholeOperations are those that take a name and no session id.
func wholeOperations() []operation {
	return []operation{
		{"ReadMetadata", func(f *fixture, name, _ string) error {
			_, err := f.store.ReadMetadata(f.Context(), name, "app", "alice")
			return err
		}},
		{"DeleteSubject", func(f *fixture, name, _ string) error {
			_, err := f.store.DeleteSubject(f.Context(), name, "app", "alice")
			return err
		}},
		{"CountSubject", func(f *fixture, name, _ string) error {
			_, err := f.store.CountSubject(f.Context(), name, "app", "alice")
			return err
		}},
		{"Each", func(f *fixture, name, _ string) error {
			return f.store.Each(f.Context(), name, func(string, []byte, time.Time) error { return nil })
		}},
		{"DeleteAll", func(f *fixture, name, _ string) error {
			_, err := f.store.DeleteAll(f.Context(), name)
			return err
		}},
	}
}

func inputTests() []test {
	return []test{
		{"every operation refuses an id that is no id", func(f *fixture) {
			invalid := []string{"", strings.Repeat("k", 44), strings.Repeat("k", 1<<20), "with space", " ", "tab\t", "zero\x00", "line\n", "\x1f", "\x7f", "é", "\xff"}
			for _, operation := range keyedOperations() {
				for _, key := range invalid {
					err := operation.call(f, cookie, key)
					assert.ErrorIs(f, err, mysqlsession.ErrInvalidKey, "%s of %.50q", operation.name, key)
				}
			}
			assert.Zero(f, f.sessions())
		}},
		{"ids may be short and hold every printable character", func(f *fixture) {
			var printable []byte
			for b := byte(0x21); b <= 0x7e; b++ {
				printable = append(printable, b)
				f.set(string(b), string(b), time.Minute)
			}
			for b := byte(0x21); b <= 0x7e; b++ {
				// Text columns keep one of two ids that differ in case alone: the later.
				if !f.subject.Text || b < 'A' || b > 'Z' {
					f.holds(string(b), string(b))
				}
			}
			for len(printable) > 0 {
				length := min(43, len(printable))
				f.set(string(printable[:length]), "value", time.Minute)
				f.holds(string(printable[:length]), "value")
				printable = printable[length:]
			}
		}},
		{"every operation refuses a name that is too long", func(f *fixture) {
			for _, operation := range append(keyedOperations(), wholeOperations()...) {
				err := operation.call(f, strings.Repeat("n", 256), id("a"))
				assert.ErrorIs(f, err, mysqlsession.ErrInvalidName, operation.name)
			}
			assert.Zero(f, f.sessions())
		}},
		{"audiences and subjects that are too long are refused", func(f *fixture) {
			long := strings.Repeat("a", 256)
			for _, options := range []mysqlsession.SetOptions{of(long, "alice"), of("app", long), of("app", "alice", "app", long)} {
				f.refused(f.trySet(id("a"), "value", time.Minute, options), mysqlsession.ErrInvalidName, id("a"))
			}
			_, err := f.store.ReadMetadata(f.Context(), cookie, long, "alice")
			assert.ErrorIs(f, err, mysqlsession.ErrInvalidName)
			_, err = f.store.ReadMetadata(f.Context(), cookie, "app", long)
			assert.ErrorIs(f, err, mysqlsession.ErrInvalidName)
			_, err = f.store.DeleteSubject(f.Context(), cookie, long, "alice")
			assert.ErrorIs(f, err, mysqlsession.ErrInvalidName)
			_, err = f.store.DeleteSubject(f.Context(), cookie, "app", long)
			assert.ErrorIs(f, err, mysqlsession.ErrInvalidName)
			assert.Zero(f, f.sessions())
		}},
		{"the longest name, audience and subject are kept", func(f *fixture) {
			name, audience, subject := strings.Repeat("n", 255), strings.Repeat("a", 255), strings.Repeat("s", 255)
			options := of(audience, subject)
			require.NoError(f, f.store.Set(f.Context(), name, id("a"), []byte("value"), time.Minute, &options))
			_, err := f.store.Get(f.Context(), name, id("a"))
			require.NoError(f, err)
			sessions, err := f.store.ReadMetadata(f.Context(), name, audience, subject)
			require.NoError(f, err)
			assert.Contains(f, sessions, id("a"))
		}},
	}
}

// caseTests are about ids that the document's tables take for one another.
func caseTests() []test {
	const lower, upper = "abcdefghijklmnopqrstuvwxyz", "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	return []test{
		{"an id in another case is another id for every operation", func(f *fixture) {
			f.set(lower, "value", time.Hour, of("app", "alice"))
			f.gone(upper)
			many, err := f.store.GetMany(f.Context(), cookie, []string{upper})
			require.NoError(f, err)
			assert.Empty(f, many)
			many, err = f.store.GetMany(f.Context(), cookie, []string{upper, lower})
			require.NoError(f, err)
			assert.Len(f, many, 1)
			require.NoError(f, f.store.Delete(f.Context(), cookie, upper))
			f.refused(f.store.Touch(f.Context(), cookie, upper, time.Minute), mysqlsession.ErrNotFound, upper)
			f.refused(f.store.Update(f.Context(), cookie, upper, time.Minute, func([]byte) ([]byte, error) {
				return []byte("stolen"), nil
			}), mysqlsession.ErrNotFound, upper)
			f.refused(f.trySet(upper, "stolen", time.Minute, mysqlsession.SetOptions{MustExist: true}), mysqlsession.ErrNotFound, upper)
			f.set(id("new"), "value", time.Hour, replacing(upper, 0))
			f.holds(lower, "value")
			f.equalTime(f.at(time.Hour), f.storedExpiry(lower))
			assert.Len(f, f.metadata("app", "alice"), 1)
		}},
		{"setting an id in another case never shows one session to the other's owner", func(f *fixture) {
			f.set(lower, "of lower", time.Hour)
			f.set(upper, "of upper", time.Hour)
			f.holds(upper, "of upper")
			if f.subject.Text {
				f.gone(lower)
			} else {
				f.holds(lower, "of lower")
			}
		}},
	}
}

func bulkTests() []test {
	return []test{
		{"reading many returns those that are live", func(f *fixture) {
			f.set(id("a"), "of a", time.Minute)
			f.set(id("b"), "of b", time.Second)
			f.set(id("c"), "", time.Minute)
			f.clock.Advance(2 * time.Second)
			many, err := f.store.GetMany(f.Context(), cookie, []string{id("a"), id("b"), id("c"), id("d"), id("a")})
			require.NoError(f, err)
			assert.Len(f, many, 2)
			assert.Equal(f, "of a", string(many[id("a")]))
			assert.Contains(f, many, id("c"))
		}},
		{"reading none is an empty map", func(f *fixture) {
			many, err := f.store.GetMany(f.Context(), cookie, nil)
			require.NoError(f, err)
			assert.NotNil(f, many)
			assert.Empty(f, many)
		}},
		{"reading many works with more ids than one statement holds", func(f *fixture) {
			const count = 1200
			f.many(count)
			keys := make([]string, count)
			for i := range keys {
				keys[i] = id(fmt.Sprint(i))
			}
			many, err := f.store.GetMany(f.Context(), cookie, keys)
			require.NoError(f, err)
			assert.Len(f, many, count)
			for i, key := range keys {
				assert.Equal(f, fmt.Sprint(i), string(many[key]))
			}
		}},
		{"visiting each session visits all of the name once, with value and expiry", func(f *fixture) {
			const count = 2500
			f.many(count)
			seen := map[string]string{}
			require.NoError(f, f.store.Each(f.Context(), cookie, func(key string, value []byte, expires time.Time) error {
				assert.Zero(f, seen[key], "visited twice")
				seen[key] = string(value)
				f.equalTime(time.Date(2037, 1, 1, 0, 0, 0, 0, time.UTC), expires)
				return nil
			}))
			require.Len(f, seen, count)
			for i := range count {
				assert.Equal(f, fmt.Sprint(i), seen[id(fmt.Sprint(i))])
			}
		}},
		{"visiting ends with the visitor's error", func(f *fixture) {
			f.many(10)
			enough := errors.New("enough")
			visits := 0
			err := f.store.Each(f.Context(), cookie, func(string, []byte, time.Time) error {
				visits++
				if visits == 3 {
					return enough
				}
				return nil
			})
			assert.ErrorIs(f, err, enough)
			assert.Equal(f, 3, visits)
			f.holds(id("7"), "7")
		}},
		{"a visitor may use the store and keep what it was given", func(f *fixture) {
			f.many(20)
			kept := map[string][]byte{}
			require.NoError(f, f.store.Each(f.Context(), cookie, func(key string, value []byte, _ time.Time) error {
				kept[key] = value
				return f.store.Delete(f.Context(), cookie, key)
			}))
			assert.Zero(f, f.sessions())
			for i := range 20 {
				assert.Equal(f, fmt.Sprint(i), string(kept[id(fmt.Sprint(i))]))
			}
		}},
		{"deleting all of a name counts them and leaves the others", func(f *fixture) {
			f.many(1200)
			f.set(id("a"), "value", time.Minute, of("app", "alice"))
			require.NoError(f, f.store.Set(f.Context(), "other", id("theirs"), []byte("value"), time.Minute, nil))
			deleted, err := f.store.DeleteAll(f.Context(), cookie)
			require.NoError(f, err)
			assert.EqualValues(f, 1201, deleted)
			assert.Equal(f, 1, f.sessions())
			_, err = f.store.Get(f.Context(), "other", id("theirs"))
			require.NoError(f, err)
		}},
	}
}

// many puts n sessions into the table that expire at the beginning of 2037, UTC; the
// value of each is its number.
func (f *fixture) many(n int) {
	f.Helper()
	expires := time.Date(2037, 1, 1, 0, 0, 0, 0, time.UTC).Unix()
	f.exec("INSERT INTO sessions (sid, name, data, exp) VALUES "+rows("(?, ?, ?, FROM_UNIXTIME(?))", n),
		each(n, func(i int) []any { return []any{id(fmt.Sprint(i)), cookie, fmt.Sprint(i), expires} })...)
}
