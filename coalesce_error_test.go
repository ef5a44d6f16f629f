package mysqlsession_test

import (
	"database/sql"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/mysqlsession/mysqlsession"
	"github.com/mysqlsession/mysqlsession/internal/dbtest"
)

func TestInABatchAValueThatATextColumnWouldDamageIsRefusedAlone(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		cfg := server.NewDatabase(t)
		createDocumentTables(t, cfg, server.AdminIn(t, cfg.Database))
		c := newCompany(t, cfg)
		for name, opts := range map[string]*mysqlsession.SetOptions{"sets": {}, "transactions": member("subject")} {
			t.Run(name, func(t *testing.T) {
				var calls []call
				for i := range 8 {
					calls = append(calls, c.set(t, fmt.Sprint("key", i), fmt.Sprint("value ", i), opts))
				}
				calls[2] = c.set(t, "key2", "caf\xc3\xa9", opts)
				calls[5] = func() error { return c.Set(t.Context(), "n\xe4me", "key5", nil, time.Minute, opts) }
				errs := c.together(t, calls...)
				require.Equal(t, []string{"set 8"}, c.batches(), "the others stay together")
				errorsOnlyOf(t, errs, mysqlsession.ErrTextColumn, 2, 5)
				for i := range 8 {
					value := fmt.Sprint("value ", i)
					if i == 2 || i == 5 {
						value = ""
					}
					c.holds(t, fmt.Sprint("key", i), value)
				}
				var subjects *mysqlsession.SetOptions
				if opts.Metadata != nil {
					subjects = member("\xff")
					errs = c.together(t, c.set(t, "a", "value", subjects), c.set(t, "b", "value", opts))
					errorsOnlyOf(t, errs, mysqlsession.ErrTextColumn, 0)
				}
			})
		}
	})
}

func TestInABatchAnExpiryPastTheServersCalendarIsRefusedAlone(t *testing.T) {
	const forever = 290 * 365 * 24 * time.Hour
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		cfg := server.NewDatabase(t)
		createNewTables(t, cfg, nil)
		cfg.Clock = func() time.Time { return time.Date(2990, time.May, 6, 7, 8, 9, 0, time.UTC) }
		if server.MariaDB() {
			cfg.Clock = func() time.Time { return time.Date(2031, time.May, 6, 7, 8, 9, 0, time.UTC) }
		}
		c := newCompany(t, cfg)
		tests := map[string]func(key string, ttl time.Duration) error{
			"set": func(key string, ttl time.Duration) error {
				return c.Set(t.Context(), "name", key, nil, ttl, nil)
			},
			"set with metadata": func(key string, ttl time.Duration) error {
				return c.Set(t.Context(), "name", key, nil, ttl, member("subject"))
			},
			"touch": func(key string, ttl time.Duration) error {
				return c.Touch(t.Context(), "name", key, ttl)
			},
		}
		for _, key := range []string{"a", "b", "c", "d"} {
			require.NoError(t, c.set(t, key, "")())
		}
		for name, do := range tests {
			errs := c.together(t, func() error { return do("a", forever) }, func() error { return do("b", time.Minute) },
				func() error { return do("c", forever) }, func() error { return do("d", time.Minute) })
			require.Equal(t, []string{strings.Fields(name)[0] + " 4"}, c.batches(), name)
			errorsOnlyOf(t, errs, mysqlsession.ErrInvalidTTL, 0, 2)
			errs = c.together(t, func() error { return do("a", forever) }, func() error { return do("b", forever) })
			errorsOnlyOf(t, errs, mysqlsession.ErrInvalidTTL, 0, 1)
		}
	})
}

// refusals make the server refuse the row whose key is "bad", each in another way.
func refusals(t *testing.T, admin *sql.DB) map[string]func() (undo string) {
	trigger := func(event, row string) func() string {
		return func() string {
			execute(t, admin, "CREATE TRIGGER refuse BEFORE "+event+" ON sessions FOR EACH ROW IF "+row+
				".sid = 'bad' THEN SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'no'; END IF")
			return "DROP TRIGGER refuse"
		}
	}
	return map[string]func() string{
		"insert": trigger("INSERT", "NEW"),
		"update": trigger("UPDATE", "NEW"),
		"delete": trigger("DELETE", "OLD"),
		"check": func() string {
			execute(t, admin, "ALTER TABLE sessions ADD CONSTRAINT refuse CHECK (sid <> 'bad' OR data <> 'new')")
			return "ALTER TABLE sessions DROP CONSTRAINT refuse"
		},
	}
}

