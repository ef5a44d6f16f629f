package faultproxy_test

import (
	"bytes"
	"io"
	"net"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/mysqlsession/mysqlsession/internal/faultproxy"
)

// patience is how long a test waits for what must come.
const patience = 10 * time.Second

// echo is a server that sends back what it gets.
type echo struct {
	listener net.Listener
	running  sync.WaitGroup
	ends     chan error // how each connection ended, for the server
}

func newEcho(t *testing.T) *echo {
	t.Helper()
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	require.NoError(t, err)
	e := &echo{listener: listener, ends: make(chan error, 100)}
	e.running.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			e.running.Go(func() {
				defer func() { _ = conn.Close() }()
				_, err := io.Copy(conn, conn)
				e.ends <- err
			})
		}
	})
	return e
}

// through returns a proxy to an echo, and a client behind it. When the test ends nothing
// of them is left.
func through(t *testing.T) (*faultproxy.Proxy, *echo, *net.TCPConn) {
	t.Helper()
	before := runtime.NumGoroutine()
	e := newEcho(t)
	p, err := faultproxy.New(e.listener.Addr().String())
	require.NoError(t, err)
	t.Cleanup(func() {
		p.Close()
		p.Close()
		assert.Zero(t, p.Open())
		_ = e.listener.Close()
		e.running.Wait()
		for end := time.Now().Add(patience); runtime.NumGoroutine() > before && time.Now().Before(end); {
			runtime.Gosched()
		}
		assert.LessOrEqual(t, runtime.NumGoroutine(), before)
	})
	return p, e, client(t, p)
}

func client(t *testing.T, p *faultproxy.Proxy) *net.TCPConn {
	t.Helper()
	conn, err := net.DialTCP("tcp4", nil, p.Address())
	require.NoError(t, err)
	require.NoError(t, conn.SetDeadline(time.Now().Add(patience)))
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

func send(t *testing.T, conn net.Conn, text string) {
	t.Helper()
	_, err := io.WriteString(conn, text)
	require.NoError(t, err)
}

func expect(t *testing.T, conn net.Conn, want string) {
	t.Helper()
	got := make([]byte, len(want))
	n, err := io.ReadFull(conn, got)
	require.Equal(t, want, string(got[:n]))
	require.NoError(t, err)
}

// expectSilence sees that nothing comes for a while.
func expectSilence(t *testing.T, conn net.Conn) {
	t.Helper()
	require.NoError(t, conn.SetReadDeadline(time.Now().Add(20*time.Millisecond)))
	_, err := conn.Read(make([]byte, 1))
	var timeout net.Error
	require.ErrorAs(t, err, &timeout)
	require.True(t, timeout.Timeout(), err)
	require.NoError(t, conn.SetReadDeadline(time.Now().Add(patience)))
}

func await(t *testing.T, what string, happened <-chan struct{}) {
	t.Helper()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-happened:
	case <-timer.C:
		t.Fatal("it did not happen: " + what)
	}
}

func TestWithoutARuleEverythingIsForwarded(t *testing.T) {
	p, e, conn := through(t)
	send(t, conn, "hello")
	expect(t, conn, "hello")
	require.EqualValues(t, 1, p.Accepted())
	require.Equal(t, 1, p.Open())
	require.EqualValues(t, 5, p.Passed(faultproxy.ToServer))
	require.EqualValues(t, 5, p.Passed(faultproxy.ToClient))
	require.NoError(t, conn.CloseWrite())
	_, err := conn.Read(make([]byte, 1))
	require.ErrorIs(t, err, io.EOF, "an end is forwarded too")
	require.NoError(t, <-e.ends)
}

func TestACutComesBehindTheBytesThatMayPass(t *testing.T) {
	p, e, conn := through(t)
	send(t, conn, "whole")
	expect(t, conn, "whole")
	happened := p.Set(faultproxy.ToClient, faultproxy.Rule{After: 3, Then: faultproxy.Cut})
	send(t, conn, "broken")
	expect(t, conn, "bro")
	_, err := conn.Read(make([]byte, 1))
	require.ErrorIs(t, err, io.EOF)
	await(t, "the cut", happened)
	<-e.ends
}

func TestACutHappensAsSoonAsItsBytesHavePassed(t *testing.T) {
	p, _, conn := through(t)
	p.Set(faultproxy.ToServer, faultproxy.Rule{After: 5, Then: faultproxy.Cut})
	send(t, conn, "whole")
	_, _ = io.Copy(io.Discard, conn) // ends, though nothing more comes
	require.EqualValues(t, 5, p.Passed(faultproxy.ToServer))
}

func TestAResetIsOneForBothSides(t *testing.T) {
	p, e, conn := through(t)
	p.Set(faultproxy.ToServer, faultproxy.Rule{Then: faultproxy.Reset})
	send(t, conn, "never")
	_, err := conn.Read(make([]byte, 1))
	require.ErrorIs(t, err, syscall.ECONNRESET)
	require.ErrorIs(t, <-e.ends, syscall.ECONNRESET)
	require.Zero(t, p.Passed(faultproxy.ToServer))
}

func TestConnectionsAreEndedNow(t *testing.T) {
	p, e, first := through(t)
	send(t, first, "a")
	expect(t, first, "a")
	p.Cut()
	_, err := first.Read(make([]byte, 1))
	require.ErrorIs(t, err, io.EOF)
	<-e.ends
	second := client(t, p)
	send(t, second, "b")
	expect(t, second, "b")
	p.Reset()
	_, err = second.Read(make([]byte, 1))
	require.ErrorIs(t, err, syscall.ECONNRESET)
	require.ErrorIs(t, <-e.ends, syscall.ECONNRESET)
}

