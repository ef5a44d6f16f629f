package main

import (
	"errors"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/mysqlsession/mysqlsession"
)

func newRevokeCommand() *cobra.Command {
	var on target
	var of selection
	var asJSON bool
	command := &cobra.Command{
		Use:   "revoke ID | - | FINGERPRINT",
		Short: "Revoke one session",
		Long: `Removes one session and its metadata: whoever has its id is signed out. A
session that is not there is a failure.`,
		Example: `  # By the id in a cookie, which is asked for
  mysqlsession sessions revoke -

  # By the fingerprint that a list has printed
  mysqlsession sessions revoke 3f9a1c --audience web --subject alice`,
		Args:              exactlyOne,
		ValidArgsFunction: completeFingerprints(&on, &of),
		RunE: func(command *cobra.Command, arguments []string) error {
			store, found, err := of.find(command, &on, arguments[0])
			if err != nil {
				return err
			}
			defer func() { _ = store.Close() }() // always nil
			if err := store.DeleteStored(command.Context(), found.info.Name, found.info.StoredID); err != nil {
				return err
			}
			return writeRevoked(command, asJSON, 1)
		},
	}
	on.addFlags(command)
	of.addFlags(command)
	command.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return command
}

func writeRevoked(command *cobra.Command, asJSON bool, n int64) error {
	return writeCount(command, asJSON, "revoked", n, "revoked "+plural(n, "session", "sessions"))
}

// revocation is one of many sessions.
type revocation struct {
	on                     target
	of                     selection
	everybody, yes, asJSON bool
}

func newRevokeAllCommand() *cobra.Command {
	var r revocation
	command := &cobra.Command{
		Use:   "revoke-all --audience AUDIENCE --subject SUBJECT | --everybody --name NAME",
		Short: "Revoke all sessions of a subject, or of everybody",
		Long: `Removes all sessions of a subject under an audience, those of each name at
once, or with --everybody all sessions of a name, 500 at a time: whoever has
their ids is signed out. Sessions that begin meanwhile may stay.

It asks for confirmation. Where there is no terminal it wants --yes.`,
		Example: `  mysqlsession sessions revoke-all --audience web --subject alice

  # From a script
  mysqlsession sessions revoke-all --audience web --subject alice --yes

  # After an incident
  mysqlsession sessions revoke-all --everybody --name session`,
		Args: cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			if r.everybody && !command.Flags().Changed("name") {
				return usageError(command, errors.New("--everybody needs --name"))
			}
			return r.run(command)
		},
	}
	r.on.addFlags(command)
	r.of.addSubjectFlags(command, "")
	r.of.addNameFlag(command)
	command.Flags().BoolVar(&r.everybody, "everybody", false, "all sessions of the name, whoever has them")
	command.MarkFlagsOneRequired("subject", "everybody")
	command.MarkFlagsMutuallyExclusive("subject", "everybody")
	command.Flags().BoolVar(&r.yes, "yes", false, "do not ask")
	command.Flags().BoolVar(&r.asJSON, "json", false, "print JSON")
	return command
}

func (r *revocation) run(command *cobra.Command) error {
	if !r.yes && !isTerminal(command.InOrStdin()) {
		return errNobodyToAsk
	}
	store, err := r.on.open(command)
	if err != nil {
		return err
	}
	defer func() { _ = store.Close() }() // always nil
	revoke, question := r.ofEverybody, fmt.Sprintf("Revoke every session of name %s?", printable(r.of.name))
	if !r.everybody {
		sessions, err := r.of.ofSubject(command, store)
		if err != nil {
			return err
		}
		if len(sessions) == 0 { // nothing to ask about
			return writeRevoked(command, r.asJSON, 0)
		}
		live := int64(len(slices.DeleteFunc(slices.Clone(sessions), func(info mysqlsession.SessionInfo) bool { return !info.Live })))
		question = fmt.Sprintf("Revoke %s of %s, %s?", plural(live, "session", "sessions"), printable(r.of.subject), printable(r.of.audience))
		revoke = func(command *cobra.Command, store *mysqlsession.Store) (int64, error) {
			return r.ofSubject(command, store, sessions)
		}
	}
	if !r.yes {
		if err := confirm(command, question); err != nil {
			return err
		}
	}
	revoked, err := revoke(command, store)
	if err != nil && revoked == 0 {
		return err
	}
	return errors.Join(err, writeRevoked(command, r.asJSON, revoked))
}

func (r *revocation) ofEverybody(command *cobra.Command, store *mysqlsession.Store) (int64, error) {
	return store.DeleteAll(command.Context(), r.of.name)
}

// ofSubject revokes name by name, as the store does. What was revoked before an error is gone.
func (r *revocation) ofSubject(command *cobra.Command, store *mysqlsession.Store, sessions []mysqlsession.SessionInfo) (int64, error) {
	var names []string
	for _, info := range sessions {
		names = append(names, info.Name)
	}
	slices.Sort(names)
	var total int64
	for _, name := range slices.Compact(names) {
		revoked, err := store.DeleteSubject(command.Context(), name, r.of.audience, r.of.subject)
		total += revoked
		if err != nil {
			return total, err
		}
	}
	return total, nil
}
