// Command benchtable reads the output of several rounds of BenchmarkPeers and prints a
// Markdown table for each link: medians, and the medians of the ratios within each round.
// Of BenchmarkGrowth it prints what an operation costs at each number of sessions.
//
// A round runs the peers one right after the other, so that a ratio compares what the
// machine did at about the same time; single figures of a busy machine do not compare.
package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
)

func main() {
	if err := run(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "benchtable:", err)
		os.Exit(1)
	}
}

func run(r io.Reader, w io.Writer) error {
	lines, err := readLines(r)
	if err != nil {
		return err
	}
	peers, growth := comparisons(lines), growths(lines)
	if len(peers)+len(growth) == 0 {
		return errors.New("no line of BenchmarkPeers or BenchmarkGrowth in the input")
	}
	out := bufio.NewWriter(w)
	writeComparisons(out, peers)
	if len(peers) > 0 && len(growth) > 0 {
		fmt.Fprintln(out)
	}
	writeGrowth(out, growth)
	return out.Flush()
}
