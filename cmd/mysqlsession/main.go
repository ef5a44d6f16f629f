// Command mysqlsession shows what the library of that name does: see mysqlsession demo.
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

// Exit codes beyond success.
const (
	exitFailure     = 1
	exitInterrupted = 130 // as shells have it for SIGINT
)

func run() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	// Whoever interrupts a second time does not want to wait for an orderly end; the
	// watchdog cleans up then.
	context.AfterFunc(ctx, stop)

	err := newRootCommand().ExecuteContext(ctx)
	switch {
	case err == nil:
		return 0
	case ctx.Err() != nil && errors.Is(err, context.Canceled):
		return exitInterrupted
	default:
		fmt.Fprintln(os.Stderr, "mysqlsession:", strings.TrimPrefix(err.Error(), "mysqlsession: "))
		return exitFailure
	}
}

func newRootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:           "mysqlsession",
		Short:         "HTTP sessions in MySQL and MariaDB",
		Version:       version(),
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.AddCommand(newDemoCommand())
	return root
}

// version is what the Go toolchain has noted of where the program comes from.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "" {
		return "(unknown)"
	}
	return info.Main.Version
}