func TestWhatIsHeldComesLaterAndWhole(t *testing.T) {
	p, e, conn := through(t)
	happened := p.Set(faultproxy.ToClient, faultproxy.Rule{After: 2, Then: faultproxy.Hold})
	send(t, conn, "patience")
	expect(t, conn, "pa")
	await(t, "the hold", happened)
	require.NoError(t, conn.CloseWrite())
	require.NoError(t, <-e.ends, "the other direction goes on")
	expectSilence(t, conn)
	p.Clear()
	expect(t, conn, "tience")
	_, err := conn.Read(make([]byte, 1))
	require.ErrorIs(t, err, io.EOF)
}

func TestWhoIsNotReadCannotWriteForEver(t *testing.T) {
	p, _, conn := through(t)
	p.Set(faultproxy.ToServer, faultproxy.Rule{Then: faultproxy.Hold})
	require.NoError(t, conn.SetWriteDeadline(time.Now().Add(200*time.Millisecond)))
	_, err := conn.Write(make([]byte, 64<<20))
	var timeout net.Error
	require.ErrorAs(t, err, &timeout)
	require.True(t, timeout.Timeout())
}

func TestWhatIsSwallowedIsLostAndNobodyIsTold(t *testing.T) {
	p, e, conn := through(t)
	happened := p.Set(faultproxy.ToServer, faultproxy.Rule{After: 2, Then: faultproxy.Swallow})
	send(t, conn, "goes nowhere")
	expect(t, conn, "go")
	await(t, "the loss", happened)
	send(t, conn, strings.Repeat("x", 8<<20))
	p.Clear()
	send(t, conn, "what is lost stays lost")
	require.NoError(t, conn.CloseWrite())
	expectSilence(t, conn)
	require.Empty(t, e.ends, "the server does not know that its client is gone")
	require.EqualValues(t, 2, p.Passed(faultproxy.ToServer))
	require.Equal(t, 1, p.Open())
}

func TestTheEndOfASilentConnectionIsSwallowedToo(t *testing.T) {
	p, e, conn := through(t)
	send(t, conn, "a")
	expect(t, conn, "a")
	happened := p.Set(faultproxy.ToServer, faultproxy.Rule{Then: faultproxy.Swallow})
	require.NoError(t, conn.CloseWrite())
	await(t, "the end", happened)
	require.Empty(t, e.ends)
}

func TestARuleHappensSoManyTimes(t *testing.T) {
	p, _, first := through(t)
	p.Set(faultproxy.ToServer, faultproxy.Rule{Then: faultproxy.Cut, Times: 1})
	send(t, first, "never")
	_, err := first.Read(make([]byte, 1))
	require.Error(t, err)
	second := client(t, p)
	send(t, second, "passes")
	expect(t, second, "passes")
}

func TestPiecesAreDelayedAndThrottled(t *testing.T) {
	p, _, conn := through(t)
	began := time.Now()
	p.Set(faultproxy.ToClient, faultproxy.Rule{Delay: 50 * time.Millisecond})
	send(t, conn, "late")
	expect(t, conn, "late")
	require.GreaterOrEqual(t, time.Since(began), 50*time.Millisecond)
	began = time.Now()
	p.Set(faultproxy.ToClient, faultproxy.Rule{Rate: 1000, Slice: 10})
	send(t, conn, strings.Repeat("x", 50))
	expect(t, conn, strings.Repeat("x", 50))
	require.GreaterOrEqual(t, time.Since(began), 50*time.Millisecond)
}

func TestADelayEndsWithTheProxy(t *testing.T) {
	p, _, conn := through(t)
	p.Set(faultproxy.ToClient, faultproxy.Rule{Delay: time.Hour})
	send(t, conn, "a")
	for p.Passed(faultproxy.ToServer) == 0 {
		runtime.Gosched()
	}
	p.Close()
	require.Zero(t, p.Passed(faultproxy.ToClient))
}

func TestBytesInSlicesAreTheSameBytes(t *testing.T) {
	p, _, conn := through(t)
	p.Set(faultproxy.ToServer, faultproxy.Rule{Slice: 1})
	p.Set(faultproxy.ToClient, faultproxy.Rule{Slice: 7})
	text := strings.Repeat("0123456789", 100)
	send(t, conn, text)
	expect(t, conn, text)
}

func TestBytesAreAlteredAtTheirOffset(t *testing.T) {
	p, _, conn := through(t)
	send(t, conn, "before")
	expect(t, conn, "before")
	p.Set(faultproxy.ToServer, faultproxy.Rule{Slice: 2, Alter: func(offset int64, b byte) byte {
		if offset == 4 {
			return bytes.ToUpper([]byte{b})[0]
		}
		return b
	}})
	send(t, conn, "altered")
	expect(t, conn, "alteRed")
}

func TestNewConnectionsAreRefusedAndAdmittedAgain(t *testing.T) {
	p, _, conn := through(t)
	send(t, conn, "a")
	expect(t, conn, "a")
	p.Refuse()
	_, err := net.DialTCP("tcp4", nil, p.Address())
	require.ErrorIs(t, err, syscall.ECONNREFUSED)
	send(t, conn, "b")
	expect(t, conn, "b")
	require.NoError(t, p.Admit())
	require.NoError(t, p.Admit())
	again := client(t, p)
	send(t, again, "c")
	expect(t, again, "c")
	require.EqualValues(t, 2, p.Accepted())
}

func TestAServerThatIsGoneIsAReset(t *testing.T) {
	p, e, _ := through(t)
	_ = e.listener.Close()
	conn, err := net.DialTCP("tcp4", nil, p.Address())
	if err == nil { // the dial itself may meet it
		defer func() { _ = conn.Close() }()
		_, err = conn.Read(make([]byte, 1))
	}
	require.ErrorIs(t, err, syscall.ECONNRESET)
}
