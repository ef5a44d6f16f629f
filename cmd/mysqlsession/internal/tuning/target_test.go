package tuning

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestTargetsAreReadAsPeopleWriteThem(t *testing.T) {
	const ms = time.Millisecond
	for text, want := range map[string]Target{
		"p99 under 5 ms at 2000 requests/s":             {99, 5 * ms, 2000},
		"P99 under 5ms at 2000 requests/s":              {99, 5 * ms, 2000},
		"p99 < 5ms at 2000/s":                           {99, 5 * ms, 2000},
		"p99<=5ms @ 2000 rps":                           {99, 5 * ms, 2000},
		"p99 5ms 2000 req/s":                            {99, 5 * ms, 2000},
		"p 99 below 5 milliseconds with 2,000 calls/s":  {99, 5 * ms, 2000},
		"2k requests per second with a p99 within 5 ms": {99, 5 * ms, 2000},
		"at 2000 qps, p99: 5 ms":                        {99, 5 * ms, 2000},
		"p99.9 less than 0.5 s at 1.5k/s":               {99.9, 500 * ms, 1500},
		"p50 at most 250 µs at 10 requests per second":  {50, 250 * time.Microsecond, 10},
		"p95 under 250us and 1_000 ops/s":               {95, 250 * time.Microsecond, 1000},
		"p99 under 5 ms for 2000 requests/s":            {99, 5 * ms, 2000},
	} {
		got, err := ParseTarget(text)
		require.NoError(t, err, text)
		require.Equal(t, want, got, text)
		again, err := ParseTarget(got.String())
		require.NoError(t, err, got.String())
		require.Equal(t, got, again)
	}
}

func TestTargetsThatAreNotUnderstoodAreRefused(t *testing.T) {
	for text, says := range map[string]string{
		"":                                        "no percentile",
		"fast":                                    "no percentile",
		"5 ms at 2000 requests/s":                 "no percentile",
		"p99 under 5 at 2000 requests/s":          "no percentile with a latency and its unit",
		"p99 over 5 ms at 2000 requests/s":        "no percentile",
		"p99 under 5 ms":                          "no rate",
		"p99 under 5 ms at 2000":                  "no rate",
		"p99 under 5 ms at 2000 requests/min":     "no rate",
		"p99 under 5 ms at -2000 requests/s":      "no rate",
		"p99 under 5 ms at 2000 requests/s, not":  `not understood: "not"`,
		"p99 under 5 ms p50 under 1 ms at 2000/s": "not understood",
		"p99 under 5 ms at 2000/s or 1000/s":      "not understood",
		"p12 under 5 ms at 2000/s":                "percentile is 12, must be from 50 to 99.99",
		"p100 under 5 ms at 2000/s":               "percentile is 100",
		"p99 under 1 us at 2000/s":                "latency is 1µs, must be from 100µs to 10s",
		"p99 under 99999999999999 s at 2000/s":    "latency is no duration",
		"p99 under 5 ms at 0.1/s":                 "rate is 0.1, must be from 1 to 1000000",
		"p99 under 5 ms at 2000k/s":               "rate is 2000000",
	} {
		_, err := ParseTarget(text)
		require.ErrorContains(t, err, says, text)
		require.ErrorContains(t, err, example, text)
	}
}

func FuzzParseTarget(f *testing.F) {
	f.Add(example)
	f.Add("2k rps @ p99.9<1s")
	f.Add("p99 5ms 1e9/s")
	f.Fuzz(func(t *testing.T, text string) {
		got, err := ParseTarget(text)
		if err != nil {
			return
		}
		require.NoError(t, got.Validate())
		again, err := ParseTarget(got.String())
		require.NoError(t, err, got.String())
		require.Equal(t, got, again)
	})
}
