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

// inspected runs body on new tables and on the document's own, with a clock that stands
// at now.
func inspected(t *testing.T, now time.Time, body func(t *testing.T, store *mysqlsession.Store, execute func(statement string, arguments ...any))) {
	t.Helper()
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		for _, test := range []struct {
			name   string
			create func(*testing.T, mysqlsession.Config, *sql.DB)
			mode   mysqlsession.StatementMode
		}{
			{"new tables", createNewTables, mysqlsession.StatementModePrepared},
			{"the document's tables", createDocumentTables, mysqlsession.StatementModePrepared},
			{"the document's tables, statements as text", createDocumentTables, mysqlsession.StatementModeText},
		} {
			t.Run(test.name, func(t *testing.T) {
				cfg := server.NewDatabase(t)
				cfg.Clock, cfg.StatementMode = func() time.Time { return now }, test.mode
				admin := server.AdminIn(t, cfg.Database)
				test.create(t, cfg, admin)
				body(t, openStore(t, cfg), func(statement string, arguments ...any) { execute(t, admin, statement, arguments...) })
			})
		}
	})
}

func TestInspectTellsAllButTheValueUnderAnyName(t *testing.T) {
	now := time.Unix(1_900_000_000, 0)
	inspected(t, now, func(t *testing.T, store *mysqlsession.Store, execute func(string, ...any)) {
		ctx := t.Context()
		belongs := []mysqlsession.Metadata{{Audience: "app", Subject: "alice"}, {Audience: "web", Subject: "Alice"}}
		require.NoError(t, store.Set(ctx, "cookie", "Key", []byte("twelve bytes"), time.Minute, &mysqlsession.SetOptions{Metadata: belongs}))
		require.NoError(t, store.Set(ctx, "other", "empty", nil, time.Hour, nil))
		execute("INSERT INTO sessions VALUES ('expired', 'cookie', 'x', FROM_UNIXTIME(?)), ('no-value', 'cookie', NULL, FROM_UNIXTIME(?)), "+
			"('no-expiry', 'cookie', 'x', NULL), ('no-name', NULL, 'x', FROM_UNIXTIME(?))", now.Unix()-1, now.Unix()+1, now.Unix()+1)

		for key, want := range map[string]mysqlsession.SessionInfo{
			"Key":       {Name: "cookie", Expires: now.Add(time.Minute), Live: true, Size: 12, Metadata: belongs},
			"empty":     {Name: "other", Expires: now.Add(time.Hour), Live: true},
			"expired":   {Name: "cookie", Expires: now.Add(-time.Second), Size: 1},
			"no-value":  {Name: "cookie", Expires: now.Add(time.Second)},
			"no-expiry": {Name: "cookie", Size: 1},
		} {
			want.StoredID = key
			info, err := store.Inspect(ctx, key)
			require.NoError(t, err, key)
			assert.Equal(t, want, info)
		}
		for _, key := range []string{"nobody", "no-name", "key", "KEY"} {
			_, err := store.Inspect(ctx, key)
			assert.ErrorIs(t, err, mysqlsession.ErrNotFound, key)
		}
		_, err := store.Inspect(ctx, "no id")
		require.ErrorIs(t, err, mysqlsession.ErrInvalidKey)
	})
}

func TestInspectWorksWithoutTheMetadataTableAndWithHashedKeys(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		cfg := server.NewDatabase(t)
		cfg.HashKeys = true
		admin := server.AdminIn(t, cfg.Database)
		createDocumentTables(t, cfg, admin)
		execute(t, admin, "DROP TABLE sessions_meta")
		store := openStore(t, cfg)
		require.NoError(t, store.Set(t.Context(), "name", "key", []byte("value"), time.Minute, nil))
		info, err := store.Inspect(t.Context(), "key")
		require.NoError(t, err)
		assert.Equal(t, storedHash([]byte("key")), info.StoredID)
		assert.Empty(t, info.Metadata)
		_, err = store.InspectSubject(t.Context(), "app", "alice")
		require.ErrorIs(t, err, mysqlsession.ErrSchema)

		other := openStore(t, cfg)
		require.NoError(t, other.Migrate(t.Context()))
		alice := []mysqlsession.Metadata{{Audience: "app", Subject: "alice"}}
		require.NoError(t, other.Set(t.Context(), "name", "key", []byte("value"), time.Minute, &mysqlsession.SetOptions{Metadata: alice}))
		info, err = store.Inspect(t.Context(), "key")
		require.NoError(t, err)
		assert.Equal(t, alice, info.Metadata, "the table that somebody has made meanwhile is found")
	})
}

