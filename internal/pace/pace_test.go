package pace_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mysqlsession/mysqlsession/internal/pace"
)

func TestNothingIsKnownBeforeTheFirstObservation(t *testing.T) {
	var e pace.Estimate
	require.False(t, e.Known())
	require.Zero(t, e.Likely())
	e.Observe(0)
	require.True(t, e.Known(), "what takes no time has been observed too")
	e.Forget()
	require.False(t, e.Known())
}

func TestTheFirstObservationIsTheMeanAndTrustedLittle(t *testing.T) {
	var e pace.Estimate
	e.Observe(time.Second)
	require.Equal(t, time.Second, e.Mean())
	require.Equal(t, 2*time.Second, e.Likely())
}

func TestWhatAlwaysTakesTheSameTimeLikelyTakesThat(t *testing.T) {
	var e pace.Estimate
	for range 50 {
		e.Observe(time.Second)
	}
	require.Equal(t, time.Second, e.Mean())
	require.InDelta(t, time.Second, e.Likely(), float64(time.Millisecond))
}

func TestAChangeIsFollowedWithinADozenObservations(t *testing.T) {
	for _, now := range []time.Duration{time.Second / 10, 10 * time.Second} {
		var e pace.Estimate
		for range 50 {
			e.Observe(time.Second)
		}
		for range 12 {
			e.Observe(now)
		}
		require.Less(t, max(now-e.Mean(), e.Mean()-now), max(now-time.Second, time.Second-now)/4)
	}
}

func TestOneThatTookForeverSaysLittle(t *testing.T) {
	var e pace.Estimate
	for range 50 {
		e.Observe(time.Millisecond)
	}
	e.Observe(time.Hour)
	require.Less(t, e.Likely(), 5*time.Millisecond)
	for range 10 {
		e.Observe(time.Hour)
	}
	require.Greater(t, e.Likely(), 20*time.Millisecond, "several do")
}

func TestWhatWasMuchSlowerIsForgottenAfterAFewThatAreQuick(t *testing.T) {
	var e pace.Estimate
	for range 50 {
		e.Observe(5 * time.Second)
	}
	for range 4 {
		require.Greater(t, e.Likely(), time.Second)
		e.Observe(time.Millisecond)
	}
	require.Less(t, e.Likely(), 2*time.Second)
	for range 16 {
		e.Observe(time.Millisecond)
	}
	require.Less(t, e.Likely(), 5*time.Millisecond)
}

// Times on networks and in queues have long tails.
func TestMostOfWhatComesIsWithinWhatIsLikely(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	var e pace.Estimate
	within := 0
	const count = 10_000
	for range count {
		took := time.Duration(float64(time.Millisecond) * (1 + random.ExpFloat64()))
		if took <= e.Likely() {
			within++
		}
		e.Observe(took)
	}
	require.InDelta(t, 0.9, float64(within)/count, 0.04)
}

func TestAQueueOfUnevenTurnsIsEvenerThanOneTurn(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	var one, then pace.Estimate
	draw := func() time.Duration { return time.Duration(float64(time.Millisecond) * random.ExpFloat64()) }
	for range 1000 {
		one.Observe(draw())
		then.Observe(draw())
	}
	const times = 100
	within := 0
	for range 1000 {
		total := draw()
		for range times {
			one.Observe(draw())
			total += draw()
		}
		then.Observe(draw())
		likely := pace.Sum(times, &one, &then)
		require.Less(t, likely, times*one.Likely())
		if total <= likely {
			within++
		}
	}
	require.Greater(t, within, 600)
	require.Less(t, within, 990)
}
