//go:build clusters

package clusters

import (
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestSessionsSurviveWhateverHappensToTheMembersOfAReplicationGroup(t *testing.T) {
	// A primary that has lost the majority must not hold its callers up for ever.
	c := start(t, "groupreplication", "--opt", "loose-group-replication-unreachable-majority-timeout=3",
		"--opt", "loose-group-replication-recovery-reconnect-interval=1")
	cfg := c.several()
	t.Log(version(t, c.config(1)))
	first := func() { c.run("primary", "1") }
	again := func(command string) func() {
		return func() {
			c.run(command, "1")
			c.run("wait", "3")
			first()
		}
	}
	c.try(cfg, []trial{
		{"primary 1 is killed", c.signals(syscall.SIGKILL, 1), again("restart"), 1},
		{"primary is handed to 2", func(*history) { c.run("primary", "2") }, first, 1},
		{"primary 1 is paused", c.signals(syscall.SIGSTOP, 1), again("resume"), 1},
		{"primary 1 leaves the group", func(*history) { c.run("leave", "1") }, again("join"), 1},
		{"secondary 2 is killed", c.signals(syscall.SIGKILL, 2), func() { c.run("restart", "2") }, 1},
		{"primary 1 loses the majority", func(h *history) {
			c.signals(syscall.SIGSTOP, 2, 3)(h)
			until(t, "primary 1 gives up", time.Minute, func() bool { return strings.Contains(c.run("status"), " ERROR ") })
			h.awaitOutage(t)
			c.signals(syscall.SIGCONT, 2, 3)(h)
		}, func() {
			c.signal(1, syscall.SIGKILL) // it would take a minute over its shutdown
			again("restart")()
		}, 1},
	})
}
