package main

import (
	"fmt"
	"io"
	"strings"
	"time"
	"unicode"

	"github.com/spf13/cobra"

	"github.com/mysqlsession/mysqlsession"
)

// upToDate is what a migration says that has nothing to do.
const upToDate = "nothing to do, both tables are up to date"

func newMigrateCommand() *cobra.Command {
	var on target
	var printOnly bool
	command := &cobra.Command{
		Use:   "migrate",
		Short: "Create or upgrade the two tables of a database",
		Long: `Creates the tables of sessions and their metadata, or makes those that exist
what the library wants: binary columns, an index on the expiry, a foreign key
that takes metadata along. Rows are kept. Each step is printed before it is
run.

It can be run at any time, by several at once, and while services use the
tables. A large old table takes its time, during which it cannot be written.
After an interruption the next run goes on where this one was.

--print prints the SQL that would be run now, and runs nothing. It is for this
database as it is at this moment, and for one connection, while nothing else
changes the tables. Who runs it and is stopped by an error prints it anew.`,
		Example: `  # Create or upgrade the tables
  export MYSQLSESSION_DSN=mysql://admin@db.example/shop
  mysqlsession migrate --password-file secret

  # Have a look at the SQL, or run it with another client
  mysqlsession migrate --print
  mysqlsession migrate --print | mariadb shop`,
		Args: cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			if printOnly {
				return printMigration(command, &on)
			}
			return runMigration(command, &on)
		},
	}
	on.addFlags(command)
	command.Flags().BoolVar(&printOnly, "print", false, "print the SQL and run nothing")
	return command
}

// runMigration migrates, and prints each step.
func runMigration(command *cobra.Command, on *target) error {
	out := command.OutOrStdout()
	steps, begun := int64(0), time.Now()
	var unwritten error
	store, err := on.open(command, func(cfg *mysqlsession.Config) {
		cfg.Trace = &mysqlsession.Trace{Migration: func(step mysqlsession.MigrationStep) {
			steps++
			if _, err := fmt.Fprintln(out, oneLine(step.Reason)); err != nil {
				unwritten = err // nobody reads on, which is no reason to stop halfway
			}
		}}
	})
	if err != nil {
		return err
	}
	defer func() { _ = store.Close() }() // always nil
	if err := store.Migrate(command.Context()); err != nil {
		return err
	}
	if unwritten != nil {
		return unwritten
	}
	said := upToDate
	if steps > 0 {
		said = fmt.Sprintf("done, %s in %s", plural(steps, "step", "steps"), time.Since(begun).Round(time.Millisecond))
	}
	_, err = fmt.Fprintln(out, said)
	return err
}

// printMigration prints what a client of the server would have to run.
func printMigration(command *cobra.Command, on *target) error {
	store, err := on.open(command)
	if err != nil {
		return err
	}
	defer func() { _ = store.Close() }() // always nil
	plan, err := store.MigrationPlan(command.Context())
	if err != nil {
		return err
	}
	if len(plan) == 0 {
		_, err = fmt.Fprintln(command.ErrOrStderr(), "mysqlsession: "+upToDate)
		return err
	}
	var script strings.Builder
	for i, step := range plan {
		if i > 0 {
			script.WriteByte('\n')
		}
		fmt.Fprintf(&script, "-- %s\n", oneLine(step.Reason))
		for _, statement := range step.Statements {
			script.WriteString(statement + ";\n")
		}
	}
	_, err = io.WriteString(command.OutOrStdout(), script.String())
	return err
}

// oneLine is text without what would end a comment: names in a database may hold anything.
func oneLine(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return ' '
	}, text)
}
