package main

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/mysqlsession/mysqlsession"
)

func newSessionsCommand() *cobra.Command {
	command := &cobra.Command{
		Use:   "sessions",
		Short: "List, show, revoke and count sessions",
		Long: `Lists, shows, revokes and counts sessions. Values are never printed unless
asked for.

A session is named in one of two ways:

- By its id, the value of its cookie. Whoever has the id has the session, and
  the arguments of a command can be seen by all users of a machine: give - and
  the id is read from standard input. One that begins with a dash follows --.
- By its fingerprint, of which lists print twelve digits, with --audience and
  --subject to say among whose sessions it is. Six digits are enough where they
  tell it from the others. A fingerprint is made from the id by SHA-256 and is
  no secret: it opens nothing.

Names are those of cookies. Without --name a command works on all of them.`,
	}
	command.AddCommand(newListCommand(), newShowCommand(), newRevokeCommand(), newRevokeAllCommand(), newCountCommand())
	return command
}

// sessionView is a session as the commands print it.
type sessionView struct {
	Fingerprint string         `json:"fingerprint"`
	ID          string         `json:"id,omitempty"`
	Name        string         `json:"name"`
	Live        bool           `json:"live"`
	Expires     time.Time      `json:"expires,omitzero"`
	Size        int64          `json:"size"`
	Metadata    []metadataView `json:"metadata,omitempty"`
	Value       *[]byte        `json:"value,omitempty"`
}

type metadataView struct {
	Audience string `json:"audience"`
	Subject  string `json:"subject"`
}

func viewOf(info mysqlsession.SessionInfo, withID bool) sessionView {
	view := sessionView{
		Fingerprint: fingerprint(info.StoredID)[:shownDigits], Name: info.Name, Live: info.Live, Size: info.Size,
	}
	if !info.Expires.IsZero() {
		view.Expires = info.Expires.UTC()
	}
	if withID {
		view.ID = info.StoredID
	}
	for _, m := range info.Metadata {
		view.Metadata = append(view.Metadata, metadataView(m))
	}
	return view
}

func newListCommand() *cobra.Command {
	var on target
	var of selection
	var expired, ids, asJSON bool
	command := &cobra.Command{
		Use:   "list --audience AUDIENCE --subject SUBJECT",
		Short: "List the sessions of a subject",
		Long: `Lists the live sessions of a subject under an audience, the one that expires
last first.

--ids prints the ids that the table holds, with hash_keys in the DSN hashes of
them, which show and revoke take with --stored. Without hash_keys they are the
sessions' own: whoever reads them can take the sessions over.`,
		Example: `  mysqlsession sessions list --audience web --subject alice
  mysqlsession sessions list --audience web --subject alice --expired --json`,
		Args: cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			store, err := on.open(command)
			if err != nil {
				return err
			}
			defer func() { _ = store.Close() }() // always nil
			found, err := of.ofSubject(command, store)
			if err != nil {
				return err
			}
			views := []sessionView{}
			for _, info := range found {
				if info.Live || expired {
					views = append(views, viewOf(info, ids))
				}
			}
			return writeSessions(command, views, ids, asJSON)
		},
	}
	on.addFlags(command)
	of.addSubjectFlags(command, "")
	requireFlags(command, "audience", "subject")
	of.addNameFlag(command)
	command.Flags().BoolVar(&expired, "expired", false, "list those too that have expired and await the clean-up")
	command.Flags().BoolVar(&ids, "ids", false, "print the ids that the table holds: secrets, unless they are hashed")
	command.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return command
}

func writeSessions(command *cobra.Command, views []sessionView, ids, asJSON bool) error {
	if asJSON {
		return writeJSON(command.OutOrStdout(), views)
	}
	if len(views) == 0 {
		_, err := fmt.Fprintln(command.ErrOrStderr(), "mysqlsession: no sessions")
		return err
	}
	now := time.Now()
	rows := [][]string{{"FINGERPRINT", "NAME", "BYTES", "EXPIRES"}}
	for _, view := range views {
		rows = append(rows, []string{view.Fingerprint, printable(view.Name), strconv.FormatInt(view.Size, 10), expiryText(view.Expires, now)})
	}
	if ids {
		rows[0] = append([]string{"ID"}, rows[0]...)
		for i, view := range views {
			rows[i+1] = append([]string{printable(view.ID)}, rows[i+1]...)
		}
	}
	return writeTable(command.OutOrStdout(), rows)
}

