// Package doctor looks at servers and a schema as a store is going to use them, and says what
// is wrong with them, what follows from that, and how it is mended. Each of its statements
// reads only.
//
// Facts are what was read of one server; the rules are functions of them that do no I/O.
package doctor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"

	"github.com/mysqlsession/mysqlsession"
)

// Finding is one thing that somebody who runs a store should know. Subject and Problem
// together make a sentence.
type Finding struct {
	Severity mysqlsession.Severity `json:"severity"`
	Subject  string                `json:"subject"`
	Problem  string                `json:"problem"`
	Fix      string                `json:"fix"`
	Server   string                `json:"server"` // its address; "": the configuration
}

// Server is one that was looked at.
type Server struct {
	Address string `json:"address"`
	Version string `json:"version"` // as its greeting has it; "": it could not be reached
}

// Report is what was found: the servers in the configuration's order, the findings from the
// gravest.
type Report struct {
	Servers  []Server  `json:"servers"`
	Findings []Finding `json:"findings"`
}

// Count is the number of findings of a severity.
func (r *Report) Count(severity mysqlsession.Severity) int {
	n := 0
	for i := range r.Findings {
		if r.Findings[i].Severity == severity {
			n++
		}
	}
	return n
}

// Examine looks at every server that the configuration names, and at the tables on the one
// that takes writes. instances is how many processes with this configuration share the
// servers. A server that cannot be used is a finding; errors are those of a configuration
// that cannot be used, and of ctx.
func Examine(ctx context.Context, cfg mysqlsession.Config, instances int) (*Report, error) {
	cfg = cfg.WithDefaults()
	if cfg.Database == "" { // which a connection need not have, and a store must
		return nil, fmt.Errorf("%w: no database is named", mysqlsession.ErrInvalidConfig)
	}
	report := &Report{Servers: []Server{}, Findings: aboutConfig(&cfg)}
	var reached []*Facts
	for _, one := range servers(cfg) {
		facts, err := look(ctx, one, instances, len(cfg.Hosts) > 0 && cfg.Socket == "")
		if fatal := fatalError(ctx, err); fatal != nil {
			return nil, fatal
		}
		if err != nil {
			address := addressOf(&one)
			report.Servers = append(report.Servers, Server{Address: address})
			report.add(address, []Finding{unreachable(&one, address, err)})
			continue
		}
		report.Servers = append(report.Servers, Server{facts.Address, facts.Version})
		report.add(facts.Address, about(facts))
		reached = append(reached, facts)
	}
	report.Findings = append(report.Findings, acrossServers(reached)...)
	if err := report.schema(ctx, reached); err != nil {
		return nil, err
	}
	slices.SortStableFunc(report.Findings, func(a, b Finding) int { return cmp.Compare(rank(a.Severity), rank(b.Severity)) })
	return report, nil
}

// add takes in what was found about one server.
func (r *Report) add(address string, found []Finding) {
	for _, f := range found {
		f.Server = address
		r.Findings = append(r.Findings, f)
	}
}

// schema has the library look at the tables, on the first server that takes writes, else the
// first of all.
func (r *Report) schema(ctx context.Context, reached []*Facts) error {
	if len(reached) == 0 {
		return nil
	}
	facts := reached[max(0, slices.IndexFunc(reached, func(f *Facts) bool { return f.readOnly() == "" }))]
	found, err := checkSchema(ctx, facts.Config)
	if fatal := fatalError(ctx, err); fatal != nil {
		return fatal
	}
	if err != nil {
		r.add(facts.Address, []Finding{{mysqlsession.SeverityError, "the schema", "could not be read: " + reason(err), "mend what else is found, and look again", ""}})
	}
	for _, f := range found {
		r.add(facts.Address, []Finding{{f.Severity, f.Subject, f.Problem, f.Fix, ""}})
	}
	return nil
}

// checkSchema is Store.Check, of a store that does nothing in the background.
func checkSchema(ctx context.Context, cfg mysqlsession.Config) ([]mysqlsession.Finding, error) {
	cfg.CleanupInterval = -1
	cfg.MinIdleConns = 0
	store, err := mysqlsession.Open(ctx, cfg)
	if err != nil {
		return nil, err
	}
	defer func() { _ = store.Close() }()
	return store.Check(ctx)
}

