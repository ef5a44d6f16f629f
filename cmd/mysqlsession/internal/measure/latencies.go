package measure

import (
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

const (
	// longestLatency is what a longer one counts as. In microseconds, as all of a histogram.
	longestLatency = int64(10 * time.Minute / time.Microsecond)
	// latencyDigits is how many decimal digits of a latency are kept.
	latencyDigits = 3
)

// Latencies is a distribution of latencies, to the microsecond or three digits. It is for
// one goroutine.
type Latencies struct{ histogram *hdrhistogram.Histogram }

// NewLatencies is an empty distribution.
func NewLatencies() *Latencies {
	return &Latencies{hdrhistogram.New(1, longestLatency, latencyDigits)}
}

// Record adds one latency.
func (l *Latencies) Record(latency time.Duration) {
	// It cannot fail for what is in the range.
	_ = l.histogram.RecordValue(min(max(latency.Microseconds(), 0), longestLatency))
}

// Add adds all of another distribution.
func (l *Latencies) Add(other *Latencies) { l.histogram.Merge(other.histogram) }

// Count is how many there are.
func (l *Latencies) Count() int64 { return l.histogram.TotalCount() }

// At is the latency that the given percentage of calls did not exceed; 0 without calls.
func (l *Latencies) At(percentile float64) time.Duration {
	return time.Duration(l.histogram.ValueAtPercentile(percentile)) * time.Microsecond
}

// Longest is the longest latency.
func (l *Latencies) Longest() time.Duration {
	return time.Duration(l.histogram.Max()) * time.Microsecond
}

// Point is a percentile, and its latency in microseconds.
type Point struct {
	Percentile float64 `json:"percentile"`
	Micros     float64 `json:"us"`
}

// curvePercentiles are those of a curve: dense where percentiles are looked at.
var curvePercentiles = []float64{
	1, 5, 10, 20, 30, 40, 50, 60, 70, 75, 80, 85, 90, 92.5, 95, 97, 98, 99, 99.25, 99.5, 99.7, 99.8, 99.9, 99.95, 99.99, 99.999,
}

// leastBeyond is how many calls must be slower than a percentile for it to be one of a curve.
const leastBeyond = 3

// Curve is the distribution, as far as there are calls enough.
func (l *Latencies) Curve() []Point {
	var curve []Point
	for _, percentile := range curvePercentiles {
		if float64(l.Count())*(100-percentile)/100 < leastBeyond-1e-6 {
			break
		}
		curve = append(curve, Point{percentile, micros(l.At(percentile))})
	}
	return curve
}

func micros(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1e3 }
