package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/mysqlsession/mysqlsession"
)

const (
	// shownDigits of a fingerprint are printed: among a million sessions of one subject
	// two have the same with a chance of 1 to 560.
	shownDigits = 12
	// leastDigits of a fingerprint have to be given.
	leastDigits = 6
	// completionLimit is how long somebody who presses the tab key waits at most.
	completionLimit = 2 * time.Second
)

// fingerprint tells a session from others, and nothing of its id.
func fingerprint(storedID string) string {
	sum := sha256.Sum256([]byte(storedID))
	return hex.EncodeToString(sum[:])
}

// selection is which sessions a command is about.
type selection struct {
	name, audience, subject string
	stored                  bool
}

// selected is a session that was found, and the id by which the store it was found in
// reads it.
type selected struct {
	info mysqlsession.SessionInfo
	key  string
}

// addFlags adds the flags of commands about one session.
func (s *selection) addFlags(command *cobra.Command) {
	s.addSubjectFlags(command, "for a fingerprint: the ")
	s.addNameFlag(command)
	command.Flags().BoolVar(&s.stored, "stored", false, "the id is the one that the table holds, as list --ids prints it")
	command.MarkFlagsMutuallyExclusive("stored", "subject")
}

func (s *selection) addSubjectFlags(command *cobra.Command, what string) {
	command.Flags().StringVar(&s.audience, "audience", "", what+"audience that the subject's sessions are for")
	command.Flags().StringVar(&s.subject, "subject", "", what+"subject, as a rule a user, whose sessions are meant")
	command.MarkFlagsRequiredTogether("audience", "subject")
	noCompletion(command, "audience", "subject")
}

func (s *selection) addNameFlag(command *cobra.Command) {
	command.Flags().StringVar(&s.name, "name", "", "sessions of this name only, the cookie's")
	noCompletion(command, "name")
}

// noCompletion keeps shells from offering files as values of the flags.
func noCompletion(command *cobra.Command, flags ...string) {
	for _, flag := range flags {
		if err := command.RegisterFlagCompletionFunc(flag, cobra.NoFileCompletions); err != nil {
			panic(err) // there is no such flag
		}
	}
}

// requireFlags makes flags ones that have to be given.
func requireFlags(command *cobra.Command, flags ...string) {
	for _, flag := range flags {
		if err := command.MarkFlagRequired(flag); err != nil {
			panic(err) // there is no such flag
		}
	}
}

// exactlyOne is the check of the arguments of commands about one session.
func exactlyOne(_ *cobra.Command, arguments []string) error {
	if len(arguments) != 1 || arguments[0] == "" {
		return errors.New("name one session: by its id, - to read that from standard input, or by its fingerprint")
	}
	return nil
}

// find opens the store and finds the one session that an argument names.
func (s *selection) find(command *cobra.Command, on *target, argument string) (*mysqlsession.Store, selected, error) {
	given := argument
	if argument == "-" {
		if isTerminal(command.InOrStdin()) {
			_, _ = fmt.Fprint(command.ErrOrStderr(), "id: ")
		}
		line, err := readLine(command.Context(), command.InOrStdin())
		if err != nil {
			return nil, selected{}, fmt.Errorf("read the id: %w", err)
		}
		given = line
	}
	byFingerprint := command.Flags().Changed("subject")
	store, err := on.open(command, func(cfg *mysqlsession.Config) {
		// What comes from the table is not to be hashed again.
		cfg.HashKeys = cfg.HashKeys && !byFingerprint && !s.stored
	})
	if err != nil {
		return nil, selected{}, err
	}
	var found selected
	if byFingerprint {
		found, err = s.byFingerprint(command, store, given)
	} else {
		found, err = s.byID(command, store, given)
	}
	if err != nil {
		_ = store.Close() // always nil
	}
	return store, found, err
}

func (s *selection) byID(command *cobra.Command, store *mysqlsession.Store, id string) (selected, error) {
	info, err := store.Inspect(command.Context(), id)
	if err == nil && !s.includes(command, info) {
		err = mysqlsession.ErrNotFound
	}
	return selected{info, id}, err
}

func (s *selection) byFingerprint(command *cobra.Command, store *mysqlsession.Store, digits string) (selected, error) {
	digits = strings.ToLower(digits)
	if len(digits) < leastDigits || strings.Trim(digits, "0123456789abcdef") != "" {
		return selected{}, &exitError{exitUsage, fmt.Errorf("with --subject a session is named by its fingerprint, %d hexadecimal digits or more", leastDigits)}
	}
	sessions, err := s.ofSubject(command, store)
	if err != nil {
		return selected{}, err
	}
	sessions = slices.DeleteFunc(sessions, func(info mysqlsession.SessionInfo) bool {
		return !strings.HasPrefix(fingerprint(info.StoredID), digits)
	})
	switch len(sessions) {
	case 0:
		return selected{}, fmt.Errorf("the subject has no session with fingerprint %s", digits)
	case 1:
		return s.byID(command, store, sessions[0].StoredID)
	default:
		return selected{}, fmt.Errorf("the subject has %d sessions with fingerprint %s; give more digits", len(sessions), digits)
	}
}

// ofSubject is the subject's sessions, those that expire last first.
func (s *selection) ofSubject(command *cobra.Command, store *mysqlsession.Store) ([]mysqlsession.SessionInfo, error) {
	sessions, err := store.InspectSubject(command.Context(), s.audience, s.subject)
	sessions = slices.DeleteFunc(sessions, func(info mysqlsession.SessionInfo) bool { return !s.includes(command, info) })
	slices.SortStableFunc(sessions, func(a, b mysqlsession.SessionInfo) int { return b.Expires.Compare(a.Expires) })
	return sessions, err
}

// includes reports whether the session has the name that is wanted.
func (s *selection) includes(command *cobra.Command, info mysqlsession.SessionInfo) bool {
	return !command.Flags().Changed("name") || info.Name == s.name
}

// completeFingerprints offers the fingerprints of the subject that the flags name. Ids are
// not offered: they are secrets.
func completeFingerprints(on *target, of *selection) cobra.CompletionFunc {
	return func(command *cobra.Command, arguments []string, begun string) ([]cobra.Completion, cobra.ShellCompDirective) {
		if len(arguments) > 0 || !command.Flags().Changed("subject") || !command.Flags().Changed("audience") {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		ctx, cancel := context.WithTimeout(command.Context(), completionLimit)
		defer cancel()
		command.SetContext(ctx)
		store, err := on.open(command)
		if err != nil {
			return nil, cobra.ShellCompDirectiveError
		}
		defer func() { _ = store.Close() }() // always nil
		sessions, err := of.ofSubject(command, store)
		if err != nil {
			return nil, cobra.ShellCompDirectiveError
		}
		var offers []cobra.Completion
		for _, info := range sessions {
			digits := fingerprint(info.StoredID)[:shownDigits]
			if info.Live && strings.HasPrefix(digits, strings.ToLower(begun)) {
				offers = append(offers, cobra.CompletionWithDesc(digits, printable(info.Name)+", expires "+expiryText(info.Expires, time.Now())))
			}
		}
		return offers, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveKeepOrder
	}
}