// servers are configurations with one server each.
func servers(cfg mysqlsession.Config) []mysqlsession.Config {
	hosts := cfg.Hosts
	cfg.Hosts = nil
	list := []mysqlsession.Config{cfg}
	if cfg.Socket != "" {
		return list
	}
	for _, address := range hosts {
		host, port, err := net.SplitHostPort(address)
		number, numberErr := strconv.ParseUint(port, 10, 16)
		if err == nil && numberErr == nil {
			cfg.Host, cfg.Port = host, uint16(number)
		} else {
			cfg.Host, cfg.Port = address, 0 // which is refused, with a reason, as any other
		}
		list = append(list, cfg)
	}
	return list
}

func addressOf(cfg *mysqlsession.Config) string {
	if cfg.Socket != "" {
		return cfg.Socket
	}
	return net.JoinHostPort(cfg.Host, strconv.Itoa(int(cfg.Port)))
}

// fatalError is the part of err that is nothing about a server; nil if there is none.
func fatalError(ctx context.Context, err error) error {
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, mysqlsession.ErrInvalidConfig):
		return err
	default:
		return nil
	}
}

// reason is an error's text without the package's name.
func reason(err error) string { return strings.ReplaceAll(err.Error(), "mysqlsession: ", "") }

func rank(severity mysqlsession.Severity) int {
	switch severity {
	case mysqlsession.SeverityError:
		return 0
	case mysqlsession.SeverityWarning:
		return 1
	default:
		return 2
	}
}

// findings is a list that rules add to.
type findings []Finding

func (l *findings) add(severity mysqlsession.Severity, subject, problem, fix string) {
	*l = append(*l, Finding{Severity: severity, Subject: subject, Problem: problem, Fix: fix})
}

func (l *findings) err(subject, problem, fix string) {
	l.add(mysqlsession.SeverityError, subject, problem, fix)
}

func (l *findings) warn(subject, problem, fix string) {
	l.add(mysqlsession.SeverityWarning, subject, problem, fix)
}

func (l *findings) note(subject, problem, fix string) {
	l.add(mysqlsession.SeverityNotice, subject, problem, fix)
}

// about runs every rule over what was read of a server.
func about(f *Facts) []Finding {
	var l findings
	for _, rule := range []func(*findings, *Facts){
		oldServer, readOnly, replicaStopped, replicaWritable, replicaLag, galeraState, galeraSettings, groupState, groupSize,
		statementBinlog, grants, packets, idleTime, connections, accountConnections, reachedConnections, preparedStatements,
		foreignKeyChecks, deadlockDetection, sqlMode, daylightSaving, clocks, expired,
		encryption, publicKey, certificateEnd, accountPassword, accountPlugin, accountExpiry, accountPower, durability, hidden,
	} {
		rule(&l, f)
	}
	return l
}

// acrossServers compares servers with one another.
func acrossServers(reached []*Facts) []Finding {
	var l findings
	if len(reached) < 2 {
		return l
	}
	if !slices.ContainsFunc(reached, func(f *Facts) bool { return f.readOnly() == "" }) {
		l.err("hosts", fmt.Sprintf("lead to no server that takes writes: all %d that answer are read-only, so that every operation fails", len(reached)),
			"make the primary writable, or add its address to the DSN")
	}
	first := reached[0]
	for _, f := range reached[1:] {
		if len(f.Offsets) == 0 || len(first.Offsets) == 0 || slices.Equal(f.Offsets, first.Offsets) {
			continue
		}
		l.warn("time_zone", fmt.Sprintf("differs: %s is at UTC%s now and %s at UTC%s, so that sessions end sooner or later after a failover",
			first.Address, offset(first.Offsets[0]), f.Address, offset(f.Offsets[0])), "the same default-time-zone in the option files of all servers, or time_zone=+00:00 in the DSN")
		break
	}
	return l
}
