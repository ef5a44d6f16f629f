package doctor

import (
	"context"
	"errors"
	"fmt"
	"net"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/mysqlsession/mysqlsession"
)

// expiredLimit is how many expired rows are counted: an old table may have millions.
const expiredLimit = 10_000

// longestCount is how long the server may count them.
const longestCount = 5 * time.Second

// leastGrace is how long a row may be expired before somebody should have removed it.
const leastGrace = 10 * time.Minute

// packetRoom is the least MaxPacketSize with which every answer can be read.
const packetRoom = 64 << 10

// reader fills Facts over one connection.
type reader struct {
	ctx   context.Context
	conn  *mysqlsession.Conn
	facts *Facts
	err   error // the first that is not an answer of the server's
}

// look connects to the one server of a configuration and reads what there is to know.
func look(ctx context.Context, cfg mysqlsession.Config, instances int, others bool) (*Facts, error) {
	f := &Facts{Config: cfg, Instances: instances, Others: others, Near: cfg.Socket != ""}
	dial := cfg.DialFunc
	cfg.MaxPacketSize = max(cfg.MaxPacketSize, packetRoom)
	cfg.DialFunc = func(ctx context.Context, network, address string) (net.Conn, error) {
		socket, err := dial(ctx, network, address)
		if err == nil && socket != nil {
			tcp, ok := socket.RemoteAddr().(*net.TCPAddr)
			f.Near = network == "unix" || ok && tcp.IP.IsLoopback()
		}
		return socket, err
	}
	conn, err := mysqlsession.Connect(ctx, cfg)
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close() }()
	f.Address, f.Version = conn.Address(), strings.TrimPrefix(conn.ServerVersion(), "5.5.5-") // MariaDB's, for old replicas
	r := &reader{ctx: ctx, conn: conn, facts: f}
	r.settings()
	r.account()
	r.clock()
	r.replicas()
	r.group()
	r.expired()
	r.grants() // last: a read-only server's refusal ends the connection
	if r.err != nil {
		return nil, &brokenOffError{r.err}
	}
	return f, nil
}

// brokenOffError is a server that was lost while it was looked at.
type brokenOffError struct{ err error }

func (e *brokenOffError) Error() string { return e.err.Error() }
func (e *brokenOffError) Unwrap() error { return e.err }

// query runs one statement. What the server answers in place of rows is returned; after
// another failure nothing more is asked.
func (r *reader) query(statement string, each func(row mysqlsession.Row)) *mysqlsession.ServerError {
	if r.err != nil {
		return nil
	}
	err := r.conn.Query(r.ctx, statement, func(row mysqlsession.Row) error {
		each(row)
		return nil
	})
	var refusal *mysqlsession.ServerError
	if errors.As(err, &refusal) {
		return refusal
	}
	r.err = err
	return nil
}

// visible is query for what a privilege is needed to see.
func (r *reader) visible(subject, privilege, statement string, each func(row mysqlsession.Row)) {
	if refusal := r.query(statement, each); refusal != nil && denied(refusal.Code) {
		r.facts.Hidden = append(r.facts.Hidden, Hidden{subject, privilege})
	}
}

// denied reports whether a privilege is missing.
func denied(code uint16) bool {
	return code == 1044 || code == 1142 || code == 1143 || code == 1227
}

func (r *reader) settings() {
	f := r.facts
	f.Global = r.named("SHOW GLOBAL VARIABLES", "max_allowed_packet", "max_connections", "max_prepared_stmt_count",
		"read_only", "super_read_only", "innodb_read_only", "offline_mode", "sql_mode", "system_time_zone",
		"innodb_flush_log_at_trx_commit", "log_bin", "sync_binlog", "innodb_deadlock_detect", "default_password_lifetime",
		"wsrep_on", "wsrep_sync_wait", "wsrep_provider_options", "group_replication_group_name")
	f.Session = r.named("SHOW SESSION VARIABLES", "wait_timeout", "foreign_key_checks", "transaction_read_only", "tx_read_only",
		"max_user_connections", "time_zone", "binlog_format")
	f.GlobalStatus = r.named("SHOW GLOBAL STATUS", "Connection_errors_max_connections", "Max_used_connections",
		"wsrep_ready", "wsrep_cluster_status", "wsrep_local_state_comment", "wsrep_cluster_size")
	f.TLSStatus = r.named("SHOW SESSION STATUS", "Ssl_cipher", "Ssl_server_not_after")
}

