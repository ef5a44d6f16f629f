package mysqlsession_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/mysqlsession/mysqlsession"
	"github.com/mysqlsession/mysqlsession/internal/dbtest"
)

// A server would rather look through a whole small table than for many ids. DELETEs that did
// so waited for rows that they did not name: a session locked for long failed everybody's.
func TestWritesDoNotWaitForRowsThatTheyDoNotName(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		for _, size := range []struct{ named, rows int }{{2, 3}, {4, 10}, {8, 20}, {16, 20}, {50, 60}} {
			t.Run(fmt.Sprintf("%d of %d", size.named, size.rows), func(t *testing.T) {
				cfg := server.NewDatabase(t)
				createNewTables(t, cfg, nil)
				cfg.LockWaitTimeout = time.Second
				admin := server.AdminIn(t, cfg.Database)
				c := newCompany(t, cfg)
				key := func(i int) string { return fmt.Sprintf("key%03d", i) }
				named := func(do func(key string) call) []call {
					var calls []call
					for i := range size.named + 1 {
						if i != 1 {
							calls = append(calls, do(key(i)))
						}
					}
					return calls
				}
				fill := func() {
					execute(t, admin, "DELETE FROM sessions")
					for i := range size.rows {
						require.NoError(t, c.set(t, key(i), "old")())
					}
					for _, set := range named(func(key string) call { return c.set(t, key, "old", member("subject")) }) {
						require.NoError(t, set())
					}
					execute(t, admin, "ANALYZE TABLE sessions")
				}
				for name, do := range map[string]func(key string) call{
					"set":               func(key string) call { return c.set(t, key, "new") },
					"set with metadata": func(key string) call { return c.set(t, key, "new", member("another")) },
					"set what exists":   func(key string) call { return c.set(t, key, "new", must("", "")) },
					"set in place":      func(key string) call { return c.set(t, "new"+key, "new", must(key, "")) },
					"set after another": func(key string) call { return c.rotate(t, key, "new"+key, "new") },
					"touch":             func(key string) call { return c.touch(t, key, time.Hour) },
					"delete":            func(key string) call { return c.delete(t, key) },
				} {
					fill()
					lock := lockSession(t, admin, key(1))
					errorsOnlyOf(t, c.together(t, named(do)...), nil)
					assert.NotContains(t, strings.Join(c.batches(), ", "), "failed", name)
					require.NoError(t, lock.Rollback())
				}
				fill()
				lock := lockSession(t, admin, key(1))
				deleted, err := c.DeleteSubject(t.Context(), "name", "audience", "subject")
				assert.NoError(t, err)
				assert.EqualValues(t, size.named, deleted)
				require.NoError(t, lock.Rollback())
				fill()
				execute(t, admin, "UPDATE sessions SET exp = '2001-02-03' WHERE sid <> ?", key(1))
				lock = lockSession(t, admin, key(1))
				_, err = c.Cleanup(t.Context())
				assert.NoError(t, err)
				require.NoError(t, lock.Rollback())
				assert.Equal(t, 1, count(t, admin, "SELECT COUNT(*) FROM sessions"))
			})
		}
	})
}

func TestDeletesOfManySessionsWorkWhereverTheirTableIsAndWhateverItsPrimaryKey(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		cfg, other := server.NewDatabase(t), server.NewDatabase(t)
		admin := server.AdminIn(t, cfg.Database)
		execute(t, admin, `CREATE TABLE sessions (id BIGINT AUTO_INCREMENT PRIMARY KEY, sid VARBINARY(43) UNIQUE, name VARBINARY(255),
			data MEDIUMBLOB, exp DATETIME, INDEX (exp))`)
		execute(t, admin, "CREATE TABLE reversed (exp DATETIME, sid VARBINARY(43), name VARBINARY(255), data MEDIUMBLOB, PRIMARY KEY (exp, sid), UNIQUE INDEX (sid))")
		elsewhere := cfg
		elsewhere.TableName = other.Database + ".sessions"
		createNewTables(t, elsewhere, nil)
		reversed := cfg
		reversed.TableName = "reversed"
		late := server.NewDatabase(t)
		createNewTables(t, late, nil)
		for name, cfg := range map[string]mysqlsession.Config{"another primary key": cfg, "another database": elsewhere, "a longer primary key": reversed, "a key that is dropped": late} {
			t.Run(name, func(t *testing.T) {
				c := newCompany(t, cfg)
				if name == "a key that is dropped" {
					admin := server.AdminIn(t, cfg.Database)
					execute(t, admin, "DROP TABLE sessions_meta")
					execute(t, admin, "ALTER TABLE sessions ADD UNIQUE INDEX (sid), DROP PRIMARY KEY")
				}
				var calls []call
				for i := range 8 {
					require.NoError(t, c.set(t, fmt.Sprint("key", i), "value")())
					if i > 2 {
						calls = append(calls, c.delete(t, fmt.Sprint("key", i)))
					}
				}
				errorsOnlyOf(t, c.together(t, calls...), nil)
				deleted, err := c.DeleteAll(t.Context(), "name")
				if name == "a key that is dropped" {
					require.ErrorIs(t, err, mysqlsession.ErrSchema, "once")
					deleted, err = c.DeleteAll(t.Context(), "name")
				}
				require.NoError(t, err)
				require.EqualValues(t, 3, deleted)
			})
		}
	})
}

