//go:build clusters

package clusters

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/mysqlsession/mysqlsession"
)

// scripts is where what starts clusters is.
const scripts = "../dbtest/servers"

// cluster is a running one.
type cluster struct {
	t      *testing.T
	script string
	nodes  []node
}

type node struct {
	port                     uint16
	folder                   string
	user, password, database string
}

func (n node) address() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(int(n.port))) }

// start starts a fresh cluster of three, which is gone at the test's end.
func start(t *testing.T, script string, options ...string) *cluster {
	t.Helper()
	if os.Getenv("SESSION_TEST_CLUSTER") == "" {
		t.Setenv("SESSION_TEST_CLUSTER", "test"+strconv.Itoa(os.Getpid()))
	}
	c := &cluster{t: t, script: filepath.Join(scripts, script)}
	t.Cleanup(func() { c.run("remove") })
	for line := range strings.Lines(c.run("start", append([]string{"3"}, options...)...)) {
		// NAME HOST PORT SOCKET USER PASSWORD DATABASE
		fields := strings.Fields(line)
		require.Len(t, fields, 7, line)
		port, err := strconv.ParseUint(fields[2], 10, 16)
		require.NoError(t, err)
		c.nodes = append(c.nodes, node{uint16(port), filepath.Dir(fields[3]), fields[4], fields[5], fields[6]})
	}
	require.Len(t, c.nodes, 3)
	return c
}

// run has the script do something, and returns what it printed.
func (c *cluster) run(command string, arguments ...string) string {
	c.t.Helper()
	program := exec.Command(c.script, append([]string{command}, arguments...)...)
	var complaint strings.Builder
	program.Stderr = &complaint
	output, err := program.Output()
	if err != nil {
		for i, n := range c.nodes {
			log, _ := os.ReadFile(filepath.Join(n.folder, "log"))
			c.t.Logf("the end of node %d's log:\n%s", i+1, log[max(0, len(log)-4000):])
		}
		c.t.Fatalf("%s %s %v: %v\n%s", c.script, command, arguments, err, complaint.String())
	}
	return string(output)
}

// signal sends one to a node's process: the scripts do the same, some time later.
func (c *cluster) signal(number int, signal syscall.Signal) {
	c.t.Helper()
	content, err := os.ReadFile(filepath.Join(c.nodes[number-1].folder, "pid"))
	require.NoError(c.t, err)
	var pid int
	_, err = fmt.Sscan(string(content), &pid)
	require.NoError(c.t, err)
	require.NoError(c.t, syscall.Kill(pid, signal))
}

// signals sends one to several nodes.
func (c *cluster) signals(signal syscall.Signal, numbers ...int) func(*history) {
	return func(*history) {
		for _, number := range numbers {
			c.signal(number, signal)
		}
	}
}

// config is for one node alone.
func (c *cluster) config(number int) mysqlsession.Config {
	n := c.nodes[number-1]
	return mysqlsession.Config{
		Host: "127.0.0.1", Port: n.port, Username: n.user, Password: n.password, Database: n.database, CleanupInterval: -1,
	}
}

// several is for all nodes, in their order, as the README advises.
func (c *cluster) several() mysqlsession.Config {
	cfg := c.config(1)
	for _, n := range c.nodes[1:] {
		cfg.Hosts = append(cfg.Hosts, n.address())
	}
	cfg.PoolSize = 8
	cfg.ConnectTimeout = 3 * time.Second
	cfg.HealthCheckPeriod = time.Second
	return cfg
}

func open(t *testing.T, cfg mysqlsession.Config) *mysqlsession.Store {
	t.Helper()
	store, err := mysqlsession.Open(t.Context(), cfg)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, store.Close()) })
	return store
}

// version is a server's.
func version(t *testing.T, cfg mysqlsession.Config) string {
	t.Helper()
	conn, err := mysqlsession.Connect(t.Context(), cfg)
	require.NoError(t, err)
	defer func() { _ = conn.Close() }()
	return conn.ServerVersion()
}

// until waits for what no server tells.
func until(t *testing.T, what string, limit time.Duration, reached func() bool) {
	t.Helper()
	look := time.NewTicker(10 * time.Millisecond)
	defer look.Stop()
	deadline := time.NewTimer(limit)
	defer deadline.Stop()
	for !reached() {
		select {
		case <-look.C:
		case <-deadline.C:
			t.Fatalf("it did not come about in %v: %s", limit, what)
		}
	}
}

// trial is something that happens to a cluster, and what makes it whole again.
type trial struct {
	name   string
	fault  func(h *history)
	mend   func()
	wanted int // the node that connections lead to in the end; 0: any
}

// try has traffic go on while each of the things happens, and checks its history.
func (c *cluster) try(cfg mysqlsession.Config, trials []trial) {
	t := c.t
	store := open(t, cfg)
	require.NoError(t, store.Migrate(t.Context()))
	h := newHistory()
	stop := h.run(t, store, 16)
	for _, trial := range trials {
		require.Empty(t, h.violations())
		h.await(t, "traffic before", 20*time.Second, time.Now(), 200)
		t.Logf("%s; connections: %v", trial.name, store.Pool().Stat().Addresses)
		began := h.mark()
		trial.fault(h)
		h.settle(t, trial.name, began)
		t.Logf("%s: %s", trial.name, h.report(began))
		mending := h.mark()
		trial.mend()
		c.run("wait", "3")
		if trial.wanted > 0 {
			c.leadTo(store, trial.wanted)
		}
		h.settle(t, trial.name+", mended", mending)
		t.Logf("%s, mended: %s", trial.name, h.report(mending))
	}
	stop()
	t.Logf("%d calls in all; pool: %+v", h.calls(), store.Pool().Stat())
	for number := range c.nodes {
		h.verify(t, open(t, c.config(number+1)), fmt.Sprintf("node %d", number+1))
	}
	for _, violation := range h.violations() {
		t.Error(violation)
	}
}

// leadTo waits until all connections lead to a node.
func (c *cluster) leadTo(store *mysqlsession.Store, number int) {
	address := c.nodes[number-1].address()
	until(c.t, "all connections lead to node "+strconv.Itoa(number), 30*time.Second, func() bool {
		counts := store.Pool().Stat().Addresses
		return len(counts) == 1 && counts[address] > 0
	})
}
