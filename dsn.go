package mysqlsession

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// scheme opens a connection string.
const scheme = "mysql://"

// ParseConfig reads a Config from a connection string:
//
//	mysql://user:password@host:port,host:port/database?pool_size=30&connect_timeout=250ms
//
// Each part may be left out. The first host becomes Host and Port, the others Hosts; an
// IPv6 address goes in brackets. A parameter is named like the field that it sets, in
// lower case with underscores: pool_size is PoolSize. The parts before the "?" may be
// parameters as well (host, port, hosts, username, password, database), but not both.
// Durations are written as Go writes them. What a string cannot hold, such as hooks and
// TLSConfig, is set on the Config afterwards.
//
// Everywhere, "%" and two hexadecimal digits stand for a byte, and "+" for itself.
// Spaces, "#" and what is not ASCII are always written so; "@", "/" and "?" in a
// password, and "@", ";" and "=" in a parameter's value, too.
//
// The Config has been validated; its defaults are still zero values. Every error is
// ErrInvalidConfig. It names the parameter, and quotes neither the string nor the password.
func ParseConfig(dsn string) (Config, error) {
	cfg, err := parseConfig(dsn)
	if err != nil {
		return Config{}, detail(ErrInvalidConfig, "connection string: %v", err)
	}
	if err := cfg.validate(); err != nil {
		return Config{}, err
	}
	return cfg, nil
}

func parseConfig(dsn string) (Config, error) {
	var cfg Config
	assignments, err := splitDSN(dsn)
	if err != nil {
		return cfg, err
	}
	seen := make(map[string]bool, len(assignments))
	for _, a := range assignments {
		p, ok := parameterOf(a.name)
		switch {
		case !ok:
			return cfg, fmt.Errorf("unknown parameter %s", showable(a.name, dsn))
		case seen[a.name]:
			return cfg, fmt.Errorf("%s is given twice", a.name)
		case a.value == "":
			return cfg, fmt.Errorf("%s is empty", a.name)
		}
		seen[a.name] = true
		if err := p.set(&cfg, a.value); err != nil {
			return cfg, fmt.Errorf("%s is %w", a.name, err)
		}
	}
	if r := cfg.brokenRule(); r != nil {
		return cfg, errors.New(r.text(parameterName(r.field)))
	}
	return cfg, nil
}

// assignment is a parameter, or a part of the string that stands for one, decoded.
type assignment struct{ name, value string }

// splitDSN takes a connection string apart. It is not left to net/url, whose errors quote
// what they are about, and which knows no list of hosts.
func splitDSN(dsn string) ([]assignment, error) {
	rest, ok := strings.CutPrefix(dsn, scheme)
	if !ok {
		return nil, errors.New("does not begin with " + scheme)
	}
	if strings.ContainsFunc(rest, func(r rune) bool { return r <= ' ' || r > '~' || r == '#' }) {
		return nil, errors.New(`a space, a control character, "#" or what is not ASCII must be percent-encoded`)
	}
	end := strings.IndexAny(rest, "/?")
	if end < 0 {
		end = len(rest)
	}
	authority, tail := rest[:end], rest[end:]
	// With an "@" behind the authority, what looks like user, host and port is more likely
	// the beginning of a password.
	if strings.Contains(tail, "@") {
		return nil, errors.New(`"@", "/" and "?" in a password, and any later "@", must be percent-encoded`)
	}
	path, query, _ := strings.Cut(tail, "?")
	path = strings.TrimPrefix(path, "/")
	if strings.Contains(path, "/") {
		return nil, errors.New(`a "/" in the name of the database must be percent-encoded`)
	}

	var user, password string
	if at := strings.LastIndex(authority, "@"); at >= 0 {
		user, password, _ = strings.Cut(authority[:at], ":")
		authority = authority[at+1:]
	}
	assignments := present([]assignment{{"username", user}, {"password", password}, {"database", path}})
	parameters, err := splitQuery(query)
	if err != nil {
		return nil, err
	}
	assignments = append(assignments, parameters...)
	for i, a := range assignments {
		if assignments[i].value, err = url.PathUnescape(a.value); err != nil {
			return nil, fmt.Errorf("%s is not percent-encoded correctly", showable(a.name, query))
		}
	}
	hosts, err := splitHosts(authority, assignments)
	return append(assignments, hosts...), err
}

// splitQuery takes "name=value&name=value" apart.
func splitQuery(query string) ([]assignment, error) {
	if query == "" {
		return nil, nil
	}
	var assignments []assignment
	for pair := range strings.SplitSeq(query, "&") {
		name, value, ok := strings.Cut(pair, "=")
		if !ok {
			return nil, fmt.Errorf("parameter %s has no value", showable(name, query))
		}
		// Most likely a wrong separator, which would hide the parameter behind it.
		if strings.ContainsAny(value, "=;") {
			return nil, fmt.Errorf(`%s: "=" and ";" in a value must be percent-encoded`, showable(name, query))
		}
		assignments = append(assignments, assignment{name, value})
	}
	return assignments, nil
}

