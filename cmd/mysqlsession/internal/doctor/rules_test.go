package doctor

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mysqlsession/mysqlsession"
)

// healthy is a server about which there is nothing to say.
func healthy() *Facts {
	return &Facts{
		Config:    mysqlsession.Config{Host: "db.example", Username: "shop", Password: "secret", Database: "shop", SSL: true, SSLVerify: true}.WithDefaults(),
		Instances: 1,
		Address:   "db.example:3306",
		Version:   "9.7.4",
		Account:   "shop@%",
		Global: Settings{"max_allowed_packet": "67108864", "max_connections": "151", "max_prepared_stmt_count": "16382", "read_only": "OFF",
			"super_read_only": "OFF", "innodb_read_only": "OFF", "offline_mode": "OFF", "sql_mode": "STRICT_TRANS_TABLES", "system_time_zone": "UTC",
			"innodb_flush_log_at_trx_commit": "1", "log_bin": "ON", "sync_binlog": "1", "innodb_deadlock_detect": "ON", "default_password_lifetime": "0"},
		Session:      Settings{"wait_timeout": "28800", "foreign_key_checks": "ON", "transaction_read_only": "OFF", "max_user_connections": "0", "time_zone": "SYSTEM", "binlog_format": "ROW"},
		GlobalStatus: Settings{"connection_errors_max_connections": "0", "max_used_connections": "150"},
		TLSStatus:    Settings{"ssl_cipher": "TLS_AES_128_GCM_SHA256", "ssl_server_not_after": "Jan  2 03:04:05 2999 GMT"},
		Plugin:       "caching_sha2_password",
		Denied:       map[string]bool{"SELECT sessions": false, "INSERT sessions": false, "UPDATE sessions": false, "DELETE sessions": false},
		Offsets:      []time.Duration{0, 0},
		Grace:        leastGrace,
	}
}

// galera is a healthy node of three.
func galera(f *Facts) {
	f.Version = "10.11.18-MariaDB"
	f.Global["wsrep_on"], f.Global["wsrep_sync_wait"], f.Global["wsrep_provider_options"] = "ON", "1", "base_port = 4567; evs.suspect_timeout = PT2S; gcache.size = 1"
	f.GlobalStatus["wsrep_ready"], f.GlobalStatus["wsrep_cluster_status"] = "ON", "Primary"
	f.GlobalStatus["wsrep_local_state_comment"], f.GlobalStatus["wsrep_cluster_size"] = "Synced", "3"
}

// group is a healthy primary of three.
func group(f *Facts) {
	f.Global["group_replication_group_name"] = "aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaaa"
	f.Group = []Member{{true, "db1", "ONLINE", "PRIMARY"}, {false, "db2", "ONLINE", "SECONDARY"}, {false, "db3", "ONLINE", "SECONDARY"}}
}

// ruleTest is a server that is healthy but for one thing; without an expectation there must
// be nothing to say about it.
type ruleTest struct {
	name  string
	spoil func(f *Facts)
	want  string
}

