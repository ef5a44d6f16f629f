// Package distance makes a server seem further away than it is.
package distance

import (
	"context"
	"errors"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// Dialer opens sockets on which every message travels longer, by a time that may change
// while they are in use. The zero value adds nothing. It is safe for concurrent use.
type Dialer struct {
	roundTrip atomic.Int64
}

// SetRoundTrip sets how much longer a round trip takes, half of it in each direction.
func (d *Dialer) SetRoundTrip(t time.Duration) { d.roundTrip.Store(int64(t)) }

// DialContext opens a socket. It is for mysqlsession.Config.DialFunc.
func (d *Dialer) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	socket, err := new(net.Dialer).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return newConn(socket, d), nil
}

// conn holds up the first write after a read, and the first read after a write, by half
// a round trip each: what is written, or arrives, in several pieces is one message. So the
// server has a request later, and its client the reply, by as much as if both were apart.
type conn struct {
	net.Conn
	dialer *Dialer

	asked   atomic.Bool // something was written, and nothing has been read since
	arrived []byte      // what the socket has given, and the reader has not
	due     time.Time   // when the reader may have it
	reading *deadline
	writing *deadline
	closed  chan struct{}
	closing sync.Once
}

func newConn(socket net.Conn, d *Dialer) *conn {
	return &conn{Conn: socket, dialer: d, closed: make(chan struct{}), reading: newDeadline(), writing: newDeadline()}
}

func (c *conn) oneWay() time.Duration { return time.Duration(c.dialer.roundTrip.Load()) / 2 }

// Write implements net.Conn.
func (c *conn) Write(b []byte) (int, error) {
	if way := c.oneWay(); way > 0 && !c.asked.Load() {
		if err := c.wait(time.Now().Add(way), c.writing); err != nil {
			return 0, err
		}
	}
	c.asked.Store(true)
	return c.Conn.Write(b)
}

// Read implements net.Conn.
func (c *conn) Read(b []byte) (int, error) {
	if len(c.arrived) == 0 {
		n, err := c.Conn.Read(b)
		way := c.oneWay()
		if n == 0 || !c.asked.Swap(false) || way == 0 {
			return n, err
		}
		c.arrived, c.due = append(c.arrived, b[:n]...), time.Now().Add(way)
	}
	if err := c.wait(c.due, c.reading); err != nil {
		return 0, err
	}
	n := copy(b, c.arrived)
	c.arrived = c.arrived[:copy(c.arrived, c.arrived[n:])]
	return n, nil
}

// wait waits until then, unless the deadline passes or the socket is closed before.
func (c *conn) wait(until time.Time, limit *deadline) error {
	left := time.Until(until)
	if left <= 0 {
		return nil
	}
	timer := time.NewTimer(left)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-limit.passed():
		return os.ErrDeadlineExceeded
	case <-c.closed:
		return net.ErrClosed
	}
}

// Close implements net.Conn.
func (c *conn) Close() error {
	c.closing.Do(func() {
		close(c.closed)
		c.reading.stop()
		c.writing.stop()
	})
	return c.Conn.Close()
}

// SetDeadline implements net.Conn.
func (c *conn) SetDeadline(t time.Time) error {
	c.reading.set(t)
	c.writing.set(t)
	return c.Conn.SetDeadline(t)
}

// SetReadDeadline implements net.Conn.
func (c *conn) SetReadDeadline(t time.Time) error {
	c.reading.set(t)
	return c.Conn.SetReadDeadline(t)
}

// SetWriteDeadline implements net.Conn.
func (c *conn) SetWriteDeadline(t time.Time) error {
	c.writing.set(t)
	return c.Conn.SetWriteDeadline(t)
}

// SyscallConn lets the pool look whether the server has closed the socket.
func (c *conn) SyscallConn() (syscall.RawConn, error) {
	socket, ok := c.Conn.(syscall.Conn)
	if !ok {
		return nil, errors.ErrUnsupported
	}
	return socket.SyscallConn()
}
