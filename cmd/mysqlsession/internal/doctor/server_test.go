package doctor

import (
	"database/sql"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mysqlsession/mysqlsession"
	"github.com/mysqlsession/mysqlsession/internal/dbtest"
)

// enough are the privileges that a store needs.
const enough = "SELECT, INSERT, UPDATE, DELETE"

// migrated is a database with the tables, and the configuration of an account that has what
// it needs.
func migrated(t *testing.T, server dbtest.Server) mysqlsession.Config {
	t.Helper()
	cfg := server.NewDatabase(t)
	store, err := mysqlsession.Open(t.Context(), cfg)
	require.NoError(t, err)
	defer func() { require.NoError(t, store.Close()) }()
	require.NoError(t, store.Migrate(t.Context()))
	return server.NewUser(t, cfg, enough)
}

// examined is what Examine finds, as lines.
func examined(t *testing.T, cfg mysqlsession.Config) []string {
	t.Helper()
	report, err := Examine(t.Context(), cfg, 1)
	require.NoError(t, err)
	for _, f := range report.Findings {
		require.NotEmpty(t, f.Fix, f)
		if len(cfg.Password) > 16 { // a word of an administrator of a test server may be in any text
			require.NotContains(t, fmt.Sprint(f), cfg.Password)
		}
	}
	return lines(report.Findings)
}

// one is the only finding that begins like this.
func one(t *testing.T, found []string, begins string) string {
	t.Helper()
	var matching []string
	for _, line := range found {
		if strings.HasPrefix(line, begins) {
			matching = append(matching, line)
		}
	}
	require.Len(t, matching, 1, "%q in %q", begins, found)
	return matching[0]
}

// none says that no finding begins like this.
func none(t *testing.T, found []string, begins string) {
	t.Helper()
	for _, line := range found {
		require.False(t, strings.HasPrefix(line, begins), line)
	}
}

// apply runs the statement of a finding's fix, which goes to its first ";" after SQL's words.
func apply(t *testing.T, admin *sql.DB, line string) {
	t.Helper()
	_, fix, ok := strings.Cut(line, "; ")
	require.True(t, ok, line)
	statement, _, ok := strings.Cut(fix, ";")
	require.True(t, ok, "the fix of %q is no statement", line)
	_, err := admin.Exec(statement)
	require.NoError(t, err, statement)
	if words := strings.Fields(statement); words[0] == "SET" && words[1] == "PERSIST" {
		t.Cleanup(func() {
			_, err := admin.Exec("RESET PERSIST " + words[2])
			require.NoError(t, err)
		})
	}
}

func TestAHealthyServerHasNothingWorseThanNotices(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		cfg := migrated(t, server)
		cfg.TimeZone = "+00:00" // the machine's may have daylight saving
		report, err := Examine(t.Context(), cfg, 1)
		require.NoError(t, err)
		require.Zero(t, report.Count(mysqlsession.SeverityError), report.Findings)
		require.Zero(t, report.Count(mysqlsession.SeverityWarning), report.Findings)
		require.Equal(t, len(report.Findings), report.Count(mysqlsession.SeverityNotice))
		require.Len(t, report.Servers, 1)
		require.Equal(t, server.Version, report.Servers[0].Version)
	})
}

func TestASettingThatIsWrongIsFoundAndItsFixMendsIt(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		cfg := migrated(t, server)
		admin := server.Admin(t)
		for _, test := range []struct {
			variable string
			value    any
			want     string
		}{
			{"max_allowed_packet", 1 << 20, "warning: max_allowed_packet is 1048576, and a value of 1048572 bytes"},
			{"wait_timeout", 60, "warning: wait_timeout is 60 s, and KeepaliveTimeout 1m0s"},
			{"max_connections", 20, "warning: max_connections is 20, and PoolSize is 16"},
			{"max_prepared_stmt_count", 100, "warning: max_prepared_stmt_count is 100, and PoolSize is 16"},
			{"foreign_key_checks", 0, "warning: foreign_key_checks is OFF"},
			{"innodb_deadlock_detect", 0, "warning: innodb_deadlock_detect is OFF"},
			{"sql_mode", "", "notice: sql_mode is not strict"},
			{"innodb_flush_log_at_trx_commit", 0, "notice: innodb_flush_log_at_trx_commit is 0"},
		} {
			t.Run(test.variable, func(t *testing.T) {
				server.SetGlobal(t, test.variable, test.value)
				apply(t, admin, one(t, examined(t, cfg), test.want))
				none(t, examined(t, cfg), test.want)
			})
		}
	})
}