func TestABatchLocksItsSessionsInTheOrderOfTheirKeys(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		cfg := server.NewDatabase(t)
		createNewTables(t, cfg, nil)
		admin := server.AdminIn(t, cfg.Database)
		c := newCompany(t, cfg)
		tests := []struct {
			name, waits string
			do          func(key string) call
		}{
			{"set", "INSERT", func(key string) call { return c.set(t, key, "new") }},
			{"set with metadata", "INSERT", func(key string) call { return c.set(t, key, "new", member("subject")) }},
			{"set what exists", "UPDATE", func(key string) call { return c.set(t, key, "new", must("", "subject")) }},
			{"set in place of one", "UPDATE", func(key string) call { return c.set(t, "new"+key, "new", must(key, "subject")) }},
			{"set after another", "UPDATE", func(key string) call { return c.rotate(t, key, "new"+key, "new") }},
			{"touch", "UPDATE", func(key string) call { return c.touch(t, key, time.Hour) }},
			{"delete", "DELETE", func(key string) call { return c.delete(t, key) }},
		}
		for _, test := range tests {
			t.Run(test.name, func(t *testing.T) {
				for _, key := range []string{"a", "b", "c", "d"} {
					require.NoError(t, c.set(t, key, "old")())
				}
				connection := idleConnection(t, c.Pool())
				serve := c.queue(t, test.do("d"), test.do("b"), test.do("c"), test.do("a"))
				lock := lockSession(t, admin, "a")
				served := make(chan []error, 1)
				go func() { served <- serve() }()
				eventually(t, "the batch waits", func() bool { return count(t, admin, running, connection, test.waits) == 1 })
				for _, key := range []string{"b", "c", "d"} {
					var sid string
					err := admin.QueryRowContext(t.Context(), "SELECT sid FROM sessions WHERE sid = ? FOR UPDATE NOWAIT", key).Scan(&sid)
					assert.NoError(t, err, "it has locked nothing yet")
				}
				require.NoError(t, lock.Rollback())
				errorsOnlyOf(t, <-served, nil)
				require.Len(t, c.batches(), 1)
			})
		}
	})
}

func TestABatchWhoseLocksCrossAnothersIsRepeatedUntilItIsThrough(t *testing.T) {
	tests := map[string]struct {
		do    func(t *testing.T, c *company, key string) call
		waits string // the statement that waits for the opponent
		want  string
	}{
		"set":               {func(t *testing.T, c *company, key string) call { return c.set(t, key, "new") }, "INSERT INTO", "new"},
		"set with metadata": {func(t *testing.T, c *company, key string) call { return c.set(t, key, "new", member("subject")) }, "INSERT INTO", "new"},
		"set what exists":   {func(t *testing.T, c *company, key string) call { return c.set(t, key, "new", must("", "subject")) }, "UPDATE", "new"},
		"set in place of one": {func(t *testing.T, c *company, key string) call {
			return c.set(t, "new"+key, "new", must(key, "subject"))
		}, "UPDATE", ""},
		"set after another": {func(t *testing.T, c *company, key string) call { return c.rotate(t, key, "new"+key, "new") }, "UPDATE", ""},
		"touch":             {func(t *testing.T, c *company, key string) call { return c.touch(t, key, time.Hour) }, "UPDATE", "theirs"},
		"delete":            {func(t *testing.T, c *company, key string) call { return c.delete(t, key) }, "DELETE", ""},
	}
	keys := []string{"a", "b", "c", "d"}
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		cfg := server.NewDatabase(t)
		createNewTables(t, cfg, nil)
		admin := server.AdminIn(t, cfg.Database)
		execute(t, admin, ballast)
		c := newCompany(t, cfg)
		for name, test := range tests {
			t.Run(name, func(t *testing.T) {
				execute(t, admin, "DELETE FROM sessions")
				for _, key := range keys {
					require.NoError(t, c.set(t, key, "old")())
				}
				connection := idleConnection(t, c.Pool())
				var calls []call
				for _, key := range keys {
					calls = append(calls, test.do(t, c, key))
				}
				serve := c.queue(t, calls...)
				var errs []error
				require.NoError(t, deadlock(t, admin, connection, func() error { errs = serve(); return nil },
					"UPDATE sessions SET data = 'theirs' WHERE sid = 'c'", test.waits, "UPDATE sessions SET data = 'theirs' WHERE sid = 'a'"))
				errorsOnlyOf(t, errs, nil)
				require.Equal(t, []string{strings.Fields(name)[0] + " 4"}, c.batches(), "it was repeated as a whole")
				c.holds(t, "a", test.want)
				c.holds(t, "c", test.want)
				if name == "set in place of one" || name == "set after another" {
					c.holds(t, "newa", "new")
					c.holds(t, "newd", "new")
				}
				if strings.Contains(name, " ") {
					assert.Len(t, c.subjects(t, "subject"), len(keys))
				}
				require.Equal(t, int64(1), c.Pool().Stat().NewConnsCount, "the connection is kept")
			})
		}
	})
}
