package mysqlsession

import (
	"cmp"
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// validate refuses what cannot be used, with the defaults in place of what was left at
// zero. Nothing is brought into range silently.
func (cfg *Config) validate() error {
	if r := cfg.brokenRule(); r != nil {
		return detail(ErrInvalidConfig, "%s", r.text(r.field))
	}
	_, err := cfg.sslMode()
	return err
}

// validateStore is validate, and what a store needs besides.
func (cfg *Config) validateStore() error {
	if cfg.Database == "" {
		r := rule{field: "Database", value: cfg.Database, bound: "the name of the database that holds the tables"}
		return detail(ErrInvalidConfig, "%s", r.text(r.field))
	}
	return cfg.validate()
}

// rule is what must be true of a field. Its parts make up the text of the error, so no
// rule can forget to name field, value or bound.
type rule struct {
	field string
	value any // never a password
	kept  bool
	bound string // goes on from "must be"
}

// text says under the given name of the field what is wrong with it.
func (r *rule) text(name string) string {
	if value, ok := r.value.(string); ok {
		return fmt.Sprintf("%s is %.100q, must be %s", name, value, r.bound)
	}
	return fmt.Sprintf("%s is %v, must be %s", name, r.value, r.bound)
}

// The longest durations. They are far beyond what is sensible, and short of what the
// server's variables hold: max_execution_time ends at 2^32-1 ms, MariaDB's
// max_statement_time and wait_timeout at a year.
const (
	longestWait   = 24 * time.Hour
	longestPeriod = 365 * 24 * time.Hour
)

// brokenRule is the first rule that the configuration breaks, or nil. A rule on which
// another one builds comes before it, so that the error names the cause.
func (cfg *Config) brokenRule() *rule {
	c := cfg.withDefaults()
	rules := []rule{
		{"Host", c.Host, validHost(c.Host), "a host name or an IP address, without port and brackets"},
		eachAddress("Hosts", c.Hosts),
		{"Socket", c.Socket, c.Socket == "" || filepath.IsAbs(c.Socket) && len(c.Socket) <= longestSocket && printable(c.Socket), fmt.Sprintf("an absolute path of at most %d bytes, without control characters", longestSocket)},
		{"Username", c.Username, !strings.Contains(c.Username, "\x00"), "without NUL bytes"},
		{"Password", hidden{}, !strings.Contains(c.Password, "\x00"), "without NUL bytes"},
		{"Charset", c.Charset, plain(c.Charset, "_", 32) && c.Charset == strings.ToLower(c.Charset), "1 to 32 lower case letters, digits and underscores"},
		{"Database", c.Database, printable(c.Database), "UTF-8 without control characters"},
		{"Pool", c.Pool, printable(c.Pool), "UTF-8 without control characters"},

		between("ConnectTimeout", c.ConnectTimeout, time.Millisecond, longestWait),
		limit("SendTimeout", c.SendTimeout, longestWait),
		limit("ReadTimeout", c.ReadTimeout, longestWait),
		{"LockWaitTimeout", c.LockWaitTimeout, c.LockWaitTimeout >= time.Second && c.LockWaitTimeout <= time.Hour && c.LockWaitTimeout%time.Second == 0, "from 1s to 1h, in whole seconds"},
		between("MaxPacketSize", c.MaxPacketSize, 1<<10, 16<<20),
		{"TimeZone", c.TimeZone, c.TimeZone == "" || validTimeZone(c.TimeZone), `an offset such as "+00:00", or a name of at most 64 letters, digits and "_+-/"`},
		{"StatementMode", string(c.StatementMode), c.StatementMode == StatementModePrepared || c.StatementMode == StatementModeText, fmt.Sprintf("%q or %q", StatementModePrepared, StatementModeText)},
		between("StatementCacheCapacity", c.StatementCacheCapacity, 1, 1024),

		between("PoolSize", c.PoolSize, 1, 10_000),
		limit("KeepaliveTimeout", c.KeepaliveTimeout, longestPeriod),
		{"MinIdleConns", c.MinIdleConns, c.MinIdleConns >= 0 && c.MinIdleConns <= c.PoolSize, fmt.Sprintf("from 0 to PoolSize, which is %d", c.PoolSize)},
		limit("MaxConnLifetime", c.MaxConnLifetime, longestPeriod),
		{"MaxConnLifetimeJitter", c.MaxConnLifetimeJitter, c.MaxConnLifetimeJitter < 0 || c.MaxConnLifetimeJitter < c.MaxConnLifetime, fmt.Sprintf("negative, for none, or less than MaxConnLifetime, which is %v", c.MaxConnLifetime)},
		between("HealthCheckPeriod", c.HealthCheckPeriod, time.Millisecond, longestPeriod),
		{"LeakThreshold", c.LeakThreshold, c.LeakThreshold <= 0 || c.LeakThreshold >= time.Millisecond && c.LeakThreshold <= longestPeriod, fmt.Sprintf("from %v to %v, or 0 or negative for none", time.Millisecond, longestPeriod)},
		{"MaxConcurrentDials", c.MaxConcurrentDials, c.MaxConcurrentDials >= 1 && c.MaxConcurrentDials <= c.PoolSize, fmt.Sprintf("from 1 to PoolSize, which is %d", c.PoolSize)},

		{"TableName", c.TableName, validTableName(c.TableName), `"name" or "database.name", each 1 to 64 letters, digits, "_" and "$"`},
		{"TableNameMeta", c.TableNameMeta, validTableName(c.TableNameMeta), `"name" or "database.name", each 1 to 64 letters, digits, "_" and "$"`},
		{"TableNameMeta", c.TableNameMeta, !strings.EqualFold(c.inDatabase(c.TableNameMeta), c.inDatabase(c.TableName)), fmt.Sprintf("another table than TableName, which is %q; servers may take no notice of case", c.TableName)},
		{"Coalesce", string(c.Coalesce), c.Coalesce == CoalesceOn || c.Coalesce == CoalesceOff, fmt.Sprintf("%q or %q", CoalesceOn, CoalesceOff)},
		between("CoalesceMaxRows", c.CoalesceMaxRows, 1, 128),
		between("CoalesceMaxBytes", c.CoalesceMaxBytes, 1<<10, 16<<20),
		{"CoalesceMaxLanes", c.CoalesceMaxLanes, c.CoalesceMaxLanes >= 1 && c.CoalesceMaxLanes <= c.PoolSize, fmt.Sprintf("from 1 to PoolSize, which is %d", c.PoolSize)},
		limit("CleanupInterval", c.CleanupInterval, longestPeriod),
		between("CleanupBatchSize", c.CleanupBatchSize, 1, 10_000),
	}
	for i := range rules {
		if !rules[i].kept {
			return &rules[i]
		}
	}
	return nil
}

// longestSocket is the longest path that fits sockaddr_un, in Linux.
const longestSocket = 107

// hidden is the value of a rule about a password.
type hidden struct{}

func (hidden) String() string { return masked }

// between is the rule that a field is in a range, bounds included.
func between[T cmp.Ordered](field string, value, low, high T) rule {
	return rule{field, value, value >= low && value <= high, fmt.Sprintf("from %v to %v", low, high)}
}

// limit is the rule that a duration is at most longest, or switched off. The lower bound
// catches a bare number, which Go takes for nanoseconds.
func limit(field string, value, longest time.Duration) rule {
	kept := value < 0 || value >= time.Millisecond && value <= longest
	return rule{field, value, kept, fmt.Sprintf("from %v to %v, or negative for none", time.Millisecond, longest)}
}

// eachAddress is the rule that addresses are "host:port"; its value is the first that is not.
func eachAddress(field string, addresses []string) rule {
	r := rule{field: field, kept: true, bound: `"host:port" in each entry, the port from 1 to 65535 and an IPv6 address in brackets`}
	for _, address := range addresses {
		if !validAddress(address) {
			r.value, r.kept = address, false
			break
		}
	}
	return r
}

// plain reports whether text is 1 to longest letters, digits and bytes of others.
func plain(text, others string, longest int) bool {
	for i := range len(text) {
		if b := text[i]; !isAlphanumeric(b) && strings.IndexByte(others, b) < 0 {
			return false
		}
	}
	return len(text) >= 1 && len(text) <= longest
}

func isAlphanumeric(b byte) bool {
	return b >= '0' && b <= '9' || b >= 'a' && b <= 'z' || b >= 'A' && b <= 'Z'
}

// printable reports whether text can go to logs and metrics as it is.
func printable(text string) bool {
	return utf8.ValidString(text) && !strings.ContainsFunc(text, unicode.IsControl)
}

// validHost reports whether host is a name or an IP address.
func validHost(host string) bool {
	if strings.Contains(host, ":") {
		address, err := netip.ParseAddr(host)
		return err == nil && plain(address.Zone()+"x", "-._", 32)
	}
	return plain(host, "-._", 253)
}

// validAddress reports whether address is "host:port".
func validAddress(address string) bool {
	host, port, err := net.SplitHostPort(address)
	if err != nil || !validHost(host) {
		return false
	}
	_, ok := parsePort(port)
	return ok
}

// parsePort reads a port from 1 to 65535, in digits.
func parsePort(text string) (uint16, bool) {
	port, err := strconv.ParseUint(text, 10, 16)
	return uint16(port), err == nil && port != 0
}

// validTimeZone reports whether zone can be a value of time_zone. Whether the server
// knows it shows when it is set
// (https://dev.mysql.com/doc/refman/en/time-zone-support.html).
func validTimeZone(zone string) bool {
	if zone[0] != '+' && zone[0] != '-' {
		return !(zone[0] >= '0' && zone[0] <= '9') && plain(zone, "_+-/", 64)
	}
	hours, minutes, _ := strings.Cut(zone[1:], ":")
	h, err := strconv.ParseUint(hours, 10, 8)
	if err != nil || h > 14 || len(hours) > 2 {
		return false
	}
	m, err := strconv.ParseUint(minutes, 10, 8)
	return err == nil && m < 60 && len(minutes) == 2
}

// validTableName reports whether name is "name" or "database.name" of plain identifiers.
// The server takes more; what is not in it needs no thought about quoting.
func validTableName(name string) bool {
	database, table, qualified := strings.Cut(name, ".")
	return plain(database, "_$", 64) && (!qualified || plain(table, "_$", 64))
}

// inDatabase is the qualified name of a table.
func (cfg *Config) inDatabase(table string) string {
	if strings.Contains(table, ".") {
		return table
	}
	return cfg.Database + "." + table
}
