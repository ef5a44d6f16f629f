package coalesce_test

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/mysqlsession/mysqlsession/internal/coalesce"
)

// world is a server, the way to it, and who asks it, as a model.
type world struct {
	callers    int
	think      time.Duration // of a caller between two calls, on average
	distance   time.Duration // there and back
	noise      float64       // how much longer the way and the work take on average than at best
	processors int           // 0: more than anybody needs
	statement  time.Duration // a processor's time for a statement
	row        time.Duration // and for each row of it
	flush      time.Duration // of the disk, for each commit; 0: nothing is committed
	shared     bool          // commits that wait at the same time share a flush
	locked     bool          // one in twenty batches waits for a lock, of lockTime
}

const lockTime = 2 * time.Second

const us = time.Microsecond

// near is a server on the same machine or beside it.
func near(callers, processors int) world {
	return world{
		callers: callers, think: 10 * us, distance: 50 * us,
		processors: processors, statement: 60 * us, row: 4 * us,
	}
}

// far is one that has more processors than anybody needs, behind a long way.
func far(callers int, distance time.Duration) world {
	w := near(callers, 0)
	w.distance = distance
	return w
}

// simulation is a world in which a group is used.
type simulation struct {
	*coalesce.Group[question]

	mu      sync.Mutex
	world   world
	random  *rand.Rand
	free    []time.Time     // when each processor has done what it was given so far
	flushes time.Time       // when the flush that was begun last ends
	spent   []time.Duration // by caller, in calls
	made    []int           // by caller
}

// simulate begins a simulation with as many lanes as the rule gives, or a fixed number.
func simulate(w world, fixed int) *simulation {
	s := &simulation{world: w, random: rand.New(rand.NewPCG(1, 2))}
	s.Group = coalesce.New(coalesce.Config[question]{
		Kinds:      []coalesce.Kind{{MaxCalls: 128}},
		MaxLanes:   16,
		Open:       func(context.Context) (coalesce.Lane[question], error) { return simulated{s}, nil },
		Backlog:    &backlog{},
		Timeout:    time.Minute,
		ErrTimeout: errTimeout,
		ErrClosed:  errClosed,
	})
	if fixed > 0 {
		s.FixLanes(fixed)
	}
	return s
}

type simulated struct{ *simulation }

func (simulated) Budget() int  { return 1 << 20 }
func (simulated) Wanted() bool { return false }
func (simulated) Close()       {}

func (s simulated) Run(_ context.Context, calls []*call) { s.serve(len(calls)) }

// serve takes as long as a statement of so many rows does.
func (s *simulation) serve(rows int) { time.Sleep(time.Until(s.answered(rows))) }

// answered is when the answer to a statement that is sent now is back. All are as far from
// the server, so they get there in the order in which they are sent.
func (s *simulation) answered(rows int) time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	w := &s.world
	work := w.statement + time.Duration(rows)*w.row
	if s.random.IntN(10) == 0 { // a tenth takes two to three times as long
		work += time.Duration(float64(work) * (1 + s.random.Float64()))
	}
	way := w.distance + time.Duration(w.noise*s.random.ExpFloat64()*float64(w.distance))
	work += time.Duration(w.noise * s.random.ExpFloat64() * float64(work))
	at := time.Now().Add(w.distance / 2)
	at = s.processed(at, work)
	if w.flush > 0 {
		at = s.flushed(at)
	}
	if w.locked && s.random.IntN(20) == 0 {
		at = at.Add(lockTime)
	}
	return at.Add(way - w.distance/2)
}

// processed is when the first processor that is free has done work that came at that time.
func (s *simulation) processed(came time.Time, work time.Duration) time.Time {
	if s.world.processors == 0 {
		return came.Add(work)
	}
	for len(s.free) < s.world.processors {
		s.free = append(s.free, time.Time{})
	}
	first := 0
	for i, free := range s.free[:s.world.processors] {
		if free.Before(s.free[first]) {
			first = i
		}
	}
	s.free[first] = later(came, s.free[first]).Add(work)
	return s.free[first]
}

// flushed is when the disk has what was ready at that time.
func (s *simulation) flushed(ready time.Time) time.Time {
	if !s.world.shared {
		return ready.Add(s.world.flush)
	}
	// The flush that is going on does not have it, but the next one has all that came by then.
	if ready.After(s.flushes) {
		s.flushes = ready.Add(s.world.flush)
		return s.flushes
	}
	if begin := s.flushes.Add(-s.world.flush); ready.After(begin) {
		s.flushes = s.flushes.Add(s.world.flush)
	}
	return s.flushes
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// run has the callers ask for so long. What comes after the warm-up counts: calls per
// second, and the mean limit of lanes.
func (s *simulation) run(warm, length time.Duration) (throughput, limit float64) {
	from := time.Now().Add(warm)
	end := from.Add(length)
	s.spent, s.made = make([]time.Duration, s.world.callers), make([]int, s.world.callers)
	var callers sync.WaitGroup
	for i := range s.world.callers {
		callers.Go(func() { s.ask(i, from, end) })
	}
	time.Sleep(warm)
	const samples = 200
	for range samples {
		time.Sleep(length / samples)
		limit += float64(s.Stat().LaneLimit) / samples
	}
	callers.Wait()
	calls := 0
	for _, made := range s.made {
		calls += made
	}
	return float64(calls) / length.Seconds(), limit
}

// ask is one caller.
func (s *simulation) ask(number int, from, end time.Time) {
	random := rand.New(rand.NewPCG(3, uint64(number)))
	c := coalesce.NewCall[question]()
	for time.Now().Before(end) {
		time.Sleep(time.Duration(random.ExpFloat64() * float64(s.world.think)))
		began := time.Now()
		s.once(c)
		if now := time.Now(); now.After(from) && now.Before(end) {
			s.spent[number] += now.Sub(began)
			s.made[number]++
		}
	}
}

// becomes changes the world.
func (s *simulation) becomes(w world) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.world = w
}

func (s *simulation) once(c *call) {
	lane, ok := s.Begin()
	if !ok {
		if err := s.Wait(context.Background(), c); err != nil {
			panic(err) // it is a model: nothing fails in it
		}
		return
	}
	defer s.End(lane)
	s.serve(1)
}
