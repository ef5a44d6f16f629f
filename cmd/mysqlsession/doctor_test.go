package main

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mysqlsession/mysqlsession"
	"github.com/mysqlsession/mysqlsession/cmd/mysqlsession/internal/doctor"
	"github.com/mysqlsession/mysqlsession/internal/dbtest"
)

// doctorSays runs "mysqlsession doctor" and returns its output and exit code.
func doctorSays(t *testing.T, arguments ...string) (output string, code int) {
	t.Helper()
	var out strings.Builder
	command := newRootCommand()
	command.SetOut(&out)
	command.SetErr(&out)
	command.SetArgs(append([]string{"doctor"}, arguments...))
	err := command.ExecuteContext(t.Context())
	if own := (*exitError)(nil); errors.As(err, &own) {
		code = own.code
		if own.err != nil {
			out.WriteString(own.Error())
		}
		return out.String(), code
	}
	require.NoError(t, err)
	return out.String(), 0
}

// doctorDatabase is a database with the tables, and its DSN without a password, which is in
// the environment.
func doctorDatabase(t *testing.T, server dbtest.Server) (cfg mysqlsession.Config, dsn string) {
	t.Helper()
	cfg = server.NewDatabase(t)
	store, err := mysqlsession.Open(t.Context(), cfg)
	require.NoError(t, err)
	require.NoError(t, store.Migrate(t.Context()))
	require.NoError(t, store.Close())
	cfg = server.NewUser(t, cfg, "SELECT, INSERT, UPDATE, DELETE")
	cfg.TimeZone = "+00:00" // the machine's may have daylight saving
	t.Setenv(passwordVariable, cfg.Password)
	without := cfg
	without.Password = ""
	return cfg, without.ConnString()
}

func TestTheExitCodeOfDoctorIsTheGravestSeverity(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		cfg, dsn := doctorDatabase(t, server)
		output, code := doctorSays(t, "--dsn", dsn)
		require.Zero(t, code, output)
		require.Contains(t, output, "\n0 errors, 0 warnings, ")
		require.True(t, strings.HasPrefix(output, cfg.Host), output)
		require.Contains(t, output, server.Version)

		output, code = doctorSays(t, "--dsn", dsn, "--instances", "2000")
		require.Equal(t, exitWarnings, code, output)
		require.Contains(t, output, "\nWarnings\n  max_connections is ")
		require.Contains(t, output, "\n0 errors, 2 warnings, ")

		_, err := server.AdminIn(t, cfg.Database).Exec("DROP TABLE sessions_meta, sessions")
		require.NoError(t, err)
		output, code = doctorSays(t, "--dsn", dsn)
		require.Equal(t, exitErrors, code, output)
		require.Contains(t, output, "\nErrors\n  sessions")
		require.Contains(t, output, "\n    fix: run Migrate\n")
		require.NotContains(t, output, cfg.Password)
	})
}

func TestDoctorsJSONHasTheNamesThatProgramsReadAndNoSecret(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		cfg, dsn := doctorDatabase(t, server)
		output, code := doctorSays(t, "--dsn", dsn, "--json", "--instances", "2000")
		require.Equal(t, exitWarnings, code, output)
		require.NotContains(t, output, cfg.Password)
		var report struct {
			Servers                   []map[string]string
			Findings                  []map[string]string
			Errors, Warnings, Notices *int
		}
		decoder := json.NewDecoder(strings.NewReader(output))
		decoder.DisallowUnknownFields()
		require.NoError(t, decoder.Decode(&report))
		require.Equal(t, 0, *report.Errors)
		require.Equal(t, 2, *report.Warnings)
		require.Equal(t, len(report.Findings)-2, *report.Notices)
		require.Equal(t, server.Version, report.Servers[0]["version"])
		require.Len(t, report.Servers[0], 2)
		for _, finding := range report.Findings {
			require.Len(t, finding, 5)
			require.Contains(t, []string{"warning", "notice"}, finding["severity"])
			for _, field := range []string{"subject", "problem", "fix"} {
				require.NotEmpty(t, finding[field], finding)
			}
			require.Equal(t, report.Servers[0]["address"], finding["server"])
		}
	})
}

func TestDoctorsJSONOfNothingFoundIsAnEmptyList(t *testing.T) {
	var out strings.Builder
	require.NoError(t, writeReportJSON(&out, &doctor.Report{Servers: []doctor.Server{}, Findings: []doctor.Finding{}}))
	require.JSONEq(t, `{"servers": [], "findings": [], "errors": 0, "warnings": 0, "notices": 0}`, out.String())
}

