package doctor

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// oldServer names versions that the library is not made for, and not tested on.
func oldServer(l *findings, f *Facts) {
	least := "MySQL 8.0"
	old := !f.atLeast(8, 0)
	if f.mariaDB() {
		least, old = "MariaDB 10.11", !f.atLeast(10, 11)
	}
	if old {
		l.warn("the server", "is of version "+f.Version+", which the library is not tested on", "upgrade to "+least+" or later")
	}
}

// statementBinlog is a binary log that refuses every write of a transaction that is READ
// COMMITTED, as the library's are.
func statementBinlog(l *findings, f *Facts) {
	if f.Global.on("log_bin") && strings.EqualFold(f.Session["binlog_format"], "STATEMENT") {
		l.err("binlog_format", "is STATEMENT: the server refuses all writes at the isolation level READ COMMITTED, which the library uses",
			f.set("binlog_format", "'ROW'"))
	}
}

// grants says which privileges are missing, each table's in one statement. None can be given
// on a table that does not exist.
func grants(l *findings, f *Facts) {
	for _, table := range []string{f.Config.TableName, f.Config.TableNameMeta} {
		var missing []string
		for _, privilege := range []string{"SELECT", "INSERT", "UPDATE", "DELETE"} {
			if f.Denied[privilege+" "+table] {
				missing = append(missing, privilege)
			}
		}
		if len(missing) > 0 {
			list, on := strings.Join(missing, ", "), f.qualified(table)
			if f.Absent[table] || !f.seen(table) {
				on = f.databaseOf(table) + ".*"
			}
			l.err(table, fmt.Sprintf("may not be used by account %s for %s", f.Account, list),
				fmt.Sprintf("GRANT %s ON %s TO %s;", list, on, f.grantee()))
		}
	}
}

// seen reports whether the account may do anything with the table, so that it is there.
func (f *Facts) seen(table string) bool {
	for _, privilege := range []string{"SELECT", "INSERT", "UPDATE", "DELETE"} {
		if denied, tried := f.Denied[privilege+" "+table]; tried && !denied {
			return true
		}
	}
	return false
}

// foreignKeyChecks is a setting that the library leaves as it is, and needs.
func foreignKeyChecks(l *findings, f *Facts) {
	if f.Session.off("foreign_key_checks") {
		l.warn("foreign_key_checks", "is OFF: deleting a session leaves its metadata, which its foreign key should take along", f.set("foreign_key_checks", "ON"))
	}
}

func deadlockDetection(l *findings, f *Facts) {
	if f.Global.off("innodb_deadlock_detect") {
		l.warn("innodb_deadlock_detect", fmt.Sprintf("is OFF: a deadlock is not ended and tried again, but lasts for LockWaitTimeout, %v, and fails", f.Config.LockWaitTimeout),
			f.set("innodb_deadlock_detect", "ON"))
	}
}

// sqlMode is about the other programs that write to the tables: the library has its own.
func sqlMode(l *findings, f *Facts) {
	mode, known := f.Global["sql_mode"]
	if known && !strings.Contains(mode, "STRICT_TRANS_TABLES") && !strings.Contains(mode, "STRICT_ALL_TABLES") {
		with := strings.TrimPrefix(mode+",STRICT_TRANS_TABLES", ",")
		l.note("sql_mode", "is not strict: the library has its own, but what other programs write to the tables is cut to fit, in silence",
			f.set("sql_mode", quoteText(with)))
	}
}

// daylightSaving is a time zone whose offset changes within a year.
func daylightSaving(l *findings, f *Facts) {
	if len(f.Offsets) == 0 || slices.Min(f.Offsets) == slices.Max(f.Offsets) {
		return
	}
	zone := f.Session["time_zone"]
	if zone == "SYSTEM" {
		zone = "the system's, " + f.Global["system_time_zone"]
	}
	fix := "time_zone=+00:00 in the DSN of all programs that share the tables"
	if f.Config.TimeZone == "" {
		fix += "; with lua-resty-session among them " + f.set("time_zone", "'+00:00'")
	}
	l.warn("time_zone", fmt.Sprintf("is %s, between UTC%s and UTC%s: in the hour that repeats when daylight saving ends, sessions live an hour too short or too long",
		zone, offset(slices.Min(f.Offsets)), offset(slices.Max(f.Offsets))), fix)
}

// offset is how far a time zone is from UTC, as in "+05:45".
func offset(d time.Duration) string {
	minutes, sign := int(d/time.Minute), "+"
	if minutes < 0 {
		minutes, sign = -minutes, "-"
	}
	return fmt.Sprintf("%s%02d:%02d", sign, minutes/60, minutes%60)
}

// clockTolerance is a difference that no clock which is kept in step has.
const clockTolerance = 5 * time.Second

func clocks(l *findings, f *Facts) {
	if f.ClockAhead.Abs() <= clockTolerance {
		return
	}
	direction := "ahead of"
	if f.ClockAhead < 0 {
		direction = "behind"
	}
	l.note("the clock", fmt.Sprintf("of this machine is %v %s the server's: expiry is decided by the clocks of the machines that run stores", f.ClockAhead.Abs().Round(time.Second), direction),
		"timedatectl set-ntp true, on both machines")
}

// expired rows that nobody removes make the table grow for ever.
func expired(l *findings, f *Facts) {
	const fix = "run a store with cleanup_interval=1m in its DSN, or call Store.Cleanup; its log tells why a clean-up fails"
	if f.readOnly() != "" {
		return
	}
	if f.NotCounted {
		l.note(f.Config.TableName, fmt.Sprintf("is slow to look for expired rows in: they were not counted within %v", f.CountLimit), "CREATE INDEX exp ON "+f.qualified(f.Config.TableName)+" (exp); -- if it has none")
	}
	if f.Expired == 0 {
		return
	}
	count := fmt.Sprintf("%d rows", f.Expired)
	switch {
	case f.Expired == 1:
		count = "a row"
	case f.Expired >= expiredLimit:
		count = fmt.Sprintf("%d rows or more", f.Expired)
	}
	l.warn(f.Config.TableName, fmt.Sprintf("has %s that expired more than %v ago: nobody cleans up", count, f.Grace), fix)
}

// durability tells of settings that trade what was acknowledged for speed.
func durability(l *findings, f *Facts) {
	if flush, ok := f.Global.number("innodb_flush_log_at_trx_commit"); ok && flush != 1 {
		l.note("innodb_flush_log_at_trx_commit", fmt.Sprintf("is %d: up to a second of acknowledged saves and log-outs is lost when the machine crashes", flush),
			f.set("innodb_flush_log_at_trx_commit", "1"))
	}
	if sync, ok := f.Global.number("sync_binlog"); ok && sync != 1 && f.Global.on("log_bin") {
		l.note("sync_binlog", fmt.Sprintf("is %d: after a crash of the machine replicas may lack what was acknowledged", sync), f.set("sync_binlog", "1"))
	}
}

// hidden names what could not be looked at.
func hidden(l *findings, f *Facts) {
	for _, h := range f.Hidden {
		l.note(h.Subject, "could not be looked at: account "+f.Account+" lacks "+h.Privilege, "GRANT "+h.Privilege+" TO "+f.grantee()+"; -- or look with an administrator's account")
	}
}
