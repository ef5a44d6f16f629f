package mysqlsession_test

import (
	"context"
	"net"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mysqlsession/mysqlsession"
)

// fullBacklog returns the port of a listener whose backlog is full: the kernel drops the
// packets that would open a connection, as a firewall does, without rules that only root
// may make.
func fullBacklog(t *testing.T) (port uint16) {
	t.Helper()
	descriptor, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	require.NoError(t, err)
	t.Cleanup(func() { _ = syscall.Close(descriptor) })
	loopback := [4]byte{127, 0, 0, 1}
	require.NoError(t, syscall.Bind(descriptor, &syscall.SockaddrInet4{Addr: loopback}))
	require.NoError(t, syscall.Listen(descriptor, 0)) // room for one
	address, err := syscall.Getsockname(descriptor)
	require.NoError(t, err)
	port = uint16(address.(*syscall.SockaddrInet4).Port)
	for {
		conn, err := net.DialTimeout("tcp4", (&net.TCPAddr{IP: loopback[:], Port: int(port)}).String(), 200*time.Millisecond)
		if err != nil {
			var timeout net.Error
			require.ErrorAs(t, err, &timeout)
			require.True(t, timeout.Timeout(), err)
			return port
		}
		t.Cleanup(func() { _ = conn.Close() })
	}
}

func TestADialIntoABlackHoleEndsAfterConnectTimeoutAlsoWithoutItsCaller(t *testing.T) {
	const limit = 300 * time.Millisecond
	b := &backend{t: t, quit: make(chan struct{})}
	defer close(b.quit)
	var sockets socketCounter
	lost := mysqlsession.Config{Host: "127.0.0.1", Port: fullBacklog(t), ConnectTimeout: limit, DialFunc: sockets.dial}
	swap := false
	pool, err := mysqlsession.NewPool(t.Context(), mysqlsession.Config{
		PoolSize: 2, ConnectTimeout: limit, DialFunc: b.dial,
		BeforeConnect: func(_ context.Context, cfg *mysqlsession.Config) error {
			if swap {
				*cfg = lost
			}
			return nil
		},
	})
	require.NoError(t, err)
	defer func() { require.NoError(t, pool.Close()) }()
	w := newWitness(pool, func() int { return b.open() + sockets.open() }, echoOn(pool))
	held := acquire(t, pool)
	swap = true

	// The caller leaves early, and the dial goes on until its own limit.
	began := time.Now()
	err = w.call(t, within(t, limit/10), limit/10, func(ctx context.Context) error { return w.echo(ctx, "text") })
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.NotErrorIs(t, err, mysqlsession.ErrUnavailable)
	require.True(t, mysqlsession.SafeToRetry(err))
	require.Equal(t, 1, pool.Stat().ConstructingConns)
	require.Equal(t, 1, sockets.open())
	eventually(t, "the dial is given up", func() bool { return pool.Stat().ConstructingConns == 0 })
	require.GreaterOrEqual(t, time.Since(began), limit)
	require.Less(t, time.Since(began), limit+slack)
	require.Zero(t, sockets.open())

	held.Discard()
	eventually(t, "the pool is empty", func() bool { return pool.Stat().TotalConns == 0 })
	began = time.Now()
	err = w.call(t, t.Context(), limit, func(ctx context.Context) error {
		_, err := mysqlsession.NewPool(ctx, lost)
		return err
	})
	require.GreaterOrEqual(t, time.Since(began), limit)
	require.ErrorIs(t, err, mysqlsession.ErrUnavailable)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.True(t, mysqlsession.SafeToRetry(err))
	swap = false
	w.settled(t)
}

// What a server says unasked is in the place where the next answer will be.
func TestAnIdleConnectionOnWhichSomethingCameIsNotUsed(t *testing.T) {
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	require.NoError(t, err)
	b := &backend{t: t, quit: make(chan struct{})}
	var serving sync.WaitGroup
	accepted := make(chan net.Conn, 10)
	serving.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			accepted <- conn
			serving.Go(func() { b.serve(conn, false, nil) })
		}
	})
	var sockets socketCounter
	var near *countedTCP
	pool, err := mysqlsession.NewPool(t.Context(), mysqlsession.Config{PoolSize: 1,
		DialFunc: func(ctx context.Context, network, _ string) (net.Conn, error) {
			conn, err := sockets.dial(ctx, network, listener.Addr().String())
			near, _ = conn.(*countedTCP)
			return conn, err
		}})
	require.NoError(t, err)
	w := newWitness(pool, sockets.open, echoOn(pool))
	require.NoError(t, w.echo(t.Context(), w.tag()))

	for _, unasked := range [][]byte{{0}, failure(0, 4031, "HY000", "idle"), resultSet(textRow, "somebody else's")} {
		before := pool.Stat().DeadDestroyCount
		_, err := (<-accepted).Write(unasked)
		require.NoError(t, err)
		awaitReadable(t, near)
		awaitIdleness()
		require.NoError(t, w.call(t, t.Context(), 0, func(ctx context.Context) error { return w.echo(ctx, w.tag()) }))
		require.EqualValues(t, 1, pool.Stat().DeadDestroyCount-before)
	}
	w.settled(t)
	require.NoError(t, pool.Close())
	require.NoError(t, listener.Close())
	close(b.quit)
	serving.Wait()
}

// awaitReadable waits until something can be read, and leaves it there.
func awaitReadable(t *testing.T, conn *countedTCP) {
	t.Helper()
	raw, err := conn.SyscallConn()
	require.NoError(t, err)
	require.NoError(t, raw.Read(func(descriptor uintptr) bool {
		_, _, err := syscall.Recvfrom(int(descriptor), make([]byte, 1), syscall.MSG_PEEK)
		return err != syscall.EAGAIN
	}))
}
