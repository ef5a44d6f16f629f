package mysqlsession

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"
)

const (
	// The pause after failed dials doubles from firstPause to lastPause, each time
	// shortened at random by up to a half, so that a fleet does not come back as one.
	firstPause = 50 * time.Millisecond
	lastPause  = 2 * time.Second
	// refusedPause follows an answer that only a person can change, such as a wrong
	// password: servers count such attempts and lock accounts and hosts out.
	refusedPause = time.Second
)

// dialer opens connections for a pool: so many at a time, and none for a while after a
// failure. While it pauses, whoever wants a connection is told at once why there is none.
type dialer struct {
	connect func(ctx context.Context) (*Conn, error)
	tokens  chan struct{} // one for each dial under way

	// mu guards what follows; nothing blocks under it.
	mu       sync.Mutex
	failures int       // in a row
	last     error     // of the last failure
	until    time.Time // the pause's end
	probing  bool      // one dial tries whether the server is back
}

func newDialer(concurrent int, connect func(ctx context.Context) (*Conn, error)) *dialer {
	return &dialer{connect: connect, tokens: make(chan struct{}, concurrent)}
}

// dial opens a connection, or fails fast. ctx is cancelled when the pool closes.
func (d *dialer) dial(ctx context.Context) (*Conn, error) {
	// Nobody waits in line for what cannot be had: a try in vain may take long.
	if err := d.paused(); err != nil {
		return nil, err
	}
	select {
	case d.tokens <- struct{}{}:
	case <-ctx.Done():
		if errors.Is(ctx.Err(), context.Canceled) {
			return nil, ErrClosed
		}
		return nil, ErrAcquireTimeout
	}
	defer func() { <-d.tokens }()
	probe, err := d.admit()
	if err != nil {
		return nil, err
	}
	conn, err := guarded(ctx, d.connect)
	if err != nil && errors.Is(ctx.Err(), context.Canceled) {
		return nil, ErrClosed // it says nothing of the server
	}
	d.report(probe, err)
	if err != nil {
		return nil, &noConnError{err}
	}
	return conn, nil
}

// ready reports whether a dial could begin now, and the last one went well.
func (d *dialer) ready() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.failures == 0 && len(d.tokens) < cap(d.tokens)
}

// probe is a dial for a look at a server. It is one of those under way, and nobody else
// fails with it.
func (d *dialer) probe(ctx context.Context, connect func(ctx context.Context) (*Conn, error)) (*Conn, error) {
	select {
	case d.tokens <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	defer func() { <-d.tokens }()
	return guarded(ctx, connect)
}

// pauseLeft is how long it is until another dial may be tried, or a look may be worth it
// at what came of the one that is under way.
func (d *dialer) pauseLeft() time.Duration {
	d.mu.Lock()
	defer d.mu.Unlock()
	return max(time.Until(d.until), firstPause)
}

// noConnError is why there is no new connection. Those that there are may serve.
type noConnError struct{ err error }

func (e *noConnError) Error() string   { return e.err.Error() }
func (e *noConnError) Unwrap() []error { return []error{&notAppliedError{e.err}} }

// guarded connects and turns a panic, in a hook or below, into an error: it would end the
// process, as a pool's connections are made on goroutines of their own.
func guarded(ctx context.Context, connect func(ctx context.Context) (*Conn, error)) (conn *Conn, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf(prefix+"connecting panicked with a %T", r)
		}
	}()
	return connect(ctx)
}

// paused is why there is no dial now, or nil.
func (d *dialer) paused() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.pausedLocked()
}

func (d *dialer) pausedLocked() error {
	if d.failures > 0 && (d.probing || time.Now().Before(d.until)) {
		return &noConnError{&pausedError{d.last}}
	}
	return nil
}

// admit lets a dial pass, when the server is up or it is time to try. One dial tries
// alone.
func (d *dialer) admit() (probe bool, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.pausedLocked(); err != nil {
		return false, err
	}
	d.probing = d.failures > 0
	return d.probing, nil
}

// report takes what came of a dial.
func (d *dialer) report(probe bool, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if probe {
		d.probing = false
	}
	if err == nil {
		d.failures, d.last = 0, nil
		return
	}
	d.last = err
	if !probe && d.failures > 0 {
		return // one of several that were under way together
	}
	pause := min(firstPause<<min(d.failures, 10), lastPause)
	if refusedForGood(err) {
		pause = max(pause, refusedPause)
	}
	d.failures++
	d.until = time.Now().Add(pause - rand.N(pause/2+1))
}

// refusedForGood reports whether trying again soon is of no use.
func refusedForGood(err error) bool {
	if errors.Is(err, ErrUnavailable) {
		return false // dial's word for what may pass, an error that came before TLS included
	}
	var certificate *tlsError
	return asServerError(err) != nil || errors.As(err, &certificate) || errors.Is(err, ErrTLSUnavailable) || errors.Is(err, ErrKeyRetrieval)
}

// pausedError is what callers get without a try of their own.
type pausedError struct{ last error }

func (e *pausedError) Error() string {
	return prefix + "no connection, last attempt: " + trimPrefix(e.last)
}
func (e *pausedError) Unwrap() []error {
	return []error{ErrUnavailable, e.last}
}
