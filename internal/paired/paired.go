// Package paired measures what a small change costs on a machine that is not quiet: the
// alternatives take short turns, in an order that is drawn for each round, and are compared
// within a round. What else goes on then meets all of them, and none always comes first, or
// right behind itself, when everything is still warm.
package paired

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"
)

// Alternative is one of what is compared.
type Alternative struct {
	Name string
	Call func(caller, n int) error // n counts that caller's calls
}

// Result is what a number of rounds came to, in medians.
type Result struct {
	Name string
	Rate float64       // calls a second
	CPU  time.Duration // that this process spends on a call
	// RateRatio and CPURatio are against the first alternative, in the same round.
	RateRatio, CPURatio float64
}

// turn is what one turn came to.
type turn struct{ rate, cpu float64 }

// Compare lets the alternatives take turns, each turn with so many callers at the same
// time, for so many rounds. The first error ends it.
func Compare(alternatives []Alternative, callers, rounds int, length time.Duration) ([]Result, error) {
	turns := make([][]turn, len(alternatives))
	for round := range rounds + 1 {
		for _, i := range rand.Perm(len(alternatives)) {
			t, err := run(alternatives[i], callers, length)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", alternatives[i].Name, err)
			}
			if round > 0 { // connections are open, and what adapts to the load has done so
				turns[i] = append(turns[i], t)
			}
		}
	}
	results := make([]Result, len(alternatives))
	for i, a := range alternatives {
		results[i] = Result{
			Name:      a.Name,
			Rate:      median(turns[i], func(round int) float64 { return turns[i][round].rate }),
			CPU:       time.Duration(median(turns[i], func(round int) float64 { return turns[i][round].cpu })),
			RateRatio: median(turns[i], func(round int) float64 { return turns[i][round].rate / turns[0][round].rate }),
			CPURatio:  median(turns[i], func(round int) float64 { return turns[i][round].cpu / turns[0][round].cpu }),
		}
	}
	return results, nil
}

func run(a Alternative, callers int, length time.Duration) (turn, error) {
	counts, errs := make([]int, callers), make([]error, callers)
	var done sync.WaitGroup
	began, cpu := time.Now(), ProcessCPU()
	for caller := range callers {
		done.Go(func() {
			n := 0
			for ; time.Since(began) < length && errs[caller] == nil; n++ {
				errs[caller] = a.Call(caller, n)
			}
			counts[caller] = n
		})
	}
	done.Wait()
	elapsed, spent := time.Since(began), ProcessCPU()-cpu
	calls := 0
	for caller := range callers {
		calls += counts[caller]
		if errs[caller] != nil {
			return turn{}, errs[caller]
		}
	}
	return turn{rate: float64(calls) / elapsed.Seconds(), cpu: float64(spent) / float64(calls)}, nil
}

func median(turns []turn, of func(round int) float64) float64 {
	values := make([]float64, len(turns))
	for round := range turns {
		values[round] = of(round)
	}
	slices.Sort(values)
	return (values[(len(values)-1)/2] + values[len(values)/2]) / 2
}

// Table is the results in lines.
func Table(results []Result) string {
	var text strings.Builder
	fmt.Fprintf(&text, "%-28s %12s %10s %12s %10s\n", "", "calls/s", "against", "CPU a call", "against")
	for _, r := range results {
		fmt.Fprintf(&text, "%-28s %12.0f %+9.1f%% %12v %+9.1f%%\n", r.Name, r.Rate, 100*(r.RateRatio-1), r.CPU, 100*(r.CPURatio-1))
	}
	return text.String()
}