func capacityTests() []ruleTest {
	return []ruleTest{
		{"nothing", func(*Facts) {}, ""},
		{"nothing is known", func(f *Facts) {
			*f = Facts{Config: f.Config, Instances: 1, Version: "9.7.4", Account: f.Account}
		}, ""},
		{"a packet that just fits", func(f *Facts) { f.Global["max_allowed_packet"] = "1049600" }, ""},
		{"a packet that does not", func(f *Facts) { f.Global["max_allowed_packet"] = "1048576" },
			"warning: max_allowed_packet is 1048576, and a value of 1048572 bytes, which MaxPacketSize allows, takes a request of up to 1049600: larger ones are refused; SET PERSIST max_allowed_packet = 16777216;"},
		{"a packet of hexadecimal digits", func(f *Facts) {
			f.Global["max_allowed_packet"], f.Config.StatementMode = "2000000", mysqlsession.StatementModeText
		}, "warning: max_allowed_packet is 2000000, and a value of 1048572 bytes, which MaxPacketSize allows, takes a request of up to 2098176: larger ones are refused; SET PERSIST max_allowed_packet = 16777216;"},
		{"idle a second longer than kept", func(f *Facts) { f.Session["wait_timeout"] = "61" }, ""},
		{"idle as long as kept", func(f *Facts) { f.Session["wait_timeout"] = "60" },
			"warning: wait_timeout is 60 s, and KeepaliveTimeout 1m0s: the server closes connections that the pool counts on; SET PERSIST wait_timeout = 120; -- or keepalive_timeout=30s in the DSN"},
		{"kept for ever", func(f *Facts) { f.Config.KeepaliveTimeout = -1 },
			"notice: wait_timeout is 28800 s, and KeepaliveTimeout has no limit: the server closes the connections that are idle for longer; keepalive_timeout=4h0m0s in the DSN"},
		{"connections that just suffice", func(f *Facts) { f.Global["max_connections"], f.GlobalStatus["max_used_connections"] = "26", "25" }, ""},
		{"one connection too few", func(f *Facts) { f.Global["max_connections"], f.GlobalStatus["max_used_connections"] = "25", "24" },
			"warning: max_connections is 25, and PoolSize is 16: with 10 for administrators and others that takes 26, or logins are refused; SET PERSIST max_connections = 26; -- or pool_size=15 in the DSN"},
		{"too many instances", func(f *Facts) { f.Instances = 9 },
			"warning: max_connections is 151, and PoolSize is 16 in each of 9 instances: with 10 for administrators and others that takes 154, or logins are refused; SET PERSIST max_connections = 154; -- or pool_size=15 in the DSN"},
		{"more instances than connections", func(f *Facts) { f.Instances, f.Config.StatementCacheCapacity = 150, 1 },
			"warning: max_connections is 151, and PoolSize is 16 in each of 150 instances: with 10 for administrators and others that takes 2410, or logins are refused; SET PERSIST max_connections = 2410;"},
		{"probes of several servers", func(f *Facts) {
			f.Others, f.Global["max_connections"], f.GlobalStatus["max_used_connections"] = true, "26", "25"
		},
			"warning: max_connections is 26, and PoolSize is 16: with 10 for administrators and others that takes 27, or logins are refused; SET PERSIST max_connections = 27; -- or pool_size=15 in the DSN"},
		{"an account's limit", func(f *Facts) { f.Session["max_user_connections"] = "15" },
			"warning: max_user_connections is 15 for account shop@%, and PoolSize is 16: further logins are refused; ALTER USER 'shop'@'%' WITH MAX_USER_CONNECTIONS 16; -- or pool_size=15 in the DSN"},
		{"refused logins", func(f *Facts) { f.GlobalStatus["connection_errors_max_connections"] = "7" },
			"notice: max_connections was reached: 7 logins have been refused since the server started; SET PERSIST max_connections = 302;"},
		{"all connections in use once", func(f *Facts) { f.GlobalStatus["max_used_connections"] = "151" },
			"notice: max_connections was reached: 151 connections were open at once since the server started; SET PERSIST max_connections = 302;"},
		{"prepared statements that just suffice", func(f *Facts) { f.Global["max_prepared_stmt_count"] = "800" }, ""},
		{"too few prepared statements", func(f *Facts) { f.Global["max_prepared_stmt_count"] = "799" },
			"warning: max_prepared_stmt_count is 799, and PoolSize is 16: at 50 statements a connection that takes up to 800, beyond which statements travel as text, and other programs' are refused; SET PERSIST max_prepared_stmt_count = 1600;"},
		{"no prepared statements wanted", func(f *Facts) {
			f.Global["max_prepared_stmt_count"], f.Config.StatementMode = "0", mysqlsession.StatementModeText
		}, ""},
	}
}

