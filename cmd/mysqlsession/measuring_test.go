//go:build unix

package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mysqlsession/mysqlsession"
	"github.com/mysqlsession/mysqlsession/cmd/mysqlsession/internal/measure"
	"github.com/mysqlsession/mysqlsession/cmd/mysqlsession/internal/report"
	"github.com/mysqlsession/mysqlsession/internal/dbtest"
)

// said is what a command has printed.
type said struct{ out, err string }

// command runs the program's command in this process, on the database.
func command(t *testing.T, cfg mysqlsession.Config, arguments ...string) (said, error) {
	t.Helper()
	t.Setenv(dsnVariable, cfg.ConnString())
	t.Setenv(passwordVariable, "")
	var out, errors bytes.Buffer
	root := newRootCommand()
	root.SetOut(&out)
	root.SetErr(&errors)
	root.SetArgs(arguments)
	err := root.ExecuteContext(t.Context())
	if cfg.Password != "" {
		require.NotContains(t, strings.ReplaceAll(out.String()+errors.String(), cfg.Username, ""), cfg.Password)
	}
	return said{out.String(), errors.String()}, err
}

// quickBench and quickTune are as short as can be.
var (
	quickBench = strings.Fields("bench --time 5ms --rounds 2 --callers 1,4 --operations set,get --connections 2 --sessions 200 --value-size 64")
	quickTune  = []string{"tune", "--target", "p99 under 5 s at 200 requests/s", "--limit", "2s", "--sessions", "200"}
)

// tablesIn lists the tables of a database.
func tablesIn(t *testing.T, server dbtest.Server, cfg mysqlsession.Config) (tables []string) {
	t.Helper()
	rows, err := server.AdminIn(t, cfg.Database).Query("SHOW TABLES")
	require.NoError(t, err)
	defer func() { require.NoError(t, rows.Close()) }()
	for rows.Next() {
		var table string
		require.NoError(t, rows.Scan(&table))
		tables = append(tables, table)
	}
	require.NoError(t, rows.Err())
	return tables
}

// own makes a table of the user's, which is to stay as it is.
func own(t *testing.T, server dbtest.Server, cfg mysqlsession.Config) (same func()) {
	t.Helper()
	admin := server.AdminIn(t, cfg.Database)
	_, err := admin.Exec("CREATE TABLE sessions (mine INT); INSERT INTO sessions VALUES (42)")
	require.NoError(t, err)
	return func() {
		t.Helper()
		require.Equal(t, []string{"sessions"}, tablesIn(t, server, cfg))
		var mine int
		require.NoError(t, admin.QueryRow("SELECT mine FROM sessions").Scan(&mine))
		require.Equal(t, 42, mine)
	}
}

func TestBenchComparesInScratchTablesOfTheGivenDatabase(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		cfg := server.NewDatabase(t)
		same := own(t, server, cfg)
		files := t.TempDir()
		asJSON, asHTML := filepath.Join(files, "bench.json"), filepath.Join(files, "bench.html")
		s, err := command(t, cfg, append(quickBench, "--json="+asJSON, "--html", asHTML)...)
		require.NoError(t, err)
		same()
		require.Contains(t, s.err, "scratch tables mysqlsession_scratch_")

		content, err := os.ReadFile(asJSON)
		require.NoError(t, err)
		var r report.Report
		require.NoError(t, json.Unmarshal(content, &r))
		require.Len(t, r.Lines, 4)
		table := strings.Join(strings.Fields(s.out), " ")
		for _, line := range r.Lines {
			for _, f := range []measure.Figures{line.Ours, line.Theirs} {
				require.Len(t, f.Throughputs, 2)
				require.GreaterOrEqual(t, f.Calls, int64(2*line.Callers))
				require.Positive(t, f.P50)
			}
			require.Contains(t, table, fmt.Sprintf("%d %s %.0f %.0f %.2f", line.Callers, line.Operation,
				line.Ours.Throughput, line.Theirs.Throughput, line.Verdict.Ratio))
			require.Contains(t, line.Verdict.Reason, "2 of 6 rounds needed")
		}
		require.Contains(t, table, "NOTHING CAN BE CONCLUDED")
		require.NotEmpty(t, r.Environment.Server.Version)
		require.Contains(t, table, r.Environment.Server.Version)

		page, err := os.ReadFile(asHTML)
		require.NoError(t, err)
		require.Contains(t, string(page), "<svg role=")
		left, err := os.ReadDir(files)
		require.NoError(t, err)
		require.Len(t, left, 2, "nothing but what was asked for")
	})
}

