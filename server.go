package mysqlsession

import (
	"strconv"
	"strings"
	"time"
)

// server is what is known of the server at the other end.
type server struct {
	mariadb          bool
	version          [3]int
	maxAllowedPacket int // bytes of payload; 0 until it is known
}

// parseServer reads the greeting's version. MariaDB may put "5.5.5-" before its own, for
// replicas that knew no two-digit major version.
func parseServer(text string) server {
	var s server
	s.mariadb = strings.Contains(strings.ToLower(text), "mariadb")
	if s.mariadb {
		text = strings.TrimPrefix(text, "5.5.5-")
	}
	for i, part := range strings.SplitN(text, ".", 3) {
		digits := strings.IndexFunc(part, func(r rune) bool { return r < '0' || r > '9' })
		if digits < 0 {
			digits = len(part)
		}
		s.version[i], _ = strconv.Atoi(part[:digits]) // a version without numbers is the oldest
	}
	return s
}

func (s *server) atLeast(major, minor, patch int) bool {
	want := [3]int{major, minor, patch}
	for i := range want {
		if s.version[i] != want[i] {
			return s.version[i] > want[i]
		}
	}
	return true
}

// rowAlias reports whether INSERT ... ON DUPLICATE KEY UPDATE takes "VALUES (...) AS
// new". Where it does VALUES(column) is deprecated, and warns from MySQL 8.0.20 on;
// MariaDB knows only VALUES(column).
func (s *server) rowAlias() bool { return !s.mariadb && s.atLeast(8, 0, 19) }

// readOnlyVariables are the global variables that are on when the server takes no writes:
// MySQL's super_read_only implies read_only, and Aurora's readers have innodb_read_only
// (https://dev.mysql.com/doc/refman/en/server-system-variables.html#sysvar_read_only,
// https://mariadb.com/kb/en/server-system-variables/#read_only). In MySQL's offline mode
// administrators still get in.
func (s *server) readOnlyVariables() []string {
	if s.mariadb {
		return []string{"read_only", "innodb_read_only"}
	}
	return []string{"read_only", "innodb_read_only", "offline_mode"}
}

// lastMoment is the latest time that FROM_UNIXTIME can return.
func (s *server) lastMoment() time.Time {
	switch {
	case s.mariadb && s.atLeast(11, 5, 0): // unsigned 32 bits, on 64-bit systems
		return time.Unix(1<<32-1, 0)
	case !s.mariadb && s.atLeast(8, 0, 28): // 3001-01-18 23:59:59
		return time.Unix(32536771199, 0)
	default: // signed 32 bits
		return time.Unix(1<<31-1, 0)
	}
}