func TestAServerThatIsReadOnlyIsAnErrorUnlessItIsOneOfAList(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		cfg := migrated(t, server)
		server.SetGlobal(t, "read_only", 1)
		one(t, examined(t, cfg), "error: read_only is ON: all writes fail")

		powerful := cfg
		powerful.Username, powerful.Password = server.Config.Username, server.Config.Password
		one(t, examined(t, powerful), "warning: read_only is ON, and only privileges of account")

		several := cfg
		several.Hosts = []string{"127.0.0.1:1"}
		found := examined(t, several)
		one(t, found, "notice: read_only is ON: the server is passed over")
		one(t, found, "error: 127.0.0.1:1 cannot be reached: nothing listens there")
		several.Hosts = []string{addressOf(&cfg)}
		one(t, examined(t, several), "error: hosts lead to no server that takes writes: all 2 that answer are read-only")
	})
}

func TestTransactionsThatAreReadOnlyAreAnError(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		cfg := migrated(t, server)
		variable := "transaction_read_only"
		if server.MariaDB() {
			variable = "tx_read_only" // whose other name is not known before 11.1
		}
		server.SetGlobal(t, variable, 1)
		for _, line := range examined(t, cfg) {
			if strings.Contains(line, "_read_only is ON: all writes fail") {
				return
			}
		}
		require.Fail(t, "it was not found", examined(t, cfg))
	})
}

func TestMissingPrivilegesAreFoundAndTheFixGrantsThem(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		cfg := migrated(t, server)
		admin := server.Admin(t)
		cfg = server.NewUser(t, cfg, "SELECT, INSERT")
		found := examined(t, cfg)
		apply(t, admin, one(t, found, "error: sessions may not be used by account "+cfg.Username+"@% for UPDATE, DELETE"))
		apply(t, admin, one(t, found, "error: sessions_meta may not be used by account "+cfg.Username+"@% for UPDATE; GRANT UPDATE ON `"+cfg.Database+"`.`sessions_meta`"))
		none(t, examined(t, cfg), "error:")
	})
}

func TestARoleCountsAsPrivilegesDo(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		cfg := migrated(t, server)
		admin := server.Admin(t)
		cfg = server.NewUser(t, cfg, "CREATE")
		role := "role_" + cfg.Username
		execute(t, admin, "CREATE ROLE "+role)
		t.Cleanup(func() { execute(t, admin, "DROP ROLE "+role) })
		execute(t, admin, fmt.Sprintf("GRANT %s ON %s.* TO %s", enough, cfg.Database, role))
		execute(t, admin, fmt.Sprintf("GRANT %s TO '%s'@'%%'", role, cfg.Username))
		one(t, examined(t, cfg), "error: sessions may not be used by account")
		if server.MariaDB() {
			execute(t, admin, fmt.Sprintf("SET DEFAULT ROLE %s FOR '%s'@'%%'", role, cfg.Username))
		} else {
			execute(t, admin, fmt.Sprintf("SET DEFAULT ROLE %s TO '%s'@'%%'", role, cfg.Username))
		}
		none(t, examined(t, cfg), "error:")
	})
}

