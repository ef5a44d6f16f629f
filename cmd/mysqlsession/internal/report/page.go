package report

import (
	_ "embed" // of the page
	"fmt"
	"html/template"
	"io"

	"github.com/mysqlsession/mysqlsession/cmd/mysqlsession/internal/measure"
)

//go:embed page.html
var pageText string

// page is what the template is filled with.
type page struct {
	*Report
	Table    [][]string
	Sections []section
}

// section is the charts of one operation.
type section struct {
	Operation string
	Charts    []template.HTML
}

// WriteHTML writes the report as one page that needs nothing else: no script, no font, no
// request. It prints on A4.
func (r *Report) WriteHTML(w io.Writer) error {
	parsed, err := template.New("page").Parse(pageText)
	if err != nil {
		return err
	}
	filled := page{Report: r, Table: r.table()}
	for _, operation := range r.Plan.Operations {
		s, err := r.section(operation)
		if err != nil {
			return err
		}
		filled.Sections = append(filled.Sections, s)
	}
	return parsed.Execute(w, filled)
}

func (r *Report) section(operation string) (section, error) {
	s := section{Operation: operation}
	lines := r.linesOf(operation)
	if len(lines) == 0 {
		return s, fmt.Errorf("report: nothing was measured of %s", operation)
	}
	charts := []*chart{
		r.againstCallers(operation, "throughput", "operations in a second", func(f measure.Figures) (float64, []float64) {
			return f.Throughput, f.Throughputs
		}),
		r.againstCallers(operation, "99th percentile of latency", "milliseconds", func(f measure.Figures) (float64, []float64) {
			return f.P99 / 1e3, nil
		}),
	}
	if line := mostTelling(lines); len(line.Ours.Curve) > 1 && len(line.Theirs.Curve) > 1 {
		charts = append(charts, distribution(line))
	}
	charts[1].logY = true
	for _, c := range charts {
		drawn, err := c.svg()
		if err != nil {
			return s, err
		}
		s.Charts = append(s.Charts, template.HTML(drawn)) // ours, with all texts escaped
	}
	return s, nil
}

// tellingCallers is the number of callers at which a distribution says most: more than there
// are connections, and not so many that all is queue.
const tellingCallers = 64

// mostTelling is the line whose distribution is shown: with the most callers up to that.
func mostTelling(lines []measure.Line) measure.Line {
	best := lines[0]
	for _, line := range lines {
		if line.Callers <= tellingCallers && (line.Callers > best.Callers || best.Callers > tellingCallers) {
			best = line
		}
	}
	return best
}
