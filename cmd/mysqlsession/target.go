package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/mysqlsession/mysqlsession"
)

// Where commands look for a database, and for its password, besides their flags.
const (
	dsnVariable      = "MYSQLSESSION_DSN"
	passwordVariable = "MYSQLSESSION_PASSWORD"
)

// secretLimit is how long a file with a secret may be.
const secretLimit = 64 << 10

// target is the database that a command works on, as its user names it.
type target struct {
	dsn          string
	dsnFile      string
	passwordFile string
	warn         io.Writer
}

// addFlags adds the flags that name a database.
func (t *target) addFlags(command *cobra.Command) {
	flags := command.Flags()
	flags.StringVar(&t.dsn, "dsn", "", "database, as mysql://user@host:3306/database (default $"+dsnVariable+")")
	flags.StringVar(&t.dsnFile, "dsn-file", "", "file that holds the DSN")
	flags.StringVar(&t.passwordFile, "password-file", "", "file that holds the password (default $"+passwordVariable+")")
	command.MarkFlagsMutuallyExclusive("dsn", "dsn-file")
	t.warn = command.ErrOrStderr()
}

// errNoTarget is a command without a database.
var errNoTarget = errors.New("no database: set " + dsnVariable + ", or use --dsn-file or --dsn")

// config is the configuration that the flags, the files and the environment make. A password
// that is given apart takes precedence over one in the DSN.
func (t *target) config() (mysqlsession.Config, error) {
	dsn, origin, err := t.text()
	if err != nil {
		return mysqlsession.Config{}, err
	}
	cfg, err := mysqlsession.ParseConfig(dsn)
	if err != nil {
		return mysqlsession.Config{}, fmt.Errorf("%s: %w", origin, err)
	}
	if t.dsn != "" && cfg.Password != "" {
		_, _ = fmt.Fprintf(t.warn, "mysqlsession: the password in --dsn can be seen by all users of this machine; use %s, --dsn-file or --password-file\n", dsnVariable)
	}
	switch password := os.Getenv(passwordVariable); {
	case t.passwordFile != "":
		cfg.Password, err = secretIn(t.passwordFile)
	case password != "":
		cfg.Password = password
	}
	return cfg, err
}

// text is the DSN, and where it comes from.
func (t *target) text() (dsn, origin string, err error) {
	switch {
	case t.dsn != "":
		return t.dsn, "--dsn", nil
	case t.dsnFile != "":
		dsn, err = secretIn(t.dsnFile)
		return dsn, t.dsnFile, err
	case os.Getenv(dsnVariable) != "":
		return os.Getenv(dsnVariable), dsnVariable, nil
	default:
		return "", "", errNoTarget
	}
}

// origin is where the DSN comes from.
func (t *target) origin() string {
	_, origin, _ := t.text()
	return origin
}

// secretIn is the content of a file, without the end of its line.
func secretIn(path string) (string, error) {
	file, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer func() { _ = file.Close() }()
	content, err := io.ReadAll(io.LimitReader(file, secretLimit+1))
	switch {
	case err != nil:
		return "", err
	case len(content) > secretLimit:
		return "", fmt.Errorf("%s: longer than %d bytes", path, secretLimit)
	}
	return strings.TrimRight(string(content), "\r\n"), nil
}
