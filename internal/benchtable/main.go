// Command benchtable reads the output of several rounds of BenchmarkPeers and prints one
// Markdown table: medians, and the medians of the ratios within each round.
//
// A round runs the peers one right after the other, so that a ratio compares what the
// machine did at about the same time; single figures of a busy machine do not compare.
package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
)

// Names in BenchmarkPeers.
const (
	benchmark = "BenchmarkPeers/"
	ours      = "mysqlsession"
)

// figures are one line's, by unit.
type figures map[string]float64

// result collects every round of one operation with so many callers, by peer.
type result struct {
	operation, callers string
	rounds             map[string][]figures
}

func main() {
	results, err := read(os.Stdin)
	if err == nil && len(results) == 0 {
		err = fmt.Errorf("no line of %s in the input", benchmark)
	}
	if err == nil {
		err = write(os.Stdout, results)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "benchtable:", err)
		os.Exit(1)
	}
}

// read takes the results in the order in which they first appear.
func read(r io.Reader) ([]*result, error) {
	var results []*result
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) < 4 || !strings.HasPrefix(fields[0], benchmark) {
			continue
		}
		path := strings.Split(strings.TrimPrefix(fields[0], benchmark), "/")
		if len(path) != 3 {
			continue
		}
		operation, callers, peer := path[0], strings.TrimPrefix(path[1], "callers="), withoutCPUs(path[2])
		at := slices.IndexFunc(results, func(x *result) bool { return x.operation == operation && x.callers == callers })
		if at < 0 {
			at = len(results)
			results = append(results, &result{operation: operation, callers: callers, rounds: make(map[string][]figures)})
		}
		line := make(figures)
		for i := 2; i+1 < len(fields); i += 2 {
			value, err := strconv.ParseFloat(fields[i], 64)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", fields[0], err)
			}
			line[fields[i+1]] = value
		}
		results[at].rounds[peer] = append(results[at].rounds[peer], line)
	}
	return results, lines.Err()
}

// withoutCPUs cuts the "-2" that the testing package adds for GOMAXPROCS.
func withoutCPUs(name string) string {
	if i := strings.LastIndexByte(name, '-'); i >= 0 {
		if _, err := strconv.Atoi(name[i+1:]); err == nil {
			return name[:i]
		}
	}
	return name
}

func write(w io.Writer, results []*result) error {
	peers := []string{"sql-prepared", "sql-interpolated", "go-mysql"}
	out := bufio.NewWriter(w)
	fmt.Fprintf(out, "| operation | callers | ops/s | p50 | p99 | allocations | ×%s | ×%s | ×%s | p99 against %s |\n", peers[0], peers[1], peers[2], peers[0])
	fmt.Fprintln(out, "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |")
	for _, r := range results {
		own := r.rounds[ours]
		fmt.Fprintf(out, "| %s | %s | %.0f | %.0f µs | %.0f µs | %.0f |", r.operation, r.callers,
			median(own, "ops/s"), median(own, "p50-us"), median(own, "p99-us"), median(own, "allocs/op"))
		for _, peer := range peers {
			fmt.Fprintf(out, " %s |", ratio(own, r.rounds[peer], "ops/s"))
		}
		fmt.Fprintf(out, " %s |\n", ratio(own, r.rounds[peers[0]], "p99-us"))
	}
	return out.Flush()
}

func median(rounds []figures, unit string) float64 {
	values := make([]float64, 0, len(rounds))
	for _, f := range rounds {
		values = append(values, f[unit])
	}
	return middle(values)
}

// ratio is the median, over the rounds, of ours against the peer's.
func ratio(own, peer []figures, unit string) string {
	var values []float64
	for i := range min(len(own), len(peer)) {
		if peer[i][unit] > 0 {
			values = append(values, own[i][unit]/peer[i][unit])
		}
	}
	if len(values) == 0 {
		return "-"
	}
	return fmt.Sprintf("%.2f", middle(values))
}

func middle(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	slices.Sort(values)
	if n := len(values); n%2 == 0 {
		return (values[n/2-1] + values[n/2]) / 2
	}
	return values[len(values)/2]
}
