package mysqlsession_test

import (
	"context"
	"errors"
	"net"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// link is how far away the server is.
type link struct {
	name  string
	delay time.Duration // that each round trip takes longer
}

var links = []link{{"loopback", 0}, {"1ms", time.Millisecond}}

// dial opens a socket for any peer.
func (l link) dial(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := new(net.Dialer).DialContext(ctx, network, address)
	if err != nil || l.delay == 0 {
		return conn, err
	}
	return &distantConn{Conn: conn, delay: l.delay}, nil
}

// distantConn is a connection to a server that is further away. What arrives first after a
// write is handed over later by one round trip, and what follows it at once: so a request
// and its reply, or several requests written together and their replies, take one round
// trip more, whatever reads and writes the client makes of them. Nothing is forwarded, so
// no peer pays a system call or a copy for the distance, as it would with a proxy.
//
// It is a link without a limit of bytes: what TCP's window would add to a large request
// is not in it.
type distantConn struct {
	net.Conn
	delay time.Duration
	asked atomic.Bool // something was written, and nothing has been read since
}

func (c *distantConn) Write(b []byte) (int, error) {
	c.asked.Store(true)
	return c.Conn.Write(b)
}

func (c *distantConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if n > 0 && c.asked.Swap(false) {
		time.Sleep(c.delay)
	}
	return n, err
}

// SyscallConn lets clients look at the socket, as they do without the distance.
func (c *distantConn) SyscallConn() (syscall.RawConn, error) {
	socket, ok := c.Conn.(syscall.Conn)
	if !ok {
		return nil, errors.ErrUnsupported
	}
	return socket.SyscallConn()
}

func TestTheBenchmarksLinkAddsOneRoundTripToARequestAndItsReply(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		conn := &distantConn{Conn: near, delay: time.Millisecond}
		go func() {
			request := make([]byte, 16)
			for range 2 {
				_, _ = far.Read(request)
				_, _ = far.Write([]byte("reply"))
			}
			_ = far.Close()
		}()
		began := time.Now()
		for round := range 2 {
			_, err := conn.Write([]byte("request"))
			require.NoError(t, err)
			piece := make([]byte, 3)
			for _, wanted := range []string{"rep", "ly"} {
				n, err := conn.Read(piece)
				require.NoError(t, err)
				require.Equal(t, wanted, string(piece[:n]))
			}
			require.Equal(t, time.Duration(round+1)*time.Millisecond, time.Since(began))
		}
		require.NoError(t, conn.Close())
	})
}
