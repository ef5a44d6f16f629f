package measure

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mysqlsession/mysqlsession"
)

// fakePeer serves one request at a time, as a server with one connection would.
type fakePeer struct {
	serve func(ctx context.Context) error
	turn  chan struct{}
}

func newFakePeer(serve func(ctx context.Context) error) *fakePeer {
	return &fakePeer{serve: serve, turn: make(chan struct{}, 1)}
}

func (*fakePeer) Name() string { return "fake" }

func (p *fakePeer) Get(ctx context.Context, _ string) error {
	select {
	case p.turn <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-p.turn }()
	return p.serve(ctx)
}

func (p *fakePeer) Set(ctx context.Context, key string, _ []byte) error { return p.Get(ctx, key) }
func (*fakePeer) Close() error                                          { return nil }

// takes is a peer's answer after that time.
func takes(d time.Duration) func(ctx context.Context) error {
	return func(context.Context) error {
		time.Sleep(d) // in a test's fake time
		return nil
	}
}

func fakeScratch() *Scratch {
	return &Scratch{keys: newKeys(100), Workload: Workload{Sessions: 100, ValueSize: 16, ReadShare: 0.9}}
}

func TestCallersWaitForTheirAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sample, err := drive(t.Context(), 4, time.Second, func(context.Context, int, int) error {
			time.Sleep(10 * time.Millisecond)
			return nil
		})
		require.NoError(t, err)
		require.EqualValues(t, 400, sample.Latencies.Count())
		require.InDelta(t, 400, sample.Throughput(), 1)
		require.InEpsilon(t, 0.010, sample.Latencies.At(99).Seconds(), 0.001)
	})
}

func TestEachCallerMakesItsLeastCallsHoweverShortTheTimeIs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sample, err := drive(t.Context(), 3, 0, func(context.Context, int, int) error {
			time.Sleep(time.Millisecond)
			return nil
		})
		require.NoError(t, err)
		require.GreaterOrEqual(t, sample.Latencies.Count(), int64(3*leastCalls))
	})
}

func TestFirstErrorEndsARun(t *testing.T) {
	broken := errors.New("broken")
	_, err := drive(t.Context(), 8, time.Minute, func(_ context.Context, caller, n int) error {
		if caller == 3 && n == 2 {
			return broken
		}
		return nil
	})
	require.ErrorIs(t, err, broken)

	ctx, cancel := context.WithCancel(t.Context())
	_, err = drive(ctx, 2, time.Minute, func(_ context.Context, _, n int) error {
		if n == 1 {
			cancel()
		}
		return nil
	})
	require.ErrorIs(t, err, context.Canceled)
}

func TestStallOfTheServerIsInTheLatenciesOfAllWhoWereDueMeanwhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin, stalled := time.Now(), false
		peer := newFakePeer(func(context.Context) error {
			if !stalled && time.Since(begin) > time.Second {
				stalled = true
				time.Sleep(500 * time.Millisecond)
			}
			return nil
		})
		load := Load{Rate: 1000, Duration: 2 * time.Second, Deadline: 10 * time.Second}
		outcome, err := Steady(t.Context(), fakeScratch(), load, []Peer{peer}, 1)
		require.NoError(t, err)
		// A quarter of the requests came in the stall. Callers that wait for their answers
		// would have had a single slow one.
		slow := 0
		for _, bar := range outcome.Latencies.histogram.Distribution() {
			if bar.From > 50_000 {
				slow += int(bar.Count)
			}
		}
		require.InDelta(t, 450, slow, 70)
		require.InDelta(t, 2000, outcome.Requests, 150)
		require.Zero(t, outcome.Failed())
		require.Greater(t, outcome.Waiting, 400)
		require.Zero(t, outcome.Late.Longest(), "this machine was not late")
	})
}

func TestArrivalsAreTheSameEveryTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		load := Load{Rate: 300, Duration: time.Second, WarmUp: 100 * time.Millisecond, Deadline: time.Second}
		var counts [2]int64
		for i := range counts {
			outcome, err := Steady(t.Context(), fakeScratch(), load, []Peer{newFakePeer(takes(time.Millisecond)), newFakePeer(takes(time.Millisecond))}, 1)
			require.NoError(t, err)
			counts[i] = outcome.Requests
		}
		require.Equal(t, counts[0], counts[1])
		require.InDelta(t, 300, counts[0], 60)
	})
}

