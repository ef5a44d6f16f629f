package mysqlsession

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"time"
)

const (
	// trailDepth is how many callers of Acquire are remembered. Below them is what every
	// request goes through.
	trailDepth = 32
	// aboveCaller are the frames that are not the caller's: runtime.Callers, begin, and
	// Acquire or Do.
	aboveCaller = 3
	// Holders are looked at four times within LeakThreshold, if that is within these.
	shortestLook = time.Millisecond
	longestLook  = time.Second
)

// trail is who holds a connection, and since when. It belongs to the connection, so that
// a new holder costs no memory, and is safe for concurrent use.
type trail struct {
	mu      sync.Mutex // guards what follows; nothing blocks under it
	since   time.Time  // zero: nobody that is looked after
	told    bool       // of this holder
	depth   int
	callers [trailDepth]uintptr
}

// begin notes a holder: the caller of begin's caller.
func (t *trail) begin(since time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.since, t.told = since, false
	t.depth = runtime.Callers(aboveCaller, t.callers[:])
}

// end notes that there is no holder any more, and returns how long it has held if somebody
// was told of it; 0 if not.
func (t *trail) end() time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	var held time.Duration
	if t.told {
		held = time.Since(t.since)
	}
	t.since, t.told = time.Time{}, false
	return held
}

// overdue returns, once for each holder, how long it has held if that is longer than the
// threshold; 0 if not.
func (t *trail) overdue(threshold time.Duration) (held time.Duration, stack string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.since.IsZero() || t.told {
		return 0, ""
	}
	if held = time.Since(t.since); held <= threshold {
		return 0, ""
	}
	t.told = true
	return held, t.textLocked()
}

// text is the stack of the holder, or of the last one.
func (t *trail) text() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.textLocked()
}

func (t *trail) textLocked() string {
	var text strings.Builder
	frames := runtime.CallersFrames(t.callers[:t.depth])
	for more := t.depth > 0; more; {
		var frame runtime.Frame
		frame, more = frames.Next()
		fmt.Fprintf(&text, "%s\n\t%s:%d\n", frame.Function, frame.File, frame.Line)
	}
	return text.String()
}

// watchHolders reports connections that are held for longer than LeakThreshold, until ctx
// ends. One look at all of them costs less than a timer for each.
func (p *Pool) watchHolders(ctx context.Context) {
	ticker := time.NewTicker(min(max(p.config.LeakThreshold/4, shortestLook), longestLook))
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		for _, m := range p.all() {
			if held, stack := m.trail.overdue(p.config.LeakThreshold); held > 0 {
				p.tellLeak(LeakInfo{Pool: p.config.Pool, Held: held, Stack: stack})
			}
		}
	}
}