func serverTests() []ruleTest {
	return []ruleTest{
		{"an old MySQL", func(f *Facts) { f.Version = "5.7.44-log" }, "warning: the server is of version 5.7.44-log, which the library is not tested on; upgrade to MySQL 8.0 or later"},
		{"the oldest MySQL", func(f *Facts) { f.Version = "8.0.11" }, ""},
		{"an old MariaDB", func(f *Facts) { f.Version = "10.6.22-MariaDB" }, "warning: the server is of version 10.6.22-MariaDB, which the library is not tested on; upgrade to MariaDB 10.11 or later"},
		{"the oldest MariaDB", func(f *Facts) { f.Version = "10.11.2-MariaDB-log" }, ""},
		{"a log of statements", func(f *Facts) { f.Session["binlog_format"] = "STATEMENT" },
			"error: binlog_format is STATEMENT: the server refuses all writes at the isolation level READ COMMITTED, which the library uses; SET PERSIST binlog_format = 'ROW';"},
		{"no log of statements", func(f *Facts) { f.Session["binlog_format"], f.Global["log_bin"] = "STATEMENT", "OFF" }, ""},
		{"missing privileges", func(f *Facts) { f.Denied["DELETE sessions"], f.Denied["UPDATE sessions"] = true, true },
			"error: sessions may not be used by account shop@% for UPDATE, DELETE; GRANT UPDATE, DELETE ON `shop`.`sessions` TO 'shop'@'%';"},
		{"missing privileges on a table elsewhere", func(f *Facts) {
			f.Config.TableName, f.Denied = "web.s", map[string]bool{"SELECT web.s": false, "INSERT web.s": true}
		}, "error: web.s may not be used by account shop@% for INSERT; GRANT INSERT ON `web`.`s` TO 'shop'@'%';"},
		{"privileges on what does not exist", func(f *Facts) { f.Denied = map[string]bool{"INSERT sessions_meta": true} },
			"error: sessions_meta may not be used by account shop@% for INSERT; GRANT INSERT ON `shop`.* TO 'shop'@'%';"},
		{"no checks of foreign keys", func(f *Facts) { f.Session["foreign_key_checks"] = "OFF" },
			"warning: foreign_key_checks is OFF: deleting a session leaves its metadata, which its foreign key should take along; SET PERSIST foreign_key_checks = ON;"},
		{"no detection of deadlocks", func(f *Facts) { f.Global["innodb_deadlock_detect"] = "OFF" },
			"warning: innodb_deadlock_detect is OFF: a deadlock is not ended and tried again, but lasts for LockWaitTimeout, 2s, and fails; SET PERSIST innodb_deadlock_detect = ON;"},
		{"a lenient mode on MariaDB", func(f *Facts) { f.Version, f.Global["sql_mode"] = "11.8.1-MariaDB", "ANSI_QUOTES" },
			"notice: sql_mode is not strict: the library has its own, but what other programs write to the tables is cut to fit, in silence; SET GLOBAL sql_mode = 'ANSI_QUOTES,STRICT_TRANS_TABLES'; -- and in the option file: sql_mode = ANSI_QUOTES,STRICT_TRANS_TABLES"},
		{"daylight saving", func(f *Facts) {
			f.Session["time_zone"], f.Offsets = "Europe/Berlin", []time.Duration{time.Hour, 2 * time.Hour, time.Hour}
		}, "warning: time_zone is Europe/Berlin, between UTC+01:00 and UTC+02:00: in the hour that repeats when daylight saving ends, sessions live an hour too short or too long; time_zone=+00:00 in the DSN of all programs that share the tables; with lua-resty-session among them SET PERSIST time_zone = '+00:00';"},
		{"daylight saving by the DSN", func(f *Facts) {
			f.Config.TimeZone, f.Session["time_zone"], f.Offsets = "America/St_Johns", "America/St_Johns", []time.Duration{-150 * time.Minute, -210 * time.Minute}
		}, "warning: time_zone is America/St_Johns, between UTC-03:30 and UTC-02:30: in the hour that repeats when daylight saving ends, sessions live an hour too short or too long; time_zone=+00:00 in the DSN of all programs that share the tables"},
		{"a clock in step", func(f *Facts) { f.ClockAhead = clockTolerance }, ""},
		{"a clock that is slow", func(f *Facts) { f.ClockAhead = -90 * time.Second },
			"notice: the clock of this machine is 1m30s behind the server's: expiry is decided by the clocks of the machines that run stores; timedatectl set-ntp true, on both machines"},
		{"expired rows", func(f *Facts) { f.Expired = 12 },
			"warning: sessions has 12 rows that expired more than 10m0s ago: nobody cleans up; run a store with cleanup_interval=1m in its DSN, or call Store.Cleanup; its log tells why a clean-up fails"},
		{"many expired rows", func(f *Facts) { f.Expired = expiredLimit },
			"warning: sessions has 10000 rows or more that expired more than 10m0s ago: nobody cleans up; run a store with cleanup_interval=1m in its DSN, or call Store.Cleanup; its log tells why a clean-up fails"},
		{"expired rows that were not counted", func(f *Facts) { f.NotCounted, f.CountLimit = true, 2*time.Second },
			"notice: sessions is slow to look for expired rows in: they were not counted within 2s; CREATE INDEX exp ON `shop`.`sessions` (exp); -- if it has none"},
		{"a log that is flushed later", func(f *Facts) { f.Global["innodb_flush_log_at_trx_commit"] = "2" },
			"notice: innodb_flush_log_at_trx_commit is 2: up to a second of acknowledged saves and log-outs is lost when the machine crashes; SET PERSIST innodb_flush_log_at_trx_commit = 1;"},
		{"a binary log that is flushed later", func(f *Facts) { f.Global["sync_binlog"] = "0" },
			"notice: sync_binlog is 0: after a crash of the machine replicas may lack what was acknowledged; SET PERSIST sync_binlog = 1;"},
		{"something hidden", func(f *Facts) { f.Hidden = []Hidden{{"replication", "REPLICATION CLIENT ON *.*"}} },
			"notice: replication could not be looked at: account shop@% lacks REPLICATION CLIENT ON *.*; GRANT REPLICATION CLIENT ON *.* TO 'shop'@'%'; -- or look with an administrator's account"},
	}
}

