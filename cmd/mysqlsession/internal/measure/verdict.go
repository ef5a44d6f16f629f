package measure

import (
	"fmt"
	"math"
)

// Conclusion is what the rounds of a line allow to say.
type Conclusion string

// The conclusions.
const (
	Faster     Conclusion = "faster"      // ours is
	Slower     Conclusion = "slower"      // ours is
	NoDecision Conclusion = "no decision" // nothing can be said
)

const (
	// quiet is by how much two runs of the same peer may differ on a machine that is taken
	// to be quiet. There a difference must be larger than that between such runs.
	quiet = 0.05
	// margin is how many times larger it must be on a machine that is not.
	margin = 4
)

// Verdict judges the throughput of one line.
type Verdict struct {
	// Ratio is the median of the pairs' ratios of throughput, ours to theirs; Low and High
	// are the interval that has the true median in it, with 95 % confidence.
	Ratio float64 `json:"ratio"`
	Low   float64 `json:"ratio_low"`
	High  float64 `json:"ratio_high"`
	// Pairs are all ratios, in the order in which they were measured.
	Pairs []float64 `json:"pairs"`
	// Noise is by how much two runs of the same peer, one right after the other, differed,
	// the median of those; 0.1 is 10 %.
	Noise      float64    `json:"noise"`
	Conclusion Conclusion `json:"conclusion"`
	// Reason says why there is no decision.
	Reason string `json:"reason,omitempty"`
}

// judge makes the verdict of the pairs' ratios and the controls': ratios of two runs of the
// same peer, which would all be 1 on a machine that does nothing else.
func judge(pairs, controls []float64) Verdict {
	v := Verdict{Pairs: pairs, Ratio: median(pairs), Conclusion: NoDecision}
	var enough bool
	v.Low, v.High, enough = interval(pairs)
	deviations := make([]float64, len(controls))
	for i, control := range controls {
		deviations[i] = math.Abs(math.Log(control))
	}
	var noise float64
	if len(deviations) > 0 {
		noise = median(deviations)
	}
	v.Noise = math.Expm1(noise)
	difference := math.Abs(math.Log(v.Ratio))
	switch {
	case !enough:
		v.Reason = fmt.Sprintf("%d of %d rounds needed", len(pairs), leastRounds)
	case v.Low <= 1 && v.High >= 1:
		v.Reason = "interval includes 1"
	case v.Noise > quiet && difference < margin*noise, difference < noise:
		v.Reason = fmt.Sprintf("too noisy, ±%.0f %%", 100*v.Noise)
	case v.Ratio > 1:
		v.Conclusion = Faster
	default:
		v.Conclusion = Slower
	}
	return v
}

// String is the verdict in a few words.
func (v Verdict) String() string {
	switch v.Conclusion {
	case Faster:
		return fmt.Sprintf("%.2f× as fast", v.Ratio)
	case Slower:
		return fmt.Sprintf("slower: %.2f×", v.Ratio)
	default:
		return "no conclusion: " + v.Reason
	}
}
