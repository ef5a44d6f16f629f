package distance

import (
	"sync"
	"time"
)

// deadline is a moment that may be moved while somebody waits for it.
type deadline struct {
	mu    sync.Mutex // guards all below
	timer *time.Timer
	gone  chan struct{} // closed when the moment has passed
}

func newDeadline() *deadline { return &deadline{gone: make(chan struct{})} }

// passed is closed when the moment has passed, also if it is moved meanwhile.
func (d *deadline) passed() <-chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.gone
}

// set moves the moment. The zero time is never.
func (d *deadline) set(t time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.timer != nil {
		d.timer.Stop()
		d.timer = nil
	}
	select {
	case <-d.gone: // whoever waits from now on waits for the new moment
		d.gone = make(chan struct{})
	default:
	}
	switch left := time.Until(t); {
	case t.IsZero():
	case left <= 0:
		close(d.gone)
	default:
		d.expireIn(left)
	}
}

// expireIn has the moment pass after that time, unless it is moved before. mu is held.
func (d *deadline) expireIn(left time.Duration) {
	var timer *time.Timer
	timer = time.AfterFunc(left, func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		if d.timer == timer { // or it was moved just now
			close(d.gone)
			d.timer = nil
		}
	})
	d.timer = timer
}

// stop lets go of what waits for the moment.
func (d *deadline) stop() { d.set(time.Time{}) }
