package mysqlsession_test

import (
	"database/sql"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/mysqlsession/mysqlsession"
	"github.com/mysqlsession/mysqlsession/internal/conformance"
	"github.com/mysqlsession/mysqlsession/internal/dbtest"
)

func TestStoreKeepsItsContract(t *testing.T) {
	tables := []struct {
		name   string
		create func(t *testing.T, cfg mysqlsession.Config, admin *sql.DB)
		text   bool
	}{
		{"new tables", createNewTables, false},
		{"the document's tables", createDocumentTables, true},
	}
	modes := []mysqlsession.StatementMode{mysqlsession.StatementModePrepared, mysqlsession.StatementModeText}
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		for _, table := range tables {
			cfg := server.NewDatabase(t)
			admin := server.AdminIn(t, cfg.Database)
			table.create(t, cfg, admin)
			for _, transport := range server.Transports() {
				for _, mode := range modes {
					subject := conformance.Subject{
						Config:  transport.Over(cfg),
						Admin:   admin,
						MariaDB: server.MariaDB(),
						Text:    table.text,
					}
					subject.Config.StatementMode = mode
					t.Run(strings.Join([]string{table.name, transport.Name, string(mode)}, "/"), func(t *testing.T) {
						conformance.Run(t, subject)
					})
				}
			}
		}
	})
}

// Calls do the same whether they have a connection to themselves or are served with others.
func TestStoreKeepsItsContractWithAndWithoutCompany(t *testing.T) {
	changes := map[string]func(s *conformance.Subject){
		"coalescing off": func(s *conformance.Subject) { s.Config.Coalesce = mysqlsession.CoalesceOff },
		"one lane for many callers": func(s *conformance.Subject) {
			s.Config.CoalesceMaxLanes, s.Company = 1, true
		},
	}
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		for name, create := range map[string]func(*testing.T, mysqlsession.Config, *sql.DB){"new tables": createNewTables, "the document's tables": createDocumentTables} {
			cfg := server.NewDatabase(t)
			admin := server.AdminIn(t, cfg.Database)
			create(t, cfg, admin)
			for change, apply := range changes {
				subject := conformance.Subject{Config: cfg, Admin: admin, MariaDB: server.MariaDB()}
				subject.Text = count(t, admin, textColumns) > 0
				apply(&subject)
				t.Run(name+"/"+change, func(t *testing.T) { conformance.Run(t, subject) })
			}
		}
	})
}

func createNewTables(t *testing.T, cfg mysqlsession.Config, _ *sql.DB) {
	t.Helper()
	require.NoError(t, openStore(t, cfg).Migrate(t.Context()))
}

func createDocumentTables(t *testing.T, _ mysqlsession.Config, admin *sql.DB) {
	t.Helper()
	for _, statement := range conformance.DocumentTables() {
		execute(t, admin, statement)
	}
}

// openStore opens a store without background work, closed at the test's end.
func openStore(t *testing.T, cfg mysqlsession.Config) *mysqlsession.Store {
	t.Helper()
	cfg.CleanupInterval = -1
	store, err := mysqlsession.Open(t.Context(), cfg)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, store.Close()) })
	return store
}

func execute(t *testing.T, db *sql.DB, statement string, arguments ...any) {
	t.Helper()
	_, err := db.ExecContext(t.Context(), statement, arguments...)
	require.NoError(t, err, statement)
}

// count is a query's one number.
func count(t *testing.T, db *sql.DB, query string, arguments ...any) int {
	t.Helper()
	var n int
	require.NoError(t, db.QueryRowContext(t.Context(), query, arguments...).Scan(&n), query)
	return n
}

func TestOpenFailsWithOneLineThatNamesHostAndCauseAndNotThePassword(t *testing.T) {
	const secret = "not-the-passw0rd"
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		unknown := server.NewDatabase(t)
		unknown.Database += "_missing"
		wrong := server.NewUser(t, server.NewDatabase(t), "SELECT")
		wrong.Password = secret
		down := server.Config
		down.Database, down.Password, down.Host, down.Port = "any", secret, "127.0.0.1", 1
		tests := []struct {
			name string
			cfg  mysqlsession.Config
			code uint16 // of the server's error, if it is the server that says no
			want error
		}{
			{"unknown database", unknown, 1049, nil},
			{"wrong password", wrong, 1045, nil},
			{"server down", down, 0, mysqlsession.ErrUnavailable},
		}
		for _, test := range tests {
			t.Run(test.name, func(t *testing.T) {
				store, err := mysqlsession.Open(t.Context(), test.cfg)
				require.Error(t, err)
				assert.Nil(t, store)
				if test.want != nil {
					assert.ErrorIs(t, err, test.want)
				}
				if test.code != 0 {
					var refusal *mysqlsession.ServerError
					require.ErrorAs(t, err, &refusal)
					assert.Equal(t, test.code, refusal.Code)
				}
				host := test.cfg.Host
				if host == "" {
					host = "127.0.0.1"
				}
				assert.Contains(t, err.Error(), host)
				assert.NotContains(t, err.Error(), secret)
				assert.NotContains(t, err.Error(), "\n")
			})
		}
	})
}

