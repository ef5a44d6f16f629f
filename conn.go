package mysqlsession

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"time"

	"github.com/mysqlsession/mysqlsession/internal/wire"
)

const (
	// closeTimeout bounds the goodbye to the server; Close as a whole stays under 250 ms.
	closeTimeout = 100 * time.Millisecond
	// rowAllowance is what a reply packet may be larger than MaxPacketSize, for the
	// columns beside the value: a session id, a name of 255 bytes, an expiry.
	rowAllowance = 1 << 10
)

// connState is what a connection is doing.
type connState uint32

// The states and the moves between them: ready <-> busy, busy -> draining -> ready, and each
// of them to closed, which is for good.
const (
	connReady connState = iota
	connBusy
	connDraining // a call was given up, and its reply is on its way
	connClosed
)

// Conn is one connection, logged in and set up. One call at a time may use it: a second
// one, meanwhile, gets an error. Whoever called Connect closes it; a pool's connections
// are the pool's.
//
// A call whose context ends returns at once. As its reply is then still to come, the
// connection is closed; the next call gets ErrClosed.
type Conn struct {
	transport *transport
	stream    *wire.Stream
	server    server
	state     atomic.Uint32 // a connState

	sendTimeout time.Duration // 0: none
	readTimeout time.Duration // 0: none
	packetLimit int           // bytes of a reply packet
	rank        int           // of its address in its pool's memory of them; -1: in none

	// What follows is the caller's that made the state busy.

	status     wire.Status
	out        []byte // the request being written
	columns    []wire.Column
	values     []wire.Value
	outcomes   []outcome // of the last round trip's requests
	statements statementCache
	roundTrips uint64
	peek       livenessCheck
	keeps      bool   // whoever has the connection drains it
	drains     bool   // the call that is ending leaves a reply that can be drained
	unread     unread // of the last round trip
	refuses    bool   // the server said that it does not serve, to anybody
	silent     bool   // a reply did not come within ReadTimeout

	// interrupt ends a blocked read or write when a call's context ends, and says so
	// on interrupted. It is made once: a method value for each call would be an allocation.
	interrupt    func()
	interrupting atomic.Bool
	interrupted  chan struct{}
}

// Connect dials the first address that can serve (see Config.Hosts), logs in and sets the session up:
// autocommit, strict SQL mode, READ COMMITTED, limits for locks and statements. ctx and
// ConnectTimeout bound all of it. Errors: ErrInvalidConfig, ErrUnavailable,
// ErrTLSUnavailable, ErrKeyRetrieval, ErrProtocol, *ServerError, the context's.
func Connect(ctx context.Context, cfg Config) (*Conn, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults()
	return connect(ctx, &cfg, nil)
}

// connect is Connect with a configuration that is complete and valid, and a pool's memory of
// its addresses, or nil.
func connect(ctx context.Context, cfg *Config, memory *hosts) (*Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, cfg.ConnectTimeout)
	defer cancel()
	var c *Conn
	err := cfg.firstServing(ctx, memory, func(ctx context.Context, to endpoint, rank int) (err error) {
		if c != nil {
			c.abort() // it is not wanted after all
		}
		c, err = connectTo(ctx, cfg, to)
		if err == nil && memory != nil {
			c.rank = rank
		}
		return err
	})
	if err != nil && c != nil {
		c.abort()
		return nil, err
	}
	return c, err
}

// connectTo connects to one address, logs in and sets the session up.
func connectTo(ctx context.Context, cfg *Config, to endpoint) (*Conn, error) {
	t, err := dial(ctx, cfg, to)
	if err != nil {
		return nil, err
	}
	c := newConn(t, cfg)
	if err := c.setUp(ctx, cfg); err != nil {
		c.abort()
		return nil, &callError{"set up the session", c.explainSetUp(err)}
	}
	return c, nil
}

