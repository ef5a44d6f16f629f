package debug

import (
	"context"
	"errors"
	"fmt"
	"math"
	"reflect"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mysqlsession/mysqlsession"
)

func TestEveryDurationIsInTheBucketThatHoldsIt(t *testing.T) {
	for d := time.Duration(1 << firstOctave); d < 60*time.Second; d += d/97 + 1 {
		b := bucketOf(d)
		require.LessOrEqual(t, lowerBound(b), d)
		require.Greater(t, lowerBound(b+1), d)
		require.LessOrEqual(t, float64(lowerBound(b+1)-lowerBound(b)), float64(d)/8, "a bucket is narrow")
	}
	for b := range buckets {
		require.Equal(t, b, bucketOf(lowerBound(b)))
		require.Equal(t, b, bucketOf(lowerBound(b+1)-1))
	}
}

func TestDurationsBeyondTheBucketsAreInTheOutermost(t *testing.T) {
	for _, d := range []time.Duration{-time.Second, 0, 1, 1<<firstOctave - 1} {
		require.Zero(t, bucketOf(d))
	}
	for _, d := range []time.Duration{2 * time.Minute, math.MaxInt64} {
		require.Equal(t, buckets-1, bucketOf(d))
	}
}

// tell has the recorder told of calls of a pool, each of a millisecond.
func tell(trace *mysqlsession.Trace, pool string, times int, err error) {
	for range times {
		trace.Call(context.Background(), mysqlsession.CallInfo{Pool: pool, Operation: "get", Duration: time.Millisecond, Err: err})
	}
}

func TestCallsAreCountedByHowTheyEndAndByPool(t *testing.T) {
	r := NewRecorder()
	trace := r.Trace()
	tell(trace, "a", 3, nil)
	tell(trace, "a", 4, fmt.Errorf("get: %w", mysqlsession.ErrNotFound))
	tell(trace, "a", 5, fmt.Errorf("get: %w", mysqlsession.ErrAcquireTimeout))
	tell(trace, "a", 6, mysqlsession.ErrBacklogFull)
	tell(trace, "a", 7, errors.New("anything else"))
	tell(trace, "b", 1, nil)
	for _, calls := range []int{1, 5, 5, 128, 1 << 20} {
		trace.Batch(mysqlsession.BatchInfo{Pool: "a", Calls: calls})
	}

	a := r.calls("a")
	require.Len(t, a.Answered, 1)
	require.Equal(t, uint64(7), a.Answered[0].Count)
	require.LessOrEqual(t, a.Answered[0].From, time.Millisecond)
	require.Greater(t, a.Answered[0].To, time.Millisecond)
	require.Equal(t, uint64(11), a.Rejected)
	require.Equal(t, uint64(7), a.Failed)
	require.Equal(t, []Batches{{1, 1}, {5, 2}, {128, 2}}, a.Batches)
	require.Equal(t, uint64(1), r.calls("b").Answered[0].Count)
	require.Empty(t, r.calls("of nobody").Answered)
}

func TestARecorderLeavesRoomForOtherHooks(t *testing.T) {
	var calls, batches int
	own := &mysqlsession.Trace{Call: func(context.Context, mysqlsession.CallInfo) { calls++ }}
	another := &mysqlsession.Trace{Call: func(context.Context, mysqlsession.CallInfo) { calls++ }, Batch: func(mysqlsession.BatchInfo) { batches++ }}
	r := NewRecorder()
	trace := r.Trace(own, nil, another)
	tell(trace, "a", 1, nil)
	trace.Batch(mysqlsession.BatchInfo{Pool: "a", Calls: 2})
	require.Equal(t, 2, calls)
	require.Equal(t, 1, batches)
	require.Equal(t, uint64(1), r.calls("a").Answered[0].Count)
	require.Equal(t, []Batches{{2, 1}}, r.calls("a").Batches)
}

// A hook that the library gets one day would be lost on its way through the recorder.
func TestARecorderPassesOnEveryHookThatThereIs(t *testing.T) {
	own := &mysqlsession.Trace{}
	called := map[string]int{}
	hooks := reflect.ValueOf(own).Elem()
	for field, hook := range hooks.Fields() {
		hook.Set(reflect.MakeFunc(field.Type, func(arguments []reflect.Value) []reflect.Value {
			called[field.Name]++
			return arguments[:field.Type.NumOut()]
		}))
	}
	for field, hook := range reflect.ValueOf(NewRecorder().Trace(own, own)).Elem().Fields() {
		require.False(t, hook.IsNil(), field.Name)
		var arguments []reflect.Value
		for argument := range field.Type.Ins() {
			arguments = append(arguments, reflect.Zero(argument))
		}
		hook.Call(arguments)
		require.Equal(t, 2, called[field.Name], field.Name)
	}
}

func TestNamesThatNeverEndDoNotFillTheMemory(t *testing.T) {
	r := NewRecorder()
	trace := r.Trace()
	for i := range 3 * mostPools {
		tell(trace, fmt.Sprint(i), 1, nil)
		trace.Batch(mysqlsession.BatchInfo{Pool: fmt.Sprint(i), Calls: 1})
	}
	require.Len(t, *r.series.Load(), mostPools)
	require.Len(t, r.calls("0").Answered, 1)
	require.Empty(t, r.calls(fmt.Sprint(mostPools)).Answered)
}

func TestNoCallIsLostWhenManyAreRecordedAtOnce(t *testing.T) {
	const callers, each = 16, 2000
	r := NewRecorder()
	trace := r.Trace()
	var done sync.WaitGroup
	for i := range callers {
		done.Go(func() { tell(trace, fmt.Sprint("pool ", i%3), each, nil) })
	}
	done.Wait()
	var total uint64
	for i := range 3 {
		for _, bucket := range r.calls(fmt.Sprint("pool ", i)).Answered {
			total += bucket.Count
		}
	}
	require.Equal(t, uint64(callers*each), total)
}

func TestRecordingACallAllocatesNothing(t *testing.T) {
	trace := NewRecorder().Trace()
	tell(trace, "a", 1, nil)
	require.Zero(t, testing.AllocsPerRun(1000, func() { tell(trace, "a", 1, nil) }))
}

func BenchmarkRecordingACall(b *testing.B) {
	trace := NewRecorder().Trace()
	b.RunParallel(func(p *testing.PB) {
		for p.Next() {
			trace.Call(context.Background(), mysqlsession.CallInfo{Pool: "pool", Duration: time.Millisecond})
		}
	})
}