func accountTests() []ruleTest {
	return []ruleTest{
		{"no TLS on the machine", func(f *Facts) { f.TLSStatus["ssl_cipher"], f.Near = "", true }, ""},
		{"no TLS", func(f *Facts) { f.TLSStatus["ssl_cipher"], f.Plugin = "", "client_ed25519" },
			"warning: TLS is not used: whoever is on the way to the server reads session ids and values, and can take its place; ssl=true&ssl_verify=true in the DSN"},
		{"unverified TLS", func(f *Facts) { f.Config.SSLVerify = false },
			"warning: TLS is used without looking at the server's certificate: whoever is on the way can take its place; ssl_mode=verify_identity&ssl_ca=FILE in the DSN"},
		{"a certificate that lasts", func(f *Facts) {
			f.Config.Clock = func() time.Time { return time.Date(2998, 12, 3, 0, 0, 0, 0, time.UTC) }
		}, ""},
		{"a certificate that ends", func(f *Facts) {
			f.Config.Clock = func() time.Time { return time.Date(2998, 12, 23, 0, 0, 0, 0, time.UTC) }
		},
			"warning: TLS ends with the server's certificate on 2999-01-02, in 10 days: all logins fail then; ALTER INSTANCE RELOAD TLS; -- once a new certificate is in the place of the old one"},
		{"no password", func(f *Facts) { f.Config.Password = "" },
			"warning: account shop@% has no password: whoever reaches the server can use it; ALTER USER 'shop'@'%' IDENTIFIED BY 'a new password';"},
		{"no password on a socket", func(f *Facts) { f.Config.Password, f.Config.Socket, f.Near = "", "/run/my.sock", true }, ""},
		{"an old method", func(f *Facts) { f.Plugin, f.Version = "mysql_native_password", "8.0.40" },
			"warning: account shop@% uses mysql_native_password, which MySQL 9 does not have: it cannot log in after an upgrade; ALTER USER 'shop'@'%' IDENTIFIED WITH caching_sha2_password BY 'a new password';"},
		{"MariaDB's usual method", func(f *Facts) { f.Plugin, f.Version = "mysql_native_password", "10.11.18-MariaDB" }, ""},
		{"a password that expires", func(f *Facts) { f.Lifetime = 90 },
			"warning: account shop@% has a password that expires 90 days after it was set: all logins fail then; ALTER USER 'shop'@'%' PASSWORD EXPIRE NEVER;"},
		{"an administrator", func(f *Facts) { f.Powers = []string{"CONNECTION_ADMIN", "SUPER"} },
			"notice: account shop@% has CONNECTION_ADMIN, SUPER: its writes pass on servers that are read-only, and it takes the connection that is kept for administrators; CREATE USER 'sessions'@'%' IDENTIFIED BY 'a new password'; GRANT SELECT, INSERT, UPDATE, DELETE ON `shop`.* TO 'sessions'@'%';"},
	}
}

