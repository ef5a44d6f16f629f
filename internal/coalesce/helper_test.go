package coalesce_test

import (
	"cmp"
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mysqlsession/mysqlsession/internal/coalesce"
)

var (
	errTimeout = errors.New("waited too long")
	errClosed  = errors.New("closed")
	errFull    = errors.New("too many wait")
	errOpen    = errors.New("no lane today")
)

// question is what the calls of these tests carry.
type question struct{ asked, answer int }

// answer is what a batch must answer; asked is never 0, so an answer never is.
func answer(asked int) int { return -asked }

type call = coalesce.Call[question]

// backlog counts those who wait. It must never go below nothing.
type backlog struct {
	mu            sync.Mutex
	waiting, most int // most: 0 for no limit
	below         bool
}

func (b *backlog) Join() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.most > 0 && b.waiting == b.most {
		return errFull
	}
	b.waiting++
	return nil
}

func (b *backlog) Leave(calls int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.waiting -= calls
	b.below = b.below || b.waiting < 0
}

// count is how many wait now.
func (b *backlog) count() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.below {
		return -1
	}
	return b.waiting
}

// fixture is a group in whose lanes every batch is held until the test lets it go.
type fixture struct {
	*coalesce.Group[question]
	t       *testing.T
	backlog *backlog
	batches chan *batch // as they begin
	budget  int

	mu             sync.Mutex
	opened, closed int
	wanted         bool                        // by others, from all lanes
	open           func(context.Context) error // nil: lanes open at once
}

// batch is one that a lane runs.
type batch struct {
	ctx   context.Context
	asked []int
	began time.Time
	let   chan struct{}
	fail  map[int]error // by what was asked
}

// finish lets a batch end, and waits for what comes of it.
func (b *batch) finish() {
	close(b.let)
	synctest.Wait()
}

// newFixture has one lane and two kinds of calls unless told otherwise.
func newFixture(t *testing.T, changes ...func(*coalesce.Config[question])) *fixture {
	f := &fixture{t: t, backlog: &backlog{}, batches: make(chan *batch, 1000), budget: 1 << 20}
	config := coalesce.Config[question]{
		Kinds:      []coalesce.Kind{{MaxCalls: 100}, {MaxCalls: 100}},
		MaxLanes:   1,
		Open:       f.openLane,
		Backlog:    f.backlog,
		Timeout:    time.Minute,
		ErrTimeout: errTimeout,
		ErrClosed:  errClosed,
		CloseGrace: 5 * time.Second,
	}
	for _, change := range changes {
		change(&config)
	}
	f.Group = coalesce.New(config)
	return f
}

func lanes(most int) func(*coalesce.Config[question]) {
	return func(c *coalesce.Config[question]) { c.MaxLanes = most }
}

func timeout(d time.Duration) func(*coalesce.Config[question]) {
	return func(c *coalesce.Config[question]) { c.Timeout = d }
}

