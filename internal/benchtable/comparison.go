package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
)

// Names in BenchmarkPeers.
const (
	peersBenchmark = "BenchmarkPeers"
	ceilingPart    = "ceiling"
	ours           = "mysqlsession"
	prepared       = "sql-prepared"
	manyConns      = "sql-prepared-64conns" // where the server is far away only
)

// against are the peers that a table has our throughput's ratio to.
var against = []string{prepared, "sql-interpolated", "go-mysql", "coalescing-off"}

// comparison collects every round of one operation on one link with so many callers.
type comparison struct {
	link, operation, callers string

	rounds  map[string][]figures // by peer
	ceiling *ceiling
}

// ceiling collects the rounds of one operation on one link, by the size of the statements.
type ceiling struct {
	link, operation string
	rounds          map[string][]figures
}

// best is each round's best size.
func (c *ceiling) best() []figures {
	var best []figures
	for _, rounds := range c.rounds {
		for i, f := range rounds {
			if i == len(best) {
				best = append(best, f)
			} else if f["ops/s"] > best[i]["ops/s"] {
				best[i] = f
			}
		}
	}
	return best
}

// comparisons takes the results in the order in which they first appear.
func comparisons(lines []line) []*comparison {
	var results []*comparison
	var ceilings []*ceiling
	for _, l := range lines {
		if len(l.path) != 5 || l.path[0] != peersBenchmark {
			continue
		}
		link, operation, peer := l.path[1], l.path[2], l.path[4]
		top := slices.IndexFunc(ceilings, func(c *ceiling) bool { return c.link == link && c.operation == operation })
		if top < 0 {
			top = len(ceilings)
			ceilings = append(ceilings, &ceiling{link, operation, make(map[string][]figures)})
		}
		if l.path[3] == ceilingPart {
			ceilings[top].rounds[peer] = append(ceilings[top].rounds[peer], l.figures)
			continue
		}
		callers, ok := setting(l.path[3], "callers")
		if !ok {
			continue
		}
		at := slices.IndexFunc(results, func(r *comparison) bool {
			return r.link == link && r.operation == operation && r.callers == callers
		})
		if at < 0 {
			at = len(results)
			results = append(results, &comparison{link, operation, callers, make(map[string][]figures), ceilings[top]})
		}
		results[at].rounds[peer] = append(results[at].rounds[peer], l.figures)
	}
	return results
}

// writeComparisons writes one table for each link.
func writeComparisons(w io.Writer, results []*comparison) {
	var links []string
	for _, r := range results {
		if !slices.Contains(links, r.link) {
			links = append(links, r.link)
		}
	}
	for i, link := range links {
		if i > 0 {
			fmt.Fprintln(w)
		}
		own := slices.DeleteFunc(slices.Clone(results), func(r *comparison) bool { return r.link != link })
		writeLink(w, link, own)
	}
}

func writeLink(w io.Writer, link string, results []*comparison) {
	peers := slices.Clone(against)
	if slices.ContainsFunc(results, func(r *comparison) bool { return len(r.rounds[manyConns]) > 0 }) {
		peers = append(peers, manyConns)
	}
	columns := []string{"operation", "callers", "ops/s", "p50", "p99", "CPU", "allocations"}
	for _, peer := range peers {
		columns = append(columns, "×"+peer)
	}
	columns = append(columns, "of ceiling", "p99 against "+prepared, "CPU against "+prepared, "unfairness")
	fmt.Fprintf(w, "Link %s:\n\n", link)
	writeRow(w, columns)
	writeRow(w, slices.Repeat([]string{"---"}, len(columns)))
	for _, r := range results {
		writeRow(w, r.row(peers))
	}
}

// row is a line of the table.
func (r *comparison) row(peers []string) []string {
	own := r.rounds[ours]
	cells := []string{
		r.operation, r.callers,
		fmt.Sprintf("%.0f", median(own, "ops/s")),
		fmt.Sprintf("%.0f µs", median(own, "p50-us")),
		fmt.Sprintf("%.0f µs", median(own, "p99-us")),
		fmt.Sprintf("%.1f µs", median(own, "cpu-us/op")),
		fmt.Sprintf("%.0f", median(own, "allocs/op")),
	}
	for _, peer := range peers {
		cells = append(cells, times(own, r.rounds[peer], "ops/s"))
	}
	share := "-"
	if part, ok := ratio(own, r.ceiling.best(), "ops/s"); ok {
		share = fmt.Sprintf("%.0f %%", 100*part)
	}
	return append(cells, share, times(own, r.rounds[prepared], "p99-us"), times(own, r.rounds[prepared], "cpu-us/op"),
		fmt.Sprintf("%.2f", median(own, "unfair")))
}

// times is a ratio as it is printed.
func times(of, to []figures, unit string) string {
	value, ok := ratio(of, to, unit)
	if !ok {
		return "-"
	}
	return fmt.Sprintf("%.2f", value)
}

func writeRow(w io.Writer, cells []string) { fmt.Fprintf(w, "| %s |\n", strings.Join(cells, " | ")) }
