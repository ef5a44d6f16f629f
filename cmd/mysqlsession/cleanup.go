package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"
)

func newCleanupCommand() *cobra.Command {
	var on target
	var dryRun, asJSON bool
	command := &cobra.Command{
		Use:   "cleanup",
		Short: "Remove sessions that have expired",
		Long: `Removes the sessions that have expired, under all names, with their metadata,
and prints how many those were. Services that use the library do the same in
the background; this is for those that switched it off, and for cron.

It goes in small batches, each by itself, and can be interrupted at any time.`,
		Example: `  # How many would be removed?
  mysqlsession cleanup --dry-run

  # Every five minutes, from cron
  */5 * * * * mysqlsession cleanup --dsn-file /etc/shop/sessions.dsn >/dev/null`,
		Args: cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error { return cleanUp(command, &on, dryRun, asJSON) },
	}
	on.addFlags(command)
	command.Flags().BoolVar(&dryRun, "dry-run", false, "print how many sessions have expired and remove none")
	command.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return command
}

func cleanUp(command *cobra.Command, on *target, dryRun, asJSON bool) error {
	store, err := on.open(command)
	if err != nil {
		return err
	}
	defer func() { _ = store.Close() }() // always nil
	if dryRun {
		expired, err := store.CountExpired(command.Context())
		if err != nil {
			return err
		}
		return writeCount(command, asJSON, "expired", expired, plural(expired, "session has expired", "sessions have expired"))
	}
	removed, err := store.Cleanup(command.Context())
	if err != nil && removed == 0 {
		return err
	}
	return errors.Join(err, writeCount(command, asJSON, "removed", removed, "removed "+plural(removed, "expired session", "expired sessions")))
}

// writeCount prints the one number that a command has to tell.
func writeCount(command *cobra.Command, asJSON bool, key string, n int64, text string) error {
	if asJSON {
		return writeJSON(command.OutOrStdout(), map[string]int64{key: n})
	}
	_, err := fmt.Fprintln(command.OutOrStdout(), text)
	return err
}
