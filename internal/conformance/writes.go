package conformance

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/mysqlsession/mysqlsession"
)

func updateTests() []test {
	return []test{
		{"an update replaces the value by what is made of it, and moves the expiry", func(f *fixture) {
			f.set(id("a"), "one", time.Minute, of("app", "alice"))
			require.NoError(f, f.store.Update(f.Context(), cookie, id("a"), time.Hour, func(old []byte) ([]byte, error) {
				assert.Equal(f, "one", string(old))
				return []byte("two"), nil
			}))
			f.holds(id("a"), "two")
			f.equalTime(f.at(time.Hour), f.storedExpiry(id("a")))
			assert.Len(f, f.metadata("app", "alice"), 1)
		}},
		{"an update that changes nothing moves the expiry", func(f *fixture) {
			f.set(id("a"), "same", time.Minute)
			same := func(old []byte) ([]byte, error) { return old, nil }
			require.NoError(f, f.store.Update(f.Context(), cookie, id("a"), time.Hour, same))
			require.NoError(f, f.store.Update(f.Context(), cookie, id("a"), time.Hour, same))
			f.holds(id("a"), "same")
			f.equalTime(f.at(time.Hour), f.storedExpiry(id("a")))
		}},
		{"an update may change the bytes that it was given", func(f *fixture) {
			f.set(id("a"), "aaaa", time.Minute)
			require.NoError(f, f.store.Update(f.Context(), cookie, id("a"), time.Minute, func(old []byte) ([]byte, error) {
				copy(old, "bbbb")
				return old, nil
			}))
			f.holds(id("a"), "bbbb")
		}},
		{"an update to and from the empty value works", func(f *fixture) {
			f.set(id("a"), "", time.Minute)
			for _, next := range []string{"full", "", ""} {
				require.NoError(f, f.store.Update(f.Context(), cookie, id("a"), time.Minute, func([]byte) ([]byte, error) {
					return []byte(next), nil
				}))
				f.holds(id("a"), next)
			}
		}},
		{"updating what is not there is not found", func(f *fixture) {
			err := f.store.Update(f.Context(), cookie, id("a"), time.Minute, func(old []byte) ([]byte, error) {
				assert.Fail(f, "nothing was offered for change")
				return old, nil
			})
			f.refused(err, mysqlsession.ErrNotFound, id("a"))
			assert.Zero(f, f.sessions())
		}},
		{"an update's own error is passed on and nothing is stored", func(f *fixture) {
			f.set(id("a"), "value", time.Minute)
			own := errors.New("no change wanted")
			err := f.store.Update(f.Context(), cookie, id("a"), time.Hour, func([]byte) ([]byte, error) { return nil, own })
			assert.ErrorIs(f, err, own)
			f.holds(id("a"), "value")
			f.equalTime(f.at(time.Minute), f.storedExpiry(id("a")))
		}},
		{"an update that a writer overtakes is made anew on what that one wrote", func(f *fixture) {
			f.set(id("a"), "base", time.Minute)
			calls := 0
			require.NoError(f, f.store.Update(f.Context(), cookie, id("a"), time.Minute, func(old []byte) ([]byte, error) {
				calls++
				if calls == 1 {
					f.set(id("a"), "overtaken", time.Minute)
				}
				return []byte(string(old) + "+change"), nil
			}))
			assert.Equal(f, 2, calls)
			f.holds(id("a"), "overtaken+change")
		}},
		{"an update does not bring back a session that is revoked meanwhile", func(f *fixture) {
			f.set(id("a"), "value", time.Minute)
			err := f.store.Update(f.Context(), cookie, id("a"), time.Minute, func([]byte) ([]byte, error) {
				return []byte("late"), f.store.Delete(f.Context(), cookie, id("a"))
			})
			f.refused(err, mysqlsession.ErrNotFound, id("a"))
			assert.Zero(f, f.sessions())
		}},
		{"concurrent updates lose nothing", concurrentUpdates},
	}
}

func concurrentUpdates(f *fixture) {
	const callers, increments = 6, 5
	f.set(id("counter"), "0", time.Hour)
	failures := make(chan error, callers)
	increment := func(old []byte) ([]byte, error) {
		n, err := strconv.Atoi(string(old))
		return []byte(strconv.Itoa(n + 1)), err
	}
	for range callers {
		go func() {
			for done := 0; done < increments; {
				err := f.store.Update(f.Context(), cookie, id("counter"), time.Hour, increment)
				switch {
				case err == nil:
					done++
				case !errors.Is(err, mysqlsession.ErrConflict): // which says to try again
					failures <- err
					return
				}
			}
			failures <- nil
		}()
	}
	for range callers {
		require.NoError(f, <-failures)
	}
	f.holds(id("counter"), strconv.Itoa(callers*increments))
}