func TestTuneRecommendsWhatItHasMeasured(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		cfg := server.NewDatabase(t)
		same := own(t, server, cfg)
		asJSON := filepath.Join(t.TempDir(), "tuned.json")
		s, err := command(t, cfg, append(quickTune, "--instances", "2", "--json="+asJSON)...)
		require.NoError(t, err, s.out)
		same()
		content, err := os.ReadFile(asJSON)
		require.NoError(t, err)
		var r struct {
			report.Tuned
			Code string `json:"go"`
			DSN  string `json:"dsn"`
		}
		require.NoError(t, json.Unmarshal(content, &r))
		require.True(t, r.Met)
		require.GreaterOrEqual(t, len(r.Trials), 3, "the size, once more, and the recommendation")
		for _, trial := range r.Trials {
			require.Contains(t, strings.Join(strings.Fields(s.out), " "), fmt.Sprintf("%d %.0f %.0f", trial.PoolSize, trial.Rate, trial.Achieved))
		}
		require.Contains(t, s.out, r.Code)
		require.Contains(t, s.out, r.DSN)
		recommended, err := mysqlsession.ParseConfig(r.DSN)
		require.NoError(t, err)
		require.Empty(t, recommended.Password)
		require.Equal(t, cfg.Database, recommended.Database)
		require.Equal(t, r.Trials[len(r.Trials)-1].PoolSize, recommended.PoolSize)
		require.Positive(t, recommended.Backlog)
		require.Empty(t, recommended.TableName, "the scratch table is nobody's")
	})
}

func TestTuneSaysThatATargetCannotBeMet(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		cfg := server.NewDatabase(t)
		s, err := command(t, cfg, "tune", "--p99", "100us", "--rate", "300000", "--limit", "1s", "--sessions", "50")
		var own *exitError
		require.ErrorAs(t, err, &own)
		require.Equal(t, exitNotMet, own.code)
		require.Contains(t, s.out, "THE TARGET IS NOT MET")
		require.NotContains(t, s.out, "mysqlsession.Config")
		require.Empty(t, tablesIn(t, server, cfg))
	})
}

func TestMeasurementsThatFailLeaveNoTables(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		cfg := server.NewDatabase(t)
		_, err := command(t, cfg, append(quickBench, "--connections", "9999")...)
		require.ErrorContains(t, err, "use fewer --connections")
		require.Empty(t, tablesIn(t, server, cfg))
		cfg.MaxPacketSize = 1024
		_, err = command(t, cfg, append(quickTune, "--value-size", "2000")...)
		require.ErrorIs(t, err, mysqlsession.ErrValueTooLarge)
		require.Empty(t, tablesIn(t, server, cfg))
	})
}

func TestTablesThatMayNotBeRemovedAreNamed(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		cfg := server.NewDatabase(t)
		cfg = server.NewUser(t, cfg, "SELECT, INSERT, UPDATE, DELETE, CREATE, ALTER, INDEX, REFERENCES")
		s, err := command(t, cfg, append(quickBench, "--operations", "get")...)
		require.ErrorContains(t, err, "remove the scratch tables")
		require.Empty(t, s.out)
		left := tablesIn(t, server, cfg)
		require.Len(t, left, 2)
		for _, table := range left {
			require.ErrorContains(t, err, table)
		}
	})
}

func TestServerThatIsReadOnlyIsLeftAlone(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		cfg := server.NewDatabase(t)
		t.Cleanup(func() { require.Empty(t, tablesIn(t, server, cfg)) })
		server.SetGlobal(t, "read_only", 1)
		for _, arguments := range [][]string{quickBench, quickTune} {
			_, err := command(t, cfg, arguments...)
			require.ErrorIs(t, err, mysqlsession.ErrNotWritable)
			require.ErrorContains(t, err, "read_only is on; name the server that takes writes")
		}
	})
}

// interrupted runs the program as a process, and interrupts it when it has said the word.
func interrupted(t *testing.T, cfg mysqlsession.Config, word string, arguments ...string) (code int, all string) {
	t.Helper()
	process := exec.Command(os.Args[0])
	process.Env = append(os.Environ(), programVariable+"=mysqlsession "+strings.Join(arguments, " "),
		"GORACE=atexit_sleep_ms=0", dsnVariable+"="+cfg.ConnString())
	stderr, err := process.StderrPipe()
	require.NoError(t, err)
	require.NoError(t, process.Start())
	defer func() { _ = process.Process.Kill() }()
	lines := bufio.NewReader(stderr)
	for !strings.Contains(all, word) {
		line, err := lines.ReadString('\n')
		require.NoError(t, err, all)
		all += line
	}
	require.NoError(t, process.Process.Signal(syscall.SIGINT))
	rest, err := io.ReadAll(lines)
	require.NoError(t, err)
	_ = process.Wait()
	return process.ProcessState.ExitCode(), all + string(rest)
}

