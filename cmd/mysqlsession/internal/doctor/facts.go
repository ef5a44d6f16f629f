package doctor

import (
	"strconv"
	"strings"
	"time"

	"github.com/mysqlsession/mysqlsession"
)

// Facts are what was read of one server. What could not be read is left at zero, and rules
// say nothing about it.
type Facts struct {
	Config    mysqlsession.Config // with its defaults, and this server alone
	Instances int
	Others    bool // there are more servers in the list

	Address string
	Version string
	Near    bool   // the connection does not leave the machine
	Account string // "user@host", as the server matched it

	Global       Settings // variables
	Session      Settings // variables of a connection that the library has set up
	GlobalStatus Settings
	TLSStatus    Settings // of the connection

	Plugin     string          // with which the account logs in
	Lifetime   int             // days after which the account's password expires; 0: never, or not known
	Powers     []string        // global privileges of administrators that the account has
	Denied     map[string]bool // "INSERT sessions": the account may not; false: it may
	Absent     map[string]bool // tables that do not exist
	Refuses    bool            // the server refused a write as it is read-only
	Offsets    []time.Duration // of the time zone from UTC, now and through the year to come
	ClockAhead time.Duration   // how far this machine's clock is ahead of the server's

	Replicas   []Replica
	Group      []Member
	Expired    int           // rows whose expiry is longer ago than Grace, up to expiredLimit
	Grace      time.Duration // in which a clean-up would have come by
	CountLimit time.Duration // after which counting is given up
	NotCounted bool          // it was
	Hidden     []Hidden      // what the account may not see
}

// Settings are variables, or figures, by their names in lower case.
type Settings map[string]string

// number is a setting that is a number.
func (s Settings) number(name string) (int64, bool) {
	n, err := strconv.ParseInt(s[name], 10, 64)
	return n, err == nil
}

// on reports whether a setting is known and not off: besides ON there are enumerations.
func (s Settings) on(name string) bool {
	switch strings.ToUpper(s[name]) {
	case "", "OFF", "0", "NO":
		return false
	default:
		return true
	}
}

// off reports whether a setting is known to be off.
func (s Settings) off(name string) bool { return s[name] != "" && !s.on(name) }

// Replica is a channel by which the server gets what another one has written.
type Replica struct {
	Receives, Applies string // "Yes", "No", or on the way to it
	Behind            int64  // seconds; -1: not known
}

// Member is one of a group of Group Replication.
type Member struct {
	Self        bool
	Host        string
	State, Role string
}

// Hidden is something that the account may not see.
type Hidden struct {
	Subject   string
	Privilege string // that it lacks, as GRANT has it: "SELECT ON performance_schema.x"
}

func (f *Facts) mariaDB() bool { return strings.Contains(strings.ToLower(f.Version), "mariadb") }

// atLeast compares the server's version.
func (f *Facts) atLeast(major, minor int) bool {
	var have [2]int
	for i, part := range strings.SplitN(f.Version, ".", 3) {
		if i < len(have) {
			have[i], _ = strconv.Atoi(part)
		}
	}
	return have[0] > major || have[0] == major && have[1] >= minor
}

// readOnly is the setting that makes the server take no writes; "" if it takes them.
func (f *Facts) readOnly() string {
	for _, name := range []string{"offline_mode", "innodb_read_only", "super_read_only", "read_only"} {
		if f.Global.on(name) {
			return name
		}
	}
	for _, name := range []string{"transaction_read_only", "tx_read_only"} {
		if f.Session.on(name) {
			return name
		}
	}
	return ""
}

// grantee is the account as statements have it.
func (f *Facts) grantee() string {
	at := strings.LastIndex(f.Account, "@")
	if at < 0 {
		return quoteText(f.Config.Username) + "@'%'"
	}
	return quoteText(f.Account[:at]) + "@" + quoteText(f.Account[at+1:])
}

// set is what changes a global setting for good: value is as SQL has it. MariaDB has no
// statement that outlasts a restart.
func (f *Facts) set(name, value string) string {
	if !f.mariaDB() {
		return "SET PERSIST " + name + " = " + value + ";"
	}
	return "SET GLOBAL " + name + " = " + value + "; -- and in the option file: " + name + " = " + strings.Trim(value, "'")
}

func quoteText(s string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `''`).Replace(s) + "'"
}

// quoteTable quotes "table" or "database.table".
func quoteTable(name string) string {
	return "`" + strings.ReplaceAll(name, ".", "`.`") + "`"
}

// databaseOf is the database of a configured table, quoted.
func (f *Facts) databaseOf(table string) string {
	if database, _, ok := strings.Cut(table, "."); ok {
		return quoteIdentifier(database)
	}
	return quoteIdentifier(f.Config.Database)
}

// qualified is a configured table with its database, quoted.
func (f *Facts) qualified(table string) string {
	_, name, ok := strings.Cut(table, ".")
	if !ok {
		name = table
	}
	return f.databaseOf(table) + "." + quoteIdentifier(name)
}

func quoteIdentifier(name string) string { return "`" + strings.ReplaceAll(name, "`", "``") + "`" }
