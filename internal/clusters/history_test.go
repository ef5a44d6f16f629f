//go:build clusters

package clusters

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mysqlsession/mysqlsession"
)

const (
	cookie   = "session"
	lifetime = time.Hour
	absent   = "" // what a session that is not there is to a history
)

// history is what callers did, and what was answered. Each session is one caller's, so what
// it may be is known at every moment.
type history struct {
	mu       sync.Mutex // guards what follows
	events   []event
	wrong    []string
	sessions []*session
	pairs    []pair
	pending  map[int]time.Time // when each caller's call began
}

// event is a call.
type event struct {
	operation    string
	began, ended time.Time
	err          error // ErrNotFound is none
}

// session is what the session of a key may be: its values, or absent. After a call whose
// outcome is unknown, that is more than one.
type session struct {
	key string
	may []string
}

// pair is a rotation with an unknown outcome: nobody has used its sessions since.
type pair struct {
	before, after *session
	value         string
}

func newHistory() *history { return &history{pending: map[int]time.Time{}} }

func (h *history) violations() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.wrong)
}

func (h *history) violated(format string, arguments ...any) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.wrong = append(h.wrong, time.Now().Format("15:04:05.000 ")+fmt.Sprintf(format, arguments...))
}

func (h *history) calls() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.events)
}

// mark is a moment that report, await and settle count from.
func (h *history) mark() time.Time { return time.Now() }

// since are the events that ended later, and whether began has seen them begin.
func (h *history) since(mark time.Time) []event {
	h.mu.Lock()
	defer h.mu.Unlock()
	first := len(h.events)
	for first > 0 && h.events[first-1].ended.After(mark) {
		first--
	}
	return slices.Clone(h.events[first:])
}

// run has callers use a store until the returned function is called.
func (h *history) run(t *testing.T, store *mysqlsession.Store, callers int) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var group sync.WaitGroup
	for number := range callers {
		group.Go(func() {
			c := &caller{history: h, store: store, number: number, random: rand.New(rand.NewPCG(uint64(number), 4))}
			for range 3 {
				c.sessions = append(c.sessions, c.fresh())
			}
			for ctx.Err() == nil {
				if !c.step() {
					breathe(ctx)
				}
			}
		})
	}
	ended := false
	stop = func() {
		if !ended {
			ended = true
			cancel()
			group.Wait()
		}
	}
	t.Cleanup(stop)
	return stop
}

// caller is one of those that use the store, one call after the other.
type caller struct {
	history  *history
	store    *mysqlsession.Store
	number   int
	random   *rand.Rand
	count    int
	sessions []*session
	well     bool // the last call succeeded
}

// fresh is a session that nobody has had.
func (c *caller) fresh() *session {
	c.count++
	s := &session{key: "caller" + strconv.Itoa(c.number) + "." + strconv.Itoa(c.count), may: []string{absent}}
	c.history.mu.Lock()
	defer c.history.mu.Unlock()
	c.history.sessions = append(c.history.sessions, s)
	return s
}

func (c *caller) value(s *session) string {
	c.count++
	return s.key + "=" + strconv.Itoa(c.count)
}

// calling notes that a call begins.
func (c *caller) calling() time.Time {
	c.history.mu.Lock()
	defer c.history.mu.Unlock()
	began := time.Now()
	c.history.pending[c.number] = began
	return began
}

// pendingSince reports whether a call is still under way that began before the mark.
func (h *history) pendingSince(mark time.Time) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, began := range h.pending {
		if began.Before(mark) {
			return true
		}
	}
	return false
}

// called notes a call.
func (c *caller) called(operation string, began time.Time, err error) {
	if errors.Is(err, mysqlsession.ErrNotFound) {
		err = nil
	}
	c.well = err == nil
	c.history.mu.Lock()
	defer c.history.mu.Unlock()
	c.history.events = append(c.history.events, event{operation, began, time.Now(), err})
}