// named are the rows of a SHOW statement that have these names.
func (r *reader) named(show string, names ...string) Settings {
	settings := Settings{}
	_ = r.query(show+" WHERE Variable_name IN ('"+strings.Join(names, "', '")+"')", func(row mysqlsession.Row) {
		settings[strings.ToLower(row.String(0))] = row.String(1)
	})
	return settings
}

// The parts of SHOW CREATE USER that are looked at. The rest, a password's hash among it,
// is not kept.
var (
	pluginPattern   = regexp.MustCompile(`IDENTIFIED (?:WITH|VIA) ['"]?(\w+)`)
	lifetimePattern = regexp.MustCompile(`PASSWORD EXPIRE INTERVAL (\d+) DAY`)
)

func (r *reader) account() {
	f := r.facts
	_ = r.query("SELECT CURRENT_USER()", func(row mysqlsession.Row) { f.Account = row.String(0) })
	r.visible("the account", "SELECT ON mysql.*", "SHOW CREATE USER CURRENT_USER()", func(row mysqlsession.Row) {
		f.Plugin, f.Lifetime = parseAccount(row.String(0), f.Global)
	})
	_ = r.query("SELECT PRIVILEGE_TYPE FROM information_schema.USER_PRIVILEGES WHERE GRANTEE = "+quoteText(f.grantee())+
		" AND PRIVILEGE_TYPE IN ('SUPER', 'READ_ONLY ADMIN', 'READ ONLY ADMIN', 'CONNECTION_ADMIN', 'CONNECTION ADMIN') ORDER BY PRIVILEGE_TYPE",
		func(row mysqlsession.Row) { f.Powers = append(f.Powers, row.String(0)) })
}

// parseAccount finds in a CREATE USER statement how the account logs in, and after how many
// days its password expires.
func parseAccount(statement string, global Settings) (plugin string, lifetime int) {
	if match := pluginPattern.FindStringSubmatch(statement); match != nil {
		plugin = match[1]
	} else if strings.Contains(statement, "IDENTIFIED BY PASSWORD") { // MariaDB's way to write the oldest
		plugin = "mysql_native_password"
	}
	match := lifetimePattern.FindStringSubmatch(statement)
	switch {
	case match != nil:
		if days, err := strconv.Atoi(match[1]); err == nil {
			lifetime = days
		}
	case !strings.Contains(statement, "PASSWORD EXPIRE NEVER"):
		days, _ := global.number("default_password_lifetime")
		lifetime = int(days)
	}
	return plugin, lifetime
}

// clock compares the clocks, and reads the time zone's offset now and every fortnight of the
// year to come, as the server applies it to expiries.
func (r *reader) clock() {
	f := r.facts
	before := f.Config.Clock()
	_ = r.query("SELECT UNIX_TIMESTAMP(NOW(6))", func(row mysqlsession.Row) {
		seconds, err := strconv.ParseFloat(row.String(0), 64)
		if err != nil {
			return
		}
		server := time.UnixMicro(int64(seconds * 1e6))
		if after := f.Config.Clock(); server.Before(before) {
			f.ClockAhead = before.Sub(server)
		} else if server.After(after) {
			f.ClockAhead = after.Sub(server)
		}
	})
	var moments []string
	var times []time.Time
	for week := 0; week <= 52; week += 2 {
		t := time.Unix(before.Unix(), 0).AddDate(0, 0, 7*week)
		times = append(times, t)
		moments = append(moments, fmt.Sprintf("FROM_UNIXTIME(%d)", t.Unix()))
	}
	_ = r.query("SELECT "+strings.Join(moments, ", "), func(row mysqlsession.Row) {
		for i, t := range times {
			local, err := time.Parse(time.DateTime, row.String(i))
			if err != nil { // later than the server can tell
				return
			}
			f.Offsets = append(f.Offsets, local.Sub(t))
		}
	})
}

// replicas reads the state of replication. The statement's first 33 columns are where they
// were before they had other names.
func (r *reader) replicas() {
	const receives, applies, behind = 10, 11, 32
	privilege := "REPLICATION CLIENT ON *.*"
	if r.facts.mariaDB() {
		privilege = "REPLICA MONITOR ON *.*"
	}
	r.visible("replication", privilege, "SHOW REPLICA STATUS", func(row mysqlsession.Row) {
		if row.Len() <= behind || !isYesOrNo(row.String(applies)) {
			return
		}
		replica := Replica{Receives: row.String(receives), Applies: row.String(applies), Behind: -1}
		if seconds, err := row.Int64(behind); err == nil {
			replica.Behind = seconds
		}
		r.facts.Replicas = append(r.facts.Replicas, replica)
	})
}

