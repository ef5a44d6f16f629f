//go:build clusters

package clusters

import (
	"context"
	"syscall"
	"testing"

	"github.com/mysqlsession/mysqlsession"
)

func TestSessionsSurviveWhateverHappensToTheNodesOfGalera(t *testing.T) {
	c := start(t, "galera", "--provider", "evs.suspect_timeout=PT2S", "--provider", "evs.inactive_timeout=PT5S")
	cfg := c.several()
	// A node that has just taken over may still be about to apply what was committed
	// elsewhere: reads wait for that.
	cfg.AfterConnect = func(ctx context.Context, conn *mysqlsession.Conn) error {
		_, err := conn.Exec(ctx, "SET SESSION wsrep_sync_wait = 1")
		return err
	}
	t.Log(version(t, c.config(1)))
	c.try(cfg, []trial{
		{"node 1 is killed", c.signals(syscall.SIGKILL, 1), func() { c.run("restart", "1") }, 1},
		{"node 1 is paused", c.signals(syscall.SIGSTOP, 1), func() { c.signal(1, syscall.SIGCONT) }, 1},
		{"node 1 is cut off", func(*history) { c.run("isolate", "1") }, func() { c.run("rejoin", "1") }, 1},
		{"node 1 is shut down", func(*history) { c.run("stop", "1") }, func() { c.run("restart", "1") }, 1},
		{"node 2, not in use, is killed", c.signals(syscall.SIGKILL, 2), func() { c.run("restart", "2") }, 1},
		{"nodes 2 and 3 are paused for a while", func(h *history) {
			c.signals(syscall.SIGSTOP, 2, 3)(h)
			h.awaitOutage(t)
			c.signals(syscall.SIGCONT, 2, 3)(h)
		}, func() {}, 1},
	})
}