func TestNothingIsStoredDamagedByAServerInNonStrictMode(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		server.SetGlobal(t, "sql_mode", "")
		for _, create := range []func(*testing.T, mysqlsession.Config, *sql.DB){createNewTables, createDocumentTables} {
			cfg := server.NewDatabase(t)
			admin := server.AdminIn(t, cfg.Database)
			create(t, cfg, admin)
			subject := conformance.Subject{Config: cfg, Admin: admin, MariaDB: server.MariaDB()}
			subject.Text = count(t, admin, textColumns) > 0
			conformance.Run(t, subject)
		}
	})
}

// textColumns counts the columns of the sessions' table that hold text.
const textColumns = `SELECT COUNT(*) FROM information_schema.COLUMNS
	WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = 'sessions' AND CHARACTER_SET_NAME IS NOT NULL`

func TestColumnsThatAreTooShortAreAnErrorAndStoreNothing(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		server.SetGlobal(t, "sql_mode", "")
		cfg := server.NewDatabase(t)
		admin := server.AdminIn(t, cfg.Database)
		execute(t, admin, `CREATE TABLE sessions (sid VARBINARY(20) PRIMARY KEY, name VARBINARY(10),
			data BLOB, exp DATETIME, INDEX (exp))`)
		store := openStore(t, cfg)
		key := strings.Repeat("k", 20)

		require.NoError(t, store.Set(t.Context(), "short", key, make([]byte, 65535), time.Minute, nil))
		err := store.Set(t.Context(), "short", key, make([]byte, 65536), time.Minute, nil)
		require.ErrorIs(t, err, mysqlsession.ErrValueTooLarge)
		require.Error(t, store.Set(t.Context(), "short", key+"k", nil, time.Minute, nil))
		require.Error(t, store.Set(t.Context(), "longer than 10", strings.Repeat("x", 20), nil, time.Minute, nil))

		assert.Equal(t, 1, count(t, admin, "SELECT COUNT(*) FROM sessions"))
		value, err := store.Get(t.Context(), "short", key)
		require.NoError(t, err)
		assert.Len(t, value, 65535)
	})
}

func TestValuesOverTheServersPacketLimitAreRefusedBeforeTheyAreSent(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		cfg := server.NewDatabase(t)
		createNewTables(t, cfg, nil)
		server.SetGlobal(t, "max_allowed_packet", 128<<10)
		for _, mode := range []mysqlsession.StatementMode{mysqlsession.StatementModePrepared, mysqlsession.StatementModeText} {
			t.Run(string(mode), func(t *testing.T) {
				cfg.StatementMode, cfg.PoolSize = mode, 1
				store := openStore(t, cfg)
				require.NoError(t, store.Set(t.Context(), "name", "key", make([]byte, 50<<10), time.Minute, nil))
				dialled := store.Pool().Stat()
				err := store.Set(t.Context(), "name", "key", make([]byte, 200<<10), time.Minute, nil)
				require.ErrorIs(t, err, mysqlsession.ErrValueTooLarge)
				value, err := store.Get(t.Context(), "name", "key")
				require.NoError(t, err)
				assert.Len(t, value, 50<<10)
				_ = dialled
			})
		}
	})
}

func TestSessionsDoNotDependOnTheServersTimeZone(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		cfg := server.NewDatabase(t)
		createNewTables(t, cfg, nil)
		for _, zone := range []string{"+00:00", "-11:00", "+05:45", "+13:00"} {
			t.Run(zone, func(t *testing.T) {
				server.SetGlobal(t, "time_zone", zone)
				now := time.Date(2031, time.May, 6, 7, 8, 9, 0, time.UTC)
				cfg.Clock = func() time.Time { return now }
				store := openStore(t, cfg)
				require.NoError(t, store.Set(t.Context(), "name", "key", nil, time.Minute, nil))
				require.NoError(t, store.Each(t.Context(), "name", func(_ string, _ []byte, expires time.Time) error {
					assert.True(t, now.Add(time.Minute).Equal(expires), expires)
					return nil
				}))
				now = now.Add(time.Minute)
				_, err := store.Get(t.Context(), "name", "key")
				require.NoError(t, err)
				now = now.Add(time.Second)
				_, err = store.Get(t.Context(), "name", "key")
				require.ErrorIs(t, err, mysqlsession.ErrNotFound)
			})
		}
	})
}

func TestAStoreWithATimeZoneOfItsOwnIgnoresTheServers(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		cfg := server.NewDatabase(t)
		cfg.TimeZone = "+00:00"
		createNewTables(t, cfg, nil)
		require.NoError(t, openStore(t, cfg).Set(t.Context(), "name", "key", []byte("value"), time.Minute, nil))
		for _, zone := range []string{"-11:00", "+13:00"} {
			server.SetGlobal(t, "time_zone", zone)
			value, err := openStore(t, cfg).Get(t.Context(), "name", "key")
			require.NoError(t, err, zone)
			assert.Equal(t, "value", string(value))
		}
	})
}
