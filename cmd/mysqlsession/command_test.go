package main

import (
	"bytes"
	"context"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/mysqlsession/mysqlsession"
	"github.com/mysqlsession/mysqlsession/internal/dbtest"
)

// result is what became of a run of the program.
type result struct {
	code      int
	out, said string // standard output and error
}

// execute runs the program's root command on the database that the environment names.
func execute(t *testing.T, arguments ...string) result {
	t.Helper()
	return executeWith(t.Context(), strings.NewReader(""), arguments...)
}

func executeWith(ctx context.Context, in io.Reader, arguments ...string) result {
	var out, said bytes.Buffer
	root := newRootCommand()
	root.SetArgs(arguments)
	root.SetIn(in)
	root.SetOut(&out)
	root.SetErr(&said)
	code := tell(ctx, root.ExecuteContext(ctx), &said)
	return result{code, out.String(), said.String()}
}

// eachDatabase runs body as a subtest for each server, with an empty database there that
// the environment names.
func eachDatabase(t *testing.T, body func(t *testing.T, server dbtest.Server, cfg mysqlsession.Config)) {
	t.Helper()
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		cfg := server.NewDatabase(t)
		t.Setenv(dsnVariable, cfg.ConnString())
		t.Setenv(passwordVariable, "")
		body(t, server, cfg)
	})
}

// storeIn is a store on new tables in the database.
func storeIn(t *testing.T, cfg mysqlsession.Config) *mysqlsession.Store {
	t.Helper()
	cfg.CleanupInterval = -1
	store, err := mysqlsession.Open(t.Context(), cfg)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, store.Close()) })
	require.NoError(t, store.Migrate(t.Context()))
	return store
}

// asProgram has a command run the program in this test's place.
func asProgram(command *exec.Cmd, arguments string) {
	command.Env = append(command.Environ(), programVariable+"=mysqlsession "+arguments, "GORACE=atexit_sleep_ms=0")
}

// allCommands are those of the program, without the ones that cobra adds, and the
// demonstration, which needs no example.
func allCommands(parent *cobra.Command) []*cobra.Command {
	var all []*cobra.Command
	for _, command := range parent.Commands() {
		if command.Name() == "demo" || command.Name() == "completion" {
			continue
		}
		all = append(append(all, command), allCommands(command)...)
	}
	return all
}

func TestEveryCommandSaysWhatItIsForAndGivesAnExample(t *testing.T) {
	for _, command := range allCommands(newRootCommand()) {
		assert.NotEmpty(t, command.Long, command.CommandPath())
		if !command.HasSubCommands() {
			assert.Contains(t, command.Example, command.CommandPath())
		}
	}
}

func TestHelpIsNoLineLongerThanATerminal(t *testing.T) {
	for _, command := range allCommands(newRootCommand()) {
		for line := range strings.Lines(command.Long + "\n" + command.Example) {
			assert.LessOrEqual(t, len(strings.TrimRight(line, "\n")), 80, command.CommandPath()+": "+line)
		}
	}
}

func TestACommandLineThatCannotBeUsedEndsWithItsOwnCodeAndSaysWhereHelpIs(t *testing.T) {
	t.Setenv(dsnVariable, "")
	for line, says := range map[string]string{
		"migrat":                           `unknown command "migrat"; is it migrate?`,
		"sessions revok":                   `unknown command "revok"; is it revoke`,
		"migrate now":                      "mysqlsession migrate --help",
		"migrate --prin":                   "unknown flag: --prin; see mysqlsession migrate --help",
		"migrate":                          "no database: set MYSQLSESSION_DSN",
		"migrate --dsn mysql://127.0.0.1/": "Database",
		"migrate --dsn mysql://127.0.0.1/x?poolsize=1":                   "poolsize",
		"migrate --dsn a --dsn-file b":                                   "[dsn dsn-file]",
		"sessions list":                                                  `"audience", "subject"`,
		"sessions list --audience web":                                   `"subject"`,
		"sessions show":                                                  "name one session",
		"sessions show a b":                                              "name one session",
		"sessions show aaaaaa --audience web":                            "[audience subject]",
		"sessions show aaaaaa --audience web --subject alice --stored":   "[stored subject]",
		"sessions revoke":                                                "name one session",
		"sessions revoke-all":                                            "[subject everybody]",
		"sessions revoke-all --everybody":                                "--everybody needs --name",
		"sessions revoke-all --everybody --name x":                       "say --yes",
		"sessions revoke-all --audience web --subject alice":             "say --yes",
		"sessions revoke-all --everybody --audience web --subject alice": "[subject everybody]",
		"completion tcsh":                                                `unknown command "tcsh"`,
		"completion bash x":                                              `unknown command "x"`,
		"cleanup --dry":                                                  "unknown flag: --dry",
	} {
		got := execute(t, strings.Fields(line)...)
		assert.Equal(t, exitUsage, got.code, line)
		assert.Contains(t, got.said, says, line)
		assert.True(t, strings.HasPrefix(got.said, "mysqlsession: "), got.said)
		assert.Empty(t, got.out, line)
	}
}