func isYesOrNo(word string) bool { return word == "Yes" || word == "No" }

// group reads the members of a group of Group Replication, if the server is in one.
func (r *reader) group() {
	if r.facts.Global["group_replication_group_name"] == "" {
		return
	}
	r.visible("the group", "SELECT ON performance_schema.replication_group_members",
		"SELECT MEMBER_ID = @@server_uuid, MEMBER_HOST, MEMBER_STATE, MEMBER_ROLE FROM performance_schema.replication_group_members ORDER BY MEMBER_ID",
		func(row mysqlsession.Row) {
			r.facts.Group = append(r.facts.Group, Member{row.String(0) == "1", row.String(1), row.String(2), row.String(3)})
		})
}

// expired counts rows that a clean-up would have removed long ago. Without an index that
// takes time, of which the server is to have less than the connection's own ReadTimeout.
func (r *reader) expired() {
	f := r.facts
	f.Grace = max(leastGrace, 5*f.Config.CleanupInterval)
	f.CountLimit = longestCount
	if f.Config.ReadTimeout > 0 {
		f.CountLimit = min(longestCount, f.Config.ReadTimeout/2)
	}
	before, hint := "", fmt.Sprintf(" /*+ MAX_EXECUTION_TIME(%d) */", max(f.CountLimit.Milliseconds(), 1))
	if f.mariaDB() {
		before, hint = fmt.Sprintf("SET STATEMENT max_statement_time = %.3f FOR ", f.CountLimit.Seconds()), ""
	}
	statement := fmt.Sprintf("%sSELECT%s COUNT(*) FROM (SELECT 1 FROM %s WHERE exp < FROM_UNIXTIME(%d) LIMIT %d) AS expired",
		before, hint, quoteTable(f.Config.TableName), f.Config.Clock().Add(-f.Grace).Unix(), expiredLimit)
	refusal := r.query(statement, func(row mysqlsession.Row) {
		n, _ := row.Int64(0)
		f.Expired = int(n)
	})
	f.NotCounted = refusal != nil && (refusal.Code == 1969 || refusal.Code == 3024) // the statement's timeout
}

// grants asks for the plan of each kind of statement, which takes the privileges of the
// statement itself and does nothing. So roles, and grants on columns, count as they do.
func (r *reader) grants() {
	sessions, metadata := quoteTable(r.facts.Config.TableName), quoteTable(r.facts.Config.TableNameMeta)
	r.facts.Denied, r.facts.Absent = map[string]bool{}, map[string]bool{}
	for _, try := range []struct{ privilege, table, statement string }{
		{"SELECT", r.facts.Config.TableName, "SELECT sid, name, data, exp FROM " + sessions + " WHERE sid = ''"},
		{"UPDATE", r.facts.Config.TableName, "UPDATE " + sessions + " SET sid = '', name = '', data = '', exp = NULL WHERE 1 = 0"},
		{"DELETE", r.facts.Config.TableName, "DELETE FROM " + sessions + " WHERE 1 = 0"},
		{"SELECT", r.facts.Config.TableNameMeta, "SELECT aud, sub, sid FROM " + metadata + " WHERE sid = ''"},
		{"UPDATE", r.facts.Config.TableNameMeta, "UPDATE " + metadata + " SET aud = '', sub = '', sid = '' WHERE 1 = 0"},
		{"INSERT", r.facts.Config.TableNameMeta, "INSERT INTO " + metadata + " (aud, sub, sid) VALUES ('', '', '')"},
		{"INSERT", r.facts.Config.TableName, "INSERT INTO " + sessions + " (sid, name, data, exp) VALUES ('', '', '', NULL)"},
	} {
		refusal := r.query("EXPLAIN "+try.statement, func(mysqlsession.Row) {})
		switch {
		case refusal == nil:
			r.facts.Denied[try.privilege+" "+try.table] = false
		case errors.Is(refusal, mysqlsession.ErrNotWritable):
			r.facts.Refuses = true
			return
		case refusal.Code == 1146:
			r.facts.Absent[try.table] = true
		case refusal.Code == 1142 || refusal.Code == 1143: // so it is for a table that does not exist
			r.facts.Denied[try.privilege+" "+try.table] = true
		}
	}
}
