package mysqlsession_test

import (
	"context"
	"io"
	"net"
	"sync"
	"testing"

	"github.com/mysqlsession/mysqlsession"
)

// gate stands between a store and a real server, in all its connections. It holds writes
// up, or loses the connection at one, when it is told to.
type gate struct {
	mu    sync.Mutex    // guards what follows
	after int           // writes that pass before what is to happen happens
	shut  chan struct{} // nil: nothing is held up; closed to let what is go on
	held  int           // writes that are held up, or have been
	lose  loss
	conns []*gatedConn
}

// loss is how a connection is lost at a write.
type loss int

const (
	lossNone       loss = iota
	lossBefore          // nothing is sent
	lossMiddle          // a part is sent
	lossBehind          // all is sent, and no reply comes
	lossOfAReply        // the reply is cut off
	lossBeforeEach      // as lossBefore, for all writes from now on
)

type gatedConn struct {
	net.Conn
	gate *gate
	left int // bytes of the reply that still come; negative: all
}

// through has the configuration's connections go through a new gate.
func through(t *testing.T, cfg *mysqlsession.Config) *gate {
	g := new(gate)
	cfg.DialFunc = func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, network, address)
		if err != nil {
			return nil, err
		}
		c := &gatedConn{Conn: conn, gate: g, left: -1}
		g.mu.Lock()
		g.conns = append(g.conns, c)
		g.mu.Unlock()
		return c, nil
	}
	t.Cleanup(g.open)
	return g
}

// shutAfter lets so many writes pass and holds up those that follow.
func (g *gate) shutAfter(writes int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.after, g.shut, g.held = writes, make(chan struct{}), 0
}

// loseAfter lets so many writes pass and loses the connection at the one that follows.
func (g *gate) loseAfter(writes int, how loss) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.after, g.lose = writes, how
}

// open lets everything pass.
func (g *gate) open() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.shut != nil {
		close(g.shut)
	}
	g.shut, g.lose = nil, lossNone
}

// awaitHeld waits until a write is held up.
func (g *gate) awaitHeld(t *testing.T) {
	t.Helper()
	await(t, "a write is held up", func() bool {
		g.mu.Lock()
		defer g.mu.Unlock()
		return g.held > 0
	})
}

// pass is what a write has to go through.
func (g *gate) pass() loss {
	g.mu.Lock()
	if g.shut == nil && g.lose == lossNone {
		g.mu.Unlock()
		return lossNone
	}
	if g.after > 0 {
		g.after--
		g.mu.Unlock()
		return lossNone
	}
	shut, how := g.shut, g.lose
	if how != lossBeforeEach {
		g.lose = lossNone
	}
	if shut != nil {
		g.held++
	}
	g.mu.Unlock()
	if shut != nil {
		<-shut
	}
	return how
}

func (c *gatedConn) Write(p []byte) (int, error) {
	switch c.gate.pass() {
	case lossBefore, lossBeforeEach:
		_ = c.Conn.Close()
		return 0, io.ErrClosedPipe
	case lossMiddle:
		n, _ := c.Conn.Write(p[:len(p)/2])
		_ = c.Conn.Close()
		return n, io.ErrClosedPipe
	case lossBehind:
		c.left = 0
	case lossOfAReply:
		c.left = 9 // a packet's header and a little more
	}
	return c.Conn.Write(p)
}

func (c *gatedConn) Read(p []byte) (int, error) {
	if c.left < 0 {
		return c.Conn.Read(p)
	}
	n, err := c.Conn.Read(p[:1]) // the server has answered
	if err == nil && c.left == 0 {
		n, err = 0, io.ErrUnexpectedEOF
	}
	c.left -= n
	return n, err
}
