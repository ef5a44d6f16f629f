package main

import (
	"bufio"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
)

// figures are one line's, by unit.
type figures map[string]float64

// line is a line of a benchmark.
type line struct {
	path []string // its name's parts
	figures
}

// readLines takes the benchmarks' lines out of what else there is.
func readLines(r io.Reader) ([]line, error) {
	var lines []line
	scanner := bufio.NewScanner(r)
	for scanner.Scan() {
		fields := strings.Fields(scanner.Text())
		if len(fields) < 4 || !strings.HasPrefix(fields[0], "Benchmark") {
			continue
		}
		l := line{path: strings.Split(withoutCPUs(fields[0]), "/"), figures: make(figures)}
		for i := 2; i+1 < len(fields); i += 2 {
			value, err := strconv.ParseFloat(fields[i], 64)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", fields[0], err)
			}
			l.figures[fields[i+1]] = value
		}
		lines = append(lines, l)
	}
	return lines, scanner.Err()
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

// setting is what a part of a name says of something: 64 of "callers=64".
func setting(part, of string) (string, bool) {
	name, value, ok := strings.Cut(part, "=")
	return value, ok && name == of
}

// median is that of one figure over the rounds.
func median(rounds []figures, unit string) float64 {
	values := make([]float64, 0, len(rounds))
	for _, f := range rounds {
		values = append(values, f[unit])
	}
	return middle(values)
}

// ratio is the median, over the rounds, of one figure against the other's; false if no
// round has both.
func ratio(of, to []figures, unit string) (float64, bool) {
	var values []float64
	for i := range min(len(of), len(to)) {
		if to[i][unit] > 0 {
			values = append(values, of[i][unit]/to[i][unit])
		}
	}
	return middle(values), len(values) > 0
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