func cleanupTests() []test {
	cleanup := func(f *fixture) int64 {
		removed, err := f.store.Cleanup(f.Context())
		require.NoError(f, err)
		return removed
	}
	return []test{
		{"the clean-up removes what has expired, of every name, metadata included", func(f *fixture) {
			f.set(id("dead"), "value", time.Second, of("app", "alice", "app", "admins"))
			f.set(id("last second"), "value", 10*time.Second)
			f.set(id("live"), "value", time.Minute, of("app", "alice"))
			require.NoError(f, f.store.Set(f.Context(), "other", id("theirs"), []byte("value"), time.Second, nil))
			f.clock.Advance(10 * time.Second)
			assert.EqualValues(f, 2, cleanup(f))
			assert.Equal(f, 2, f.sessions())
			f.holds(id("last second"), "value")
			f.holds(id("live"), "value")
			assert.Equal(f, 1, f.count("SELECT COUNT(*) FROM sessions_meta"))
			assert.Zero(f, cleanup(f))
		}},
		{"the clean-up goes on until nothing is left", func(f *fixture) {
			f.store = f.open(func(cfg *mysqlsession.Config) { cfg.CleanupBatchSize = 10 })
			f.many(95)
			f.clock.Set(time.Date(2037, 6, 1, 0, 0, 0, 0, time.UTC))
			f.set(id("live"), "value", time.Minute)
			assert.EqualValues(f, 95, cleanup(f))
			assert.Equal(f, 1, f.sessions())
		}},
		{"the clean-up removes rows without an expiry, and rows without a value when they expire", func(f *fixture) {
			if !f.subject.Text {
				return // their columns hold no NULL
			}
			f.nulls = true
			f.exec("INSERT INTO sessions (sid, name, data, exp) VALUES (?, ?, NULL, FROM_UNIXTIME(?)), (?, ?, 'value', NULL)",
				id("data"), cookie, f.clock.Now().Unix()+10, id("exp"), cookie)
			f.set(id("live"), "value", time.Minute)
			cleanup(f)
			assert.Equal(f, 2, f.sessions())
			f.clock.Advance(11 * time.Second)
			cleanup(f)
			assert.Equal(f, 1, f.sessions())
		}},
		{"clean-ups of several stores at once are no error", func(f *fixture) {
			f.many(500)
			f.clock.Set(time.Date(2037, 6, 1, 0, 0, 0, 0, time.UTC))
			stores := []*mysqlsession.Store{f.store}
			for range 2 {
				stores = append(stores, f.open(func(cfg *mysqlsession.Config) { cfg.CleanupBatchSize = 20 }))
			}
			failures := make(chan error, len(stores))
			for _, store := range stores {
				go func() {
					_, err := store.Cleanup(f.Context())
					failures <- err
				}()
			}
			for range stores {
				require.NoError(f, <-failures)
			}
			assert.Zero(f, f.sessions())
		}},
	}
}

