//go:build unix

package mysqlsession_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/mysqlsession/mysqlsession"
	"github.com/mysqlsession/mysqlsession/internal/dbtest"
)

// soak makes the checked history longer than what every run can have: go test -run
// History -soak 10m.
var soak = flag.Duration("soak", 5*time.Second, "how long the checked history lasts")

// historyName is the name of the cookie. Sessions are looked for under another one too.
const historyName = "history"

// told is one session and what its owner, the only one who changes it, was told of it.
type told struct {
	key string

	// What readers may compare with: the number of the last value whose write was
	// acknowledged, and of the last that was begun; and how far its end is.
	acknowledged, begun atomic.Int64
	ending, ended       atomic.Bool
	// doubtful is set when the outcome of a change is unknown. Then the owner leaves the
	// session alone, and at the end it must be as it was before or after the change.
	doubtful atomic.Bool
	heir     *told  // that a rotation, if it happened, has put in its place
	subject  string // under which it is listed; "": none
}

// value is what a session holds: it tells whose it is, and how often it has been written.
func (s *told) value(number int64) []byte {
	return fmt.Appendf(nil, "%s|%s|%d", historyName, s.key, number)
}

// check compares what was read with what may be there. acknowledged and ended are from
// before the read began.
func (s *told) check(value []byte, err error, acknowledged int64, ended bool) error {
	if errors.Is(err, mysqlsession.ErrNotFound) {
		if s.ending.Load() || s.doubtful.Load() {
			return nil
		}
		return fmt.Errorf("session %s, of which value %d was acknowledged, is gone", s.key, acknowledged)
	}
	if err != nil {
		return nil // it says nothing
	}
	number, isOwn := strings.CutPrefix(string(value), historyName+"|"+s.key+"|")
	n, notNumber := strconv.ParseInt(number, 10, 64)
	switch {
	case !isOwn || notNumber != nil:
		return fmt.Errorf("session %s holds %q", s.key, value)
	case ended:
		return fmt.Errorf("session %s had ended, and is there with value %d", s.key, n)
	case n < acknowledged || n > s.begun.Load():
		return fmt.Errorf("session %s holds value %d; %d was acknowledged, %d begun", s.key, n, acknowledged, s.begun.Load())
	}
	return nil
}

// history is what several owners do to their sessions, and what they are told.
type history struct {
	t     *testing.T
	store *mysqlsession.Store

	mu       sync.Mutex // guards what follows
	sessions []*told
	done     map[string]int // calls that succeeded, by operation
	failed   int
}

func (h *history) begin(s *told) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.sessions = append(h.sessions, s)
}

func (h *history) any(random *rand.Rand) *told {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.sessions) == 0 {
		return nil
	}
	return h.sessions[random.IntN(len(h.sessions))]
}

func (h *history) count(operation string, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if err == nil {
		h.done[operation]++
	} else {
		h.failed++
	}
}

// changed takes in what came of a change. It reports whether it has happened, and whether
// anybody knows.
func (h *history) changed(s *told, operation string, err error) (happened, known bool) {
	h.count(operation, err)
	if err == nil {
		return true, true
	}
	unknown := mysqlsession.OutcomeUnknown(err)
	switch {
	case errors.Is(err, mysqlsession.ErrNotFound):
		h.t.Errorf("%s of the live session %s: %v", operation, s.key, err)
	case unknown == mysqlsession.SafeToRetry(err):
		h.t.Errorf("%s: %v: unknown %t, and safe to retry %t", operation, err, unknown, !unknown)
	case !foreseen(err):
		h.t.Errorf("%s: %v", operation, err)
	}
	if unknown {
		s.doubtful.Store(true)
	}
	return false, !unknown
}

// sessionOwner makes sessions and changes them.
type sessionOwner struct {
	*history
	name   string
	random *rand.Rand
	made   int
}

func (o *sessionOwner) metadata() []mysqlsession.Metadata {
	return []mysqlsession.Metadata{{Audience: "web", Subject: o.name}}
}

