// Package report shows what was measured: as a table for a terminal, as a page for reading
// and printing, and as JSON.
package report

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
	"unicode/utf8"

	"github.com/mysqlsession/mysqlsession/cmd/mysqlsession/internal/measure"
)

// Report is a comparison of this library with database/sql.
type Report struct {
	Environment measure.Environment `json:"environment"`
	Workload    measure.Workload    `json:"workload"`
	Plan        measure.Plan        `json:"plan"`
	Lines       []measure.Line      `json:"lines"`
}

// noisy is from which difference between two runs of the same peer on a machine is called so.
const noisy = 0.05

// Noise is by how much two runs of the same peer differed, the median of all lines.
func (r *Report) Noise() float64 {
	var all []float64
	for _, line := range r.Lines {
		all = append(all, line.Verdict.Noise)
	}
	if len(all) == 0 {
		return 0
	}
	slices.Sort(all)
	return all[len(all)/2]
}

// Undecided is on how many lines nothing can be concluded.
func (r *Report) Undecided() (count int) {
	for _, line := range r.Lines {
		if line.Verdict.Conclusion == measure.NoDecision {
			count++
		}
	}
	return count
}

// Summary says in sentences what can be concluded, and what cannot.
func (r *Report) Summary() []string {
	var said []string
	switch undecided := r.Undecided(); undecided {
	case 0:
		said = append(said, fmt.Sprintf("Each of the %d lines has a conclusion.", len(r.Lines)))
	case len(r.Lines):
		said = append(said, "NOTHING CAN BE CONCLUDED from these measurements, on any line; the last column says why.")
	default:
		said = append(said, fmt.Sprintf("NOTHING CAN BE CONCLUDED on %d of %d lines; the last column says why.", undecided, len(r.Lines)))
	}
	noise := r.Noise()
	said = append(said, fmt.Sprintf("Control: two runs of the same, one right after the other, differed by %s (the median).", percent(noise)))
	if noise > noisy {
		said = append(said, fmt.Sprintf("THE MACHINE WAS NOISY: on a typical line what is less than %.1f times as fast cannot be told from chance. "+
			"End what else runs, or take more and longer rounds.", math.Pow(1+noise, 4)))
	}
	return said
}

// Method says how it was measured, in two sentences.
func (r *Report) Method() string {
	return fmt.Sprintf("Callers make one call after another on %d sessions of %d bytes, through %d connections of each library; "+
		"every line is %d pairs of runs of %v, in the order A B B A, after a warm-up that does not count. "+
		"Throughputs are medians of the runs, the ratio is the median of the pairs with its %.0f %% interval, "+
		"and neighbouring runs of the same library are the control.",
		r.Workload.Sessions, r.Workload.ValueSize, r.Plan.Connections, r.Plan.Rounds, r.Plan.Round, 95.0)
}

// Machine says on what it was measured.
func (r *Report) Machine() [][2]string {
	e := r.Environment
	processor := e.Processor
	if processor == "" {
		processor = e.System
	}
	flush := "every commit is safe on disk"
	if e.Server.Flush != "1" {
		flush = "commits are not safe on disk at once (innodb_flush_log_at_trx_commit = " + e.Server.Flush + ")"
	}
	said := [][2]string{
		{"Machine", fmt.Sprintf("%s, %s, for the callers", processor, counted(e.Cores, "core"))},
		{"Server", e.Server.Version + "; " + flush},
		{"Where", e.Where},
		{"Software", fmt.Sprintf("%s on %s, %s", e.Go, e.System, e.Driver)},
		{"When", e.When.Format(time.RFC1123)},
	}
	if slices.Contains(r.Plan.Operations, measure.Mixed) {
		said = append(said, [2]string{"Mixed", fmt.Sprintf("is %.0f %% get, the others set", 100*r.Workload.ReadShare)})
	}
	return said
}

// WriteText writes the report for a terminal.
func (r *Report) WriteText(w io.Writer) error {
	var b strings.Builder
	for _, part := range r.Machine() {
		fmt.Fprintf(&b, "%-9s %s\n", part[0], part[1])
	}
	fmt.Fprintf(&b, "\n%s\n\n", wrap(r.Method(), textWidth))
	table := tabwriter.NewWriter(&b, 0, 0, 2, ' ', tabwriter.AlignRight)
	for _, row := range r.table() {
		// The last column is to the left.
		fmt.Fprintf(table, "%s\t  %s\n", strings.Join(row[:len(row)-1], "\t"), row[len(row)-1])
	}
	_ = table.Flush() // to memory
	b.WriteByte('\n')
	for _, sentence := range r.Summary() {
		b.WriteString(wrap(sentence, textWidth) + "\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// table is the lines' figures as text, with a head.
func (r *Report) table() [][]string {
	rows := [][]string{{
		"callers", "operation", "ours ops/s", "database/sql ops/s", "ratio", "95 % interval",
		"p50 of both", "p99 of both", "control", "verdict",
	}}
	for _, line := range r.Lines {
		v := line.Verdict
		rows = append(rows, []string{
			fmt.Sprint(line.Callers), line.Operation,
			fmt.Sprintf("%.0f", line.Ours.Throughput), fmt.Sprintf("%.0f", line.Theirs.Throughput),
			fmt.Sprintf("%.2f", v.Ratio), fmt.Sprintf("%.2f-%.2f", v.Low, v.High),
			latency(line.Ours.P50) + " / " + latency(line.Theirs.P50),
			latency(line.Ours.P99) + " / " + latency(line.Theirs.P99),
			"±" + percent(v.Noise), v.String(),
		})
	}
	return rows
}

// WriteJSON writes all figures.
func (r *Report) WriteJSON(w io.Writer) error {
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	return encoder.Encode(struct {
		*Report
		Noise     float64  `json:"noise"`
		Undecided int      `json:"undecided"`
		Summary   []string `json:"summary"`
	}{r, r.Noise(), r.Undecided(), r.Summary()})
}

// textWidth is how long a line of text is for a terminal.
const textWidth = 100

// wrap breaks text into lines at its spaces.
func wrap(text string, width int) string {
	var b strings.Builder
	length := 0
	for word := range strings.FieldsSeq(text) {
		switch size := utf8.RuneCountInString(word); {
		case length == 0:
			length = size
		case length+1+size > width:
			b.WriteByte('\n')
			length = size
		default:
			b.WriteByte(' ')
			length += 1 + size
		}
		b.WriteString(word)
	}
	return b.String()
}

// latency is microseconds, for people.
func latency(micros float64) string {
	switch {
	case micros < 1000:
		return fmt.Sprintf("%.0f µs", micros)
	case micros < 10_000:
		return fmt.Sprintf("%.2f ms", micros/1000)
	case micros < 1_000_000:
		return fmt.Sprintf("%.0f ms", micros/1000)
	default:
		return fmt.Sprintf("%.1f s", micros/1e6)
	}
}

func percent(share float64) string {
	if share < 0.1 {
		return fmt.Sprintf("%.1f %%", 100*share)
	}
	return fmt.Sprintf("%.0f %%", 100*share)
}

func counted(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