// splitHosts takes "host:port,host:port" apart. A port that is given as a parameter is
// that of the hosts that name none.
func splitHosts(list string, parameters []assignment) ([]assignment, error) {
	if list == "" {
		return nil, nil
	}
	port := strconv.Itoa(defaultPort)
	if i := slices.IndexFunc(parameters, func(a assignment) bool { return a.name == "port" }); i >= 0 {
		port = parameters[i].value
	}
	first, further, _ := strings.Cut(list, ",")
	firstHost, firstPort, ok := splitHost(first)
	if !ok || firstHost == "" && further != "" {
		return nil, errBadHost
	}
	var addresses []string
	for len(addresses) < strings.Count(list, ",") {
		var one string
		one, further, _ = strings.Cut(further, ",")
		host, itsPort, ok := splitHost(one)
		if !ok || host == "" {
			return nil, errBadHost
		}
		addresses = append(addresses, net.JoinHostPort(host, cmp.Or(itsPort, port)))
	}
	return present([]assignment{{"host", firstHost}, {"port", firstPort}, {"hosts", strings.Join(addresses, ",")}}), nil
}

var errBadHost = errors.New(`each host must be "name", "name:port" or "[IPv6 address]:port", the port from 1 to 65535`)

// splitHost takes "host", "host:port" or ":port" apart; port is "" if there is none.
func splitHost(text string) (host, port string, ok bool) {
	colon := strings.LastIndexByte(text, ':')
	hasPort := colon > strings.LastIndexByte(text, ']')
	if host = text; hasPort {
		host, port = text[:colon], text[colon+1:]
		if _, ok := parsePort(port); !ok {
			return "", "", false
		}
	}
	inside, bracketed := strings.CutPrefix(host, "[")
	if bracketed {
		host, ok = strings.CutSuffix(inside, "]")
		host = strings.Replace(host, "%25", "%", 1) // before an address's zone (RFC 6874)
		if !ok {
			return "", "", false
		}
	}
	if bracketed != strings.Contains(host, ":") {
		return "", "", false
	}
	return host, port, validHost(host) || host == "" && hasPort
}

// present leaves out the parts that the string does not have.
func present(assignments []assignment) []assignment {
	return slices.DeleteFunc(assignments, func(a assignment) bool { return a.value == "" })
}

// showable is the name of a parameter for an error, unless it is more likely a part of
// something else: of a value, or, where the text gives a password as a parameter, of one
// with an "&" that is not percent-encoded. The names that there are can always be shown.
func showable(name, text string) string {
	_, known := parameterOf(name)
	if known || plain(name, "_-", 40) && !strings.Contains(strings.ToLower(text), "password=") {
		return name
	}
	return "whose name is none"
}

// ConnString is the connection string from which ParseConfig makes the same Config, but
// for what a string cannot hold. It contains the password: String is for showing.
func (cfg Config) ConnString() string { return cfg.format(escape(cfg.Password, "")) }

// format writes the connection string with the password as given.
func (cfg *Config) format(password string) string {
	var b strings.Builder
	b.WriteString(scheme)
	if cfg.Username != "" || password != "" {
		b.WriteString(escape(cfg.Username, ""))
		if password != "" {
			b.WriteString(":" + password)
		}
		b.WriteByte('@')
	}
	if strings.Contains(cfg.Host, ":") {
		b.WriteString("[" + escape(cfg.Host, ":") + "]")
	} else {
		b.WriteString(escape(cfg.Host, ""))
	}
	if cfg.Port != 0 {
		b.WriteString(":" + strconv.Itoa(int(cfg.Port)))
	}
	inList := cfg.Host != "" && len(cfg.Hosts) > 0
	if inList {
		b.WriteString("," + escape(strings.Join(cfg.Hosts, ","), ":,[]"))
	}
	b.WriteString("/" + escape(cfg.Database, ""))
	separator := "?"
	for i := range parameterTable {
		p := &parameterTable[i]
		switch p.name {
		case "username", "password", "host", "port", "database":
			continue
		case "hosts":
			if inList {
				continue
			}
		}
		if value := p.value(cfg); value != nil {
			b.WriteString(separator + p.name + "=" + escape(fmt.Sprint(value), "/:,+[]"))
			separator = "&"
		}
	}
	return b.String()
}

// escape percent-encodes all but unreserved characters (RFC 3986) and those of others.
func escape(text, others string) string {
	var b strings.Builder
	for i := range len(text) {
		if c := text[i]; isAlphanumeric(c) || strings.IndexByte("-._~", c) >= 0 || strings.IndexByte(others, c) >= 0 {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}
