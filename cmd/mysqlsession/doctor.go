package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"unicode"

	"github.com/fatih/color"
	"github.com/spf13/cobra"

	"github.com/mysqlsession/mysqlsession"
	"github.com/mysqlsession/mysqlsession/cmd/mysqlsession/internal/doctor"
)

// The exit codes of doctor.
const (
	exitWarnings = 1
	exitErrors   = 2
)

// mostInstances is far more than a server has connections for.
const mostInstances = 10_000

// examination is one run of doctor.
type examination struct {
	target    target
	instances int
	json      bool
	out       io.Writer
}

func newDoctorCommand() *cobra.Command {
	e := &examination{}
	command := &cobra.Command{
		Use:   "doctor",
		Short: "Look for what is wrong with a server and the tables, and say how to mend it",
		Long: `Looks at every server that the DSN names, and at the tables, as a store with
that DSN would use them, and prints what is wrong: errors, because of which
operations fail; warnings, about risks and limits; and notices, of what may be
as it is wanted. Each comes with its fix: a statement, an option line, or a
parameter of the DSN. It reads only, and changes nothing.

The exit code is 0 when there is nothing worse than notices, 1 with warnings, 2
with errors, among which is a server that cannot be used, and for wrong usage.`,
		Example: `  mysqlsession doctor --dsn mysql://shop@db.example/shop --password-file secret
  mysqlsession doctor --dsn-file dsn --instances 20
  mysqlsession doctor --dsn-file dsn --json | jq -r '.findings[].fix'`,
		Args: cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			e.out = command.OutOrStdout()
			return e.run(command.Context())
		},
	}
	e.target.addFlags(command)
	command.Flags().IntVar(&e.instances, "instances", 1, "how many processes share the server, each with this pool")
	command.Flags().BoolVar(&e.json, "json", false, "print JSON")
	return command
}

func (e *examination) run(ctx context.Context) error {
	if e.instances < 1 || e.instances > mostInstances {
		return &exitError{exitUsage, fmt.Errorf("--instances is %d, must be from 1 to %d", e.instances, mostInstances)}
	}
	cfg, err := e.target.config()
	if err != nil {
		return &exitError{exitUsage, err}
	}
	report, err := doctor.Examine(ctx, cfg, e.instances)
	if errors.Is(err, context.Canceled) {
		return err
	}
	if err != nil {
		return &exitError{exitErrors, err}
	}
	write := writeReport
	if e.json {
		write = writeReportJSON
	}
	if err := write(e.out, report); err != nil {
		return &exitError{exitErrors, err}
	}
	switch {
	case report.Count(mysqlsession.SeverityError) > 0:
		return &exitError{code: exitErrors}
	case report.Count(mysqlsession.SeverityWarning) > 0:
		return &exitError{code: exitWarnings}
	default:
		return nil
	}
}

// writeReportJSON prints the report for programs: the names of its fields stay.
func writeReportJSON(out io.Writer, report *doctor.Report) error {
	return writeJSON(out, struct {
		*doctor.Report
		Errors   int `json:"errors"`
		Warnings int `json:"warnings"`
		Notices  int `json:"notices"`
	}{report, report.Count(mysqlsession.SeverityError), report.Count(mysqlsession.SeverityWarning), report.Count(mysqlsession.SeverityNotice)})
}

// writeReport prints the report for people, the gravest first.
func writeReport(out io.Writer, report *doctor.Report) error {
	var text strings.Builder
	report = &doctor.Report{Servers: report.Servers, Findings: merged(report.Findings)}
	for _, server := range report.Servers {
		version := server.Version
		if version == "" {
			version = "not reached"
		}
		fmt.Fprintf(&text, "%s  %s\n", harmless(server.Address), harmless(version))
	}
	for _, group := range []struct {
		severity mysqlsession.Severity
		title    string
		colour   color.Attribute
	}{
		{mysqlsession.SeverityError, "Errors", color.FgRed},
		{mysqlsession.SeverityWarning, "Warnings", color.FgYellow},
		{mysqlsession.SeverityNotice, "Notices", color.FgCyan},
	} {
		if report.Count(group.severity) == 0 {
			continue
		}
		fmt.Fprintf(&text, "\n%s\n", paint(out, group.colour).Sprint(group.title))
		for _, finding := range report.Findings {
			if finding.Severity == group.severity {
				writeFinding(&text, &finding, paint(out, color.Bold), len(report.Servers) > 1)
			}
		}
	}
	fmt.Fprintf(&text, "\n%s, %s, %s\n", count(report, mysqlsession.SeverityError), count(report, mysqlsession.SeverityWarning), count(report, mysqlsession.SeverityNotice))
	_, err := io.WriteString(out, text.String())
	return err
}

// merged puts what was found alike on several servers into one finding that names them all.
func merged(findings []doctor.Finding) []doctor.Finding {
	var list []doctor.Finding
	at := map[doctor.Finding]int{}
	for _, finding := range findings {
		alike := finding
		alike.Server = ""
		if i, ok := at[alike]; ok {
			list[i].Server += ", " + finding.Server
			continue
		}
		at[alike] = len(list)
		list = append(list, finding)
	}
	return list
}

// writeFinding prints one finding; with several servers, whose it is.
func writeFinding(text *strings.Builder, finding *doctor.Finding, subject *color.Color, several bool) {
	where := ""
	if several && finding.Server != "" && finding.Server != finding.Subject {
		where = harmless(finding.Server) + ": "
	}
	fmt.Fprintf(text, "  %s%s %s\n    fix: %s\n", where, subject.Sprint(harmless(finding.Subject)), harmless(finding.Problem), harmless(finding.Fix))
}

// count is how many findings there are of a severity, in words.
func count(report *doctor.Report, severity mysqlsession.Severity) string {
	n := report.Count(severity)
	if n == 1 {
		return fmt.Sprintf("1 %s", severity)
	}
	return fmt.Sprintf("%d %ss", n, severity)
}

// paint is a colour where out is a terminal that shows it, and none elsewhere.
func paint(out io.Writer, attribute color.Attribute) *color.Color {
	c := color.New(attribute)
	if out != io.Writer(os.Stdout) {
		c.DisableColor() // else the library looks at the standard output itself, and at NO_COLOR
	}
	return c
}

// harmless replaces what a terminal would obey in texts of which a server may have made a
// part.
func harmless(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return unicode.ReplacementChar
	}, text)
}
