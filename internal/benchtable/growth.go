package main

import (
	"fmt"
	"io"
	"slices"
	"strconv"
)

// Names in BenchmarkGrowth.
const (
	growthBenchmark = "BenchmarkGrowth"
	server          = "server" // its own single statement
	costUnit        = "ns/op"
)

// sides are whose costs a table has beside one another.
var sides = []string{ours, server}

// growth collects every round of one operation at every number of sessions.
type growth struct {
	operation, variant string                       // such as "get", "callers=64"
	rounds             map[int]map[string][]figures // by number of sessions and by side
}

// growths takes the results in the order in which they first appear.
func growths(lines []line) []*growth {
	var results []*growth
	for _, l := range lines {
		if len(l.path) != 6 || l.path[0] != growthBenchmark {
			continue
		}
		text, _ := setting(l.path[1], "sessions")
		sessions, err := strconv.Atoi(text)
		if err != nil {
			continue
		}
		// What comes between them is the round.
		operation, variant, side := l.path[3], l.path[4], l.path[5]
		at := slices.IndexFunc(results, func(g *growth) bool { return g.operation == operation && g.variant == variant })
		if at < 0 {
			at = len(results)
			results = append(results, &growth{operation, variant, make(map[int]map[string][]figures)})
		}
		g := results[at]
		if g.rounds[sessions] == nil {
			g.rounds[sessions] = make(map[string][]figures)
		}
		g.rounds[sessions][side] = append(g.rounds[sessions][side], l.figures)
	}
	return results
}

// writeGrowth writes the costs at each size, and then what they are against the smallest
// one's.
func writeGrowth(w io.Writer, results []*growth) {
	if len(results) == 0 {
		return
	}
	var sizes []int
	for _, g := range results {
		for size := range g.rounds {
			if !slices.Contains(sizes, size) {
				sizes = append(sizes, size)
			}
		}
	}
	slices.Sort(sizes)
	columns := []string{"operation", "with"}
	for _, size := range sizes {
		columns = append(columns, fmt.Sprintf("%d: ours", size), "server")
	}
	for _, size := range sizes[1:] {
		columns = append(columns, fmt.Sprintf("%d against %d: ours", size, sizes[0]), "server")
	}
	fmt.Fprint(w, "Time for each operation by the number of sessions, here and as the server's own single statement:\n\n")
	writeRow(w, columns)
	writeRow(w, slices.Repeat([]string{"---"}, len(columns)))
	for _, g := range results {
		writeRow(w, g.row(sizes))
	}
}

// row is a line of the table.
func (g *growth) row(sizes []int) []string {
	cells := []string{g.operation, g.variant}
	for _, size := range sizes {
		for _, side := range sides {
			cells = append(cells, cost(g.rounds[size][side]))
		}
	}
	for _, size := range sizes[1:] {
		for _, side := range sides {
			cells = append(cells, grown(g.rounds[size][side], g.rounds[sizes[0]][side]))
		}
	}
	return cells
}

func cost(rounds []figures) string {
	if len(rounds) == 0 {
		return "-"
	}
	return fmt.Sprintf("%.1f µs", median(rounds, costUnit)/1e3)
}

// grown is one cost against another. The rounds at two sizes were not made side by side:
// it is the ratio of the medians.
func grown(rounds, from []figures) string {
	base := median(from, costUnit)
	if len(rounds) == 0 || base == 0 {
		return "-"
	}
	return fmt.Sprintf("%.2f", median(rounds, costUnit)/base)
}
