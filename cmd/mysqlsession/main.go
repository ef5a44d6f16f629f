// Command mysqlsession is for those who run services with the library of that name: it shows
// what the library does, and looks after its tables.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
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

	err := newRootCommand().ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		return exitInterrupted
	}
	code := exitFailure
	if own := (*exitError)(nil); errors.As(err, &own) {
		if code = own.code; own.err == nil {
			return code
		}
	}
	fmt.Fprintln(os.Stderr, "mysqlsession:", strings.TrimPrefix(err.Error(), "mysqlsession: "))
	return code
}

func newRootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:           "mysqlsession",
		Short:         "HTTP sessions in MySQL and MariaDB",
		Version:       version(),
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          cobra.ArbitraryArgs,
		RunE: func(command *cobra.Command, arguments []string) error {
			if len(arguments) == 0 {
				return command.Help()
			}
			said := fmt.Sprintf("unknown command %q", arguments[0])
			if similar := command.SuggestionsFor(arguments[0]); len(similar) > 0 {
				said += "; is it " + strings.Join(similar, " or ") + "?"
			}
			return &exitError{exitUsage, errors.New(said + "; see mysqlsession --help")}
		},
	}
	root.SuggestionsMinimumDistance = 2
	root.AddCommand(newBenchCommand(), newDemoCommand(), newTuneCommand())
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return &exitError{exitUsage, err} })
	checkUsage(root)
	return root
}

// checkUsage has errors in the arguments of the commands below this one end with the code
// for that.
func checkUsage(parent *cobra.Command) {
	for _, command := range parent.Commands() {
		checkUsage(command)
		check := command.Args
		if check == nil {
			continue
		}
		command.Args = func(command *cobra.Command, arguments []string) error {
			if err := check(command, arguments); err != nil {
				return &exitError{exitUsage, fmt.Errorf("%w; see %s --help", err, command.CommandPath())}
			}
			return nil
		}
	}
}

// version is what the Go toolchain has noted of where the program comes from.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "" {
		return "(unknown)"
	}
	return info.Main.Version
}
