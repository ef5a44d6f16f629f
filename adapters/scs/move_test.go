package scsstore_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/alexedwards/scs/mysqlstore"
	"github.com/alexedwards/scs/v2"
	"github.com/stretchr/testify/require"

	scsstore "github.com/mysqlsession/mysqlsession/adapters/scs"
	"github.com/mysqlsession/mysqlsession/internal/dbtest"
	"github.com/mysqlsession/mysqlsession/internal/pagetest"
)

// mysqlstoreTable is the table of scs/mysqlstore, as its README has it.
const mysqlstoreTable = "CREATE TABLE sessions (token CHAR(43) PRIMARY KEY, data BLOB NOT NULL, expiry TIMESTAMP(6) NOT NULL);" +
	"CREATE INDEX sessions_expiry_idx ON sessions (expiry)"

// move is one way of moving sessions: which of the README's statements, and what is
// configured.
type move struct {
	name       string
	server     string // its time zone
	statement  int
	timeZone   string // Config's
	hashTokens bool   // scs's
	hashKeys   bool   // Config's
}

// odd is a time zone in which an hour or a sign that is wrong would show.
const odd = "+05:45"

func TestTheReadmesStatementsMoveTheSessionsOfMysqlstore(t *testing.T) {
	for _, m := range []move{
		{name: "as they are", server: odd},
		{name: "on a server with the system's time zone", server: "SYSTEM"},
		{name: "to a store with a time zone", server: odd, timeZone: "+00:00"},
		{name: "to a store with another time zone", server: odd, timeZone: "-09:30"},
		{name: "of a manager that hashes", server: odd, hashTokens: true},
		{name: "to a store that hashes", server: odd, statement: 1, hashKeys: true},
	} {
		t.Run(m.name, func(t *testing.T) {
			dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
				server.SetGlobal(t, "time_zone", m.server)
				m.try(t, server)
			})
		})
	}
}

func (m move) try(t *testing.T, server dbtest.Server) {
	cfg := server.NewDatabase(t)
	admin := server.AdminIn(t, cfg.Database)
	_, err := admin.Exec(mysqlstoreTable)
	require.NoError(t, err)
	old := newManager(mysqlstore.NewWithCleanupInterval(admin, 0))
	old.HashTokenInStore = m.hashTokens
	tokens := make([]string, 20)
	for i := range tokens {
		tokens[i] = saved(t, old, "user", fmt.Sprint("user ", i))
	}
	old.Lifetime = -time.Second
	expired := saved(t, old, "user", "nobody")

	cfg.TableName, cfg.TimeZone, cfg.HashKeys = "web_sessions", m.timeZone, m.hashKeys
	ahead := clockAhead(&cfg)
	store := open(t, cfg)
	statement := pagetest.Blocks(t, "README.md", "sql")[m.statement].Text
	if m.timeZone != "" {
		statement = strings.ReplaceAll(statement, "@@time_zone", "'"+m.timeZone+"'")
	}
	_, err = admin.Exec(statement)
	require.NoError(t, err)

	manager := newManager(scsstore.New(store))
	manager.HashTokenInStore = m.hashTokens
	for i, token := range tokens {
		ctx := load(t, manager, token)
		require.Equal(t, fmt.Sprint("user ", i), manager.GetString(ctx, "user"))
		manager.Put(ctx, "moved", true)
	}
	require.Empty(t, manager.Keys(load(t, manager, expired)))
	all, err := manager.Store.(scs.IterableStore).All()
	require.NoError(t, err)
	require.Len(t, all, len(tokens))

	// They end when they would have ended.
	ahead.Store(int64(24*time.Hour - time.Minute))
	require.NotEmpty(t, manager.Keys(load(t, manager, tokens[0])))
	ahead.Store(int64(24*time.Hour + 2*time.Second))
	require.Empty(t, manager.Keys(load(t, manager, tokens[0])))
}
