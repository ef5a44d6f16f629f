package conformance

import (
	"math"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/mysqlsession/mysqlsession"
)

// replacing is SetOptions that replace an id, which may be read for ttl more.
func replacing(old string, ttl time.Duration) mysqlsession.SetOptions {
	return mysqlsession.SetOptions{OldKey: old, StaleTTL: ttl}
}

func rotationTests() []test {
	return []test{
		{"the replaced id may be read for StaleTTL more", func(f *fixture) {
			f.set(id("old"), "before", time.Hour)
			f.set(id("new"), "after", time.Hour, replacing(id("old"), 5*time.Second))
			f.holds(id("new"), "after")
			f.holds(id("old"), "before")
			f.clock.Advance(5 * time.Second)
			f.holds(id("old"), "before")
			f.clock.Advance(time.Second)
			f.gone(id("old"))
			f.holds(id("new"), "after")
		}},
		{"StaleTTL is rounded up to whole seconds", func(f *fixture) {
			f.set(id("old"), "before", time.Hour)
			f.set(id("new"), "after", time.Hour, replacing(id("old"), 1500*time.Millisecond))
			f.equalTime(f.at(2*time.Second), f.storedExpiry(id("old")))
		}},
		{"StaleTTL never lengthens the replaced id's life", func(f *fixture) {
			f.set(id("old"), "before", 2*time.Second)
			f.set(id("new"), "after", time.Hour, replacing(id("old"), time.Minute))
			f.equalTime(f.at(2*time.Second), f.storedExpiry(id("old")))
		}},
		{"a StaleTTL beyond every date leaves the replaced id as it is", func(f *fixture) {
			f.set(id("old"), "before", time.Minute)
			f.set(id("new"), "after", time.Minute, replacing(id("old"), math.MaxInt64))
			f.equalTime(f.at(time.Minute), f.storedExpiry(id("old")))
			f.holds(id("old"), "before")
		}},
		{"without a StaleTTL the replaced id ends at once", func(f *fixture) {
			for _, ttl := range []time.Duration{0, -time.Nanosecond, -time.Hour, math.MinInt64} {
				f.set(id("old"), "before", time.Hour)
				f.set(id("new"), "after", time.Hour, replacing(id("old"), ttl))
				f.gone(id("old"))
				f.holds(id("new"), "after")
			}
		}},
		{"an id that replaces itself keeps its new expiry", func(f *fixture) {
			f.set(id("a"), "before", time.Minute)
			f.set(id("a"), "after", time.Hour, replacing(id("a"), time.Second))
			f.holds(id("a"), "after")
			f.equalTime(f.at(time.Hour), f.storedExpiry(id("a")))
		}},
		{"replacing an id that is not there is no error", func(f *fixture) {
			f.set(id("new"), "after", time.Hour, replacing(id("never there"), time.Second))
			f.holds(id("new"), "after")
			assert.Equal(f, 1, f.sessions())
		}},
		{"replacing an id that has expired does not bring it back", func(f *fixture) {
			f.set(id("old"), "before", time.Second)
			f.clock.Advance(time.Minute)
			f.set(id("new"), "after", time.Hour, replacing(id("old"), time.Minute))
			f.gone(id("old"))
		}},
		{"the replaced id keeps its metadata while it lives", func(f *fixture) {
			f.set(id("old"), "before", time.Hour, of("app", "alice"))
			options := of("app", "alice")
			options.OldKey, options.StaleTTL = id("old"), 5*time.Second
			f.set(id("new"), "after", time.Hour, options)
			sessions := f.metadata("app", "alice")
			assert.Len(f, sessions, 2)
			f.equalTime(f.at(5*time.Second), sessions[id("old")])
			f.equalTime(f.at(time.Hour), sessions[id("new")])
			f.clock.Advance(6 * time.Second)
			assert.Len(f, f.metadata("app", "alice"), 1)
		}},
		{"an id of another name is not replaced", func(f *fixture) {
			require.NoError(f, f.store.Set(f.Context(), "other", id("old"), []byte("theirs"), time.Hour, nil))
			f.set(id("new"), "after", time.Hour, replacing(id("old"), time.Second))
			f.equalTime(f.at(time.Hour), f.storedExpiry(id("old")))
		}},
		{"an invalid replaced id is refused and nothing is stored", func(f *fixture) {
			f.refused(f.trySet(id("new"), "after", time.Hour, replacing("with space", time.Second)),
				mysqlsession.ErrInvalidKey, "with space")
			assert.Zero(f, f.sessions())
		}},
		{"MustExist saves what is live", func(f *fixture) {
			f.set(id("a"), "before", time.Minute)
			f.set(id("a"), "after", time.Hour, mysqlsession.SetOptions{MustExist: true})
			f.holds(id("a"), "after")
			f.equalTime(f.at(time.Hour), f.storedExpiry(id("a")))
			f.set(id("a"), "after", time.Hour, mysqlsession.SetOptions{MustExist: true})
		}},
		{"MustExist does not bring a revoked session back", func(f *fixture) {
			options := of("app", "alice")
			options.MustExist = true
			f.set(id("a"), "before", time.Minute, of("app", "alice"))
			require.NoError(f, f.store.Delete(f.Context(), cookie, id("a")))
			f.refused(f.trySet(id("a"), "late", time.Minute, options), mysqlsession.ErrNotFound, id("a"))
			f.gone(id("a"))
			assert.Zero(f, f.sessions())
		}},
		{"MustExist does not take a session over from another name", func(f *fixture) {
			require.NoError(f, f.store.Set(f.Context(), "other", id("a"), []byte("theirs"), time.Hour, nil))
			f.refused(f.trySet(id("a"), "ours", time.Minute, mysqlsession.SetOptions{MustExist: true}),
				mysqlsession.ErrNotFound, id("a"))
			got, err := f.store.Get(f.Context(), "other", id("a"))
			require.NoError(f, err)
			assert.Equal(f, "theirs", string(got))
		}},
		{"a persistent session is stored like any other", func(f *fixture) {
			f.set(id("a"), "value", time.Minute, mysqlsession.SetOptions{Remember: true})
			f.holds(id("a"), "value")
			f.equalTime(f.at(time.Minute), f.storedExpiry(id("a")))
		}},
	}
}