func (f *fixture) openLane(ctx context.Context) (coalesce.Lane[question], error) {
	f.mu.Lock()
	open := f.open
	f.mu.Unlock()
	if open != nil {
		if err := open(ctx); errors.Is(err, errAgain) {
			return nil, nil
		} else if err != nil {
			return nil, err
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.opened++
	return lane{f}, nil
}

// errAgain has a lane of a fixture open as neither a lane nor an error.
var errAgain = errors.New("try again")

// opens has lanes open as open says from now on.
func (f *fixture) opens(open func(context.Context) error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.open = open
}

// want says whether others want what the lanes hold.
func (f *fixture) want(wanted bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.wanted = wanted
}

// lane is one of a fixture.
type lane struct{ f *fixture }

func (l lane) Budget() int { return l.f.budget }

func (l lane) Run(ctx context.Context, calls []*call) {
	b := &batch{ctx: ctx, began: time.Now(), let: make(chan struct{}), fail: map[int]error{}}
	for _, c := range calls {
		b.asked = append(b.asked, c.Value.asked)
	}
	l.f.batches <- b
	select {
	case <-b.let:
	case <-ctx.Done():
	}
	for _, c := range calls {
		if err := cmp.Or(b.fail[c.Value.asked], ctx.Err()); err != nil {
			c.Err = err
		}
		c.Value.answer = answer(c.Value.asked)
	}
}

func (l lane) Wanted() bool {
	l.f.mu.Lock()
	defer l.f.mu.Unlock()
	return l.f.wanted
}

func (l lane) Close() {
	l.f.mu.Lock()
	defer l.f.mu.Unlock()
	l.f.closed++
}

// begin takes a free lane, as a call does that runs by itself.
func (f *fixture) begin() (lane int) {
	f.t.Helper()
	lane, ok := f.Begin()
	require.True(f.t, ok, "a lane should be free")
	return lane
}

// end gives it back, and waits for what comes of that.
func (f *fixture) end(lane int) {
	f.End(lane)
	synctest.Wait()
}

// pending is a call that somebody waits for.
type pending struct {
	*call
	leave context.CancelFunc
	done  chan error // gets what Wait returned
}

// ask makes calls of one kind, one after the other.
func (f *fixture) ask(kind int, asked ...int) (all []*pending) {
	for _, number := range asked {
		all = append(all, f.askWeighing(kind, number, 1))
	}
	return all
}

func (f *fixture) askWeighing(kind, asked, weight int) *pending {
	c := coalesce.NewCall[question]()
	c.Kind, c.Weight, c.Value = kind, weight, question{asked: asked}
	return f.wait(c)
}

// wait has somebody wait for a call.
func (f *fixture) wait(c *call) *pending {
	ctx, leave := context.WithCancel(f.t.Context())
	p := &pending{call: c, leave: leave, done: make(chan error, 1)}
	go func() { p.done <- f.Wait(ctx, c) }()
	synctest.Wait()
	return p
}

// next is the batch that began first of those that the test has not seen.
func (f *fixture) next() *batch {
	f.t.Helper()
	synctest.Wait()
	require.NotEmpty(f.t, f.batches, "a batch should have begun")
	return <-f.batches
}

// nextOf is next for a batch that must hold these.
func (f *fixture) nextOf(asked ...int) *batch {
	f.t.Helper()
	b := f.next()
	require.Equal(f.t, asked, b.asked)
	return b
}

// noBatch is for moments at which none should have begun.
func (f *fixture) noBatch() {
	f.t.Helper()
	synctest.Wait()
	require.Empty(f.t, f.batches, "no batch should have begun")
}

// served checks that calls have been answered.
func (f *fixture) served(all ...*pending) {
	f.t.Helper()
	for _, p := range all {
		f.failed(nil, p)
		require.Equal(f.t, answer(p.Value.asked), p.Value.answer)
	}
}

// failed checks that calls have ended with an error.
func (f *fixture) failed(want error, all ...*pending) {
	f.t.Helper()
	synctest.Wait()
	for _, p := range all {
		require.Len(f.t, p.done, 1, "call %d should have ended", p.Value.asked)
		require.Equal(f.t, want, <-p.done, "call %d", p.Value.asked)
	}
}

// waiting checks that calls have not ended.
func (f *fixture) waiting(all ...*pending) {
	f.t.Helper()
	synctest.Wait()
	for _, p := range all {
		require.Empty(f.t, p.done, "call %d should not have ended", p.Value.asked)
	}
}

// idle checks that nothing is left of what the test did.
func (f *fixture) idle() {
	f.t.Helper()
	synctest.Wait()
	stat := f.Stat()
	require.Zero(f.t, stat.Waiting)
	require.Zero(f.t, stat.Lanes, "all lanes should be free")
	require.Zero(f.t, f.backlog.count())
	f.mu.Lock()
	defer f.mu.Unlock()
	require.Equal(f.t, f.opened, f.closed, "every lane that was opened should be closed")
}
