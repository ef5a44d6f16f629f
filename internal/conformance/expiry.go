package conformance

import (
	"math"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/mysqlsession/mysqlsession"
)

func expiryTests() []test {
	return []test{
		{"a session is readable up to and in the second of its expiry", lastSecond},
		{"now is cut to whole seconds and the ttl rounded up", rounding},
		{"setting a live session again moves its expiry later and earlier", func(f *fixture) {
			f.set(id("a"), "value", time.Minute)
			f.set(id("a"), "value", time.Hour)
			f.equalTime(f.at(time.Hour), f.storedExpiry(id("a")))
			f.set(id("a"), "value", time.Second)
			f.equalTime(f.at(time.Second), f.storedExpiry(id("a")))
		}},
		{"an expired session can be set anew", func(f *fixture) {
			f.set(id("a"), "old", time.Second)
			f.clock.Advance(time.Minute)
			f.gone(id("a"))
			f.set(id("a"), "new", time.Minute)
			f.holds(id("a"), "new")
		}},
		{"an expired session is gone for every operation", expiredForAll},
		{"rows with a NULL in exp or data are not found", nullRows},
	}
}

func lastSecond(f *fixture) {
	f.set(id("a"), "value", 10*time.Second)
	f.clock.Advance(10 * time.Second)
	f.holds(id("a"), "value")
	f.clock.Set(f.at(0).Add(time.Second - time.Nanosecond))
	f.holds(id("a"), "value")
	f.clock.Advance(time.Nanosecond)
	f.gone(id("a"))
}

func rounding(f *fixture) {
	second := beginning().Truncate(time.Second)
	tests := []struct {
		fraction time.Duration // of the second in which the session is set
		ttl      time.Duration
		seconds  int64 // after the second's start
	}{
		{0, time.Second, 1},
		{0, time.Nanosecond, 1},
		{0, time.Second + time.Nanosecond, 2},
		{0, 90 * time.Second, 90},
		{time.Nanosecond, time.Second, 1},
		{999_999_999, time.Second, 1},
		{999_999_999, time.Nanosecond, 1},
		{500_000_000, 2500 * time.Millisecond, 3},
	}
	for _, test := range tests {
		f.clock.Set(second.Add(test.fraction))
		want := second.Add(time.Duration(test.seconds) * time.Second)
		f.set(id("set"), "value", test.ttl)
		f.equalTime(want, f.storedExpiry(id("set")))

		f.set(id("touched"), "value", time.Hour)
		require.NoError(f, f.store.Touch(f.Context(), cookie, id("touched"), test.ttl))
		f.equalTime(want, f.storedExpiry(id("touched")))
	}
}

func expiredForAll(f *fixture) {
	f.set(id("a"), "value", time.Second, of("app", "alice"))
	f.clock.Advance(time.Minute)

	f.gone(id("a"))
	many, err := f.store.GetMany(f.Context(), cookie, []string{id("a")})
	require.NoError(f, err)
	assert.Empty(f, many)
	require.NoError(f, f.store.Each(f.Context(), cookie, func(string, []byte, time.Time) error {
		assert.Fail(f, "an expired session was visited")
		return nil
	}))
	assert.Empty(f, f.metadata("app", "alice"))
	f.refused(f.store.Touch(f.Context(), cookie, id("a"), time.Hour), mysqlsession.ErrNotFound, id("a"))
	err = f.store.Update(f.Context(), cookie, id("a"), time.Hour, func([]byte) ([]byte, error) {
		assert.Fail(f, "an expired session was offered for change")
		return nil, nil
	})
	f.refused(err, mysqlsession.ErrNotFound, id("a"))
	f.refused(f.trySet(id("a"), "late", time.Hour, mysqlsession.SetOptions{MustExist: true}),
		mysqlsession.ErrNotFound, id("a"))
	f.gone(id("a"))
}

// nullRows is about tables that others write to: nothing in the document's tables
// forbids a NULL.
func nullRows(f *fixture) {
	nullable := f.count(`SELECT COUNT(*) FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = DATABASE()
		AND TABLE_NAME = 'sessions' AND COLUMN_NAME IN ('data', 'exp') AND IS_NULLABLE = 'YES'`)
	if nullable < 2 {
		assert.False(f, f.subject.Text, "the document's columns allow NULL")
		return
	}
	f.nulls = true
	f.exec("INSERT INTO sessions (sid, name, data, exp) VALUES (?, ?, NULL, '2037-01-01'), (?, ?, 'value', NULL), (?, NULL, 'value', '2037-01-01')",
		id("data"), cookie, id("exp"), cookie, id("name"))
	for _, label := range []string{"data", "exp", "name"} {
		f.gone(id(label))
		f.refused(f.store.Touch(f.Context(), cookie, id(label), time.Hour), mysqlsession.ErrNotFound, id(label))
	}
	many, err := f.store.GetMany(f.Context(), cookie, []string{id("data"), id("exp"), id("name")})
	require.NoError(f, err)
	assert.Empty(f, many)
	require.NoError(f, f.store.Each(f.Context(), cookie, func(string, []byte, time.Time) error {
		assert.Fail(f, "a row with a NULL was visited")
		return nil
	}))
	f.set(id("exp"), "whole", time.Minute)
	f.holds(id("exp"), "whole")
}