func TestTheAccountsLimitsAreFound(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		cfg := migrated(t, server)
		admin := server.Admin(t)
		account := "'" + cfg.Username + "'@'%'"
		t.Run("connections", func(t *testing.T) {
			execute(t, admin, "ALTER USER "+account+" WITH MAX_USER_CONNECTIONS 5")
			line := one(t, examined(t, cfg), "warning: max_user_connections is 5 for account "+cfg.Username+"@%, and PoolSize is 16")
			apply(t, admin, line)
			none(t, examined(t, cfg), "warning: max_user_connections")
		})
		t.Run("the password's life", func(t *testing.T) {
			execute(t, admin, "ALTER USER "+account+" PASSWORD EXPIRE INTERVAL 90 DAY")
			line := one(t, examined(t, cfg), "warning: account "+cfg.Username+"@% has a password that expires 90 days after")
			apply(t, admin, line)
			none(t, examined(t, cfg), "warning: account")
		})
		t.Run("no password", func(t *testing.T) {
			execute(t, admin, "ALTER USER "+account+" IDENTIFIED BY ''")
			open := cfg
			open.Password = ""
			line := one(t, examined(t, open), "warning: account "+cfg.Username+"@% has no password")
			apply(t, admin, line)
			open.Password = "a new password"
			none(t, examined(t, open), "warning: account")
		})
		t.Run("more power than it needs", func(t *testing.T) {
			cfg.Username, cfg.Password = server.Config.Username, server.Config.Password
			require.Contains(t, one(t, examined(t, cfg), "notice: account "+cfg.Username), "SUPER")
		})
	})
}

func TestWhatTheAccountMayNotSeeIsSaid(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		cfg := migrated(t, server)
		line := one(t, examined(t, cfg), "notice: replication could not be looked at: account "+cfg.Username+"@% lacks REPL")
		apply(t, server.Admin(t), line)
		none(t, examined(t, cfg), "notice: replication")
	})
}

func TestAServerThatHadNoConnectionLeftIsFound(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		cfg := migrated(t, server)
		admin := server.Admin(t)
		require.NoError(t, admin.Ping()) // before there is no room
		server.SetGlobal(t, "max_connections", 20)
		fillConnections(t, cfg)
		require.Eventually(t, func() bool {
			var name string
			var open int
			require.NoError(t, admin.QueryRow("SHOW GLOBAL STATUS LIKE 'Threads_connected'").Scan(&name, &open))
			return open < 10
		}, 10*time.Second, 10*time.Millisecond, "the server keeps connections that were closed")
		line := one(t, examined(t, cfg), "notice: max_connections was reached: ")
		require.Contains(t, line, "max_connections = 40;")
	})
}

// fillConnections connects until the server refuses, and leaves again.
func fillConnections(t *testing.T, cfg mysqlsession.Config) {
	t.Helper()
	for range 30 {
		conn, err := mysqlsession.Connect(t.Context(), cfg)
		if err != nil {
			var refusal *mysqlsession.ServerError
			require.ErrorAs(t, err, &refusal)
			require.Equal(t, uint16(1040), refusal.Code)
			found := examined(t, cfg)
			require.Len(t, found, 1)
			require.Contains(t, found[0], "error: "+addressOf(&cfg)+" has no connection left; SET GLOBAL max_connections = 500;")
			return
		}
		defer func() { _ = conn.Close() }()
	}
	require.Fail(t, "the server takes more than it may")
}

func TestExpiredRowsThatNobodyRemovesAreFound(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		cfg := migrated(t, server)
		admin := server.AdminIn(t, cfg.Database)
		for sid, expiry := range map[string]string{"'long ago'": "NOW() - INTERVAL 1 HOUR", "'just now'": "NOW() - INTERVAL 1 MINUTE", "'live'": "NOW() + INTERVAL 1 HOUR"} {
			execute(t, admin, "INSERT INTO sessions VALUES ("+sid+", 'n', 'd', "+expiry+")")
		}
		one(t, examined(t, cfg), "warning: sessions has a row that expired more than 10m0s ago: nobody cleans up")
		store, err := mysqlsession.Open(t.Context(), cfg)
		require.NoError(t, err)
		defer func() { require.NoError(t, store.Close()) }()
		_, err = store.Cleanup(t.Context())
		require.NoError(t, err)
		none(t, examined(t, cfg), "warning: sessions has")
	})
}

