package report

import (
	"bytes"
	"fmt"
	"html"
	"image/color"
	"math"
	"slices"
	"strconv"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"

	"github.com/mysqlsession/mysqlsession/cmd/mysqlsession/internal/measure"
)

// The size of a chart: two of them side by side fill the width of an A4 page.
const (
	chartWidth  = 9 * vg.Centimeter
	chartHeight = 6.6 * vg.Centimeter
)

// series is a line of a chart.
type series struct {
	name   string
	points plotter.XYs
	ranges [][2]float64 // of each point's rounds; nil: none
}

// style tells series apart on paper without colours: by line and by marker.
type style struct {
	colour color.Color
	dashes []vg.Length
	marker draw.GlyphDrawer
}

var styles = []style{
	{color.RGBA{R: 0x0b, G: 0x3d, B: 0x91, A: 0xff}, nil, draw.CircleGlyph{}},
	{color.RGBA{R: 0xb4, G: 0x50, B: 0x00, A: 0xff}, []vg.Length{vg.Points(5), vg.Points(3)}, draw.BoxGlyph{}},
}

// chart is a picture of series.
type chart struct {
	title, x, y string
	alt         string
	series      []series
	xTicks      plot.ConstantTicks
	logX, logY  bool
}

// svg draws it, as an element for a page.
func (c *chart) svg() (string, error) {
	p := plot.New()
	p.Title.Text, p.X.Label.Text, p.Y.Label.Text = c.title, c.x, c.y
	for _, text := range []*font.Font{&p.Title.TextStyle.Font, &p.X.Label.TextStyle.Font, &p.Y.Label.TextStyle.Font,
		&p.X.Tick.Label.Font, &p.Y.Tick.Label.Font, &p.Legend.TextStyle.Font} {
		text.Variant, text.Size = "Sans", vg.Points(8)
	}
	p.Title.TextStyle.Font.Size = vg.Points(10)
	p.Title.Padding, p.Legend.Padding = vg.Points(6), vg.Points(2)
	p.Legend.Top, p.Legend.Left = true, true
	p.Legend.ThumbnailWidth = vg.Points(26)
	grid := plotter.NewGrid()
	grid.Vertical.Color, grid.Horizontal.Color = color.Gray{Y: 0xdd}, color.Gray{Y: 0xdd}
	p.Add(grid)
	for i, s := range c.series {
		if err := addSeries(p, s, styles[i%len(styles)]); err != nil {
			return "", fmt.Errorf("chart %q: %w", c.title, err)
		}
	}
	c.scale(p)
	canvas := vgsvg.New(chartWidth, chartHeight)
	p.Draw(draw.New(canvas))
	var drawn bytes.Buffer
	if _, err := canvas.WriteTo(&drawn); err != nil {
		return "", err
	}
	return c.element(drawn.String())
}

// addSeries adds a line with markers, and what its rounds ranged over as bars.
func addSeries(p *plot.Plot, s series, look style) error {
	line, points, err := plotter.NewLinePoints(s.points)
	if err != nil {
		return err
	}
	line.Color, line.Width, line.Dashes = look.colour, vg.Points(1.4), look.dashes
	points.Color, points.Shape, points.Radius = look.colour, look.marker, vg.Points(2.6)
	p.Add(line, points)
	p.Legend.Add(s.name, line, points)
	if s.ranges == nil {
		return nil
	}
	errors := make(plotter.YErrors, len(s.points))
	for i, r := range s.ranges {
		errors[i].Low, errors[i].High = s.points[i].Y-r[0], r[1]-s.points[i].Y
	}
	bars, err := plotter.NewYErrorBars(struct {
		plotter.XYs
		plotter.YErrors
	}{s.points, errors})
	if err != nil {
		return err
	}
	bars.Color, bars.CapWidth = look.colour, vg.Points(4)
	p.Add(bars)
	return nil
}

// scale sets the axes. A logarithmic one has room at both ends.
func (c *chart) scale(p *plot.Plot) {
	if c.logX {
		p.X.Scale = plot.LogScale{}
		p.X.Min, p.X.Max = p.X.Min/1.3, p.X.Max*1.3
	}
	if c.xTicks != nil {
		p.X.Tick.Marker = c.xTicks
	}
	if c.logY {
		p.Y.Scale = plot.LogScale{}
		p.Y.Min, p.Y.Max = p.Y.Min/1.5, p.Y.Max*4 // the legend is at the top
		p.Y.Tick.Marker = decades{}
		return
	}
	p.Y.Min, p.Y.Max = 0, p.Y.Max*1.3
	p.Y.Tick.Marker = plain{}
}