func newShowCommand() *cobra.Command {
	var on target
	var of selection
	var value, asJSON bool
	command := &cobra.Command{
		Use:   "show ID | - | FINGERPRINT",
		Short: "Show one session",
		Long: `Shows one session: its name, when it expires, how large its value is, and whose
it is. It may have expired and await the clean-up.

--value prints the value instead, as it is; at a terminal, where it could do
harm, with what cannot be printed escaped. In JSON it is base64.`,
		Example: `  # By the id in a cookie, which is asked for
  mysqlsession sessions show -

  # By the fingerprint that a list has printed
  mysqlsession sessions show 3f9a1c --audience web --subject alice

  # The value, for another program
  mysqlsession sessions show - --value <id | jq .`,
		Args:              exactlyOne,
		ValidArgsFunction: completeFingerprints(&on, &of),
		RunE: func(command *cobra.Command, arguments []string) error {
			store, found, err := of.find(command, &on, arguments[0])
			if err != nil {
				return err
			}
			defer func() { _ = store.Close() }() // always nil
			view := viewOf(found.info, false)
			if value {
				content, err := store.Get(command.Context(), found.info.Name, found.key)
				if errors.Is(err, mysqlsession.ErrNotFound) {
					return errors.New("the session has ended, and its value cannot be read any more")
				}
				if err != nil {
					return err
				}
				view.Value = &content
			}
			return writeSession(command, view, asJSON)
		},
	}
	on.addFlags(command)
	of.addFlags(command)
	command.Flags().BoolVar(&value, "value", false, "print the session's value")
	command.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return command
}

func writeSession(command *cobra.Command, view sessionView, asJSON bool) error {
	out := command.OutOrStdout()
	switch {
	case asJSON:
		return writeJSON(out, view)
	case view.Value != nil && isTerminal(out):
		quoted := strconv.QuoteToGraphic(string(*view.Value))
		_, err := fmt.Fprintln(out, strings.ReplaceAll(quoted[1:len(quoted)-1], `\"`, `"`))
		return err
	case view.Value != nil:
		_, err := out.Write(*view.Value)
		return err
	}
	rows := [][]string{
		{"Fingerprint", view.Fingerprint},
		{"Name", printable(view.Name)},
		{"Expires", expiryText(view.Expires, time.Now())},
		{"Live", map[bool]string{true: "yes", false: "no"}[view.Live]},
		{"Bytes", strconv.FormatInt(view.Size, 10)},
	}
	for _, m := range view.Metadata {
		rows = append(rows, []string{"Belongs to", printable(m.Subject) + " of " + printable(m.Audience)})
	}
	return writeTable(out, rows)
}

func newCountCommand() *cobra.Command {
	var on target
	var name string
	var asJSON bool
	command := &cobra.Command{
		Use:   "count",
		Short: "Count sessions by name, live and expired",
		Long: `Counts the sessions of each name: those that can be read, and those that have
expired and await the clean-up.

It reads the whole table, ten thousand rows at a time.`,
		Example: `  mysqlsession sessions count
  mysqlsession sessions count --name session --json`,
		Args: cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			store, err := on.open(command)
			if err != nil {
				return err
			}
			defer func() { _ = store.Close() }() // always nil
			counts, err := store.Count(command.Context())
			if err != nil {
				return err
			}
			if command.Flags().Changed("name") {
				counts = countsOf(counts, name)
			}
			return writeCounts(command, counts, asJSON)
		},
	}
	on.addFlags(command)
	command.Flags().StringVar(&name, "name", "", "count the sessions of this name only")
	noCompletion(command, "name")
	command.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return command
}

// countsOf is the count of one name, which may be none.
func countsOf(counts []mysqlsession.NameCount, name string) []mysqlsession.NameCount {
	for _, count := range counts {
		if count.Name == name {
			return []mysqlsession.NameCount{count}
		}
	}
	return []mysqlsession.NameCount{{Name: name}}
}

func writeCounts(command *cobra.Command, counts []mysqlsession.NameCount, asJSON bool) error {
	type countView struct {
		Name    string `json:"name"`
		Live    int64  `json:"live"`
		Expired int64  `json:"expired"`
	}
	views, rows := []countView{}, [][]string{{"NAME", "LIVE", "EXPIRED"}}
	for _, count := range counts {
		views = append(views, countView(count))
		rows = append(rows, []string{printable(count.Name), strconv.FormatInt(count.Live, 10), strconv.FormatInt(count.Expired, 10)})
	}
	switch {
	case asJSON:
		return writeJSON(command.OutOrStdout(), views)
	case len(counts) == 0:
		_, err := fmt.Fprintln(command.ErrOrStderr(), "mysqlsession: no sessions")
		return err
	default:
		return writeTable(command.OutOrStdout(), rows)
	}
}