// context is sometimes one that ends soon.
func (o *sessionOwner) context() (context.Context, context.CancelFunc) {
	if o.random.IntN(8) > 0 {
		return context.WithCancel(context.Background())
	}
	return context.WithTimeout(context.Background(), time.Duration(o.random.Int64N(int64(20*time.Millisecond))))
}

func (o *sessionOwner) newSession() *told {
	o.made++
	return &told{key: fmt.Sprintf("%s-%d", o.name, o.made)}
}

// life is that of one session, and of those that it is rotated into.
func (o *sessionOwner) life() {
	s := o.newSession()
	o.begin(s)
	for alive := o.save(s, nil); alive && o.t.Context().Err() == nil; {
		switch o.random.IntN(12) {
		case 0, 1, 2:
			alive = o.save(s, &mysqlsession.SetOptions{MustExist: o.random.IntN(2) == 0})
		case 3, 4:
			s, alive = o.rotate(s)
		case 5, 6:
			ctx, cancel := o.context()
			_, alive = o.changed(s, "touch", o.store.Touch(ctx, historyName, s.key, time.Hour))
			cancel()
		case 7:
			alive = o.end(s)
		default:
			o.read(s)
		}
	}
}

// save reports whether the session goes on.
func (o *sessionOwner) save(s *told, options *mysqlsession.SetOptions) bool {
	ctx, cancel := o.context()
	defer cancel()
	number := s.begun.Add(1)
	err := o.store.Set(ctx, historyName, s.key, s.value(number), time.Hour, options)
	happened, known := o.changed(s, "set", err)
	if happened {
		s.acknowledged.Store(number)
	} else if known {
		s.begun.Add(-1)
	}
	return known && (happened || options != nil) // without its first value it is not there
}

func (o *sessionOwner) rotate(s *told) (*told, bool) {
	ctx, cancel := o.context()
	defer cancel()
	heir := o.newSession()
	heir.subject = o.name
	heir.begun.Store(1)
	s.heir = heir
	s.ending.Store(true)
	happened, known := o.changed(s, "rotate", o.store.Set(ctx, historyName, heir.key, heir.value(1), time.Hour, &mysqlsession.SetOptions{
		OldKey: s.key, MustExist: o.random.IntN(2) == 0, Metadata: o.metadata(),
	}))
	switch {
	case happened:
		s.ended.Store(true)
		heir.acknowledged.Store(1)
		o.begin(heir)
		return heir, true
	case known:
		s.heir = nil
		s.ending.Store(false)
	}
	return s, known
}

func (o *sessionOwner) end(s *told) bool {
	ctx, cancel := o.context()
	defer cancel()
	s.ending.Store(true)
	happened, known := o.changed(s, "delete", o.store.Delete(ctx, historyName, s.key))
	if happened {
		s.ended.Store(true)
		// A save that comes late does not bring it back.
		err := o.store.Set(context.Background(), historyName, s.key, []byte("late"), time.Hour, &mysqlsession.SetOptions{MustExist: true})
		if err == nil {
			o.t.Errorf("the session %s was deleted, and is saved", s.key)
		}
	} else if known {
		s.ending.Store(false)
	}
	return known && !happened
}

// read reads a session as anybody may.
func (h *history) read(s *told) {
	acknowledged, ended := s.acknowledged.Load(), s.ended.Load()
	value, err := h.store.Get(context.Background(), historyName, s.key)
	if mysqlsession.OutcomeUnknown(err) {
		h.t.Errorf("a read's outcome is unknown: %v", err)
	}
	if acknowledged > 0 || err == nil {
		if err := s.check(value, err, acknowledged, ended); err != nil {
			h.t.Error(err)
		}
	}
	h.count("get", err)
	if _, err := h.store.Get(context.Background(), "another", s.key); err == nil {
		h.t.Errorf("the session %s is read under another name", s.key)
	}
}