// element makes of a document an element with a text for those who do not see it.
func (c *chart) element(document string) (string, error) {
	_, rest, ok := strings.Cut(document, "<svg ")
	if !ok {
		return "", fmt.Errorf("chart %q: the drawing has no svg element", c.title)
	}
	// The drawing names a font that few machines have.
	rest = strings.ReplaceAll(rest, "font-family:Liberation Sans;", "font-family:Liberation Sans,Arial,Helvetica,sans-serif;")
	return fmt.Sprintf(`<svg role="img" aria-label="%s" %s`, html.EscapeString(c.alt), rest), nil
}

// plain has numbers of thousands written out.
type plain struct{}

// Ticks are the marks between two values.
func (plain) Ticks(low, high float64) []plot.Tick {
	ticks := plot.DefaultTicks{}.Ticks(low, high)
	for i := range ticks {
		if ticks[i].Label != "" {
			ticks[i].Label = strconv.FormatFloat(ticks[i].Value, 'f', -1, 64)
		}
	}
	return ticks
}

// decades marks 1, 2 and 5 of each power of ten.
type decades struct{}

// Ticks are the marks between two values.
func (decades) Ticks(low, high float64) (ticks []plot.Tick) {
	for power := math.Pow(10, math.Floor(math.Log10(low))); power <= high; power *= 10 {
		for _, digit := range []float64{1, 2, 5} {
			if value := digit * power; value >= low && value <= high {
				ticks = append(ticks, plot.Tick{Value: value, Label: strconv.FormatFloat(value, 'f', -1, 64)})
			}
		}
	}
	return ticks
}

// linesOf are the lines of an operation.
func (r *Report) linesOf(operation string) (lines []measure.Line) {
	for _, line := range r.Lines {
		if line.Operation == operation {
			lines = append(lines, line)
		}
	}
	return lines
}

// againstCallers is a chart of something of an operation against the number of callers.
func (r *Report) againstCallers(operation, what, unit string, of func(f measure.Figures) (value float64, rounds []float64)) *chart {
	c := &chart{
		title: operation + ": " + what, x: "callers", y: unit, logX: true,
		series: []series{{name: measure.Ours}, {name: measure.Theirs}},
	}
	var said []string
	for _, line := range r.linesOf(operation) {
		x := float64(line.Callers)
		c.xTicks = append(c.xTicks, plot.Tick{Value: x, Label: fmt.Sprint(line.Callers)})
		values := make([]float64, len(c.series))
		for i, f := range []measure.Figures{line.Ours, line.Theirs} {
			value, rounds := of(f)
			values[i] = value
			s := &c.series[i]
			s.points = append(s.points, plotter.XY{X: x, Y: value})
			if rounds != nil {
				s.ranges = append(s.ranges, [2]float64{slices.Min(rounds), slices.Max(rounds)})
			}
		}
		said = append(said, fmt.Sprintf("with %s %s and %s", counted(line.Callers, "caller"), spoken(values[0]), spoken(values[1])))
	}
	c.alt = fmt.Sprintf("%s of %s in %s, %s and %s: %s.", what, operation, unit, measure.Ours, measure.Theirs, strings.Join(said, "; "))
	return c
}

// spoken is a number without an exponent.
func spoken(value float64) string {
	if value >= 100 {
		return strconv.FormatFloat(value, 'f', 0, 64)
	}
	return strconv.FormatFloat(value, 'g', 3, 64)
}

// distribution is a chart of all latencies of a line.
func distribution(line measure.Line) *chart {
	c := &chart{
		title: fmt.Sprintf("%s: latency distribution, %s", line.Operation, counted(line.Callers, "caller")),
		x:     "share of calls that are faster", y: "milliseconds", logY: true,
	}
	for _, tick := range []float64{0, 50, 90, 99, 99.9, 99.99} {
		c.xTicks = append(c.xTicks, plot.Tick{Value: nines(tick), Label: strconv.FormatFloat(tick, 'g', -1, 64) + " %"})
	}
	for i, f := range []measure.Figures{line.Ours, line.Theirs} {
		s := series{name: []string{measure.Ours, measure.Theirs}[i]}
		for _, point := range f.Curve {
			s.points = append(s.points, plotter.XY{X: nines(point.Percentile), Y: math.Max(point.Micros, 1) / 1e3})
		}
		c.series = append(c.series, s)
	}
	c.alt = fmt.Sprintf("Latency of %s with %s. %s: half of the calls within %s, 99 %% within %s. %s: %s and %s.",
		line.Operation, counted(line.Callers, "caller"), measure.Ours, latency(line.Ours.P50), latency(line.Ours.P99),
		measure.Theirs, latency(line.Theirs.P50), latency(line.Theirs.P99))
	return c
}

// nines gives each further nine of a percentage the same room.
func nines(percentile float64) float64 { return -math.Log10(1 - percentile/100) }
