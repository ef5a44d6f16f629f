// Package tuning finds the configuration that meets a target, by measuring: how fast requests
// are answered that arrive at a steady rate, with pools of several sizes.
package tuning

import (
	"errors"
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Target is what is wanted: that percentage of requests answered within a latency, at a rate.
type Target struct {
	Percentile float64       `json:"percentile"`
	Latency    time.Duration `json:"latency_ns"`
	Rate       float64       `json:"requests_per_s"` // of all instances together
}

// String is the target as ParseTarget reads it.
func (t Target) String() string {
	return fmt.Sprintf("p%v under %v at %v requests/s", t.Percentile, t.Latency, number(t.Rate))
}

func number(value float64) string { return strconv.FormatFloat(value, 'f', -1, 64) }

// The bounds of a target.
const (
	shortestLatency = 100 * time.Microsecond
	longestLatency  = 10 * time.Second
	lowestRate      = 1
	highestRate     = 1_000_000
)

// Validate reports what cannot be aimed at.
func (t Target) Validate() error {
	switch {
	case !(t.Percentile >= 50 && t.Percentile <= 99.99):
		return fmt.Errorf("percentile is %v, must be from 50 to 99.99", t.Percentile)
	case t.Latency < shortestLatency || t.Latency > longestLatency:
		return fmt.Errorf("latency is %v, must be from %v to %v", t.Latency, shortestLatency, longestLatency)
	case !(t.Rate >= lowestRate && t.Rate <= highestRate):
		return fmt.Errorf("rate is %v, must be from %d to %d requests/s", number(t.Rate), lowestRate, highestRate)
	}
	return nil
}

// The two parts of a target, in either order, and what may be between them.
var (
	latencyPart = regexp.MustCompile(`(?i)\bp\s?(\d+(?:\.\d+)?)\s*(?:under|below|within|less than|at most|<=|<|≤|=|:)?\s*(\d+(?:\.\d+)?)\s*(µs|μs|us|ms|s|microseconds?|milliseconds?|seconds?|sec)(?:$|[\s,;])`)
	ratePart    = regexp.MustCompile(`(?i)(?:^|[\s@])(\d[\d,_']*(?:\.\d+)?)\s*(k)?\s*(?:(?:requests?|reqs?|calls?|ops)?\s*(?:/|per)\s*(?:s|sec|second)|rps|qps)(?:$|[\s,;])`)
	filler      = regexp.MustCompile(`(?i)[\s,;@]|\b(?:at|with|and|for|of|a|an|the)\b`)
)

const example = "p99 under 5 ms at 2000 requests/s"

// ParseTarget reads a target as people write it, such as "p99 under 5 ms at 2000 requests/s".
// What it does not understand, down to a word, is an error.
func ParseTarget(text string) (Target, error) {
	var t Target
	bad := func(what string) (Target, error) {
		return Target{}, fmt.Errorf("target %.80q: %s; an example is %q", text, what, example)
	}
	at := latencyPart.FindStringSubmatchIndex(text)
	if at == nil {
		return bad("no percentile with a latency and its unit")
	}
	part := func(i int) string { return text[at[2*i]:at[2*i+1]] }
	var err error
	if t.Percentile, err = strconv.ParseFloat(part(1), 64); err != nil {
		return bad("the percentile is no number")
	}
	if t.Latency, err = latencyOf(part(2), strings.ToLower(part(3))); err != nil {
		return bad("the latency is no duration")
	}
	rest := text[:at[0]] + " ; " + text[at[1]:]
	found := ratePart.FindStringSubmatchIndex(rest)
	if found == nil {
		return bad("no rate, as in 2000 requests/s")
	}
	digits := strings.NewReplacer(",", "", "_", "", "'", "").Replace(rest[found[2]:found[3]])
	if t.Rate, err = strconv.ParseFloat(digits, 64); err != nil {
		return bad("the rate is no number")
	}
	if found[4] >= 0 {
		t.Rate *= 1000
	}
	others := strings.Fields(filler.ReplaceAllString(rest[:found[0]]+" "+rest[found[1]:], " "))
	if len(others) > 0 {
		return bad(fmt.Sprintf("not understood: %.40q", strings.Join(others, " ")))
	}
	if err := t.Validate(); err != nil {
		return bad(err.Error())
	}
	return t, nil
}

func latencyOf(digits, unit string) (time.Duration, error) {
	value, err := strconv.ParseFloat(digits, 64)
	if err != nil {
		return 0, err
	}
	scale := time.Second
	switch {
	case strings.HasPrefix(unit, "milli"), unit == "ms":
		scale = time.Millisecond
	case strings.HasPrefix(unit, "micro"), unit == "us", unit == "µs", unit == "μs":
		scale = time.Microsecond
	}
	duration := math.Round(value * float64(scale))
	if duration > float64(time.Hour) {
		return 0, errors.New("too long")
	}
	return time.Duration(duration), nil
}