func TestRequestsThatAreNotAnsweredInTimeHaveFailed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		load := Load{Rate: 1000, Duration: time.Second, Deadline: 100 * time.Millisecond}
		outcome, err := Steady(t.Context(), fakeScratch(), load, []Peer{newFakePeer(takes(5 * time.Millisecond))}, 1)
		require.NoError(t, err)
		require.Greater(t, outcome.Expired, outcome.Requests/2, "it serves a fifth of them")
		_, ok := outcome.At(99)
		require.False(t, ok, "99 of 100 were not answered")
		require.LessOrEqual(t, outcome.Latencies.Longest(), 110*time.Millisecond)
	})
}

func TestRejectionsAreCountedAndOtherErrorsEndALoad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		later := func(err error) func(context.Context) error {
			begin := time.Now()
			return func(context.Context) error {
				if time.Since(begin) > 100*time.Millisecond {
					return err
				}
				return nil
			}
		}
		peer := newFakePeer(later(mysqlsession.ErrBacklogFull))
		load := Load{Rate: 1000, Duration: time.Second, Deadline: time.Second}
		outcome, err := Steady(t.Context(), fakeScratch(), load, []Peer{peer}, 1)
		require.NoError(t, err)
		require.Positive(t, outcome.Rejected)
		require.Equal(t, outcome.Requests, outcome.Rejected+outcome.Latencies.Count())

		broken := errors.New("broken")
		_, err = Steady(t.Context(), fakeScratch(), load, []Peer{newFakePeer(later(broken))}, 1)
		require.ErrorIs(t, err, broken)
	})
}

func TestPercentileOfAllRequestsCountsFailuresAsSlowest(t *testing.T) {
	o := &Outcome{Requests: 100, Expired: 5, Latencies: NewLatencies()}
	for i := range 95 {
		o.Latencies.Record(time.Duration(i+1) * time.Millisecond)
	}
	half, ok := o.At(50)
	require.True(t, ok)
	require.InEpsilon(t, 0.050, half.Seconds(), 0.001)
	all, ok := o.At(95)
	require.True(t, ok)
	require.InEpsilon(t, 0.095, all.Seconds(), 0.001)
	_, ok = o.At(96)
	require.False(t, ok)
}

func TestMixHasItsShareOfReads(t *testing.T) {
	for _, share := range []float64{0, 0.1, 0.9, 1} {
		w := Workload{ReadShare: share}
		reads := 0
		for n := range 10_000 {
			if w.reads(n%16, n) {
				reads++
			}
		}
		require.InDelta(t, share, float64(reads)/10_000, 0.02)
	}
}

func TestEachSaveHasAnotherValue(t *testing.T) {
	content := newValues(2, 64)
	seen := map[string]bool{}
	for n := range 100 {
		for caller := range 2 {
			seen[string(content.next(caller, n))] = true
		}
	}
	require.Len(t, seen, 200)
}

func TestPlansAndWorkloadsThatMakeNoSenseAreRefused(t *testing.T) {
	good := Plan{Operations: []string{Get}, Callers: []int{1}, Connections: 1, Rounds: 1, Round: time.Second}
	require.NoError(t, good.Validate())
	for says, change := range map[string]func(p *Plan){
		`operation is "sing"`:    func(p *Plan) { p.Operations = []string{"sing"} },
		"number of callers is 0": func(p *Plan) { p.Callers = []int{4, 0} },
		"no operation":           func(p *Plan) { p.Operations = nil },
		"connections is -1":      func(p *Plan) { p.Connections = -1 },
		"rounds is 0":            func(p *Plan) { p.Rounds = 0 },
		"time of a round is 0s":  func(p *Plan) { p.Round = 0 },
	} {
		bad := good
		change(&bad)
		require.ErrorContains(t, bad.Validate(), says)
	}
	require.ErrorContains(t, Workload{Sessions: 1, ValueSize: 2}.Validate(), "value size is 2")
	require.ErrorContains(t, Workload{Sessions: 0, ValueSize: 20}.Validate(), "sessions is 0")
	require.ErrorContains(t, Workload{Sessions: 1, ValueSize: 20, ReadShare: 1.5}.Validate(), "read share is 1.5")
}
