package mysqlsession_test

import (
	"bytes"
	"context"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/mysqlsession/mysqlsession"
	"github.com/mysqlsession/mysqlsession/internal/wire"
)

// backend is a server, in memory, that a pool can dial. It counts the sockets that the
// pool has open or is opening, logs everybody in, and answers every statement. It
// understands "ECHO text", "SLEEP duration", "HANG UP", and what opens and ends
// transactions.
type backend struct {
	t     *testing.T
	limit int           // of sockets; 0: none
	quit  chan struct{} // closed: statements that take their time end

	// What follows the mutex, it guards. Nothing blocks under it.
	mu        sync.Mutex
	sockets   int
	dialling  int
	dials     int // attempts, whatever became of them
	most      int // sockets at a time
	mostDials int // dials under way at a time
	users     []string
	readOnly  bool   // it says so, and refuses WRITE
	refusal   uint16 // the error that every statement gets; 0: none
	// loginRefusal is the error that a login gets; 0: none.
	loginRefusal  uint16
	parting       bool // it says behind the set-up's replies that it is going
	singlePrimary bool // it is a member of a group with one primary
	far           map[net.Conn]struct{}
	down          error          // what a dial gets; nil: a socket
	room          int            // for sockets, when a dial beyond gets errRefused; 0: any number
	silent        bool           // the server accepts and says nothing
	script        func(net.Conn) // what serves new connections in the server's place; nil: it does
	dialTime      time.Duration  // that a dial takes
}

// dial is a DialFunc.
func (b *backend) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	b.mu.Lock()
	b.dials++
	b.sockets++
	b.dialling++
	b.most, b.mostDials = max(b.most, b.sockets), max(b.mostDials, b.dialling)
	if b.limit > 0 && b.sockets > b.limit {
		b.t.Errorf("%d sockets, %d are allowed", b.sockets, b.limit)
	}
	dialTime := b.dialTime
	b.mu.Unlock()

	var err error
	if dialTime > 0 {
		timer := time.NewTimer(dialTime)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
			err = ctx.Err()
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.dialling--
	if err == nil {
		err = b.down
	}
	if err == nil && b.room > 0 && len(b.far) >= b.room {
		err = errRefused
	}
	if err != nil {
		b.sockets--
		return nil, err
	}
	near, far := net.Pipe()
	if b.far == nil {
		b.far = make(map[net.Conn]struct{})
	}
	b.far[far] = struct{}{}
	go b.serve(far, b.silent, b.script)
	return &countedSocket{Conn: near, backend: b}, nil
}

// countedSocket is the pool's end.
type countedSocket struct {
	net.Conn
	backend *backend
	once    sync.Once
}

func (c *countedSocket) Close() error {
	err := c.Conn.Close()
	c.once.Do(func() {
		c.backend.mu.Lock()
		c.backend.sockets--
		c.backend.mu.Unlock()
	})
	return err
}

// open is how many sockets the pool has.
func (b *backend) open() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.sockets
}

// dialled is how many dials there have been.
func (b *backend) dialled() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.dials
}

// peaks are the most sockets, and the most dials under way, at a time.
func (b *backend) peaks() (sockets, dials int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.most, b.mostDials
}

// set changes how the backend behaves from now on.
func (b *backend) set(change func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	change()
}

// hangUp closes all connections.
func (b *backend) hangUp() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for conn := range b.far {
		_ = conn.Close()
	}
}

func (b *backend) serve(far net.Conn, silent bool, script func(net.Conn)) {
	defer func() {
		_ = far.Close()
		b.mu.Lock()
		delete(b.far, far)
		b.mu.Unlock()
	}()
	if script != nil {
		script(far)
		return
	}
	p := newServerEnd(far)
	if silent {
		_, _ = io.Copy(io.Discard, far)
		return
	}
	p.reply(packet(0, wire.AppendGreeting(nil, &wire.Greeting{
		ServerVersion: "8.4.0",
		Capabilities: wire.CapabilityProtocol41 | wire.CapabilitySecureConn | wire.CapabilityPluginAuth |
			wire.CapabilityDeprecateEOF | wire.CapabilityConnectAttrs,
		Plugin: "mysql_native_password",
	})))
	_, response, err := p.command()
	if err != nil {
		return
	}
	user, _, _ := bytes.Cut(response[31:], []byte{0}) // behind flags, packet size, collation and filler
	b.mu.Lock()
	b.users = append(b.users, string(user))
	loginRefusal := b.loginRefusal
	b.mu.Unlock()
	if loginRefusal != 0 {
		p.reply(failure(2, loginRefusal, "08004", "the server's words"))
		return
	}
	p.reply(ok(2, committing, 0))
	status := committing
	for {
		command, statement, err := p.command()
		if err != nil || command == commandQuit {
			return
		}
		if !b.answer(p, string(statement), &status) {
			return
		}
	}
}