// breathe is what a caller does whose call has failed, before the next one.
func breathe(ctx context.Context) {
	timer := time.NewTimer(5 * time.Millisecond)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// step makes one call, and reports whether it succeeded.
func (c *caller) step() bool {
	i := c.random.IntN(len(c.sessions))
	s := c.sessions[i]
	began := c.calling()
	ctx := context.Background()
	switch n := c.random.IntN(10); {
	case n < 4:
		value := c.value(s)
		err := c.store.Set(ctx, cookie, s.key, []byte(value), lifetime, nil)
		c.called("set", began, err)
		c.wrote(s, value, err)
	case n < 7:
		value, err := c.store.Get(ctx, cookie, s.key)
		c.called("get", began, err)
		c.read(s, string(value), err)
	case n < 8:
		err := c.store.Touch(ctx, cookie, s.key, lifetime)
		c.called("touch", began, err)
		if errors.Is(err, mysqlsession.ErrNotFound) {
			c.read(s, "", err)
		}
	case n < 9:
		c.sessions[i] = c.rotate(ctx, s, c.fresh())
	default:
		err := c.store.Delete(ctx, cookie, s.key)
		c.called("delete", began, err)
		c.wrote(s, absent, err)
		if err == nil && c.random.IntN(2) == 0 {
			c.sessions[i] = c.fresh() // the deleted one must never be seen again
		}
	}
	return c.well
}

// wrote takes the outcome of a write: an error that does not say "unknown" says "not applied".
func (c *caller) wrote(s *session, value string, err error) {
	c.history.mu.Lock()
	defer c.history.mu.Unlock()
	switch {
	case err == nil:
		s.may = []string{value}
	case mysqlsession.OutcomeUnknown(err):
		s.may = append(s.may, value)
	}
}

// read checks what was read.
func (c *caller) read(s *session, value string, err error) {
	switch {
	case errors.Is(err, mysqlsession.ErrNotFound):
		value = absent
	case err != nil:
		return
	}
	c.history.check("caller", s, value)
}

// rotate replaces a session, and returns the one to go on with. If nobody knows whether it
// was replaced, both are left as they are.
func (c *caller) rotate(ctx context.Context, s, next *session) *session {
	began := c.calling()
	value := c.value(next)
	err := c.store.Set(ctx, cookie, next.key, []byte(value), lifetime, &mysqlsession.SetOptions{
		OldKey: s.key, Metadata: []mysqlsession.Metadata{{Audience: "web", Subject: next.key}},
	})
	c.called("rotate", began, err)
	unknown := mysqlsession.OutcomeUnknown(err)
	if unknown {
		c.history.mu.Lock()
		c.history.pairs = append(c.history.pairs, pair{&session{s.key, slices.Clone(s.may)}, next, value})
		c.history.mu.Unlock()
	}
	c.wrote(next, value, err)
	c.wrote(s, absent, err)
	switch {
	case unknown:
		return c.fresh()
	case err != nil:
		return s
	}
	return next
}

// check sees that a session is what it may be.
func (h *history) check(who string, s *session, value string) {
	h.mu.Lock()
	may := slices.Clone(s.may)
	h.mu.Unlock()
	if value != absent && !strings.HasPrefix(value, s.key+"=") {
		h.violated("%s: %s holds another session's %q", who, s.key, value)
	} else if !slices.Contains(may, value) {
		h.violated("%s: %s is %q, may be one of %q", who, s.key, value, may)
	}
}

// verify reads all sessions that there ever were through a store.
func (h *history) verify(t *testing.T, store *mysqlsession.Store, who string) {
	t.Helper()
	found := map[string]string{}
	for chunk := range slices.Chunk(h.sessions, 500) {
		keys := make([]string, len(chunk))
		for i, s := range chunk {
			keys[i] = s.key
		}
		values, err := store.GetMany(t.Context(), cookie, keys)
		require.NoError(t, err)
		for key, value := range values {
			found[key] = string(value)
		}
	}
	for _, s := range h.sessions {
		h.check(who, s, found[s.key])
	}
	for _, p := range h.pairs {
		rotated := found[p.after.key] == p.value
		if rotated == (found[p.before.key] != absent) && !(slices.Contains(p.before.may, absent) && !rotated) {
			h.violated("%s: %s was replaced by %s in part: %q, %q", who, p.before.key, p.after.key, found[p.before.key], found[p.after.key])
		}
	}
}

// await waits for so many successes of calls that began after the mark.
func (h *history) await(t *testing.T, what string, limit time.Duration, mark time.Time, successes int) {
	t.Helper()
	until(t, what, limit, func() bool {
		n := 0
		for _, e := range h.since(mark) {
			if e.err == nil && e.began.After(mark) {
				n++
			}
		}
		return n >= successes
	})
}

// settle waits until no call is under way that began before the mark, and calls have
// succeeded for a second with no failure.
func (h *history) settle(t *testing.T, what string, mark time.Time) {
	t.Helper()
	h.await(t, what+": a first success", time.Minute, mark, 1)
	until(t, what+": calm", time.Minute, func() bool {
		if h.pendingSince(mark) {
			return false
		}
		calm := time.Now().Add(-time.Second)
		n := 0
		for _, e := range h.since(calm) {
			if e.err != nil {
				return false
			}
			if e.began.After(calm) {
				n++
			}
		}
		return n > 50 && calm.After(mark)
	})
}

// awaitOutage waits until calls fail with ErrUnavailable, and at once: nobody serves.
func (h *history) awaitOutage(t *testing.T) {
	t.Helper()
	until(t, "all calls fail at once", time.Minute, func() bool {
		failed := 0
		for _, e := range h.since(time.Now().Add(-time.Second)) {
			if e.err == nil {
				return false
			}
			if errors.Is(e.err, mysqlsession.ErrUnavailable) && e.ended.Sub(e.began) < 10*time.Millisecond {
				failed++
			}
		}
		return failed > 50
	})
}

// report says how long the trouble was after a mark.
func (h *history) report(mark time.Time) string {
	var read, write, last, longest time.Duration = -1, -1, 0, 0
	var safe, unknown, succeeded int
	kinds := map[string]int{}
	quiet := mark
	for _, e := range h.since(mark) {
		after := e.ended.Sub(mark)
		if e.err == nil {
			succeeded++
			first := &write
			if e.operation == "get" {
				first = &read
			}
			if e.began.After(mark) && *first < 0 {
				*first = after
			}
			longest = max(longest, e.ended.Sub(quiet))
			quiet = e.ended
			continue
		}
		last = max(last, after)
		if mysqlsession.OutcomeUnknown(e.err) {
			unknown++
		} else {
			safe++
		}
		kinds[e.operation+": "+e.err.Error()]++
	}
	text := fmt.Sprintf("first read after %v, first write after %v, longest time without a success %v, last failure after %v; %d succeeded, %d failed with nothing done, %d with an unknown outcome",
		read.Round(time.Millisecond), write.Round(time.Millisecond), longest.Round(time.Millisecond), last.Round(time.Millisecond), succeeded, safe, unknown)
	if testing.Verbose() {
		for kind, n := range kinds {
			text += fmt.Sprintf("\n        %d × %s", n, kind)
		}
	}
	return text
}