func TestACommandWithOthersBelowItIsTheirHelp(t *testing.T) {
	for _, line := range []string{"", "sessions"} {
		got := execute(t, strings.Fields(line)...)
		assert.Zero(t, got.code)
		assert.Contains(t, got.out, "Available Commands:")
		assert.Empty(t, got.said)
	}
}

func TestAServerThatDoesNotAnswerIsAFailureThatNamesItAndNoPassword(t *testing.T) {
	t.Setenv(dsnVariable, "mysql://ada:not-the-passw0rd@127.0.0.1:1/shop")
	for _, line := range []string{
		"migrate", "migrate --print", "cleanup", "cleanup --dry-run", "sessions count", "sessions show the-id", "sessions revoke the-id",
		"sessions list --audience web --subject alice", "sessions revoke-all --audience web --subject alice --yes",
	} {
		got := execute(t, strings.Fields(line)...)
		assert.Equal(t, exitFailure, got.code, line)
		assert.Contains(t, got.said, "127.0.0.1:1", line)
		assert.NotContains(t, got.said, "passw0rd", line)
		assert.NotContains(t, got.said, "the-id", line)
		assert.Equal(t, 1, strings.Count(got.said, "\n"), got.said)
		assert.Empty(t, got.out, line)
	}
}

func TestCommandsOnTablesThatAreMissingSayToMigrate(t *testing.T) {
	eachDatabase(t, func(t *testing.T, _ dbtest.Server, _ mysqlsession.Config) {
		for line, operation := range map[string]string{
			"cleanup": "cleanup", "cleanup --dry-run": "count expired", "sessions count": "count", "sessions show id": "inspect",
			"sessions list --audience web --subject alice": "inspect subject",
		} {
			got := execute(t, strings.Fields(line)...)
			assert.Equal(t, exitFailure, got.code, line)
			assert.True(t, strings.HasPrefix(got.said, "mysqlsession: "+operation+": "), got.said)
			assert.Contains(t, got.said, "run Migrate", line)
			assert.Empty(t, got.out, line)
		}
	})
}

func TestShellsAreOfferedCommandsAndFlagsAndNoFilesWhereNoneAreWanted(t *testing.T) {
	t.Setenv(dsnVariable, "")
	const noFiles, files = ":4\n", ":0\n"
	for line, want := range map[string][]string{
		"m":                            {"migrate\t", noFiles},
		"sessions ":                    {"list\t", "show\t", "revoke\t", "revoke-all\t", "count\t", noFiles},
		"sessions list --":             {"--audience\t", "--subject\t", noFiles}, // without which it cannot do
		"sessions show --":             {"--audience\t", "--name\t", "--value\t", "--json\t", "--dsn-file\t", noFiles},
		"sessions list --audience ":    {noFiles},
		"sessions count --name ":       {noFiles},
		"sessions show ":               {noFiles},
		"sessions revoke ":             {noFiles},
		"migrate ":                     {noFiles},
		"cleanup ":                     {noFiles},
		"migrate --pr":                 {"--print\t", noFiles},
		"migrate --dsn-file ":          {files},
		"cleanup --password-file ./se": {files},
	} {
		got := execute(t, append([]string{"__complete"}, strings.Split(line, " ")...)...)
		for _, offer := range want {
			assert.Contains(t, "\n"+got.out, "\n"+offer, line)
		}
	}
	for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
		command := exec.Command(os.Args[0])
		asProgram(command, "completion "+shell)
		script, err := command.Output()
		require.NoError(t, err)
		assert.True(t, strings.Contains(string(script), "__complete ") && strings.Contains(string(script), "mysqlsession"), shell)
	}
}

func TestTheVersionTellsWhereTheProgramComesFrom(t *testing.T) {
	got := execute(t, "--version")
	assert.Zero(t, got.code)
	assert.Regexp(t, `^mysqlsession version .+ \(go1\.\d+.*, \w+/\w+\)\n$`, got.out)
}