func TestInterruptedMeasurementsLeaveNoTables(t *testing.T) {
	long := map[string][]string{
		"bench": {"bench", "--time", "1m"},
		"tune":  {"tune", "--p99", "5s", "--rate", "100", "--limit", "1h"},
	}
	words := map[string]string{
		"while they fill their tables": "scratch tables",
		"while they measure":           "about", // as bench says
	}
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		for name, arguments := range long {
			for moment, word := range words {
				if name == "tune" && word == "about" {
					word = "at most"
				}
				t.Run(name+" "+moment, func(t *testing.T) {
					cfg := server.NewDatabase(t)
					code, all := interrupted(t, cfg, word, arguments...)
					require.Equal(t, exitInterrupted, code, all)
					require.NotContains(t, all, "error")
					require.Empty(t, tablesIn(t, server, cfg))
				})
			}
		}
	})
}

func TestBenchStartsAServerOfItsOwnAndLeavesNothing(t *testing.T) {
	requireServerProgram(t)
	s, err := commandWithout(t, append(quickBench, "--json")...)
	require.NoError(t, err)
	require.Contains(t, s.err, "started ")
	var r report.Report
	require.NoError(t, json.Unmarshal([]byte(s.out), &r), "nothing but JSON")
	require.Contains(t, r.Environment.Where, "of its own")
	require.Equal(t, "1", r.Environment.Server.Flush, "its commits are safe on disk")
	left, err := filepath.Glob(filepath.Join(os.TempDir(), "mysqlsession-*"))
	require.NoError(t, err)
	require.Empty(t, left)
}

// commandWithout is a command without a database, and with a temporary folder of its own.
func commandWithout(t *testing.T, arguments ...string) (said, error) {
	t.Helper()
	t.Setenv("TMPDIR", shortFolder(t))
	t.Setenv(dsnVariable, "")
	var out, errors bytes.Buffer
	root := newRootCommand()
	root.SetOut(&out)
	root.SetErr(&errors)
	root.SetArgs(arguments)
	err := root.ExecuteContext(t.Context())
	return said{out.String(), errors.String()}, err
}

func TestArgumentsThatMakeNoSenseAreErrorsOfUsage(t *testing.T) {
	t.Setenv(passwordVariable, "")
	for arguments, says := range map[string]string{
		"bench --operations sing":                   `operation is "sing", must be one of get, set and mixed`,
		"bench --callers 0":                         "number of callers is 0",
		"bench --rounds 0":                          "rounds is 0",
		"bench --value-size 1":                      "value size is 1",
		"bench --json out.json":                     `"out.json"`, // with a "=", as the help says
		"bench --html /nowhere/report.html":         "write /nowhere/report.html: no such file",
		"bench --dsn-file /nowhere":                 "/nowhere: no such file",
		"bench --dsn mysql://db.example":            "names no database",
		"tune":                                      "no target: use --target",
		"tune --p99 5ms":                            "no target",
		"tune --target p99 --rate 5":                "two targets",
		"tune --target nonsense":                    "an example is",
		"tune --p99 5ms --rate 10":                  "no database: set MYSQLSESSION_DSN",
		"tune --p99 5ms --rate 10 --instances 0":    "instances is 0",
		"tune --p99 5ms --rate 10 --dsn mysql://db": "names no database",
	} {
		_, err := commandWithout(t, strings.Fields(arguments)...)
		require.ErrorContains(t, err, says, arguments)
		var own *exitError
		require.ErrorAs(t, err, &own, arguments)
		require.Equal(t, exitUsage, own.code, arguments)
	}
}

func TestFileThatIsThereStaysUntilThereIsAReport(t *testing.T) {
	path := fileOf(t, "the last one")
	t.Setenv(passwordVariable, "")
	_, err := commandWithout(t, "bench", "--html", path, "--dsn", "mysql://127.0.0.1:1/none")
	require.ErrorIs(t, err, mysqlsession.ErrUnavailable)
	content, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, "the last one", string(content))
	entries, err := os.ReadDir(filepath.Dir(path))
	require.NoError(t, err)
	require.Len(t, entries, 1)
}

func TestProgressIsForTerminals(t *testing.T) {
	var b bytes.Buffer
	for _, w := range []io.Writer{&b, io.Discard} {
		p := newProgress(w, 3)
		require.Nil(t, p.bar)
		p.advance("a step")
		p.end()
	}
	require.Empty(t, b.String())
}

func TestHelpOfMeasurementsHasExamplesAndExitCodes(t *testing.T) {
	for _, name := range []string{"bench", "tune"} {
		s, err := commandWithout(t, name, "--help")
		require.NoError(t, err)
		for _, word := range []string{"Examples:", "mysqlsession " + name, "Exit codes:", "--json", "--dsn-file", dsnVariable, "scratch tables"} {
			require.Contains(t, s.out, word, name)
		}
	}
}