func transactionTests() []test {
	return []test{
		{"a set whose metadata fail stores nothing", func(f *fixture) {
			f.trigger("refuse_metadata", "BEFORE INSERT ON sessions_meta", "NEW.sub = 'refused'")
			f.set(id("old"), "before", time.Hour)
			options := of("app", "alice", "app", "refused")
			options.OldKey, options.StaleTTL = id("old"), time.Second
			f.serverRefuses(f.trySet(id("new"), "after", time.Hour, options), id("new"))
			f.gone(id("new"))
			f.holds(id("old"), "before")
			f.equalTime(f.at(time.Hour), f.storedExpiry(id("old")))
			assert.Zero(f, f.count("SELECT COUNT(*) FROM sessions_meta"))

			f.set(id("new"), "after", time.Hour, of("app", "alice"))
			f.holds(id("new"), "after")
		}},
		{"a set whose session fails stores no metadata and leaves the old id alone", func(f *fixture) {
			f.trigger("refuse_session", "BEFORE INSERT ON sessions", "NEW.data = 'refused'")
			f.set(id("old"), "before", time.Hour)
			options := of("app", "alice")
			options.OldKey, options.StaleTTL = id("old"), time.Second
			f.serverRefuses(f.trySet(id("new"), "refused", time.Hour, options), id("new"))
			f.gone(id("new"))
			f.equalTime(f.at(time.Hour), f.storedExpiry(id("old")))
			assert.Zero(f, f.count("SELECT COUNT(*) FROM sessions_meta"))
		}},
		{"a set whose old id cannot be ended stores nothing", func(f *fixture) {
			f.set(id("old"), "before", time.Hour)
			f.trigger("refuse_update", "BEFORE UPDATE ON sessions", "OLD.data = 'before'")
			options := of("app", "alice")
			options.OldKey, options.StaleTTL = id("old"), time.Second
			f.serverRefuses(f.trySet(id("new"), "after", time.Hour, options), id("new"))
			f.gone(id("new"))
			f.holds(id("old"), "before")
			assert.Zero(f, f.count("SELECT COUNT(*) FROM sessions_meta"))
		}},
		{"a set that cannot evict stores nothing", func(f *fixture) {
			f.set(id("old"), "kept", time.Hour, of("app", "alice"))
			f.set(id("older"), "value", time.Minute, of("app", "alice"))
			f.trigger("refuse_delete", "BEFORE DELETE ON sessions", "OLD.data = 'kept'")
			f.serverRefuses(f.trySet(id("new"), "after", time.Hour, limited(1, "app", "alice")), id("new"))
			f.listed("app", "alice", id("old"), id("older"))
			assert.Equal(f, 2, f.sessions())
		}},
	}
}

// trigger makes the server refuse a write for as long as the test runs.
func (f *fixture) trigger(name, event, condition string) {
	f.Helper()
	f.exec(fmt.Sprintf(`CREATE TRIGGER %s %s FOR EACH ROW
		IF %s THEN SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'refused by a test'; END IF`, name, event, condition))
	f.Cleanup(func() { f.exec("DROP TRIGGER " + name) })
}

// serverRefuses asserts that err is the server's own refusal.
func (f *fixture) serverRefuses(err error, key string) {
	f.Helper()
	var refusal *mysqlsession.ServerError
	require.ErrorAs(f, err, &refusal)
	assert.EqualValues(f, 1644, refusal.Code)
	assert.NotContains(f, err.Error(), key)
	assert.False(f, mysqlsession.OutcomeUnknown(err))
}

func contextTests() []test {
	operations := append(keyedOperations(), wholeOperations()...)
	return []test{
		{"every operation returns the error of a context that has ended", func(f *fixture) {
			f.set(id("a"), "value", time.Minute)
			ctx, cancel := context.WithCancel(f.Context())
			cancel()
			_, err := f.store.Get(ctx, cookie, id("a"))
			assert.ErrorIs(f, err, context.Canceled)
			assert.ErrorIs(f, f.store.Set(ctx, cookie, id("a"), []byte("new"), time.Minute, nil), context.Canceled)
			assert.ErrorIs(f, f.store.Delete(ctx, cookie, id("a")), context.Canceled)
			assert.ErrorIs(f, f.store.Touch(ctx, cookie, id("a"), time.Hour), context.Canceled)
			assert.ErrorIs(f, f.store.Update(ctx, cookie, id("a"), time.Hour, func(old []byte) ([]byte, error) {
				return append(old, '!'), nil
			}), context.Canceled)
			_, err = f.store.Cleanup(ctx)
			assert.ErrorIs(f, err, context.Canceled)
			f.holds(id("a"), "value")
			f.equalTime(f.at(time.Minute), f.storedExpiry(id("a")))
		}},
		{"every operation of a closed store says so, and closing again is no error", func(f *fixture) {
			f.set(id("a"), "value", time.Minute)
			require.NoError(f, f.store.Close())
			for _, operation := range operations {
				assert.ErrorIs(f, operation.call(f, cookie, id("a")), mysqlsession.ErrClosed, operation.name)
			}
			require.NoError(f, f.store.Close())
		}},
		{"stores that share a pool do not close it", func(f *fixture) {
			shared, err := mysqlsession.NewStore(f.store.Pool(), f.subject.Config)
			require.NoError(f, err)
			assert.Same(f, f.store.Pool(), shared.Pool())
			require.NoError(f, shared.Set(f.Context(), cookie, id("a"), []byte("value"), time.Hour, nil))
			require.NoError(f, shared.Close())
			require.NoError(f, f.store.Delete(f.Context(), cookie, id("a")))
		}},
	}
}

