package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/spf13/cobra"

	"github.com/mysqlsession/mysqlsession"
	"github.com/mysqlsession/mysqlsession/cmd/mysqlsession/internal/measure"
	"github.com/mysqlsession/mysqlsession/cmd/mysqlsession/internal/report"
	"github.com/mysqlsession/mysqlsession/cmd/mysqlsession/internal/tuning"
)

// exitNotMet is the code of a target that no configuration meets.
const exitNotMet = 3

// tune is one search for a configuration.
type tune struct {
	target   target
	wanted   string // as people write it
	p99      time.Duration
	rate     float64
	options  tuning.Options
	workload measure.Workload
	json     string
	out, say io.Writer
}

func newTuneCommand() *cobra.Command {
	t := &tune{}
	command := &cobra.Command{
		Use:   "tune --target TEXT",
		Short: "Find pool size, backlog and timeouts for a target, by measuring on your server",
		Long: `Looks for the configuration that meets a target such as "p99 under 5 ms at 2000
requests/s", on the server that it is for and from the machine that it is for.

Requests arrive at a steady rate, independently of each other and of the
answers, and a latency counts from the moment at which its request was due: if
there is a queue, it shows. Pools of 2, 4, 8 and more connections are tried
until one meets the target with headroom, twice. The backlog follows from the
rate and from how long a caller may wait, the timeouts from the slowest that was
measured; the arithmetic is shown. At the end the recommendation is measured as
it is.

It works in two scratch tables with random names in the database that it is
given, and removes them at the end, on Ctrl-C and on errors too; it touches no
other table, and refuses a server that is read-only. For about as long as
--limit says the server has the wanted load, and a fifth more, on top of what
else it does; what is written goes into its binary log and to its replicas.

Exit codes: 0 when the target is met, 3 when it is not, 1 for failures, 2 for
arguments that make no sense, 130 when interrupted.`,
		Example: `  export MYSQLSESSION_DSN=mysql://user@db.example/shop MYSQLSESSION_PASSWORD
  mysqlsession tune --target "p99 under 5 ms at 2000 requests/s"
  mysqlsession tune --p99 5ms --rate 2000 --read-share 0.8 --value-size 4096
  mysqlsession tune --target "p99.9 < 20ms at 500/s" --instances 4 --limit 3m`,
		Args: cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			t.out, t.say = command.OutOrStdout(), command.ErrOrStderr()
			return t.run(command.Context())
		},
	}
	t.target.addFlags(command)
	flags := command.Flags()
	flags.StringVar(&t.wanted, "target", "", `what is wanted, as in "p99 under 5 ms at 2000 requests/s"`)
	flags.DurationVar(&t.p99, "p99", 0, "the same in two flags: the 99th percentile of latency, as in 5ms")
	flags.Float64Var(&t.rate, "rate", 0, "requests in a second, of all instances together")
	flags.IntVar(&t.options.Instances, "instances", 1, "processes that share the server, each with a pool of its own")
	flags.Float64Var(&t.options.Headroom, "headroom", 0.2, "share by which the rate is higher when pools are tried")
	flags.DurationVar(&t.options.Patience, "patience", 0, "how long a caller may wait in a stall before it gets an error (default 20 times the latency, from 100ms to 5s)")
	flags.DurationVar(&t.options.Limit, "limit", time.Minute, "time for all of it, about")
	flags.Float64Var(&t.workload.ReadShare, "read-share", 0.9, "share of requests that read, from 0 to 1; the others store")
	flags.IntVar(&t.workload.ValueSize, "value-size", 1024, "bytes of a session's value")
	flags.IntVar(&t.workload.Sessions, "sessions", 10_000, "sessions in the table")
	addJSONFlag(command, &t.json)
	return command
}

func (t *tune) run(ctx context.Context) error {
	cfg, err := t.prepare()
	if err != nil {
		return &exitError{exitUsage, err}
	}
	asJSON, err := newOutputFile(t.json)
	if err != nil {
		return err
	}
	defer asJSON.discard()
	var found *report.Tuned
	err = withScratch(ctx, cfg, t.workload, t.say, func(s *measure.Scratch) error {
		result, err := t.search(ctx, s, cfg)
		found = &report.Tuned{Environment: measure.NewEnvironment(s.Server, placeOf(cfg)), Result: result}
		return err
	})
	if err != nil {
		return err
	}
	if t.json != standardOutput {
		if err := found.WriteText(t.out); err != nil {
			return err
		}
	}
	if err := asJSON.write(t.out, found.WriteJSON); err != nil {
		return err
	}
	if !found.Met {
		return &exitError{code: exitNotMet}
	}
	return nil
}

// prepare makes sense of the arguments.
func (t *tune) prepare() (mysqlsession.Config, error) {
	aim := tuning.Target{Percentile: 99, Latency: t.p99, Rate: t.rate}
	switch inTwo := t.p99 != 0 || t.rate != 0; {
	case t.wanted == "" && (t.p99 == 0 || t.rate == 0):
		return mysqlsession.Config{}, errors.New(`no target: use --target "p99 under 5 ms at 2000 requests/s", or --p99 and --rate`)
	case t.wanted != "" && inTwo:
		return mysqlsession.Config{}, errors.New("two targets: use --target, or --p99 and --rate")
	case t.wanted != "":
		var err error
		if aim, err = tuning.ParseTarget(t.wanted); err != nil {
			return mysqlsession.Config{}, err
		}
	}
	t.options.Target = aim
	if t.options.Patience == 0 {
		t.options.Patience = tuning.DefaultPatience(aim)
	}
	if err := errors.Join(t.options.Validate(), t.workload.Validate()); err != nil {
		return mysqlsession.Config{}, err
	}
	cfg, err := t.target.config()
	if err == nil && cfg.Database == "" {
		err = errNoDatabase
	}
	return cfg, err
}

func (t *tune) search(ctx context.Context, s *measure.Scratch, cfg mysqlsession.Config) (*tuning.Result, error) {
	s.Config.Logger = slog.New(slog.DiscardHandler)
	_, _ = fmt.Fprintf(t.say, "%s, at most %v\n", t.options.Target, t.options.Limit)
	bar := newProgress(t.say, tuning.Steps(t.options, s.Server))
	defer bar.end()
	return tuning.Search(ctx, s, cfg, t.options, bar.advance)
}