func replicationTests() []ruleTest {
	return []ruleTest{
		{"read-only", func(f *Facts) { f.Global["read_only"], f.Denied, f.Refuses = "ON", nil, true },
			"error: read_only is ON: all writes fail; name the primary in the DSN; if it is this server, SET PERSIST read_only = OFF;"},
		{"read-only, as a word of MariaDB 12", func(f *Facts) { f.Version, f.Global["read_only"], f.Refuses = "12.0.2-MariaDB", "NO_LOCK", true },
			"error: read_only is NO_LOCK: all writes fail; name the primary in the DSN; if it is this server, SET GLOBAL read_only = OFF; -- and in the option file: read_only = OFF"},
		{"read-only for others", func(f *Facts) { f.Global["read_only"] = "ON" },
			"warning: read_only is ON, and only privileges of account shop@% let its writes pass: on a replica they are lost; name the primary in the DSN; if it is this server, SET PERSIST read_only = OFF;"},
		{"read-only in a list", func(f *Facts) { f.Others, f.Global["super_read_only"] = true, "ON" },
			"notice: super_read_only is ON: the server is passed over while another one takes writes; leave it, if this is a replica; if not, SET PERSIST read_only = OFF;"},
		{"offline", func(f *Facts) { f.Global["offline_mode"], f.Refuses = "ON", true },
			"error: offline_mode is ON: all writes fail; name the primary in the DSN; if it is this server, SET PERSIST offline_mode = OFF;"},
		{"read-only transactions", func(f *Facts) { f.Session["transaction_read_only"], f.Refuses = "ON", true },
			"error: transaction_read_only is ON: all writes fail; name the primary in the DSN; if it is this server, SET PERSIST transaction_read_only = OFF;"},
		{"expired rows on a replica", func(f *Facts) { f.Others, f.Global["innodb_read_only"], f.Expired = true, "ON", 5 },
			"notice: innodb_read_only is ON: the server is passed over while another one takes writes; leave it, if this is a replica; if not, start it without innodb_read_only"},
		{"a replica that follows", func(f *Facts) {
			f.Others, f.Global["read_only"], f.Replicas = true, "ON", []Replica{{"Yes", "Yes", 10}}
		}, "notice: read_only is ON: the server is passed over while another one takes writes; leave it, if this is a replica; if not, end its replication first: STOP REPLICA; RESET REPLICA ALL; SET PERSIST read_only = OFF;"},
		{"a secondary", func(f *Facts) {
			group(f)
			f.Refuses, f.Global["super_read_only"] = true, "ON"
		}, "error: super_read_only is ON: all writes fail; name the primary in the DSN; if it is this server, SELECT group_replication_set_as_primary(@@server_uuid);"},
		{"a replica that takes writes", func(f *Facts) { f.Replicas = []Replica{{"Yes", "Yes", 0}} },
			"warning: replication leads from another server to this one, which takes writes: the source does not get what is written here, unless it is a replica too; SET PERSIST read_only = ON;"},
		{"a node that is ready", galera, ""},
		{"a node without a majority", func(f *Facts) {
			galera(f)
			f.GlobalStatus["wsrep_cluster_status"], f.GlobalStatus["wsrep_ready"] = "non-Primary", "OFF"
		}, "error: wsrep_cluster_status is non-Primary: the node is in a part of the cluster without a majority, and serves nobody; mend the network between the nodes; if the others are gone for good: SET GLOBAL wsrep_provider_options = 'pc.bootstrap=YES';"},
		{"a node that is not ready", func(f *Facts) { galera(f); f.GlobalStatus["wsrep_ready"] = "OFF" },
			"error: wsrep_ready is OFF: the node serves nobody; wait until it has joined, or see why not in its log"},
		{"a node that gives its data away", func(f *Facts) { galera(f); f.GlobalStatus["wsrep_local_state_comment"] = "Donor/Desynced" },
			"warning: wsrep_local_state_comment is Donor/Desynced: the node lags behind the others; wait until it is Synced"},
		{"two nodes", func(f *Facts) { galera(f); f.GlobalStatus["wsrep_cluster_size"] = "2" },
			"notice: wsrep_cluster_size is 2: a node that fails leaves no majority that goes on; run three nodes, or two and an arbitrator (garbd)"},
		{"a node that reads from the past", func(f *Facts) { galera(f); f.Others, f.Global["wsrep_sync_wait"] = true, "0" },
			"notice: wsrep_sync_wait is 0: after a failover a read may not see the last writes; SET GLOBAL wsrep_sync_wait = 1; -- and in the option file: wsrep_sync_wait = 1"},
		{"a node that waits too long", func(f *Facts) {
			galera(f)
			f.Global["wsrep_provider_options"] = "evs.suspect_timeout = PT5S; evs.version = 1"
		},
			"warning: evs.suspect_timeout is 5s, and ReadTimeout 5s: writes that wait while a node fails have an unknown outcome; wsrep_provider_options = 'evs.suspect_timeout=PT2S' in the option file, or read_timeout=10s in the DSN"},
		{"a member that is online", group, ""},
		{"a member that is not", func(f *Facts) { group(f); f.Group[0].State = "ERROR" },
			"error: group_replication has this member ERROR: it does not serve; START GROUP_REPLICATION; -- the server's log tells why it left"},
		{"another member that is not", func(f *Facts) { group(f); f.Group[2].State = "UNREACHABLE" },
			"warning: group_replication has member db3 UNREACHABLE, which is missed in the majority; START GROUP_REPLICATION; -- on that member"},
		{"two members", func(f *Facts) { group(f); f.Group = f.Group[:2] },
			"notice: group_replication has 2 of the three members that a majority needs after a failure; add members to the group"},
	}
}

