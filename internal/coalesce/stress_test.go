package coalesce_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mysqlsession/mysqlsession/internal/coalesce"
)

// stress is many callers at a group whose lanes do whatever can happen to one.
type stress struct {
	*coalesce.Group[question]
	backlog *backlog
	seed    uint64
	asked   atomic.Int64
	lanes   atomic.Int64 // open now
	down    atomic.Bool  // no lane can be opened
	served  atomic.Int64
	failed  sync.Map // errors that callers got
}

func newStress(seed uint64) *stress {
	s := &stress{backlog: &backlog{most: 60}, seed: seed}
	s.Group = coalesce.New(coalesce.Config[question]{
		Kinds:      []coalesce.Kind{{MaxCalls: 8}, {MaxCalls: 4, Fit: func(n int) int { return (n + 1) / 2 }}},
		MaxLanes:   6,
		Open:       s.open,
		Backlog:    s.backlog,
		Timeout:    40 * time.Millisecond,
		ErrTimeout: errTimeout,
		ErrClosed:  errClosed,
		CloseGrace: 20 * time.Millisecond,
	})
	return s
}

// random is for one goroutine.
func (s *stress) random() *rand.Rand { return rand.New(rand.NewPCG(s.seed, uint64(s.asked.Add(1)))) }

func (s *stress) open(ctx context.Context) (coalesce.Lane[question], error) {
	random := s.random()
	if s.down.Load() {
		return nil, errOpen
	}
	switch random.IntN(10) {
	case 0:
		return nil, errOpen
	case 1:
		return nil, nil
	case 2:
		select {
		case <-time.After(time.Duration(random.IntN(80)) * time.Millisecond):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	s.lanes.Add(1)
	return &stressLane{stress: s, random: random}, nil
}

type stressLane struct {
	*stress
	random *rand.Rand
}

func (l *stressLane) Budget() int  { return 1 + l.random.IntN(10) }
func (l *stressLane) Wanted() bool { return l.random.IntN(5) == 0 }
func (l *stressLane) Close()       { l.lanes.Add(-1) }

func (l *stressLane) Run(ctx context.Context, calls []*call) {
	pause(ctx, l.random)
	for _, c := range calls {
		c.Value.answer = answer(c.Value.asked)
	}
}

// pause takes whole milliseconds, so that much happens in the same moment.
func pause(ctx context.Context, random *rand.Rand) {
	took := time.Duration(random.IntN(4)) * time.Millisecond
	if random.IntN(300) == 0 {
		took = time.Second // a lock
	}
	select {
	case <-time.After(took):
	case <-ctx.Done():
	}
}

// caller makes calls until the group is closed. Like the store, it uses a Call again
// unless it has left it to a batch.
func (s *stress) caller(t *testing.T) {
	random := s.random()
	c := coalesce.NewCall[question]()
	for {
		c.Kind, c.Weight = random.IntN(2), random.IntN(4)
		asked := int(s.asked.Add(1))
		c.Value = question{asked: asked}
		err := s.once(c, random)
		switch {
		case err == nil:
			if c.Value.asked != asked || c.Value.answer != answer(asked) {
				t.Errorf("%+v is no answer to %d", c.Value, asked)
				return
			}
			s.served.Add(1)
		case errors.Is(err, coalesce.ErrLeftBatch):
			c = coalesce.NewCall[question]()
		}
		s.failed.Store(err, true)
		if err == errClosed {
			return
		}
		if err == errFull { // or nobody's time would ever go on
			time.Sleep(time.Millisecond)
		}
	}
}

func (s *stress) once(c *call, random *rand.Rand) error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	if random.IntN(3) > 0 {
		ctx, cancel = context.WithTimeout(ctx, time.Duration(random.IntN(12))*time.Millisecond)
		defer cancel()
	}
	lane, ok := s.Begin()
	if !ok {
		return s.Wait(ctx, c)
	}
	defer s.End(lane)
	pause(ctx, random)
	c.Value.answer = answer(c.Value.asked)
	return nil
}

// Whatever happens, everybody gets the answer to what they asked or one error, and in the
// end nobody and nothing is left.
func TestNothingIsLostOrMixedUpWhateverHappens(t *testing.T) {
	happened := map[any]bool{}
	for seed := range uint64(5) {
		synctest.Test(t, func(t *testing.T) {
			s := newStress(seed)
			var callers sync.WaitGroup
			for range 100 {
				callers.Go(func() { s.caller(t) })
			}
			time.Sleep(200 * time.Millisecond)
			s.down.Store(true)
			time.Sleep(100 * time.Millisecond)
			s.down.Store(false)
			time.Sleep(200 * time.Millisecond)
			s.Close()
			callers.Wait()
			time.Sleep(time.Minute) // for what was left behind

			stat := s.Stat()
			require.Zero(t, stat.Waiting)
			require.Zero(t, stat.Lanes, "seed %d", seed)
			require.Zero(t, s.backlog.count(), "everybody who joined has left, once")
			require.Zero(t, s.lanes.Load(), "every lane that was opened is closed")
			require.Greater(t, s.served.Load(), int64(100))
			s.failed.Range(func(err, _ any) bool { happened[err] = true; return true })
		})
	}
	for _, err := range []error{nil, errTimeout, errClosed, errOpen, errFull, coalesce.ErrLeftBatch, coalesce.ErrLeftQueue} {
		require.True(t, happened[err], "%v should have happened", err)
	}
}

// The worst moment to leave is that in which the batch ends: both sides know nothing of
// each other yet. Who leaves then has the result or ErrLeftBatch, and a Call that has been
// answered must never get a second answer, which the next Wait would take for its own.
func TestWhoLeavesAsTheBatchEndsGetsTheResultOrErrLeftBatch(t *testing.T) {
	const callers, rounds = 16, 150
	var results, left atomic.Int64
	synctest.Test(t, func(t *testing.T) {
		s := &stress{backlog: &backlog{}}
		g := coalesce.New(coalesce.Config[question]{
			Kinds:    []coalesce.Kind{{MaxCalls: callers}},
			MaxLanes: 1,
			Open: func(context.Context) (coalesce.Lane[question], error) {
				s.lanes.Add(1)
				return punctual{&stressLane{stress: s}}, nil
			},
			Backlog: s.backlog, Timeout: time.Hour, ErrTimeout: errTimeout,
		})
		var all sync.WaitGroup
		for range callers {
			all.Go(func() {
				c := coalesce.NewCall[question]()
				for range rounds {
					asked := int(s.asked.Add(1))
					c.Value = question{asked: asked}
					ctx, cancel := context.WithDeadline(context.Background(), time.Now().Truncate(tick).Add(2*tick))
					switch err := g.Wait(ctx, c); err {
					case nil:
						results.Add(1)
						if c.Value != (question{asked, answer(asked)}) {
							t.Errorf("%+v is no answer to %d", c.Value, asked)
						}
					case coalesce.ErrLeftBatch:
						left.Add(1)
						c = coalesce.NewCall[question]()
					case coalesce.ErrLeftQueue:
					default:
						t.Error(err)
					}
					cancel()
				}
			})
		}
		all.Wait()
		time.Sleep(time.Minute)
		require.Zero(t, s.backlog.count())
	})
	require.NotZero(t, results.Load())
	require.NotZero(t, left.Load())
}

// tick is when a punctual lane's batches end: at whole ones.
const tick = time.Millisecond

type punctual struct{ *stressLane }

func (punctual) Wanted() bool { return false }
func (punctual) Budget() int  { return 100 }

func (p punctual) Run(ctx context.Context, calls []*call) {
	now := time.Now()
	time.Sleep(now.Truncate(tick).Add(tick).Sub(now))
	for _, c := range calls {
		c.Value.answer = answer(c.Value.asked)
	}
}
