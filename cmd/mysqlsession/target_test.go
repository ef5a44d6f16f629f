package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/stretchr/testify/require"

	"github.com/mysqlsession/mysqlsession"
)

// targetOf is the configuration that arguments make, and what was said on the way.
func targetOf(t *testing.T, arguments ...string) (cfg mysqlsession.Config, said string, err error) {
	t.Helper()
	var out strings.Builder
	command := &cobra.Command{Use: "test", SilenceErrors: true, SilenceUsage: true}
	command.SetErr(&out)
	var given target
	given.addFlags(command)
	command.RunE = func(*cobra.Command, []string) (err error) {
		cfg, err = given.config()
		return err
	}
	command.SetArgs(arguments)
	err = command.Execute()
	return cfg, out.String(), err
}

// fileOf is a file with that content.
func fileOf(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "secret")
	require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
	return path
}

func TestADatabaseIsNamedByEnvironmentFileOrFlag(t *testing.T) {
	const dsn = "mysql://ada:s3cret@db.example:3307/shop"
	t.Setenv(passwordVariable, "")
	t.Setenv(dsnVariable, "mysql://eve@other.example/other")
	for name, arguments := range map[string][]string{
		"environment": nil,
		"file":        {"--dsn-file", fileOf(t, dsn+"\n")},
		"flag":        {"--dsn", dsn},
	} {
		t.Run(name, func(t *testing.T) {
			if arguments == nil {
				t.Setenv(dsnVariable, dsn)
			}
			cfg, said, err := targetOf(t, arguments...)
			require.NoError(t, err)
			require.Equal(t, "db.example", cfg.Host)
			require.Equal(t, "s3cret", cfg.Password)
			require.NotContains(t, said, "s3cret")
			require.Equal(t, name == "flag", strings.Contains(said, "can be seen by all users"))
		})
	}
}

func TestAPasswordGivenApartTakesPrecedence(t *testing.T) {
	t.Setenv(dsnVariable, "mysql://ada:old@db.example/shop")
	t.Setenv(passwordVariable, "environment's")
	cfg, said, err := targetOf(t)
	require.NoError(t, err)
	require.Equal(t, "environment's", cfg.Password)
	cfg, _, err = targetOf(t, "--password-file", fileOf(t, " of the file \r\n"))
	require.NoError(t, err)
	require.Equal(t, " of the file ", cfg.Password, "spaces are part of it")
	require.Empty(t, said)
}

func TestWhatDoesNotNameADatabaseIsSaid(t *testing.T) {
	t.Setenv(passwordVariable, "")
	t.Setenv(dsnVariable, "")
	for name, c := range map[string]struct {
		arguments []string
		says      string
	}{
		"nothing":         {nil, "no database: set MYSQLSESSION_DSN"},
		"no such file":    {[]string{"--dsn-file", "/nowhere"}, "/nowhere: no such file"},
		"an endless file": {[]string{"--dsn-file", "/dev/zero"}, "/dev/zero: longer than 65536 bytes"},
		"no DSN":          {[]string{"--dsn", "://"}, "--dsn: "},
		"two":             {[]string{"--dsn", "a", "--dsn-file", "b"}, "[dsn dsn-file]"},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, err := targetOf(t, c.arguments...)
			require.ErrorContains(t, err, c.says)
		})
	}
}
