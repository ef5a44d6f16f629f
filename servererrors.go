package mysqlsession

import "strings"

// fate is what a server's error means for the connection and for the work.
type fate struct {
	discard bool   // the connection must not be used again
	repeat  remedy // what may be done about the work
	waited  bool   // too long, for a lock
	leave   bool   // the server does not serve, and will tell every other connection the same
}

// rolledBack reports whether a COMMIT that failed like this is known to have rolled back,
// as it does when it waited too long for a lock, or met a server turned read-only.
func (f fate) rolledBack() bool {
	return f.waited || f.repeat == remedyAgain || f.repeat == remedyElsewhere
}

// mayPass reports whether others' locks were in the way, and no connection was lost.
func (f fate) mayPass() bool { return f.waited || f.repeat == remedyAgain }

// remedy says whether work that failed may be done again.
type remedy uint8

const (
	remedyNone      remedy = iota // the caller must know
	remedyElsewhere               // not applied; another connection may succeed
	remedyAgain                   // rolled back; the same transaction may succeed
	remedyPrepare                 // not executed; the statement has to be prepared anew
	remedyUnknown                 // the server cannot say whether the work was applied
)

// fateOf classifies an error that a logged-in server reported. Codes above 1900 mean
// different things on MySQL and on MariaDB. A code that is not listed follows its SQLSTATE.
func fateOf(e *ServerError, mariadb bool) fate {
	switch e.Code {
	case 1213, // a deadlock's victim: the server has rolled the transaction back
		3101, // Group Replication's certification failed: rolled back
		1020: // MariaDB with innodb_snapshot_isolation: the row changed since the snapshot
		return fate{repeat: remedyAgain}
	case 1205: // lock wait timeout: the statement is rolled back, its transaction is open.
		// Not again: who holds the lock has held it for LockWaitTimeout, and every caller
		// that waits for it once more keeps a connection from others.
		return fate{waited: true}
	case 1243, 1615: // the handle is unknown, or a table under it changed: nothing ran
		return fate{repeat: remedyPrepare}
	case 1290, 1792, 1836, // read-only: refused before anything ran
		1047, // Galera: this node does not serve now
		1053: // shutting down
		return fate{discard: true, repeat: remedyElsewhere, leave: true}
	case 1040, 1203, // too many connections; from a proxy also in mid-session
		1158, 1159: // it could not read the whole request, so nothing ran
		return fate{discard: true, repeat: remedyElsewhere}
	case 1077, 1079, 1080, // the server is going
		errOverAllowedPacket, // the server closes
		1156, 1157, 1835,     // it could not make sense of what was sent
		1184: // it aborted the connection
		return fate{discard: true}
	case 1180, // an error during COMMIT
		1160, 1161, // it could not write the answer
		1105: // "unknown error", how proxies say that they lost the server behind them
		return fate{discard: true, repeat: remedyUnknown}
	case 1927: // MariaDB: connection was killed
		return fate{discard: true}
	case 3098, 3100:
		return fateInGroup(e.Code, mariadb)
	case 3168, 3169, 3032, 4031: // MySQL: unavailable, killed, offline mode, idle too long
		return fate{discard: !mariadb}
	}
	switch {
	case e.Code >= 2000 && e.Code < 3000, e.Code >= 9001 && e.Code <= 9006:
		// Client codes on the wire, and ProxySQL's own: the server behind it is gone.
		return fate{discard: true, repeat: remedyUnknown}
	case strings.HasPrefix(e.SQLState, "08"): // connection exception
		return fate{discard: true}
	case strings.HasPrefix(e.SQLState, "40"): // transaction rollback
		return fate{repeat: remedyAgain}
	case e.SQLState == "25006": // read-only transaction
		return fate{discard: true, repeat: remedyElsewhere, leave: true}
	}
	return fate{}
}

// errOverAllowedPacket is the server's, or a proxy's, for a request over its max_allowed_packet.
const errOverAllowedPacket = 1153

// fateInGroup is that of errors of Group Replication, which MariaDB has not got.
func fateInGroup(code uint16, mariadb bool) fate {
	switch {
	case mariadb:
		return fate{}
	case code == 3098: // the member is not online: refused before anything ran
		return fate{discard: true, repeat: remedyElsewhere, leave: true}
	default: // 3100, it left the group, with the commit on its way or before: the others may have it
		return fate{discard: true, repeat: remedyUnknown, leave: true}
	}
}

// notWritable reports whether the code says that the server takes no writes.
func notWritable(code uint16) bool { return code == 1290 || code == 1792 || code == 1836 }

// notServing reports whether the code says that the server serves nobody now: it has too
// many connections, is shutting down, or is a Galera node that is not ready.
func notServing(code uint16) bool {
	return code == 1040 || code == 1203 || code == 1053 || code == 1047
}

// connectionLost reports whether the code is what the server says of a connection that has
// failed, for as long as it can still say something.
func connectionLost(code uint16) bool { return code >= 1158 && code <= 1161 }

// overStatementTime reports whether the code says that a statement took longer than it may, which is
// ReadTimeout: MariaDB's max_statement_time, MySQL's max_execution_time.
func overStatementTime(code uint16) bool { return code == 1969 || code == 3024 }

// serverErrorMeaning says in our own words what a code means: the server's words may
// quote keys and data. "": not listed.
func serverErrorMeaning(code uint16) string {
	switch code {
	case 1040, 1203:
		return "too many connections"
	case 1044, 1045:
		return "access denied"
	case 1047:
		return "node not ready"
	case 1049:
		return "unknown database"
	case 1053:
		return "server shutting down"
	case 1054:
		return "unknown column"
	case 1062:
		return "duplicate key"
	case 1064:
		return "statement not understood"
	case 1114, 1021:
		return "disk or table full"
	case 1115:
		return "unknown character set"
	case 1129, 1130:
		return "this host may not connect"
	case 1142, 1143, 1227, 1370:
		return "privilege missing"
	case 1146:
		return "no such table"
	case errOverAllowedPacket:
		return "packet over max_allowed_packet"
	case 1158, 1159, 1160, 1161:
		return "connection failed at the server"
	case 1193:
		return "unknown server variable"
	case 1205:
		return "lock wait timeout"
	case 1213:
		return "deadlock"
	case 1226:
		return "account limit reached"
	case 1290, 1792, 1836:
		return "server is read-only"
	case 1298:
		return "unknown time zone"
	case 1317:
		return "statement interrupted"
	case 1366, 1406, 1264, 1292:
		return "value does not fit its column"
	case 1451, 1452:
		return "foreign key violated"
	case 1461:
		return "too many prepared statements"
	case 1862, 1820:
		return "password expired"
	case 1969, 3024:
		return "statement timeout"
	case 3098, 3100, 3101:
		return "refused by the replication group"
	default:
		return ""
	}
}