// answer answers one statement; not ok hangs up.
func (b *backend) answer(p *serverEnd, statement string, status *wire.Status) bool {
	word, rest, _ := strings.Cut(statement, " ")
	b.mu.Lock()
	readOnly, refusal := b.readOnly, b.refusal
	b.mu.Unlock()
	switch {
	case refusal != 0:
		p.reply(failure(1, refusal, "HY000", "the server's words"))
		return true
	case statement == "WRITE" && readOnly:
		p.reply(failure(1, 1290, "HY000", "the server's words"))
		return true
	case statement == variablesOfHosts:
		values := []string{"67108864", "0", "0", "0"}
		if readOnly {
			values[1] = "1"
		}
		p.reply(resultRow(values...))
		return true
	case word == "SHOW":
		if b.singlePrimary {
			p.reply(resultRow("group_replication_single_primary_mode", "ON"))
		} else {
			p.reply(packet(1, []byte{2}), definition(2, columnBlob), definition(3, columnBlob), end(4, committing))
		}
		return true
	case word == "ECHO":
		p.reply(resultSet(textRow, rest))
		return true
	case statement == "SELECT @@max_allowed_packet":
		b.mu.Lock()
		parting := b.parting
		b.mu.Unlock()
		if parting {
			p.reply(resultSet(textRow, "67108864"), failure(0, 1053, "08S01", "the server's words"))
			return false
		}
		p.reply(resultSet(textRow, "67108864"))
		return true
	case statement == "HANG UP":
		return false
	case word == "SLEEP":
		duration, err := time.ParseDuration(rest)
		if err != nil {
			return false
		}
		timer := time.NewTimer(duration)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-b.quit:
			return false
		}
	case statement == "BEGIN":
		*status |= wire.StatusInTransaction
	case statement == "COMMIT", statement == "ROLLBACK":
		*status &^= wire.StatusInTransaction
	case statement == "SET autocommit = 0":
		*status &^= wire.StatusAutocommit
	}
	p.reply(ok(1, *status, 0))
	return true
}

// variablesOfHosts is what a MySQL server is asked for when there is another one.
const variablesOfHosts = "SELECT @@max_allowed_packet, @@global.read_only, @@global.innodb_read_only, @@global.offline_mode"

// inPool runs test, in fake time, with a pool on a backend of its own. The pool is closed
// at the end, and then has no socket left and no goroutine.
func inPool(t *testing.T, cfg mysqlsession.Config, test func(t *testing.T, b *backend, pool *mysqlsession.Pool)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		b := &backend{t: t, limit: cfg.PoolSize, quit: make(chan struct{})}
		cfg.DialFunc = b.dial
		pool, err := mysqlsession.NewPool(t.Context(), cfg)
		require.NoError(t, err)
		t.Cleanup(func() {
			assert.NoError(t, pool.Close())
			assert.Zero(t, b.open(), "a closed pool has no sockets")
			synctest.Wait() // puddle counts a connection a moment longer than it has it
			assert.Zero(t, pool.Stat().TotalConns)
			close(b.quit)
		})
		test(t, b, pool)
	})
}

// acquire takes a connection, which must be there.
func acquire(t *testing.T, pool *mysqlsession.Pool) *mysqlsession.PoolConn {
	t.Helper()
	conn, err := pool.Acquire(t.Context())
	require.NoError(t, err)
	return conn
}

// hold takes as many connections as that.
func hold(t *testing.T, pool *mysqlsession.Pool, connections int) []*mysqlsession.PoolConn {
	t.Helper()
	held := make([]*mysqlsession.PoolConn, connections)
	for i := range held {
		held[i] = acquire(t, pool)
	}
	return held
}

func release(held []*mysqlsession.PoolConn) {
	for _, conn := range held {
		conn.Release()
	}
}

// acquiring acquires on a goroutine and says how it ended.
func acquiring(ctx context.Context, pool *mysqlsession.Pool) <-chan error {
	done := make(chan error, 1)
	go func() {
		conn, err := pool.Acquire(ctx)
		if err == nil {
			conn.Release()
		}
		done <- err
	}()
	synctest.Wait()
	return done
}

// dialDeaf is dial to a server that takes nothing any more once it has set the session up.
func (b *backend) dialDeaf(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := b.dial(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return &deafAfter{Conn: conn, hears: 2}, nil
}

// deafAfter takes so many writes, and then none until its deadline.
type deafAfter struct {
	net.Conn
	hears int
}

func (d *deafAfter) Write(p []byte) (int, error) {
	d.hears--
	if d.hears >= 0 {
		return d.Conn.Write(p)
	}
	return d.Conn.Read(p) // nothing comes either
}