func TestRowsThatTakeTooLongToCountAreNoReasonToGiveUp(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		cfg := migrated(t, server)
		admin := server.AdminIn(t, cfg.Database)
		execute(t, admin, "INSERT INTO sessions VALUES ('long ago', 'n', 'd', NOW() - INTERVAL 1 HOUR)")
		execute(t, admin, "CREATE VIEW slow AS SELECT sid, name, data, exp FROM sessions WHERE SLEEP(60) = 0")
		cfg.TableName, cfg.TableNameMeta, cfg.ReadTimeout, cfg.LockWaitTimeout = "slow", "sessions_meta", 1500*time.Millisecond, time.Second
		found := examined(t, cfg)
		one(t, found, "notice: slow is slow to look for expired rows in: they were not counted within 750ms")
		one(t, found, "warning: slow is a view")
	})
}

func TestAServerInOfflineModeIsAnErrorToEveryAccount(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		if server.MariaDB() {
			require.NotContains(t, strings.Join(examined(t, migrated(t, server)), " "), "offline", "it has no such mode")
			return
		}
		cfg := migrated(t, server)
		server.SetGlobal(t, "offline_mode", 1)
		one(t, examined(t, cfg), "error: "+addressOf(&cfg)+" is in offline mode, in which it lets administrators in only; SET PERSIST offline_mode = OFF;")
		cfg.Username, cfg.Password = server.Config.Username, server.Config.Password
		one(t, examined(t, cfg), "warning: offline_mode is ON, and only privileges of account")
	})
}

func TestLookingChangesNothing(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		cfg := migrated(t, server)
		admin := server.AdminIn(t, cfg.Database)
		execute(t, admin, "INSERT INTO sessions VALUES ('live', 'n', 'd', '2030-01-01'), ('expired', 'n', 'd', '2020-01-01')")
		execute(t, admin, "INSERT INTO sessions_meta VALUES ('a', 's', 'live')")
		sums := func() (sums [2]int64) {
			var table string
			for i, name := range []string{"sessions", "sessions_meta"} {
				require.NoError(t, admin.QueryRow("CHECKSUM TABLE "+name).Scan(&table, &sums[i]))
			}
			return sums
		}
		before := sums()
		require.NotZero(t, before[0])
		examined(t, cfg)
		require.Equal(t, before, sums())
	})
}

func TestAZoneWithDaylightSavingIsFound(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		cfg := migrated(t, server)
		admin := server.AdminIn(t, "mysql")
		const zone = "Mysqlsession/Test"
		makeZone(t, admin, zone)
		server.SetGlobal(t, "time_zone", zone)
		one(t, examined(t, cfg), "warning: time_zone is "+zone+", between UTC+01:00 and UTC+02:00")
		cfg.TimeZone = "+00:00"
		none(t, examined(t, cfg), "warning: time_zone")
		cfg.TimeZone = zone
		require.NotContains(t, one(t, examined(t, cfg), "warning: time_zone is "+zone), "time_zone = ", "that is the DSN's")
	})
}