func TestEachRuleSaysWhatIsWrongWithWhichFiguresAndHowToMendIt(t *testing.T) {
	var tests []ruleTest
	for _, list := range [][]ruleTest{capacityTests(), serverTests(), accountTests(), replicationTests()} {
		tests = append(tests, list...)
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			f := healthy()
			test.spoil(f)
			var want []string
			if test.want != "" {
				want = []string{test.want}
			}
			require.Equal(t, want, lines(about(f)))
		})
	}
}

func TestALoginThatWorksOnlyWhileTheServerRemembersItIsAWarning(t *testing.T) {
	f := healthy()
	f.TLSStatus["ssl_cipher"] = ""
	require.Contains(t, lines(about(f)), "warning: account shop@% uses caching_sha2_password without TLS: logins work only until the server is restarted, and forgets that it knows the password; ssl=true&ssl_verify=true in the DSN, or server_public_key=FILE")
	f.Config.AllowPublicKeyRetrieval = true
	require.Contains(t, lines(about(f)), "warning: AllowPublicKeyRetrieval is set, without TLS: whoever answers in the server's place learns the password; ssl=true&ssl_verify=true in the DSN, or server_public_key=FILE")
	f.Config.ServerPublicKey = "key.pem"
	require.Len(t, about(f), 1, "but for TLS itself")
}