func TestInABatchARowThatTheServerRefusesFailsAlone(t *testing.T) {
	tests := []struct {
		name, refusal string
		do            func(t *testing.T, c *company, key string) call
		left          string // of "bad"
	}{
		{"set", "insert", func(t *testing.T, c *company, key string) call { return c.set(t, key, "new") }, "old"},
		{"set", "check", func(t *testing.T, c *company, key string) call { return c.set(t, key, "new") }, "old"},
		{"set with metadata", "insert", func(t *testing.T, c *company, key string) call { return c.set(t, key, "new", member("subject")) }, "old"},
		{"set with metadata", "check", func(t *testing.T, c *company, key string) call { return c.set(t, key, "new", member("subject")) }, "old"},
		{"set what exists", "update", func(t *testing.T, c *company, key string) call { return c.set(t, key, "new", must("", "subject")) }, "old"},
		{"set in place of another", "update", func(t *testing.T, c *company, key string) call {
			return c.set(t, "new"+key, "new", must(key, "subject"))
		}, "old"},
		{"set after another", "update", func(t *testing.T, c *company, key string) call { return c.rotate(t, key, "new"+key, "new") }, "old"},
		{"touch", "update", func(t *testing.T, c *company, key string) call { return c.touch(t, key, time.Hour) }, "old"},
		{"delete", "delete", func(t *testing.T, c *company, key string) call { return c.delete(t, key) }, "old"},
	}
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		cfg := server.NewDatabase(t)
		createNewTables(t, cfg, nil)
		admin := server.AdminIn(t, cfg.Database)
		c := newCompany(t, cfg)
		keys := []string{"d", "bad", "a", "z"}
		for _, test := range tests {
			t.Run(test.name+"/"+test.refusal, func(t *testing.T) {
				execute(t, admin, "DELETE FROM sessions")
				for _, key := range keys {
					require.NoError(t, c.set(t, key, "old")())
				}
				undo := refusals(t, admin)[test.refusal]()
				defer execute(t, admin, undo)
				var calls []call
				for _, key := range keys {
					calls = append(calls, test.do(t, c, key))
				}
				errs := c.together(t, calls...)
				require.Equal(t, []string{strings.Fields(test.name)[0] + " 4 failed"}, c.batches())
				var refused *mysqlsession.ServerError
				require.ErrorAs(t, errs[1], &refused)
				require.False(t, mysqlsession.OutcomeUnknown(errs[1]))
				errs[1] = nil
				errorsOnlyOf(t, errs, nil)
				c.holds(t, "bad", test.left)
				if test.name == "set in place of another" || test.name == "set after another" {
					c.holds(t, "newbad", "")
				}
				if strings.Contains(test.name, " ") {
					assert.Len(t, c.subjects(t, "subject"), 3, "the metadata of the others")
				}
				require.Equal(t, int64(1), c.Pool().Stat().NewConnsCount, "the connection is kept")
			})
		}
	})
}

func TestInABatchCallsThatNeedNoMetadataAreServedWithoutItsTable(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		for _, late := range []bool{false, true} {
			cfg := server.NewDatabase(t)
			createNewTables(t, cfg, nil)
			admin := server.AdminIn(t, cfg.Database)
			var c *company
			if late { // it goes missing behind the store's back
				c = newCompany(t, cfg)
				require.NoError(t, c.set(t, "a", "value", member("subject"))())
			}
			execute(t, admin, "DROP TABLE sessions_meta")
			if !late {
				c = newCompany(t, cfg)
			}
			require.NoError(t, c.set(t, "old", "value")())
			errs := c.together(t, c.set(t, "a", "1", member("subject")), c.set(t, "b", "2", &mysqlsession.SetOptions{OldKey: "old"}),
				c.set(t, "c", "3", member("subject")), c.set(t, "old", "4", must("", "")))
			errorsOnlyOf(t, errs[:3], mysqlsession.ErrSchema, 0, 2)
			require.ErrorIs(t, errs[3], mysqlsession.ErrNotFound, "it has been replaced")
			require.ErrorContains(t, errs[0], "Migrate")
			c.holds(t, "b", "2")
			c.holds(t, "c", "")
			c.holds(t, "old", "")
			require.NoError(t, c.Migrate(t.Context()))
			errs = c.together(t, c.set(t, "a", "1", member("subject")), c.set(t, "c", "3", member("subject")))
			errorsOnlyOf(t, errs, nil)
			require.Equal(t, []string{"set 2"}, c.batches())
		}
	})
}
