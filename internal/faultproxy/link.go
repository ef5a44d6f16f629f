package faultproxy

import (
	"errors"
	"io"
	"net"
	"sync"
	"time"
)

// link is one connection through the proxy.
type link struct {
	proxy *Proxy
	ends  [directions]*net.TCPConn // where the bytes of a direction go
	once  sync.Once
	done  chan struct{} // closed when both ends are
}

// end closes both ends.
func (l *link) end(reset bool) {
	l.once.Do(func() {
		for _, conn := range l.ends {
			if reset {
				_ = conn.SetLinger(0)
			} else {
				_ = conn.CloseWrite() // a close with bytes unread would be a reset
			}
			_ = conn.Close()
		}
		close(l.done)
	})
}

// errEnded is the end of a link by a rule, or by the proxy.
var errEnded = errors.New("link ended")

// pump forwards the bytes of one direction, and how they ended.
func (l *link) pump(d Direction) {
	from, to := l.ends[1-d], l.ends[d]
	f := flow{link: l, direction: d, to: to}
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		if n > 0 {
			if failed := f.forward(buffer[:n]); failed != nil {
				err = failed
			}
		}
		if err == nil {
			continue
		}
		if f.tells() != nil {
			return
		}
		if errors.Is(err, io.EOF) {
			_ = to.CloseWrite() // the other direction may have more to say
		} else {
			l.end(true)
		}
		return
	}
}

// flow is one direction of a link.
type flow struct {
	link      *link
	direction Direction
	to        *net.TCPConn
	rule      *armed
	passed    int64 // bytes, since the rule came into force here
	spent     bool  // the rule has struck, or has no strike left
}

// current takes the rule that is in force.
func (f *flow) current() *armed {
	if a := f.link.proxy.rules[f.direction].Load(); a != f.rule {
		f.rule, f.passed, f.spent = a, 0, false
	}
	return f.rule
}

// forward sends bytes as the rules have it.
func (f *flow) forward(b []byte) error {
	for len(b) > 0 {
		r := f.current()
		if r.Then != Nothing && !f.spent && f.passed >= r.After {
			if err := f.strike(); err != nil {
				return err
			}
			continue
		}
		n := len(b)
		if r.Slice > 0 {
			n = min(n, r.Slice)
		}
		if r.Then != Nothing && !f.spent {
			n = int(min(int64(n), r.After-f.passed))
		}
		if err := f.send(r, b[:n]); err != nil {
			return err
		}
		b = b[n:]
		if len(b) == 0 && r.Then != Nothing && !f.spent && f.passed == r.After {
			return f.strike() // at once, and not when more comes
		}
	}
	return nil
}

// send sends one piece under a rule.
func (f *flow) send(r *armed, piece []byte) error {
	if r.Alter != nil {
		for i := range piece {
			piece[i] = r.Alter(f.passed+int64(i), piece[i])
		}
	}
	wait := r.Delay
	if r.Rate > 0 {
		wait += time.Duration(len(piece)) * time.Second / time.Duration(r.Rate)
	}
	if wait > 0 {
		timer := time.NewTimer(wait)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-f.link.done:
			return errEnded
		}
	}
	f.passed += int64(len(piece))
	f.link.proxy.passed[f.direction].Add(int64(len(piece))) // before the receiver can know
	_, err := f.to.Write(piece)
	return err
}

// strike does what the rule does in the end.
func (f *flow) strike() error {
	f.spent = true
	r := f.rule
	if !r.strikes() {
		return nil
	}
	switch r.Then {
	case Cut, Reset:
		f.link.end(r.Then == Reset)
		return errEnded
	case Swallow:
		return f.swallow()
	default:
		return f.hold(r)
	}
}

// hold waits for another rule.
func (f *flow) hold(r *armed) error {
	select {
	case <-r.lifted:
		return nil
	case <-f.link.done:
		return errEnded
	}
}

// swallow reads what comes, and tells nobody, until the link ends otherwise.
func (f *flow) swallow() error {
	_, _ = io.Copy(io.Discard, f.link.ends[1-f.direction])
	<-f.link.done
	return errEnded
}

// tells waits until the end of the bytes may be told: a rule that stops bytes stops that too.
func (f *flow) tells() error {
	for {
		r := f.current()
		if f.spent || f.passed < r.After || r.Then != Hold && r.Then != Swallow {
			return nil
		}
		if err := f.strike(); err != nil {
			return err
		}
	}
}
