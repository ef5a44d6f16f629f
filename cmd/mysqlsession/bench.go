package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/mysqlsession/mysqlsession"
	"github.com/mysqlsession/mysqlsession/cmd/mysqlsession/internal/measure"
	"github.com/mysqlsession/mysqlsession/cmd/mysqlsession/internal/report"
	"github.com/mysqlsession/mysqlsession/internal/localserver"
)

// bench is one comparison with database/sql.
type bench struct {
	target   target
	own      private
	plan     measure.Plan
	workload measure.Workload
	json     string
	html     string
	out, say io.Writer
}

func newBenchCommand() *cobra.Command {
	b := &bench{own: private{durable: true, find: localserver.Find, engine: engineAnswers}}
	command := &cobra.Command{
		Use:   "bench",
		Short: "Measure the speed, side by side with database/sql",
		Long: `Measures how fast sessions are read and stored, by this library and by
database/sql with go-sql-driver/mysql, prepared statements and as many
connections: throughput and latency against the number of callers.

Without a database it starts a MariaDB or MySQL of its own, with durable
commits, which is gone at the end. In a database that it is given it works in
two scratch tables with random names, which it removes at the end, on Ctrl-C
and on errors too; it touches no other table. What it writes goes into that
server's binary log and to its replicas, and it takes all that the server has
to give: do not do that to a server in use.

Runs of the two alternate (A B B A) and are compared in pairs. A line has a
verdict only if the interval of the pairs' ratios does not include 1, and if
the difference is well above that between two runs of the same. Otherwise it
says that nothing can be concluded, and why.

Exit codes: 0 when everything was measured, whatever the verdicts; 1 for
failures, 2 for arguments that make no sense, 130 when interrupted.`,
		Example: `  mysqlsession bench
  mysqlsession bench --html report.html
  mysqlsession bench --callers 64 --operations get,mixed --time 2s --rounds 9
  mysqlsession bench --dsn-file test.dsn --json > bench.json`,
		Args: cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			b.out, b.say = command.OutOrStdout(), command.ErrOrStderr()
			b.own.out, b.own.logger = b.say, slog.New(slog.DiscardHandler)
			return b.run(command.Context())
		},
	}
	b.target.addFlags(command)
	flags := command.Flags()
	flags.IntSliceVar(&b.plan.Callers, "callers", []int{1, 4, 16, 64, 256}, "numbers of callers at the same time")
	flags.StringSliceVar(&b.plan.Operations, "operations", []string{measure.Get, measure.Set}, "of get, set and mixed")
	flags.IntVar(&b.plan.Connections, "connections", 16, "connections of each library")
	flags.IntVar(&b.plan.Rounds, "rounds", 6, "pairs of runs of each line; below 6 there is no verdict")
	flags.DurationVar(&b.plan.Round, "time", 500*time.Millisecond, "time of each run")
	flags.IntVar(&b.workload.ValueSize, "value-size", 1024, "bytes of a session's value")
	flags.IntVar(&b.workload.Sessions, "sessions", 10_000, "sessions in the table")
	flags.Float64Var(&b.workload.ReadShare, "read-share", 0.9, "share of reads in mixed, from 0 to 1")
	addJSONFlag(command, &b.json)
	flags.StringVar(&b.html, "html", "", "file for a report with charts, as one page to read or print")
	flags.StringVar(&b.own.image, "image", "mariadb:11.4", "image of the container, where a server of its own needs one")
	return command
}

// addJSONFlag adds --json, for the standard output, and --json=FILE.
func addJSONFlag(command *cobra.Command, path *string) {
	command.Flags().StringVar(path, "json", "", "print JSON in place of text, or with --json=`FILE` write it there as well")
	command.Flags().Lookup("json").NoOptDefVal = standardOutput
}

func (b *bench) run(ctx context.Context) error {
	slices.Sort(b.plan.Callers)
	b.plan.Callers = slices.Compact(b.plan.Callers)
	slices.Sort(b.plan.Operations)
	b.plan.Operations = slices.Compact(b.plan.Operations)
	if err := errors.Join(b.plan.Validate(), b.workload.Validate()); err != nil {
		return &exitError{exitUsage, err}
	}
	asJSON, err := newOutputFile(b.json)
	if err != nil {
		return err
	}
	defer asJSON.discard()
	asHTML, err := newOutputFile(b.html)
	if err != nil {
		return err
	}
	defer asHTML.discard()

	made, err := b.inDatabase(ctx)
	if err != nil {
		return err
	}
	if b.json != standardOutput {
		if err := made.WriteText(b.out); err != nil {
			return err
		}
	}
	return errors.Join(asJSON.write(b.out, made.WriteJSON), asHTML.write(b.out, made.WriteHTML))
}

// inDatabase measures in the database that was given, or in one of its own.
func (b *bench) inDatabase(ctx context.Context) (made *report.Report, err error) {
	cfg, err := b.target.config()
	if err == nil {
		if cfg.Database == "" {
			return nil, &exitError{exitUsage, errNoDatabase}
		}
		return b.measure(ctx, cfg, placeOf(cfg))
	}
	if !errors.Is(err, errNoTarget) {
		return nil, &exitError{exitUsage, err}
	}
	db, err := b.own.start(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, db.stop()) }()
	_, _ = fmt.Fprintf(b.say, "started %s\n", db.name)
	cfg = db.config
	cfg.ConnectTimeout, cfg.SendTimeout, cfg.ReadTimeout = 0, 0, 0 // it may be kept busy for longer
	return b.measure(ctx, cfg, db.kind+", on the same machine")
}

// measure measures in the database.
func (b *bench) measure(ctx context.Context, cfg mysqlsession.Config, where string) (made *report.Report, err error) {
	cfg.Hosts = nil      // database/sql knows one
	cfg.HashKeys = false // the statements are to be the same
	cfg.MinIdleConns, cfg.MaxConcurrentDials, cfg.CoalesceMaxLanes = 0, 0, 0
	cfg.Logger = slog.New(slog.DiscardHandler)
	err = withScratch(ctx, cfg, b.workload, b.say, func(s *measure.Scratch) error {
		if room := s.Server.MaxConnections - s.Server.Connected - 1; 2*b.plan.Connections > room {
			return fmt.Errorf("the server has room for %d connections (max_connections is %d), two times %d are needed; use fewer --connections",
				room, s.Server.MaxConnections, b.plan.Connections)
		}
		lines, err := b.compare(ctx, s)
		made = &report.Report{
			Environment: measure.NewEnvironment(s.Server, where), Workload: b.workload, Plan: b.plan, Lines: lines,
		}
		return err
	})
	return made, err
}

func (b *bench) compare(ctx context.Context, s *measure.Scratch) (lines []measure.Line, err error) {
	ours, err := measure.OpenOurs(ctx, s, b.plan.Connections)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, ours.Close()) }()
	theirs, err := measure.OpenTheirs(ctx, s, b.plan.Connections)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, theirs.Close()) }()
	_, _ = fmt.Fprintf(b.say, "%d runs, about %v\n", b.plan.Runs(), b.plan.Duration().Round(time.Second))
	bar := newProgress(b.say, b.plan.Runs())
	defer bar.end()
	return measure.Compare(ctx, s, b.plan, ours, theirs, bar.advance)
}