func TestInspectSubjectTellsOfAllSessionsUnderAllNamesAndOfNobodyElses(t *testing.T) {
	now := time.Unix(1_900_000_000, 0)
	inspected(t, now, func(t *testing.T, store *mysqlsession.Store, execute func(string, ...any)) {
		const sessions = 1203 // three pages
		ctx := t.Context()
		var rows, metadata []string
		for i := range sessions {
			// In an old table upper and lower case are in another order than in a new one.
			key := fmt.Sprintf("%ckey%04d", "aB"[i%2], i)
			rows = append(rows, fmt.Sprintf("('%s', 'name%d', REPEAT('x', %d), FROM_UNIXTIME(%d))", key, i%2, i, now.Unix()-1+int64(i)))
			metadata = append(metadata, "('app', 'alice', '"+key+"')")
		}
		execute("INSERT INTO sessions VALUES " + strings.Join(rows, ", "))
		execute("INSERT INTO sessions_meta VALUES " + strings.Join(metadata, ", "))
		execute("INSERT INTO sessions VALUES ('another', 'name0', 'x', FROM_UNIXTIME(?))", now.Unix())
		execute("INSERT INTO sessions_meta VALUES ('app', 'bob', 'another'), ('App', 'Alice', 'another')")

		found, err := store.InspectSubject(ctx, "app", "alice")
		require.NoError(t, err)
		require.Len(t, found, sessions)
		byID := map[string]mysqlsession.SessionInfo{}
		for i, info := range found {
			if i > 0 {
				assert.Less(t, found[i-1].StoredID, info.StoredID)
			}
			byID[info.StoredID] = info
		}
		for i := range sessions {
			key := fmt.Sprintf("%ckey%04d", "aB"[i%2], i)
			assert.Equal(t, mysqlsession.SessionInfo{
				StoredID: key, Name: fmt.Sprint("name", i%2), Expires: now.Add(time.Duration(i-1) * time.Second), Live: i > 0, Size: int64(i),
			}, byID[key])
		}
		found, err = store.InspectSubject(ctx, "app", "nobody")
		require.NoError(t, err)
		assert.Empty(t, found)
		_, err = store.InspectSubject(ctx, strings.Repeat("x", 256), "alice")
		require.ErrorIs(t, err, mysqlsession.ErrInvalidName)
	})
}

func TestCountTellsLiveFromExpiredByNameInATableOfSeveralPages(t *testing.T) {
	now := time.Unix(1_900_000_000, 0)
	inspected(t, now, func(t *testing.T, store *mysqlsession.Store, execute func(string, ...any)) {
		ctx := t.Context()
		counts, err := store.Count(ctx)
		require.NoError(t, err)
		assert.Empty(t, counts)
		expired, err := store.CountExpired(ctx)
		require.NoError(t, err)
		assert.Zero(t, expired)

		// 24,000 rows under ids in mixed case: names that differ in case only, every third
		// session expired.
		const digits = "(SELECT 0 n UNION ALL SELECT 1 UNION ALL SELECT 2 UNION ALL SELECT 3 UNION ALL SELECT 4 UNION ALL SELECT 5 " +
			"UNION ALL SELECT 6 UNION ALL SELECT 7 UNION ALL SELECT 8 UNION ALL SELECT 9)"
		execute("INSERT INTO sessions SELECT CONCAT(IF(n % 2, 'K', 'k'), n), IF(n % 4 = 0, 'Cookie', 'cookie'), 'x', FROM_UNIXTIME(? + IF(n % 3, 0, -1)) FROM "+
			"(SELECT a.n + 10 * b.n + 100 * c.n + 1000 * d.n + 10000 * e.n n FROM "+digits+" a, "+digits+" b, "+digits+" c, "+digits+" d, "+digits+" e) numbers WHERE n < 24000", now.Unix())
		execute("INSERT INTO sessions VALUES ('no-expiry', 'cookie', 'x', NULL), ('no-name', NULL, 'x', FROM_UNIXTIME(?)), "+
			"('no-value', 'cookie', NULL, FROM_UNIXTIME(?)), ('no-name-expired', NULL, 'x', FROM_UNIXTIME(?)), ('unnamed', '', 'x', FROM_UNIXTIME(?))",
			now.Unix(), now.Unix(), now.Unix()-1, now.Unix())

		counts, err = store.Count(ctx)
		require.NoError(t, err)
		assert.Equal(t, []mysqlsession.NameCount{
			{Name: "", Live: 1}, {Name: "Cookie", Live: 4000, Expired: 2000}, {Name: "cookie", Live: 12000, Expired: 6001},
		}, counts)
		expired, err = store.CountExpired(ctx)
		require.NoError(t, err)
		assert.EqualValues(t, 8002, expired)
		removed, err := store.Cleanup(ctx)
		require.NoError(t, err)
		assert.Equal(t, expired, removed)
	})
}

func TestInspectingAStoreThatIsClosedIsAnError(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		store := openStore(t, server.NewDatabase(t))
		require.NoError(t, store.Close())
		for operation, call := range map[string]func() error{
			"Inspect":        func() error { _, err := store.Inspect(t.Context(), "key"); return err },
			"InspectSubject": func() error { _, err := store.InspectSubject(t.Context(), "app", "alice"); return err },
			"Count":          func() error { _, err := store.Count(t.Context()); return err },
			"CountExpired":   func() error { _, err := store.CountExpired(t.Context()); return err },
		} {
			assert.ErrorIs(t, call(), mysqlsession.ErrClosed, operation)
		}
	})
}