// explainSetUp is the error for a session that could not be set up. Unless it is about the
// configuration, another server may do better, or this one tomorrow.
func (c *Conn) explainSetUp(err error) error {
	refused := asServerError(err)
	if refused != nil && fateOf(refused, c.server.mariadb).discard && !errors.Is(err, ErrUnavailable) {
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return outOfTime(err)
}

func newConn(t *transport, cfg *Config) *Conn {
	c := &Conn{
		transport:   t,
		stream:      wire.NewStream(t),
		server:      parseServer(t.serverVersion),
		sendTimeout: max(cfg.SendTimeout, 0),
		readTimeout: max(cfg.ReadTimeout, 0),
		packetLimit: cfg.MaxPacketSize + rowAllowance,
		interrupted: make(chan struct{}, 1),
		statements:  newStatementCache(cfg.StatementMode, cfg.StatementCacheCapacity),
		status:      wire.StatusAutocommit,
		rank:        -1,
	}
	c.peek = newLivenessCheck(t.socket)
	c.interrupt = func() {
		c.interrupting.Store(true)
		_ = c.transport.SetDeadline(longAgo) // fails on a closed connection only, which is as good
		c.interrupted <- struct{}{}
	}
	return c
}

// longAgo is a deadline that has passed.
var longAgo = time.Unix(1, 0)

// sqlMode is the sql_mode of every session: nothing is stored that was cut or changed.
const sqlMode = "STRICT_ALL_TABLES,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION"

// setUp makes the session what the statements of this package rely on, in one round trip.
// A transaction that the server's init_connect has opened is ended first: what is written
// in it would be lost.
//
// Results come in their columns' own character set (character_set_results = NULL), and
// parameters go as binary strings, so Charset changes no key and no value.
func (c *Conn) setUp(ctx context.Context, cfg *Config) error {
	lock := int64(cfg.LockWaitTimeout / time.Second)
	settings := fmt.Sprintf("SET NAMES %s, SESSION character_set_results = NULL, SESSION autocommit = 1, "+
		"SESSION sql_mode = '"+sqlMode+"', "+
		"SESSION innodb_lock_wait_timeout = %d, SESSION lock_wait_timeout = %d, %s",
		cfg.Charset, lock, lock, c.server.statementTimeout(c.readTimeout))
	if cfg.TimeZone != "" {
		settings += ", SESSION time_zone = '" + cfg.TimeZone + "'"
	}
	requests := []request{
		{statement: "ROLLBACK"},
		{statement: settings},
		{statement: "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED"},
		c.variablesRequest(cfg.severalHosts()),
	}
	if err := c.roundTrip(ctx, effectNone, requests); err != nil {
		return err
	}
	switch {
	case c.closed(): // right behind its replies the server had more to say: that it is going
		return &notAppliedError{&lostError{cause: io.ErrUnexpectedEOF, text: "server ended the session behind its set-up"}}
	case !c.reusable():
		return errNotCommitting
	}
	return nil
}

// variablesRequest reads what has to be known of the server. Where there is another one, a
// server that takes no writes does not serve. A Galera node that is not ready refuses the
// ROLLBACK before.
func (c *Conn) variablesRequest(mustServe bool) request {
	names := []string{"max_allowed_packet"}
	if mustServe {
		names = append(names, c.server.readOnlyVariables()...)
	}
	r := request{statement: "SELECT @@" + strings.Join(names, ", @@global."), columns: len(names)}
	r.row = func(values []wire.Value) error {
		limit, ok := values[0].Int()
		if !ok || limit < 1<<10 {
			return detail(ErrProtocol, "max_allowed_packet is no number of bytes")
		}
		c.server.maxAllowedPacket = int(limit)
		for i, value := range values[1:] {
			// A number, or, of an enumeration such as MariaDB 12's read_only, a word.
			if text := string(value.Raw()); text != "0" && !strings.EqualFold(text, "OFF") {
				return &notServingError{names[i+1]}
			}
		}
		return nil
	}
	return r
}

// serves asks the server, in one round trip, whether it still takes writes.
func (c *Conn) serves(ctx context.Context) error {
	err := c.roundTrip(ctx, effectNone, []request{c.variablesRequest(true)})
	if errors.Is(err, ErrNotWritable) {
		c.refuses = true
	}
	return c.call("look at the server", err)
}

// hasRival reports whether the server is a member of a group of which only one takes writes,
// so that it cannot be right that another one takes them as well. Of the two, the one that
// has just come back may not have heard that it is not the primary any more.
func (c *Conn) hasRival(ctx context.Context) (rival bool, err error) {
	if c.server.mariadb {
		return false, nil
	}
	err = c.roundTrip(ctx, effectNone, []request{{
		statement: "SHOW GLOBAL VARIABLES LIKE 'group_replication_single_primary_mode'", columns: 2,
		row: func(values []wire.Value) error {
			rival = string(values[1].Raw()) == "ON"
			return nil
		},
	}})
	return rival, c.call("look at the server", err)
}

// errNotCommitting is a new connection on which nothing that is written would last.
var errNotCommitting = errors.New(prefix + "the connection is closed, in a transaction, or not in autocommit mode")

// statementTimeout is the assignment that makes the server give a statement up when its
// client would have: MariaDB counts seconds, for all statements, MySQL milliseconds, for
// SELECT (https://mariadb.com/kb/en/server-system-variables/#max_statement_time,
// https://dev.mysql.com/doc/refman/en/server-system-variables.html#sysvar_max_execution_time).
func (s *server) statementTimeout(limit time.Duration) string {
	if s.mariadb {
		return fmt.Sprintf("SESSION max_statement_time = %.3f", limit.Seconds())
	}
	return fmt.Sprintf("SESSION max_execution_time = %d", limit.Milliseconds())
}

// ServerVersion is the version that the server's greeting gave.
func (c *Conn) ServerVersion() string { return c.transport.serverVersion }

// Address is the one that the connection leads to: "host:port", or a Unix socket's path.
func (c *Conn) Address() string { return c.transport.address }

// ConnectionID is the server's number of this connection, as SHOW PROCESSLIST has it.
func (c *Conn) ConnectionID() uint32 { return c.transport.connectionID }

// Ping asks the server for a sign of life: one round trip.
func (c *Conn) Ping(ctx context.Context) error {
	return c.call("ping", c.roundTrip(ctx, effectNone, []request{{ping: true}}))
}

// Close says goodbye to the server and closes the connection, within 250 ms. A call in
// progress fails. Closing again does nothing. It may be called from any goroutine.
func (c *Conn) Close() error {
	previous := connState(c.state.Swap(uint32(connClosed)))
	if previous == connReady {
		// No close of tls.Conn: its own goodbye may block for five seconds.
		_ = c.transport.SetDeadline(time.Now().Add(closeTimeout))
		_, _ = c.transport.Write(wire.AppendQuit(nil)) // a courtesy; the server copes without
	}
	if previous != connClosed {
		_ = c.transport.socket.Close() // nothing is left to lose
	}
	return nil
}

// abort closes the socket at once, from any goroutine.
func (c *Conn) abort() {
	c.state.Store(uint32(connClosed))
	_ = c.transport.socket.Close()
}

// closed reports whether the connection has been closed, or is good for nothing but to be
// drained.
func (c *Conn) closed() bool { return connState(c.state.Load()) >= connDraining }

// reusable reports whether another caller may have the connection: nothing is open on
// it, no reply is to come, and it commits by itself.
func (c *Conn) reusable() bool {
	return connState(c.state.Load()) == connReady &&
		c.status&(wire.StatusInTransaction|wire.StatusAutocommit|wire.StatusMoreResults) == wire.StatusAutocommit &&
		c.stream.Buffered() == 0
}

// alive looks at the socket without a round trip: an idle connection on which anything
// can be read has been ended by the server, or has lost the rhythm.
func (c *Conn) alive() bool { return !c.closed() && c.peek.quiet() }

// enter makes the connection the caller's.
func (c *Conn) enter() error {
	if c.state.CompareAndSwap(uint32(connReady), uint32(connBusy)) {
		return nil
	}
	if c.closed() {
		return &notAppliedError{ErrClosed}
	}
	return &notAppliedError{errConnBusy}
}

// errConnBusy is the programmer's mistake of using one connection from two goroutines.
var errConnBusy = errors.New(prefix + "connection is in use by another call")

// leave gives the connection back, closed if it must not be used again.
func (c *Conn) leave(usable bool) {
	c.stream.Trim()
	if cap(c.out) > wire.KeptBuffer {
		c.out = nil
	}
	if !usable && c.drains {
		c.drains = false
		if c.state.CompareAndSwap(uint32(connBusy), uint32(connDraining)) {
			return
		}
	}
	if !usable || !c.state.CompareAndSwap(uint32(connBusy), uint32(connReady)) {
		c.abort()
	}
}

// call puts the operation and the address before an error's text.
func (c *Conn) call(operation string, err error) error {
	if err == nil {
		return nil
	}
	return &callError{operation + " on " + c.transport.address, err}
}