func TestAServerThatCannotBeReachedIsAnErrorWithAFix(t *testing.T) {
	t.Setenv(passwordVariable, "s3cret-word")
	output, code := doctorSays(t, "--dsn", "mysql://ada@127.0.0.1:1,127.0.0.1:2/shop")
	require.Equal(t, exitErrors, code)
	require.Equal(t, `127.0.0.1:1  not reached
127.0.0.1:2  not reached

Errors
  127.0.0.1:1 cannot be reached: nothing listens there
    fix: systemctl start mariadb, or mysql; if it runs: bind-address and port in its option file
  127.0.0.1:2 cannot be reached: nothing listens there
    fix: systemctl start mariadb, or mysql; if it runs: bind-address and port in its option file

2 errors, 0 warnings, 0 notices
`, output)
}

func TestDoctorsWrongUsageIsSaidWithTheCodeForIt(t *testing.T) {
	t.Setenv(dsnVariable, "")
	for name, test := range map[string]struct {
		arguments []string
		says      string
	}{
		"no database":       {nil, "no database: set MYSQLSESSION_DSN"},
		"no name of one":    {[]string{"--dsn", "mysql://127.0.0.1:1"}, "database"},
		"no instances":      {[]string{"--dsn", "mysql://127.0.0.1:1/d", "--instances", "0"}, "--instances is 0, must be from 1 to 10000"},
		"a bad setting":     {[]string{"--dsn", "mysql://127.0.0.1:1/d?pool_size=100000"}, "pool_size"},
		"an argument":       {[]string{"please"}, "see mysqlsession doctor --help"},
		"an unknown option": {[]string{"--fix"}, "unknown flag"},
	} {
		t.Run(name, func(t *testing.T) {
			output, code := doctorSays(t, test.arguments...)
			require.Equal(t, exitUsage, code, output)
			require.Contains(t, strings.ToLower(output), strings.ToLower(test.says))
		})
	}
}

func TestDoctorCanBeInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	command := newRootCommand()
	command.SetArgs([]string{"doctor", "--dsn", "mysql://127.0.0.1:1/d"})
	require.ErrorIs(t, command.ExecuteContext(ctx), context.Canceled)
}

func TestWhatAServerSaysCannotDriveTheTerminal(t *testing.T) {
	var out strings.Builder
	require.NoError(t, writeReport(&out, &doctor.Report{
		Servers:  []doctor.Server{{Address: "a:1", Version: "9.7\x1b[2J"}, {Address: "b:1", Version: "9"}},
		Findings: []doctor.Finding{{Severity: mysqlsession.SeverityNotice, Subject: "index \x1b]0;", Problem: "is\nodd", Fix: "DROP INDEX \x9bm", Server: "b:1"}},
	}))
	require.Equal(t, "a:1  9.7\ufffd[2J\nb:1  9\n\nNotices\n  b:1: index \ufffd]0; is\ufffdodd\n    fix: DROP INDEX \ufffdm\n\n0 errors, 0 warnings, 1 notice\n", out.String())
}

func TestWhatIsFoundOnSeveralServersIsPrintedOnce(t *testing.T) {
	found := func(problem, server string) doctor.Finding {
		return doctor.Finding{Severity: mysqlsession.SeverityWarning, Subject: "x", Problem: problem, Fix: "SET x", Server: server}
	}
	var out strings.Builder
	require.NoError(t, writeReport(&out, &doctor.Report{
		Servers:  []doctor.Server{{Address: "a:1", Version: "9"}, {Address: "b:1", Version: "9"}},
		Findings: []doctor.Finding{found("is 1", "a:1"), found("is 2", "b:1"), found("is 1", "b:1")},
	}))
	require.Contains(t, out.String(), "\nWarnings\n  a:1, b:1: x is 1\n    fix: SET x\n  b:1: x is 2\n    fix: SET x\n\n0 errors, 2 warnings")
}

func TestDoctorHasNoColoursButOnATerminal(t *testing.T) {
	for _, environment := range []string{"", "NO_COLOR=1"} {
		command := exec.Command(os.Args[0])
		command.Env = append(os.Environ(), programVariable+"=mysqlsession doctor --dsn mysql://127.0.0.1:1/d", "GORACE=atexit_sleep_ms=0", environment)
		output, err := command.CombinedOutput()
		var exit *exec.ExitError
		require.ErrorAs(t, err, &exit)
		require.Equal(t, exitErrors, exit.ExitCode(), string(output))
		require.Contains(t, string(output), "\nErrors\n")
		require.NotContains(t, string(output), "\x1b")
	}
}
