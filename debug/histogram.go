package debug

import (
	"math/bits"
	"math/rand/v2"
	"sync/atomic"
	"time"
)

// Durations are counted in buckets: eight for each power of two of nanoseconds, so that a
// quantile is an eighth off at the worst.
const (
	subBits = 3
	// firstOctave is where counting begins, at 1 µs: what is shorter is in the first bucket.
	firstOctave = 10
	// octaves is how many powers of two there are, up to 68 s: what is longer is in the last.
	octaves = 26
	buckets = octaves << subBits
	// shards is how many copies there are, so that callers on several processors do not
	// wait for one another's cache lines.
	shards = 8
)

// histogram counts durations. Its memory is fixed: 13 KiB. It is safe for concurrent use,
// and nobody waits.
type histogram [shards]struct {
	counts [buckets]atomic.Uint64
}

func (h *histogram) add(d time.Duration) {
	h[rand.Uint32()%shards].counts[bucketOf(d)].Add(1)
}

// sums is the counts of all copies.
func (h *histogram) sums() (sums [buckets]uint64) {
	for i := range h {
		for b := range sums {
			sums[b] += h[i].counts[b].Load()
		}
	}
	return sums
}

// bucketOf is the bucket of a duration.
func bucketOf(d time.Duration) int {
	if d < 1<<firstOctave {
		return 0
	}
	octave := bits.Len64(uint64(d)) - 1
	sub := int(uint64(d)>>(octave-subBits)) & (1<<subBits - 1)
	return min((octave-firstOctave)<<subBits+sub, buckets-1)
}

// lowerBound is the shortest duration of a bucket, and the end of the one before it.
func lowerBound(bucket int) time.Duration {
	octave, sub := bucket>>subBits+firstOctave, bucket&(1<<subBits-1)
	return time.Duration(1<<subBits+sub) << (octave - subBits)
}
