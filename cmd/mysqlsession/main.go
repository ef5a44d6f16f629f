// Command mysqlsession is for those who run services with the library of that name: it shows
// what the library does, and looks after its tables.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/mysqlsession/mysqlsession/internal/localserver"
)

func main() {
	localserver.Watchdog()
	os.Exit(run())
}

// Exit codes beyond success. A command may have others, which its help tells.
const (
	exitFailure     = 1
	exitUsage       = 2
	exitInterrupted = 130 // as shells have it for SIGINT
	exitClosedPipe  = 141 // as shells have it for SIGPIPE
)

// exitError ends the program with a code of the command's own. Without an error it says nothing.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string {
	if e.err == nil {
		return fmt.Sprint("exit code ", e.code)
	}
	return e.err.Error()
}
func (e *exitError) Unwrap() error { return e.err }

func run() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	// Whoever interrupts a second time does not want to wait for an orderly end; the
	// watchdog cleans up then.
	context.AfterFunc(ctx, stop)
	// Who does not read on ends no migration halfway: writing to a closed pipe is an error,
	// and no signal's end.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)

	return tell(ctx, newRootCommand().ExecuteContext(ctx), os.Stderr)
}

// tell says what went wrong, and is the program's exit code.
func tell(ctx context.Context, err error, to io.Writer) int {
	if err == nil {
		return 0
	}
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		return exitInterrupted
	}
	// Sockets' errors are others: this is the output, and who read it knows.
	if file := (*fs.PathError)(nil); errors.As(err, &file) && errors.Is(file.Err, syscall.EPIPE) {
		return exitClosedPipe
	}
	code := exitFailure
	if own := (*exitError)(nil); errors.As(err, &own) {
		if code = own.code; own.err == nil {
			return code
		}
	}
	_, _ = fmt.Fprintln(to, "mysqlsession:", strings.TrimPrefix(err.Error(), "mysqlsession: "))
	return code
}

const rootHelp = `HTTP sessions in MySQL and MariaDB: what those need who run services with the
library of that name.

Commands work on the database that $MYSQLSESSION_DSN names, or the file of
--dsn-file. A password may be apart from it, in $MYSQLSESSION_PASSWORD or the
file of --password-file. On the command line all users of a machine can see it.

Results go to standard output, messages to standard error. Exit codes are 0 for
success, 1 for failure, 2 for a command line that cannot be used, 130 after
Ctrl-C, and 141 where nobody reads the output on; a command that has others
tells so.`

func newRootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:           "mysqlsession",
		Short:         "HTTP sessions in MySQL and MariaDB",
		Long:          rootHelp,
		Version:       version(),
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          cobra.ArbitraryArgs,
		RunE:          runGroup,
	}
	root.SuggestionsMinimumDistance = 2
	root.AddCommand(newDemoCommand(), newBenchCommand(), newTuneCommand(), newDoctorCommand(),
		newMigrateCommand(), newSessionsCommand(), newCleanupCommand())
	root.SetFlagErrorFunc(usageError)
	root.InitDefaultCompletionCmd()
	checkUsage(root)
	offerNoFiles(root)
	return root
}

// offerNoFiles keeps shells from offering files as arguments: no command takes one, but for
// flags.
func offerNoFiles(parent *cobra.Command) {
	for _, command := range parent.Commands() {
		offerNoFiles(command)
		if command.ValidArgsFunction == nil {
			command.ValidArgsFunction = cobra.NoFileCompletions
		}
	}
}

// runGroup is what a command does that only has others below it.
func runGroup(command *cobra.Command, arguments []string) error {
	if len(arguments) == 0 {
		return command.Help()
	}
	said := fmt.Sprintf("unknown command %q", arguments[0])
	if similar := command.SuggestionsFor(arguments[0]); len(similar) > 0 {
		said += "; is it " + strings.Join(similar, " or ") + "?"
	}
	return usageError(command, errors.New(said))
}

// usageError is an error of the command line, which says where help is.
func usageError(command *cobra.Command, err error) error {
	return &exitError{exitUsage, fmt.Errorf("%w; see %s --help", err, command.CommandPath())}
}

// checkUsage has errors in the arguments of the commands below this one, and in how they
// use flags together, end with the code for that.
func checkUsage(parent *cobra.Command) {
	for _, command := range parent.Commands() {
		checkUsage(command)
		if command.HasSubCommands() && !command.Runnable() {
			command.Args, command.RunE = cobra.ArbitraryArgs, runGroup
		}
		check := command.Args
		command.Args = func(command *cobra.Command, arguments []string) error {
			err := command.ValidateRequiredFlags()
			if err == nil {
				err = command.ValidateFlagGroups()
			}
			if err == nil && check != nil {
				err = check(command, arguments)
			}
			if err != nil {
				return usageError(command, err)
			}
			return nil
		}
	}
}

// version is a release, or the commit of a local build with "+dirty" for changes, as the
// Go toolchain has noted it, and what the program was built with and for.
func version() string {
	version := "development build" // of a folder of which the toolchain knows no history
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" && info.Main.Version != "(devel)" {
		version = info.Main.Version
	}
	return fmt.Sprintf("%s (%s, %s/%s)", version, runtime.Version(), runtime.GOOS, runtime.GOARCH)
}
