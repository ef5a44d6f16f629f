package mysqlsession

import (
	"strconv"
	"strings"
)

// tables names a store's two tables as SQL text does: each part in backticks, "`a`.`b`".
type tables struct{ sessions, metadata string }

// quoteTable turns a validated "name" or "database.name" into SQL.
func quoteTable(name string) string {
	return "`" + strings.ReplaceAll(name, ".", "`.`") + "`"
}

// The parts that statements share.
//
// A key of an old table compares without regard to case and trailing spaces. The indexed
// comparison finds the row, and the one of bytes sees that it is the one meant.
const (
	isSession = "sid = ? AND CAST(sid AS BINARY) = ? AND CAST(name AS BINARY) = ?"
	isLive    = "exp >= FROM_UNIXTIME(?) AND data IS NOT NULL"
)

// ladder is how many rows one text may be made for. Few sizes keep the number of
// prepared statements small.
var ladder = [...]int{1, 2, 4, 8, 16, 32, 48, 64, 96, 128}

// ladderTop is the most rows of one statement.
const ladderTop = 128

// largeValue is the largest value, in bytes, that is read beside others. A reply of 128 rows
// then has at most 8 MiB, which arrives well within ReadTimeout, and nobody's large value
// keeps it from the neighbours. Larger ones are read after that, by statements of their own.
const largeValue = 64 << 10

// largestBeside is the largest value that is read by a statement for n sessions.
func largestBeside(n, largest int) int {
	if n == 1 {
		return largest
	}
	return min(largest, largeValue)
}

// coarse is the sizes of statements that carry ids only, or that are rare. Filling one up
// costs little, and fewer sizes are fewer prepared statements: a connection that has used
// every statement in every size holds some fifty.
var coarse = [...]int{1, 2, 8, 32, 128}

// coarseUp is the smallest of the coarse sizes that holds n rows.
func coarseUp(n int) int {
	for _, size := range coarse {
		if size >= n {
			return size
		}
	}
	return ladderTop
}

// rungUp is the smallest size that holds n rows, for lists that can be filled up.
func rungUp(n int) int {
	for _, size := range ladder {
		if size >= n {
			return size
		}
	}
	return ladderTop
}

// rungDown is the largest size that n rows fill.
func rungDown(n int) int {
	for i := len(ladder) - 1; i > 0; i-- {
		if ladder[i] <= n {
			return ladder[i]
		}
	}
	return 1
}

// repeat is n times item, with commas between.
func repeat(item string, n int) string {
	return strings.Repeat(item+", ", n-1) + item
}

// selectSessions reads the live ones of n sessions: parameters are n ids and now. A value
// of more than limit bytes comes as NULL: it could not be read, and it must neither cost
// the connection nor the rows beside it.
func selectSessions(t tables, n, limit int) string {
	return "SELECT sid, name, IF(LENGTH(data) > " + strconv.Itoa(limit) + ", NULL, data), UNIX_TIMESTAMP(exp) DIV 1 FROM " + t.sessions +
		" WHERE " + among(n) + " AND " + isLive
}

// selectValue is selectSessions for one session, without its expiry. It leaves rows of
// old tables that have no value to selectLength: looking for them costs every read some
// four percent.
func selectValue(t tables, limit int) string { return selectValues(t, 1, limit) }

func selectValues(t tables, n, limit int) string {
	return "SELECT sid, name, IF(LENGTH(data) > " + strconv.Itoa(limit) + ", NULL, data) FROM " + t.sessions +
		" WHERE " + among(n) + " AND exp >= FROM_UNIXTIME(?)"
}

// selectLength tells a value that is too large from none: parameters are the session and now.
func selectLength(t tables) string {
	return "SELECT LENGTH(data) FROM " + t.sessions + " WHERE " + isSession + " AND " + isLive
}

// selectKeys reads which of n sessions there are: parameters are the ids.
func selectKeys(t tables, n int) string {
	return "SELECT sid FROM " + t.sessions + " WHERE " + among(n)
}

// selectFree is selectKeys of those that nobody has locked.
func selectFree(t tables, n int) string { return selectKeys(t, n) + " FOR UPDATE SKIP LOCKED" }

// amongExactly is among with the comparison of bytes that isSession makes.
func amongExactly(n int) string {
	return among(n) + " AND CAST(sid AS BINARY) IN (" + repeat("?", n) + ")"
}

func among(n int) string {
	if n == 1 {
		return "sid = ?"
	}
	return "sid IN (" + repeat("?", n) + ")"
}

// upsertSessions stores n sessions: parameters are id, name, value and expiry of each.
// The id is written anew too: an old table may hold it in other case.
func upsertSessions(t tables, n int, rowAlias bool) string {
	return "INSERT INTO " + t.sessions + " (sid, name, data, exp) VALUES " + repeat("(?, ?, ?, FROM_UNIXTIME(?))", n) +
		onDuplicate(rowAlias, "sid", "name", "data", "exp")
}

