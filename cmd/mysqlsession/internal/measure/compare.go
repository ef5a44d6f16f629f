package measure

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Plan is what a comparison measures: every operation with every number of callers.
type Plan struct {
	Operations  []string `json:"operations"`
	Callers     []int    `json:"callers"`
	Connections int      `json:"connections"` // of each peer
	// Rounds is how many pairs of runs each line has, Round how long a run is.
	Rounds int           `json:"rounds"`
	Round  time.Duration `json:"round_ns"`
}

// The bounds of a plan.
const (
	mostCallers = 10_000
	mostRounds  = 1000
	shortest    = time.Millisecond
	longest     = 10 * time.Minute
)

// Validate reports what cannot be measured.
func (p Plan) Validate() error {
	for _, operation := range p.Operations {
		if operation != Get && operation != Set && operation != Mixed {
			return fmt.Errorf("operation is %.50q, must be one of %s, %s and %s", operation, Get, Set, Mixed)
		}
	}
	for _, callers := range p.Callers {
		if callers < 1 || callers > mostCallers {
			return fmt.Errorf("number of callers is %d, must be from 1 to %d", callers, mostCallers)
		}
	}
	switch {
	case len(p.Operations) == 0 || len(p.Callers) == 0:
		return errors.New("no operation or no number of callers, must be one of each at least")
	case p.Connections < 1 || p.Connections > mostCallers:
		return fmt.Errorf("connections is %d, must be from 1 to %d", p.Connections, mostCallers)
	case p.Rounds < 1 || p.Rounds > mostRounds:
		return fmt.Errorf("rounds is %d, must be from 1 to %d", p.Rounds, mostRounds)
	case p.Round < shortest || p.Round > longest:
		return fmt.Errorf("time of a round is %v, must be from %v to %v", p.Round, shortest, longest)
	}
	return nil
}

// Runs is how many runs the plan has.
func (p Plan) Runs() int { return len(p.Operations) * len(p.Callers) * p.Rounds * 2 }

// Duration is how long they take, about.
func (p Plan) Duration() time.Duration {
	return time.Duration(p.Runs()) * (p.Round + p.Round/warmUpPart)
}

// warmUpPart is the part of a run's time that is run before it and does not count.
const warmUpPart = 4

// Figures are a peer's, of all rounds of a line.
type Figures struct {
	Throughput  float64   `json:"ops_per_s"` // the median
	Throughputs []float64 `json:"rounds_ops_per_s"`
	P50         float64   `json:"p50_us"`
	P99         float64   `json:"p99_us"`
	P999        float64   `json:"p99_9_us"`
	Calls       int64     `json:"calls"`
	Curve       []Point   `json:"distribution"`
}

// Line is what was measured of one operation with one number of callers.
type Line struct {
	Operation string  `json:"operation"`
	Callers   int     `json:"callers"`
	Ours      Figures `json:"mysqlsession"`
	Theirs    Figures `json:"database_sql"`
	Verdict   Verdict `json:"verdict"`
}

// Compare measures what is planned. Runs of a line alternate, A B B A A B B A: what changes
// slowly is the same for both, and two neighbours of one peer are the control. After each run
// it calls done. An error, also the context's, ends it.
func Compare(ctx context.Context, s *Scratch, plan Plan, ours, theirs Peer, done func(run string)) ([]Line, error) {
	var lines []Line
	for _, operation := range plan.Operations {
		for _, callers := range plan.Callers {
			line, err := s.compareLine(ctx, plan, operation, callers, []Peer{ours, theirs}, done)
			if err != nil {
				return nil, err
			}
			lines = append(lines, line)
		}
	}
	return lines, nil
}

func (s *Scratch) compareLine(ctx context.Context, plan Plan, operation string, callers int, peers []Peer, done func(string)) (Line, error) {
	var order []int // of runs, by peer
	rates := make([][]float64, len(peers))
	latencies := []*Latencies{NewLatencies(), NewLatencies()}
	turns := []int{0, 1}
	for range plan.Rounds {
		for _, i := range turns {
			sample, err := s.run(ctx, plan, operation, callers, peers[i])
			if err != nil {
				return Line{}, fmt.Errorf("%s with %d callers, %s: %w", operation, callers, peers[i].Name(), err)
			}
			order = append(order, i)
			rates[i] = append(rates[i], sample.Throughput())
			latencies[i].Add(sample.Latencies)
			done(fmt.Sprintf("%s, callers: %d", operation, callers))
		}
		slices.Reverse(turns)
	}
	pairs := make([]float64, plan.Rounds)
	for i := range pairs {
		pairs[i] = rates[0][i] / rates[1][i]
	}
	return Line{
		Operation: operation, Callers: callers,
		Ours: figures(rates[0], latencies[0]), Theirs: figures(rates[1], latencies[1]),
		Verdict: judge(pairs, controls(order, rates)),
	}, nil
}

// controls are the ratios of runs of the same peer, one right after the other.
func controls(order []int, rates [][]float64) (ratios []float64) {
	made := make([]int, len(rates))
	for at, i := range order {
		if at > 0 && order[at-1] == i {
			ratios = append(ratios, rates[i][made[i]]/rates[i][made[i]-1])
		}
		made[i]++
	}
	return ratios
}

// run is one run of one peer. Before it all connections are opened and have prepared their
// statements, and what adapts to the load has done so.
func (s *Scratch) run(ctx context.Context, plan Plan, operation string, callers int, p Peer) (Sample, error) {
	crowd := max(callers, plan.Connections)
	call, err := s.call(p, operation, crowd)
	if err != nil {
		return Sample{}, err
	}
	if _, err := drive(ctx, crowd, 0, call); err != nil {
		return Sample{}, err
	}
	if _, err := drive(ctx, callers, plan.Round/warmUpPart, call); err != nil {
		return Sample{}, err
	}
	return drive(ctx, callers, plan.Round, call)
}

func figures(rates []float64, l *Latencies) Figures {
	return Figures{
		Throughput: median(rates), Throughputs: rates, Calls: l.Count(),
		P50: micros(l.At(50)), P99: micros(l.At(99)), P999: micros(l.At(99.9)), Curve: l.Curve(),
	}
}

// Alone is one caller, for that long.
func Alone(ctx context.Context, s *Scratch, p Peer, operation string, duration time.Duration) (Sample, error) {
	return s.run(ctx, Plan{Connections: 1, Round: duration}, operation, 1, p)
}