// makeZone gives the server a time zone whose offset changes every half year from 2020 on.
func makeZone(t *testing.T, admin *sql.DB, zone string) {
	t.Helper()
	remove := "DELETE n, z, k, r FROM time_zone_name n JOIN time_zone z USING (Time_zone_id) LEFT JOIN time_zone_transition k USING (Time_zone_id) " +
		"LEFT JOIN time_zone_transition_type r USING (Time_zone_id) WHERE n.Name = '" + zone + "'"
	execute(t, admin, remove)
	result, err := admin.Exec("INSERT INTO time_zone (Use_leap_seconds) VALUES ('N')")
	require.NoError(t, err)
	t.Cleanup(func() { execute(t, admin, remove) })
	id, err := result.LastInsertId()
	require.NoError(t, err)
	execute(t, admin, fmt.Sprintf("INSERT INTO time_zone_name (Name, Time_zone_id) VALUES ('%s', %d)", zone, id))
	execute(t, admin, fmt.Sprintf("INSERT INTO time_zone_transition_type VALUES (%d, 0, 3600, 0, 'T'), (%d, 1, 7200, 1, 'TS')", id, id))
	var rows []string
	for half := range 34 { // until 2037
		moment := time.Date(2020, time.Month(4+6*half), 1, 1, 0, 0, 0, time.UTC)
		rows = append(rows, fmt.Sprintf("(%d, %d, %d)", id, moment.Unix(), (half+1)%2))
	}
	execute(t, admin, "INSERT INTO time_zone_transition VALUES "+strings.Join(rows, ", "))
}

func TestAClockThatIsNotInStepIsFound(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		cfg := migrated(t, server)
		for want, by := range map[string]time.Duration{"1h0m0s ahead of": time.Hour, "1h0m0s behind": -time.Hour} {
			cfg.Clock = func() time.Time { return time.Now().Add(by) }
			one(t, examined(t, cfg), "notice: the clock of this machine is "+want+" the server's")
		}
		cfg.Clock = nil
		none(t, examined(t, cfg), "notice: the clock")
	})
}

func TestAReplicaThatHasStoppedAndOneThatIsWritableAreFound(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		cfg := migrated(t, server)
		cfg.Username, cfg.Password = server.Config.Username, server.Config.Password
		admin := server.Admin(t)
		if server.MariaDB() {
			execute(t, admin, "CHANGE MASTER TO MASTER_HOST = '127.0.0.1', MASTER_PORT = 1, MASTER_USER = 'nobody'")
			t.Cleanup(func() { execute(t, admin, "RESET REPLICA ALL") })
		} else {
			execute(t, admin, "CHANGE REPLICATION SOURCE TO SOURCE_HOST = '127.0.0.1', SOURCE_PORT = 1, SOURCE_USER = 'nobody'")
			t.Cleanup(func() { execute(t, admin, "RESET REPLICA ALL") })
		}
		found := examined(t, cfg)
		one(t, found, "warning: replication has stopped: the server does not apply what its source writes")
		one(t, found, "warning: replication leads from another server to this one, which takes writes")
	})
}

func TestWhatTheTablesLackIsFound(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		cfg := migrated(t, server)
		admin := server.AdminIn(t, cfg.Database)
		for statement, want := range map[string]string{
			"ALTER TABLE sessions DROP INDEX exp":                                     "warning: sessions.exp is in no index",
			"ALTER TABLE sessions MODIFY name VARCHAR(255) COLLATE latin1_swedish_ci": "warning: sessions.name has character set latin1",
			"ALTER TABLE sessions_meta ADD other INT NOT NULL":                        "error: sessions_meta.other has to be given a value",
			"ALTER TABLE sessions MODIFY data BLOB":                                   "warning: sessions.data holds 65535 bytes, and MaxPacketSize allows values of 1048572",
			"ALTER TABLE sessions ADD UNIQUE INDEX only_name (name)":                  "error: sessions has unique index only_name on less than sid",
		} {
			execute(t, admin, statement)
			one(t, examined(t, cfg), want)
		}
		execute(t, admin, "DROP TABLE sessions_meta, sessions")
		cfg.Username, cfg.Password = server.Config.Username, server.Config.Password
		one(t, examined(t, cfg), "error: sessions does not exist; run Migrate")
	})
}

func execute(t *testing.T, admin *sql.DB, statement string) {
	t.Helper()
	_, err := admin.Exec(statement)
	require.NoError(t, err, statement)
}
