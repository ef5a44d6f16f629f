package report

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/mysqlsession/mysqlsession/cmd/mysqlsession/internal/measure"
	"github.com/mysqlsession/mysqlsession/cmd/mysqlsession/internal/tuning"
)

// Tuned is what a search for a configuration has found.
type Tuned struct {
	Environment measure.Environment `json:"environment"`
	*tuning.Result
}

// leastSlow is how many requests must be slower than a percentile for it to say something.
const leastSlow = 5

// WriteText writes it for a terminal: what was measured, then what follows from it.
func (t *Tuned) WriteText(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "Target    %s\nServer    %s, %s\nCallers   %s, %s\n", t.Options.Target, t.Environment.Server.Version, t.Environment.Where,
		counted(t.Environment.Cores, "core"), t.Environment.Go)
	fmt.Fprintf(&b, "Requests  %.0f %% reads, %d bytes, arriving independently of answers, latency from when they were due\n",
		100*t.Workload.ReadShare, t.Workload.ValueSize)
	fmt.Fprintf(&b, "Alone     get %s, set %s (medians)\n\n", latency(t.Floor.GetP50), latency(t.Floor.SetP50))
	t.writeTrials(&b)
	for _, doubt := range t.Doubts() {
		b.WriteString("\n" + wrap(doubt, textWidth) + "\n")
	}
	b.WriteString("\n" + wrap(t.Conclusion(), textWidth) + "\n")
	if t.Met {
		if err := t.writeAdvice(&b); err != nil {
			return err
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func (t *Tuned) writeTrials(b *strings.Builder) {
	table := tabwriter.NewWriter(b, 0, 0, 2, ' ', tabwriter.AlignRight)
	percentile := fmt.Sprintf("p%v", t.Options.Target.Percentile)
	fmt.Fprintf(table, "connections\trequests/s\tanswered/s\tp50\t%s\tlongest\tfailed\twaiting\tsent late\tmet\t  for\n", percentile)
	for _, trial := range t.Trials {
		at, met := "-", "no"
		if trial.AtPercentile != nil {
			at = latency(*trial.AtPercentile)
		}
		if trial.Met {
			met = "yes"
		}
		fmt.Fprintf(table, "%d\t%.0f\t%.0f\t%s\t%s\t%s\t%d\t%d\t%s\t%s\t  %s\n", trial.PoolSize, trial.Rate, trial.Achieved,
			latency(trial.P50), at, latency(trial.Longest), trial.Failed, trial.Waiting, latency(trial.Late), met, trial.Purpose)
	}
	_ = table.Flush() // to memory
}

// Conclusion says whether the target is met, and what is if not.
func (t *Tuned) Conclusion() string {
	target := t.Options.Target
	if t.Met {
		result := t.Trials[len(t.Trials)-1]
		said := fmt.Sprintf("The target is met: with what follows p%v is %s at %.0f requests/s", target.Percentile, latency(*result.AtPercentile), result.Rate)
		if before := t.spoilt(); before > 0 {
			said += fmt.Sprintf(", in the last of %d measurements; in the others this machine was itself late", before+1)
		}
		return said + "."
	}
	said := fmt.Sprintf("THE TARGET IS NOT MET (%s) by any pool that was tried, of up to %d connections. Nothing is recommended.", target, t.largest())
	if t.OutOfTime {
		said = fmt.Sprintf("THE TARGET IS NOT MET (%s) within the time; --limit gives more than %v. Nothing is recommended.", target, t.Options.Limit)
	}
	switch {
	case t.Reached != nil:
		said += fmt.Sprintf(" What was reached: p%v is %s at %.0f requests/s with %s.", target.Percentile, latency(*t.Reached.AtPercentile),
			t.Reached.Rate, counted(t.Reached.PoolSize, "connection"))
	case t.Floor.GetP50 > micros(target.Latency) || t.Workload.ReadShare < 1 && t.Floor.SetP50 > micros(target.Latency):
		said += fmt.Sprintf(" It cannot be met at any rate: one caller alone needs %s for a get and %s for a set (medians).", latency(t.Floor.GetP50), latency(t.Floor.SetP50))
	default:
		said += " It was met at no lower rate that was tried, either."
	}
	return said
}

// spoilt is how many measurements of the recommendation failed before the one that counts.
func (t *Tuned) spoilt() (count int) {
	last := t.Trials[len(t.Trials)-1]
	for _, trial := range t.Trials[:len(t.Trials)-1] {
		if trial.Purpose == last.Purpose && trial.PoolSize == last.PoolSize {
			count++
		}
	}
	return count
}

func (t *Tuned) largest() (size int) {
	for _, trial := range t.Trials {
		size = max(size, trial.PoolSize)
	}
	return size
}

// Doubts says why the measurements may mislead.
func (t *Tuned) Doubts() (said []string) {
	target := t.Options.Target
	var late float64
	least, doubtful := int64(-1), 0
	for _, trial := range t.Trials {
		if late = max(late, trial.Late); trial.Doubtful(target) {
			doubtful++
		}
		if least < 0 || trial.Requests < least {
			least = trial.Requests
		}
	}
	if doubtful > 0 {
		said = append(said, fmt.Sprintf("THIS MACHINE WAS ITSELF LATE in %d of %d measurements: it sent requests up to %s after they were due (p%v), "+
			"which is in the latencies. On a quieter one the target may be met by less.", doubtful, len(t.Trials), latency(late), target.Percentile))
	}
	if slow := float64(least) * (100 - target.Percentile) / 100; least >= 0 && slow < leastSlow {
		said = append(said, fmt.Sprintf("FEW REQUESTS: a measurement had only %d of them, so p%v rests on the %.1f slowest. "+
			"More time (--limit) makes it more certain.", least, target.Percentile, slow))
	}
	return said
}

// writeAdvice writes each setting with its reason, and the whole as code and as a DSN.
func (t *Tuned) writeAdvice(b *strings.Builder) error {
	for _, advice := range t.Advice {
		fmt.Fprintf(b, "\n%s = %s\n    %s\n", advice.Field, advice.Value, strings.ReplaceAll(wrap(advice.Because, textWidth-4), "\n", "\n    "))
	}
	code, err := t.GoCode()
	if err != nil {
		return err
	}
	dsn, err := t.DSN()
	if err != nil {
		return err
	}
	each := ""
	if t.Options.Instances > 1 {
		each = fmt.Sprintf(", for each of the %d instances", t.Options.Instances)
	}
	fmt.Fprintf(b, "\nAs Go code%s:\n\n%s\nAs a DSN, to which the password has to be added:\n\n%s\n", each, code, dsn)
	return nil
}

// WriteJSON writes all figures, and the recommendation.
func (t *Tuned) WriteJSON(w io.Writer) error {
	all := struct {
		*Tuned
		Conclusion string   `json:"conclusion"`
		Doubts     []string `json:"doubts"`
		Code       string   `json:"go,omitempty"`
		DSN        string   `json:"dsn,omitempty"`
	}{Tuned: t, Conclusion: t.Conclusion(), Doubts: t.Doubts()}
	if t.Met {
		var err error
		if all.Code, err = t.GoCode(); err != nil {
			return err
		}
		if all.DSN, err = t.DSN(); err != nil {
			return err
		}
	}
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	encoder.SetEscapeHTML(false) // of "&" in the DSN
	return encoder.Encode(all)
}

func micros(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1e3 }