func touchTests() []test {
	touch := func(f *fixture, key string, ttl time.Duration) error {
		return f.store.Touch(f.Context(), cookie, key, ttl)
	}
	return []test{
		{"touching moves the expiry later and earlier and leaves the value", func(f *fixture) {
			f.set(id("a"), "value", time.Minute, of("app", "alice"))
			require.NoError(f, touch(f, id("a"), time.Hour))
			f.equalTime(f.at(time.Hour), f.storedExpiry(id("a")))
			require.NoError(f, touch(f, id("a"), time.Second))
			f.equalTime(f.at(time.Second), f.storedExpiry(id("a")))
			f.holds(id("a"), "value")
			assert.Len(f, f.metadata("app", "alice"), 1)
		}},
		{"touching twice in one second is no error", func(f *fixture) {
			f.set(id("a"), "value", time.Minute)
			require.NoError(f, touch(f, id("a"), time.Minute))
			require.NoError(f, touch(f, id("a"), time.Minute))
		}},
		{"touching what is not there is not found", func(f *fixture) {
			f.refused(touch(f, id("a"), time.Minute), mysqlsession.ErrNotFound, id("a"))
			assert.Zero(f, f.sessions())
		}},
		{"touching in the last second keeps the session", func(f *fixture) {
			f.set(id("a"), "value", time.Second)
			f.clock.Advance(time.Second)
			require.NoError(f, touch(f, id("a"), time.Minute))
			f.clock.Advance(time.Minute)
			f.holds(id("a"), "value")
		}},
	}
}

func timeLimitTests() []test {
	return []test{
		{"a ttl that is not positive is refused", func(f *fixture) {
			f.set(id("live"), "value", time.Minute)
			for _, ttl := range []time.Duration{0, -1, -time.Hour, math.MinInt64} {
				f.refused(f.trySet(id("a"), "value", ttl), mysqlsession.ErrInvalidTTL, id("a"))
				f.refused(f.trySet(id("live"), "new", ttl), mysqlsession.ErrInvalidTTL, id("live"))
				f.refused(f.store.Touch(f.Context(), cookie, id("live"), ttl), mysqlsession.ErrInvalidTTL, id("live"))
				err := f.store.Update(f.Context(), cookie, id("live"), ttl, func(old []byte) ([]byte, error) {
					return append(old, '!'), nil
				})
				f.refused(err, mysqlsession.ErrInvalidTTL, id("live"))
			}
			f.gone(id("a"))
			f.holds(id("live"), "value")
			f.equalTime(f.at(time.Minute), f.storedExpiry(id("live")))
		}},
		{"a ttl beyond what the server's dates can hold is refused", beyondTheServersDates},
		{"a clock beyond what the server's dates can hold stores nothing", func(f *fixture) {
			f.clock.Set(time.Date(2999, time.December, 31, 0, 0, 0, 0, time.UTC))
			f.refused(f.trySet(id("a"), "value", math.MaxInt64), mysqlsession.ErrInvalidTTL, id("a"))
			assert.Zero(f, f.sessions())
		}},
		{"expiries do not depend on the time zone", timeZones},
	}
}

// beyondTheServersDates asks the server itself what it can hold: 2038 on older
// MariaDB, 2106 on newer, the year 3001 on MySQL.
func beyondTheServersDates(f *fixture) {
	f.set(id("live"), "value", time.Minute)
	for _, years := range []int{6, 20, 100, 292} {
		ttl := time.Duration(years) * 365 * 24 * time.Hour
		end := f.clock.Now().Unix() + int64(ttl/time.Second)
		if f.count("SELECT FROM_UNIXTIME(?) IS NOT NULL", end) == 1 {
			f.set(id("a"), "value", ttl)
			f.holds(id("a"), "value")
			f.equalTime(f.at(ttl), f.expiryByEach(id("a")))
			continue
		}
		f.refused(f.trySet(id("b"), "value", ttl), mysqlsession.ErrInvalidTTL, id("b"))
		f.gone(id("b"))
		f.refused(f.trySet(id("live"), "new", ttl), mysqlsession.ErrInvalidTTL, id("live"))
		f.refused(f.store.Touch(f.Context(), cookie, id("live"), ttl), mysqlsession.ErrInvalidTTL, id("live"))
		err := f.store.Update(f.Context(), cookie, id("live"), ttl, func([]byte) ([]byte, error) { return []byte("new"), nil })
		f.refused(err, mysqlsession.ErrInvalidTTL, id("live"))
	}
	f.holds(id("live"), "value")
	f.equalTime(f.at(time.Minute), f.storedExpiry(id("live")))
}

// expiryByEach is a session's expiry as the store tells it.
func (f *fixture) expiryByEach(key string) time.Time {
	f.Helper()
	var found time.Time
	require.NoError(f, f.store.Each(f.Context(), cookie, func(visited string, _ []byte, expires time.Time) error {
		if visited == key {
			found = expires
		}
		return nil
	}))
	return found
}

func timeZones(f *fixture) {
	for _, zone := range []string{"", "+00:00", "-08:00", "+05:45", "+13:00"} {
		f.clock.Set(beginning())
		f.store = f.open(func(cfg *mysqlsession.Config) { cfg.TimeZone = zone })
		f.set(id("a"), "value", time.Minute, of("app", "alice"))
		f.equalTime(f.at(time.Minute), f.expiryByEach(id("a")))
		f.equalTime(f.at(time.Minute), f.metadata("app", "alice")[id("a")])
		f.clock.Advance(time.Minute)
		f.holds(id("a"), "value")
		f.clock.Advance(time.Second)
		f.gone(id("a"))
	}
	// The clock's own location means nothing.
	f.clock.Set(beginning().In(time.FixedZone("far east", 14*3600)))
	f.set(id("a"), "value", time.Minute)
	f.equalTime(beginning().Truncate(time.Second).Add(time.Minute), f.expiryByEach(id("a")))
}