// upsertMetadata stores n metadata rows: parameters are audience, subject and id of each.
func upsertMetadata(t tables, n int, rowAlias bool) string {
	return "INSERT INTO " + t.metadata + " (aud, sub, sid) VALUES " + repeat("(?, ?, ?)", n) +
		onDuplicate(rowAlias, "aud", "sub", "sid")
}

// onDuplicate takes the new row's columns over. MariaDB and old MySQL know only
// VALUES(column) for the new row; it is deprecated where the row can have an alias
// (https://dev.mysql.com/doc/refman/en/insert-on-duplicate.html).
func onDuplicate(rowAlias bool, columns ...string) string {
	from, to, alias := "VALUES(", ")", ""
	if rowAlias {
		from, to, alias = "new.", "", " AS new"
	}
	assignments := make([]string, len(columns))
	for i, column := range columns {
		assignments[i] = column + " = " + from + column + to
	}
	return alias + " ON DUPLICATE KEY UPDATE " + strings.Join(assignments, ", ")
}

// replaceSession stores a session only where it is live: parameters are value and expiry,
// then the session and now.
func replaceSession(t tables) string {
	return "UPDATE " + t.sessions + " SET data = ?, exp = FROM_UNIXTIME(?) WHERE " + isSession + " AND " + isLive
}

// exchangeSession is replaceSession where the value still has the digest that is the last
// parameter.
func exchangeSession(t tables) string { return replaceSession(t) + " AND SHA2(data, 256) = ?" }

// touchSession moves the expiry of a live session: parameters are expiry, session, now.
func touchSession(t tables) string {
	return "UPDATE " + t.sessions + " SET exp = FROM_UNIXTIME(?) WHERE " + isSession + " AND " + isLive
}

// touchSessions moves the expiry of those of n sessions of a name that are live: parameters
// are expiry, the ids twice, name, now.
func touchSessions(t tables, n int, primary bool) string {
	return updateOf(t, n, primary) + " SET exp = FROM_UNIXTIME(?) WHERE " + amongExactly(n) + " AND CAST(name AS BINARY) = ? AND " + isLive
}

// endSession brings an expiry forward, never back: parameters are expiry and session.
func endSession(t tables) string {
	return "UPDATE " + t.sessions + " SET exp = LEAST(exp, FROM_UNIXTIME(?)) WHERE " + isSession
}

// endSessions is endSession for n sessions of a name: parameters are expiry, the ids twice,
// and the name.
func endSessions(t tables, n int, primary bool) string {
	return updateOf(t, n, primary) + " SET exp = LEAST(exp, FROM_UNIXTIME(?)) WHERE " + amongExactly(n) + " AND CAST(name AS BINARY) = ?"
}

// endLiveSession is endSession of one that is live: now is the last parameter.
func endLiveSession(t tables) string { return endSession(t) + " AND " + isLive }

// deleteSession removes one session: parameters are the session's.
func deleteSession(t tables) string { return "DELETE FROM " + t.sessions + " WHERE " + isSession }

// deleteFrom begins to delete some of n sessions. The server would rather look through the
// whole of a small table than for many ids, and a DELETE that does so waits for every row
// that somebody holds, whether it names that row or not. Where the ids are the primary key
// it is told to look for them.
func deleteFrom(t tables, n int, primary bool) string {
	if n == 1 || !primary {
		return "DELETE FROM " + t.sessions
	}
	return "DELETE FROM " + t.sessions + " USING " + t.sessions + " FORCE INDEX (PRIMARY)"
}

// updateOf is the same for an UPDATE. Most servers go by what was committed last for rows
// that it does not change; MariaDB with innodb_snapshot_isolation, its default from 11.6 on,
// waits for them.
func updateOf(t tables, n int, primary bool) string {
	if n == 1 || !primary {
		return "UPDATE " + t.sessions
	}
	return "UPDATE " + t.sessions + " FORCE INDEX (PRIMARY)"
}

// deleteSessions removes n sessions of a name: parameters are the ids and the name.
func deleteSessions(t tables, n int, primary bool) string {
	return deleteFrom(t, n, primary) + " WHERE " + among(n) + " AND CAST(name AS BINARY) = ?"
}

// deleteExactly is deleteSessions for ids that were not read from the table: an old table
// may hold them in other case. Parameters are the ids twice and the name.
func deleteExactly(t tables, n int, primary bool) string {
	return deleteFrom(t, n, primary) + " WHERE " + amongExactly(n) + " AND CAST(name AS BINARY) = ?"
}

// selectSubject reads a page of a subject's sessions, in the order of their ids:
// parameters are audience, subject, the last page's last id, now, and the page's size.
func selectSubject(t tables) string {
	return "SELECT m.sid, m.aud, m.sub, s.sid, s.name, UNIX_TIMESTAMP(s.exp) DIV 1, " +
		"s.exp >= FROM_UNIXTIME(?) AND s.data IS NOT NULL FROM " +
		t.metadata + " m JOIN " + t.sessions + " s ON s.sid = m.sid WHERE m.aud = ? AND m.sub = ? AND m.sid > ? ORDER BY m.sid LIMIT ?"
}