// verify checks every session, now that nothing changes any more.
func (h *history) verify() {
	doubtful := 0
	listed := h.listed()
	for _, s := range h.sessions {
		if !s.doubtful.Load() && s.subject != "" {
			_, found := listed[s.subject][s.key]
			assert.Equal(h.t, !s.ended.Load(), found, "session %s in the list of %s", s.key, s.subject)
		}
		value, err := h.store.Get(context.Background(), historyName, s.key)
		if err != nil {
			require.ErrorIs(h.t, err, mysqlsession.ErrNotFound)
		}
		if s.acknowledged.Load() > 0 || err == nil {
			assert.NoError(h.t, s.check(value, err, s.acknowledged.Load(), s.ended.Load()))
		}
		if !s.doubtful.Load() {
			continue
		}
		doubtful++
		if s.heir != nil { // all or nothing
			heir, inherited := h.store.Get(context.Background(), historyName, s.heir.key)
			assert.NotEqual(h.t, err == nil, inherited == nil, "session %s is there %v, and so is its heir %v", s.key, err, inherited)
			assert.NoError(h.t, s.heir.check(heir, unlessNotFound(inherited), 0, false))
		}
	}
	h.t.Logf("%d sessions, of which %d were in doubt; succeeded: %v; failed: %d", len(h.sessions), doubtful, h.done, h.failed)
}

// listed is what is listed of each subject.
func (h *history) listed() map[string]map[string]time.Time {
	listed := make(map[string]map[string]time.Time)
	for _, s := range h.sessions {
		if s.subject == "" || listed[s.subject] != nil {
			continue
		}
		sessions, err := h.store.ReadMetadata(context.Background(), historyName, "web", s.subject)
		require.NoError(h.t, err)
		listed[s.subject] = sessions
	}
	return listed
}

// unlessNotFound is err, or nothing that a check objects to.
func unlessNotFound(err error) error {
	if errors.Is(err, mysqlsession.ErrNotFound) {
		return context.Canceled
	}
	return err
}

// While the server is killed and hangs and the network does its worst, many callers use
// their sessions. Afterwards every answer is checked: no write that was acknowledged is
// lost, no session that was deleted is there, none holds another's value or is found
// under another name, and what failed has happened whole or not at all. Memory is what it
// was before.
func TestHistoryOfSessionsUnderFaultsIsWhatCallersWereTold(t *testing.T) {
	const owners, readers = 12, 4
	dbtest.EachPrivate(t, func(t *testing.T, server dbtest.Private) {
		seed := rand.Uint64()
		t.Logf("seed %d", seed)
		f := onPrivate(t, server, func(cfg *mysqlsession.Config) {
			cfg.PoolSize, cfg.Coalesce = 4, mysqlsession.CoalesceOn
			cfg.ConnectTimeout, cfg.ReadTimeout = time.Second, time.Second
		})
		h := &history{t: t, store: f.store, done: make(map[string]int)}
		before := heap()
		until := time.Now().Add(*soak)
		var group sync.WaitGroup
		for i := range owners {
			o := &sessionOwner{history: h, name: fmt.Sprint("owner-", i), random: rand.New(rand.NewPCG(seed, uint64(i)))}
			group.Go(func() {
				for time.Now().Before(until) {
					o.life()
				}
			})
		}
		for i := range readers {
			random := rand.New(rand.NewPCG(seed, uint64(owners+i)))
			group.Go(func() {
				for time.Now().Before(until) {
					if s := h.any(random); s != nil {
						h.read(s)
					}
				}
			})
		}
		random := rand.New(rand.NewPCG(seed, owners+readers))
		for n := 0; time.Now().Before(until); n++ {
			chaos(t.Context(), t, f, server, random, n)
			if n%40 == 15 {
				server.Instance.Kill()
			}
			if n%20 == 15 {
				require.NoError(t, server.Instance.Restart(t.Context()))
			}
		}
		f.proxy.Clear()
		group.Wait()
		f.requireRecovery(t, recovery)
		h.verify()
		for _, operation := range []string{"set", "get", "touch", "rotate", "delete"} {
			require.Positive(t, h.done[operation], operation)
		}
		f.healed(t)
		h = nil // the history itself grows
		after := heap()
		t.Logf("heap in use: %d KiB before, %d KiB after", before>>10, after>>10)
		require.Less(t, after, before+2<<20, "memory is flat")
	})
}

// heap is what is in use after a collection.
func heap() int64 {
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return int64(stats.HeapAlloc)
}
