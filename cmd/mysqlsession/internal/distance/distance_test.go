package distance

import (
	"context"
	"net"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

const roundTrip = 10 * time.Millisecond

// pair is a socket with a distance, and its other end, which answers each request.
func pair(t *testing.T, answer string) (*conn, *Dialer) {
	t.Helper()
	near, far := net.Pipe()
	d := &Dialer{}
	d.SetRoundTrip(roundTrip)
	go func() {
		request := make([]byte, 16)
		for {
			if _, err := far.Read(request); err != nil {
				return
			}
			_, _ = far.Write([]byte(answer))
		}
	}()
	c := newConn(near, d)
	t.Cleanup(func() { _ = c.Close(); _ = far.Close() })
	return c, d
}

// ask writes a request and reads the reply in pieces of that size.
func ask(t *testing.T, c *conn, size int, wanted string) time.Duration {
	t.Helper()
	began := time.Now()
	_, err := c.Write([]byte("request"))
	require.NoError(t, err)
	var got string
	for len(got) < len(wanted) {
		piece := make([]byte, size)
		n, err := c.Read(piece)
		require.NoError(t, err)
		got += string(piece[:n])
	}
	require.Equal(t, wanted, got)
	return time.Since(began)
}

func TestARequestAndItsReplyTakeOneRoundTripMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, d := pair(t, "reply")
		require.Equal(t, roundTrip, ask(t, c, 3, "reply"))
		require.Equal(t, roundTrip, ask(t, c, 8, "reply"))
		d.SetRoundTrip(0)
		require.Zero(t, ask(t, c, 8, "reply"), "a change applies to sockets in use")
	})
}

func TestTheServerGetsARequestHalfARoundTripLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		d := &Dialer{}
		d.SetRoundTrip(roundTrip)
		c := newConn(near, d)
		began := time.Now()
		go func() { _, _ = c.Write([]byte("request")) }()
		_, err := far.Read(make([]byte, 16))
		require.NoError(t, err)
		require.Equal(t, roundTrip/2, time.Since(began))
		require.NoError(t, c.Close())
	})
}

func TestADeadlineEndsTheWaitAndLosesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _ := pair(t, "reply")
		_, err := c.Write([]byte("request"))
		require.NoError(t, err)

		require.NoError(t, c.SetReadDeadline(time.Now().Add(time.Millisecond)))
		_, err = c.Read(make([]byte, 8))
		require.ErrorIs(t, err, os.ErrDeadlineExceeded)
		var timeout net.Error
		require.ErrorAs(t, err, &timeout)
		require.True(t, timeout.Timeout())

		require.NoError(t, c.SetReadDeadline(time.Time{}))
		reply := make([]byte, 8)
		n, err := c.Read(reply)
		require.NoError(t, err)
		require.Equal(t, "reply", string(reply[:n]))
	})
}

func TestADeadlineThatIsMovedIntoThePastEndsAWaitThatHasBegun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _ := pair(t, "reply")
		failed := make(chan error, 1)
		go func() {
			_, err := c.Write([]byte("request"))
			failed <- err
		}()
		synctest.Wait()
		require.NoError(t, c.SetDeadline(time.Now().Add(-time.Second)))
		require.ErrorIs(t, <-failed, os.ErrDeadlineExceeded)
	})
}

func TestClosingEndsTheWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _ := pair(t, "reply")
		failed := make(chan error, 1)
		go func() {
			_, err := c.Write([]byte("request"))
			failed <- err
		}()
		synctest.Wait()
		require.NoError(t, c.SetDeadline(time.Now().Add(time.Hour)))
		require.NoError(t, c.Close())
		require.ErrorIs(t, <-failed, net.ErrClosed)
	})
}

func TestTheDialerOpensSocketsThatCanBeLookedAt(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { _ = listener.Close() }()
	c, err := new(Dialer).DialContext(context.Background(), "tcp", listener.Addr().String())
	require.NoError(t, err)
	_, err = c.(*conn).SyscallConn()
	require.NoError(t, err)
	require.NoError(t, c.Close())

	_, err = new(Dialer).DialContext(context.Background(), "tcp", "127.0.0.1:1")
	require.Error(t, err)
}
