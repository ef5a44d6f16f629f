package faultproxy

import (
	"context"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
)

// Proxy forwards connections to one server. It is safe for concurrent use, and whoever
// made it closes it.
type Proxy struct {
	target  string
	address *net.TCPAddr
	ctx     context.Context // ends with the proxy
	stop    context.CancelFunc
	running sync.WaitGroup // everything that the proxy does in the background

	accepted atomic.Int64
	passed   [directions]atomic.Int64
	rules    [directions]atomic.Pointer[armed]

	mu       sync.Mutex // guards what follows; nothing blocks under it
	listener net.Listener
	links    map[*link]struct{}
	closed   bool
}

// New makes a proxy to the server at an address, "host:port". It dials the server when a
// client has connected.
func New(target string) (*Proxy, error) {
	p := &Proxy{target: target, links: map[*link]struct{}{}}
	p.ctx, p.stop = context.WithCancel(context.Background())
	for d := range p.rules {
		p.rules[d].Store(arm(Rule{}))
	}
	p.address = &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)}
	if err := p.Admit(); err != nil {
		return nil, err
	}
	return p, nil
}

// Address is where clients connect to.
func (p *Proxy) Address() *net.TCPAddr { return p.address }

// Admit takes new connections, again after Refuse. It fails if somebody else has got the
// port meanwhile.
func (p *Proxy) Admit() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.listener != nil || p.closed {
		return nil
	}
	listener, err := net.ListenTCP("tcp4", p.address)
	if err != nil {
		return fmt.Errorf("listen for the proxy's clients: %w", err)
	}
	address, ok := listener.Addr().(*net.TCPAddr)
	if !ok {
		return fmt.Errorf("unexpected address %s", listener.Addr())
	}
	p.address, p.listener = address, listener
	p.running.Go(func() { p.accept(listener) })
	return nil
}

// Refuse has new connections refused, as where nothing listens. Those that there are go on.
func (p *Proxy) Refuse() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.listener != nil {
		_ = p.listener.Close()
		p.listener = nil
	}
}

// Set puts a rule in force for a direction. The channel is closed when its Then first
// happens.
func (p *Proxy) Set(d Direction, r Rule) (happened <-chan struct{}) {
	a := arm(r)
	close(p.rules[d].Swap(a).lifted)
	return a.happened
}

// Clear forwards everything again, in both directions.
func (p *Proxy) Clear() {
	for d := range directions {
		p.Set(d, Rule{})
	}
}

// Cut closes both sides of every connection that there is, now.
func (p *Proxy) Cut() { p.endAll(false) }

// Reset has both sides of every connection that there is get a reset, now.
func (p *Proxy) Reset() { p.endAll(true) }

func (p *Proxy) endAll(reset bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for l := range p.links {
		l.end(reset)
	}
}

// Accepted is how many connections there have been.
func (p *Proxy) Accepted() int64 { return p.accepted.Load() }

// Open is how many connections there are.
func (p *Proxy) Open() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.links)
}

// Passed is how many bytes have been forwarded in a direction.
func (p *Proxy) Passed(d Direction) int64 { return p.passed[d].Load() }

// Close ends all connections, and returns when nothing of the proxy runs any more.
func (p *Proxy) Close() {
	p.Refuse()
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.stop()
	p.endAll(true)
	p.running.Wait()
}

func (p *Proxy) accept(listener net.Listener) {
	for {
		client, err := listener.Accept()
		if err != nil {
			return // closed
		}
		p.accepted.Add(1)
		p.running.Go(func() { p.serve(client.(*net.TCPConn)) })
	}
}

// serve connects a client with the server until one of them ends it, or the proxy.
func (p *Proxy) serve(client *net.TCPConn) {
	l := &link{proxy: p, done: make(chan struct{})}
	l.ends[ToClient] = client
	server, err := new(net.Dialer).DialContext(p.ctx, "tcp", p.target)
	if err != nil {
		_ = client.SetLinger(0)
		_ = client.Close()
		return
	}
	l.ends[ToServer] = server.(*net.TCPConn)
	p.mu.Lock()
	p.links[l] = struct{}{}
	if p.closed {
		l.end(true)
	}
	p.mu.Unlock()
	var pumps sync.WaitGroup
	for d := range directions {
		pumps.Go(func() { l.pump(d) })
	}
	pumps.Wait()
	l.end(false)
	p.mu.Lock()
	delete(p.links, l)
	p.mu.Unlock()
}