// isSubjects is what a subject's sessions are that are live and of a name: parameters are
// audience and subject twice, name, now. It is exact, also on an old table.
const isSubjects = "m.aud = ? AND m.sub = ? AND CAST(m.aud AS BINARY) = ? AND CAST(m.sub AS BINARY) = ? AND CAST(s.name AS BINARY) = ? AND " + isLive

// ofSubjects are the tables for isSubjects. Left to itself the server may begin with the
// sessions, by the index on the expiry, which is all that are live.
func ofSubjects(t tables) string {
	return t.metadata + " m STRAIGHT_JOIN " + t.sessions + " s ON s.sid = m.sid"
}

// countSubject counts a subject's live sessions: parameters are those of isSubjects.
func countSubject(t tables) string {
	return "SELECT COUNT(*) FROM " + ofSubjects(t) + " WHERE " + isSubjects
}

// selectExcess reads which of a subject's live sessions are too many, first those that
// expire first: parameters are those of isSubjects, the ids of two that do not count, how
// many others there may be, and how many to read at most.
func selectExcess(t tables) string {
	return "SELECT sid FROM (SELECT s.sid, s.exp FROM " + ofSubjects(t) + " WHERE " + isSubjects + " AND CAST(s.sid AS BINARY) NOT IN (?, ?) " +
		"ORDER BY s.exp DESC, CAST(s.sid AS BINARY) DESC LIMIT 9223372036854775807 OFFSET ?) excess ORDER BY exp, CAST(sid AS BINARY) LIMIT ?"
}

// deleteFree deletes a row unless somebody has it locked: the parameter is its id. The
// LIMIT keeps the server from making one of the two tables that are one.
func deleteFree(t tables) string {
	return "DELETE s FROM (" + selectKeys(t, 1) + " LIMIT 1 FOR UPDATE SKIP LOCKED) free STRAIGHT_JOIN " + t.sessions + " s ON s.sid = free.sid"
}

// selectPage reads a page of all ids and names in the order of the ids: parameters are
// the last page's last id and the page's size.
func selectPage(t tables) string {
	return "SELECT sid, name FROM " + t.sessions + " WHERE sid > ? ORDER BY sid LIMIT ?"
}

// selectExpired reads ids of expired sessions: parameters are now and how many.
func selectExpired(t tables) string {
	return "SELECT sid FROM " + t.sessions + " WHERE exp < FROM_UNIXTIME(?) OR exp IS NULL ORDER BY exp LIMIT ?"
}

// deleteExpired removes those of n sessions that are expired still: parameters are the
// ids and now.
func deleteExpired(t tables, n int, primary bool) string {
	return deleteFrom(t, n, primary) + " WHERE " + among(n) + " AND (exp < FROM_UNIXTIME(?) OR exp IS NULL)"
}

// selectInfo reads what is known of a session besides its value: parameters are now and id.
func selectInfo(t tables) string {
	return "SELECT sid, name, UNIX_TIMESTAMP(exp) DIV 1, exp >= FROM_UNIXTIME(?) AND data IS NOT NULL, LENGTH(data) FROM " + t.sessions + " WHERE sid = ?"
}

// selectMetadata reads what a session belongs to: the parameter is its id.
func selectMetadata(t tables) string {
	return "SELECT sid, aud, sub FROM " + t.metadata + " WHERE sid = ? ORDER BY aud, sub"
}

// selectSubjectInfo is selectSubject, of all names and with the values' sizes.
func selectSubjectInfo(t tables) string {
	return "SELECT m.sid, m.aud, m.sub, s.sid, s.name, UNIX_TIMESTAMP(s.exp) DIV 1, " +
		"s.exp >= FROM_UNIXTIME(?) AND s.data IS NOT NULL, LENGTH(s.data) FROM " +
		t.metadata + " m JOIN " + t.sessions + " s ON s.sid = m.sid WHERE m.aud = ? AND m.sub = ? AND m.sid > ? ORDER BY m.sid LIMIT ?"
}

// countPage counts a page of sessions, in the order of their ids, by name: how many are
// live, have expired, and are in the page at all; and the page's last id. Parameters are now
// twice, the last page's last id, and the page's size.
func countPage(t tables) string {
	return "SELECT name, COUNT(NULLIF(live, 0)), COUNT(NULLIF(expired, 0)), COUNT(*), MAX(MAX(sid)) OVER () FROM " +
		"(SELECT sid, CAST(name AS BINARY) AS name, exp >= FROM_UNIXTIME(?) AND data IS NOT NULL AS live, " +
		"exp < FROM_UNIXTIME(?) OR exp IS NULL AS expired FROM " + t.sessions + " WHERE sid > ? ORDER BY sid LIMIT ?) page GROUP BY name"
}

// countExpired counts what selectExpired reads: the parameter is now.
func countExpired(t tables) string {
	return "SELECT COUNT(*) FROM " + t.sessions + " WHERE exp < FROM_UNIXTIME(?) OR exp IS NULL"
}