func TestAReplicaThatDoesNotFollowSaysWhatItLacks(t *testing.T) {
	for want, replica := range map[string]Replica{
		"warning: replication has stopped: the server does not apply what its source writes, and would be a source with old sessions; START REPLICA; -- SHOW REPLICA STATUS tells why it stopped":                           {"No", "No", -1},
		"warning: replication receives nothing from its source (it says \"Connecting\"), so that sessions are lost if the source is; START REPLICA; -- SHOW REPLICA STATUS tells what is in the way":                        {"Connecting", "Yes", -1},
		"warning: replication is 11s behind its source: as a source it would not have the sessions of that time, and have those that were deleted; STOP REPLICA; SET PERSIST replica_parallel_workers = 16; START REPLICA;": {"Yes", "Yes", 11},
	} {
		f := healthy()
		f.Others, f.Global["read_only"], f.Replicas = true, "ON", []Replica{replica}
		require.Contains(t, lines(about(f)), want)
		require.Len(t, about(f), 2, "but for what it is")
		group(f)
		require.NotContains(t, lines(about(f)), want, "a group has channels of its own")
	}
}

func TestTheConfigurationByItselfIsLookedAt(t *testing.T) {
	cfg := mysqlsession.Config{}.WithDefaults()
	require.Empty(t, aboutConfig(&cfg))
	cfg.LockWaitTimeout, cfg.CleanupInterval = 5*time.Second, -1
	require.Equal(t, []string{
		"warning: LockWaitTimeout is 5s, and ReadTimeout 5s: a write that waits for a lock is given up before the server gives it up, so that its outcome is unknown; read_timeout=8s in the DSN",
		"notice: CleanupInterval is negative: stores with this configuration remove no expired sessions; cleanup_interval=1m in the DSN, or call Store.Cleanup from elsewhere",
	}, lines(aboutConfig(&cfg)))
	cfg.ReadTimeout, cfg.CleanupInterval = -1, time.Minute
	require.Empty(t, aboutConfig(&cfg), "what has no limit waits")
}

func TestServersAreComparedWithOneAnother(t *testing.T) {
	a, b := healthy(), healthy()
	a.Address, b.Address = "a:3306", "b:3306"
	require.Empty(t, acrossServers([]*Facts{a, b}))
	b.Offsets = []time.Duration{time.Hour, time.Hour}
	a.Global["read_only"], b.Global["read_only"] = "ON", "ON"
	require.Equal(t, []string{
		"error: hosts lead to no server that takes writes: all 2 that answer are read-only, so that every operation fails; make the primary writable, or add its address to the DSN",
		"warning: time_zone differs: a:3306 is at UTC+00:00 now and b:3306 at UTC+01:00, so that sessions end sooner or later after a failover; the same default-time-zone in the option files of all servers, or time_zone=+00:00 in the DSN",
	}, lines(acrossServers([]*Facts{a, b})))
	require.Empty(t, acrossServers([]*Facts{a}))
}

func TestAnAccountIsReadFromItsStatementAndNothingElseIsKept(t *testing.T) {
	for statement, want := range map[string]struct {
		plugin   string
		lifetime int
	}{
		"CREATE USER `a`@`%` IDENTIFIED WITH 'caching_sha2_password' AS <secret> REQUIRE NONE PASSWORD EXPIRE DEFAULT ACCOUNT UNLOCK": {"caching_sha2_password", 180},
		"CREATE USER 'a'@'%' IDENTIFIED WITH 'sha256_password' AS '$5$x' REQUIRE SSL PASSWORD EXPIRE INTERVAL 90 DAY":                 {"sha256_password", 90},
		"CREATE USER `a`@`%` IDENTIFIED BY PASSWORD '*94BDCEBE19083CE2A1F959FD02F964C7AF4CFC29' PASSWORD EXPIRE NEVER":                {"mysql_native_password", 0},
		"CREATE USER `a`@`%` IDENTIFIED VIA ed25519 USING 'x' PASSWORD EXPIRE INTERVAL 99999999999999999999 DAY":                      {"ed25519", 0},
		"CREATE USER `a`@`%`": {"", 180},
	} {
		plugin, lifetime := parseAccount(statement, Settings{"default_password_lifetime": "180"})
		require.Equal(t, want.plugin, plugin, statement)
		require.Equal(t, want.lifetime, lifetime, statement)
	}
}

// lines are findings as Check's have them.
func lines(found []Finding) []string {
	var list []string
	for _, f := range found {
		list = append(list, mysqlsession.Finding{Severity: f.Severity, Subject: f.Subject, Problem: f.Problem, Fix: f.Fix}.String())
	}
	return list
}