func interoperabilityTests() []test {
	return []test{
		{"what lua-resty-session writes is read here", func(f *fixture) {
			now := f.clock.Now().Unix()
			f.gatewaySet(id("a"), `{"data":"value"}`, now+60)
			f.gatewayMetadata(id("a"), "YXBw", "YWxpY2U")
			f.holds(id("a"), `{"data":"value"}`)
			f.equalTime(f.at(time.Minute), f.metadata("YXBw", "YWxpY2U")[id("a")])
			f.clock.Advance(61 * time.Second)
			f.gone(id("a"))
		}},
		{"what is written here is read by lua-resty-session", func(f *fixture) {
			f.set(id("a"), `{"data":"value"}`, time.Minute, of("YXBw", "YWxpY2U"))
			now := f.clock.Now().Unix()
			assert.Equal(f, []string{`{"data":"value"}`}, f.gatewayGet(id("a"), now))
			assert.Equal(f, []string{`{"data":"value"}`}, f.gatewayGet(id("a"), now+60))
			assert.Empty(f, f.gatewayGet(id("a"), now+61))
			assert.Equal(f, []string{id("a")}, f.strings(fmt.Sprintf(
				"SELECT sid, exp FROM sessions_meta JOIN sessions USING (sid) WHERE aud = 'YXBw' AND sub = 'YWxpY2U' AND exp >= FROM_UNIXTIME(%d)", now)))
		}},
		{"either side goes on with the other's session", func(f *fixture) {
			now := f.clock.Now().Unix()
			f.gatewaySet(id("a"), "theirs", now+60)
			f.set(id("a"), "ours", time.Minute)
			assert.Equal(f, []string{"ours"}, f.gatewayGet(id("a"), now))
			f.gatewaySet(id("a"), "theirs again", now+60)
			f.holds(id("a"), "theirs again")

			// Its rotation shortens a life of ours, and ours one of its.
			f.exec(fmt.Sprintf("UPDATE sessions SET exp = FROM_UNIXTIME(%d) WHERE sid = '%s' AND exp > FROM_UNIXTIME(%d)", now+5, id("a"), now+5))
			f.equalTime(f.at(5*time.Second), f.storedExpiry(id("a")))
			f.gatewaySet(id("b"), "theirs", now+60)
			f.set(id("c"), "ours", time.Minute, replacing(id("b"), 5*time.Second))
			assert.Equal(f, []string{"theirs"}, f.gatewayGet(id("b"), now+5))
			assert.Empty(f, f.gatewayGet(id("b"), now+6))

			f.exec(fmt.Sprintf("DELETE FROM sessions WHERE sid = '%s'", id("c")))
			f.gone(id("c"))
		}},
	}
}

// gatewaySet stores a session by the statement that lua-resty-session sends. Its row
// alias is a syntax error on MariaDB, where the older form stands for it.
func (f *fixture) gatewaySet(key, value string, expires int64) {
	f.Helper()
	upsert := " AS new ON DUPLICATE KEY UPDATE data = new.data"
	if f.subject.MariaDB {
		upsert = " ON DUPLICATE KEY UPDATE data = VALUES(data)"
	}
	f.exec(fmt.Sprintf("INSERT INTO sessions (sid, name, data, exp) VALUES ('%s', '%s', '%s', FROM_UNIXTIME(%d))%s",
		key, cookie, value, expires, upsert))
}

func (f *fixture) gatewayMetadata(key string, audience, subject string) {
	f.Helper()
	f.exec(fmt.Sprintf("INSERT INTO sessions_meta (aud, sub, sid) VALUES ('%s', '%s', '%s') ON DUPLICATE KEY UPDATE sid = sid",
		audience, subject, key))
}

func (f *fixture) gatewayGet(key string, now int64) []string {
	f.Helper()
	return f.strings(fmt.Sprintf("SELECT data FROM sessions WHERE sid = '%s' AND exp >= FROM_UNIXTIME(%d)", key, now))
}

// strings is the first column of a query's rows.
func (f *fixture) strings(query string) []string {
	f.Helper()
	rows, err := f.subject.Admin.QueryContext(f.Context(), query)
	require.NoError(f, err)
	defer func() { require.NoError(f, rows.Close()) }()
	columns, err := rows.Columns()
	require.NoError(f, err)
	var found []string
	for rows.Next() {
		values := make([]any, len(columns))
		var first string
		values[0] = &first
		for i := range values[1:] {
			values[i+1] = new([]byte)
		}
		require.NoError(f, rows.Scan(values...))
		found = append(found, strings.Clone(first))
	}
	require.NoError(f, rows.Err())
	return found
}
