package httpsession

import (
	"sync"
	"time"
)

// recentLimit bounds what a process remembers: two times as many sessions, some 18 MiB.
const recentLimit = 1 << 16

// recent remembers which sessions had their lives extended a moment ago.
//
// It is a memory of the process. In the row it would make each touch a write of the value,
// which could undo what another request has just written; in the cookie each touch would
// send the cookie again, and a response that is overtaken by a sign-in would take the new
// one away. So each process of a site touches for itself, and one that has forgotten
// touches once more than it had to, never once less.
type recent struct {
	interval time.Duration
	limit    int

	mutex        sync.Mutex // guards what follows
	since        time.Time  // when newer was begun
	newer, older map[string]time.Time
}

func newRecent(interval time.Duration, limit int) *recent {
	return &recent{interval: interval, limit: limit, newer: map[string]time.Time{}}
}

// due reports whether a session's life is to be extended at now. It says so to one of many.
func (r *recent) due(id string, now time.Time) bool {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	last, ok := r.newer[id]
	if !ok {
		last, ok = r.older[id]
	}
	// A clock that was set back must not keep sessions from being touched.
	if age := now.Sub(last); ok && age >= 0 && age < r.interval {
		return false
	}
	r.add(id, now)
	return true
}

// done tells that a session's life was extended at now.
func (r *recent) done(id string, now time.Time) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	r.add(id, now)
}

// failed tells that a session's life was not extended after all.
func (r *recent) failed(id string) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	delete(r.newer, id)
	delete(r.older, id)
}

// add must be called with the mutex held. What is older than the interval is worth nothing,
// so whole maps go at once.
func (r *recent) add(id string, now time.Time) {
	if now.Sub(r.since) >= r.interval || len(r.newer) >= r.limit {
		r.older, r.newer, r.since = r.newer, map[string]time.Time{}, now
	}
	r.newer[id] = now
}
