package report

import (
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mysqlsession/mysqlsession"
	"github.com/mysqlsession/mysqlsession/cmd/mysqlsession/internal/measure"
	"github.com/mysqlsession/mysqlsession/cmd/mysqlsession/internal/tuning"
)

// sample is a report with figures that are easily found again.
func sample() *Report {
	figures := func(rate float64) measure.Figures {
		return measure.Figures{
			Throughput: rate, Throughputs: []float64{rate * 0.9, rate, rate * 1.1}, P50: 120, P99: 3456, P999: 9000, Calls: 5000,
			Curve: []measure.Point{{Percentile: 1, Micros: 90}, {Percentile: 50, Micros: 120}, {Percentile: 99, Micros: 3456}},
		}
	}
	r := &Report{
		Environment: measure.Environment{
			When: time.Date(2026, 11, 5, 8, 0, 0, 0, time.UTC), Cores: 2, System: "linux/amd64", Go: "go1.26",
			Driver: "driver 1", Server: measure.Server{Version: `10.11 <script>alert("x")</script>`, Flush: "1"}, Where: "shop & Co at 127.0.0.1:3306",
		},
		Workload: measure.Workload{Sessions: 10_000, ValueSize: 1024},
		Plan:     measure.Plan{Operations: []string{"get", "set"}, Callers: []int{1, 64}, Connections: 16, Rounds: 6, Round: time.Second},
	}
	for _, operation := range r.Plan.Operations {
		for i, callers := range r.Plan.Callers {
			r.Lines = append(r.Lines, measure.Line{
				Operation: operation, Callers: callers, Ours: figures(float64(50_000 + callers)), Theirs: figures(float64(10_000 + callers)),
				Verdict: measure.Verdict{
					Ratio: 5, Low: 4.5, High: 5.5, Noise: 0.02,
					Conclusion: []measure.Conclusion{measure.Faster, measure.NoDecision}[i], Reason: []string{"", "interval includes 1"}[i],
				},
			})
		}
	}
	return r
}

func written(t *testing.T, write func(w io.Writer) error) string {
	t.Helper()
	var b strings.Builder
	require.NoError(t, write(&b))
	return b.String()
}

// elements reads a page to its end, and returns its elements. A tag that is not closed, or in
// the wrong order, fails the test.
func elements(t *testing.T, page string) (found []xml.StartElement) {
	t.Helper()
	decoder := xml.NewDecoder(strings.NewReader(page))
	decoder.AutoClose = []string{"meta"} // void elements; all others are to be closed
	decoder.Strict, decoder.Entity = false, xml.HTMLEntity
	var open []string
	for {
		token, err := decoder.RawToken()
		if errors.Is(err, io.EOF) {
			require.Empty(t, open, "elements that are not closed")
			return found
		}
		require.NoError(t, err)
		switch element := token.(type) {
		case xml.StartElement:
			found = append(found, element.Copy())
			if element.Name.Local != "meta" {
				open = append(open, element.Name.Local)
			}
		case xml.EndElement:
			require.NotEmpty(t, open, element.Name.Local)
			require.Equal(t, open[len(open)-1], element.Name.Local)
			open = open[:len(open)-1]
		}
	}
}

func TestPageIsWellFormedAndNeedsNothingElse(t *testing.T) {
	page := written(t, sample().WriteHTML)
	charts := 0
	for _, element := range elements(t, page) {
		require.NotContains(t, []string{"script", "link", "img", "iframe", "object", "image", "use"}, element.Name.Local)
		if element.Name.Local == "svg" {
			charts++
			alt := ""
			for _, attribute := range element.Attr {
				if attribute.Name.Local == "aria-label" {
					alt = attribute.Value
				}
			}
			require.NotEmpty(t, alt, "a chart without a text")
		}
		for _, attribute := range element.Attr {
			require.NotContains(t, []string{"src", "href", "srcset", "data", "action"}, attribute.Name.Local)
			require.False(t, strings.HasPrefix(attribute.Name.Local, "on"), attribute.Name.Local)
		}
	}
	require.Equal(t, 6, charts, "three for each operation")
	for _, outside := range []string{"url(", "@import", "javascript:"} {
		require.NotContains(t, page, outside)
	}
	// Names of what the drawings are written in are no addresses that anybody asks for.
	for _, address := range regexp.MustCompile(`\S*https?://\S*`).FindAllString(page, -1) {
		require.Contains(t, address, "xmlns", address)
	}
	require.NotContains(t, page, `alert("x")`, "what the server says of itself is text")
	require.Contains(t, page, "shop &amp; Co")
}

func TestPagePrintsOnPaper(t *testing.T) {
	page := written(t, sample().WriteHTML)
	require.Contains(t, page, "size: A4")
	require.Contains(t, page, "background: #fff")
	require.Contains(t, page, "stroke-dasharray", "lines are told apart without colours")
}

func TestChartsHaveTheirSeries(t *testing.T) {
	r := sample()
	s, err := r.section("get")
	require.NoError(t, err)
	require.Len(t, s.Charts, 3)
	for _, drawn := range s.Charts {
		elements(t, string(drawn))
		require.Contains(t, string(drawn), ">mysqlsession</text>")
		require.Contains(t, string(drawn), ">database/sql</text>")
	}
	require.Contains(t, s.Charts[0], "get: throughput")
	require.Contains(t, s.Charts[0], "with 64 callers 50064 and 10064")
	require.Contains(t, s.Charts[0], ">64</text>")
	require.Contains(t, s.Charts[1], "99th percentile")
	require.Contains(t, s.Charts[2], "64 callers", "where there are more callers than connections")
	require.Contains(t, s.Charts[2], ">99 %</text>")

	// A chart without its second line is another picture.
	whole, err := r.againstCallers("get", "throughput", "1/s", throughput).svg()
	require.NoError(t, err)
	half := r.againstCallers("get", "throughput", "1/s", throughput)
	half.series = half.series[:1]
	lacking, err := half.svg()
	require.NoError(t, err)
	require.Greater(t, strings.Count(whole, "<path"), strings.Count(lacking, "<path"))
}

func throughput(f measure.Figures) (float64, []float64) { return f.Throughput, f.Throughputs }

func TestChartOfOneNumberOfCallersCanBeDrawn(t *testing.T) {
	r := sample()
	r.Plan.Callers = []int{1}
	r.Lines = []measure.Line{r.Lines[0], r.Lines[2]}
	elements(t, written(t, r.WriteHTML))
	r.Lines[0].Ours.Curve, r.Lines[0].Theirs.Curve = nil, nil // too few calls
	elements(t, written(t, r.WriteHTML))
}

func TestTableJSONAndPageSayTheSame(t *testing.T) {
	r := sample()
	text, page := written(t, r.WriteText), written(t, r.WriteHTML)
	for _, row := range r.table()[1:] {
		for _, cell := range row {
			require.Contains(t, text, cell)
			require.Contains(t, page, cell)
		}
	}
	for _, says := range append(r.Summary(), "50001", "10064", "120 µs / 120 µs", "3.46 ms", "5.00× as fast", "no conclusion: interval includes 1", "±2.0 %") {
		require.Contains(t, strings.Join(strings.Fields(text), " "), says)
	}
	var decoded Report
	require.NoError(t, json.Unmarshal([]byte(written(t, r.WriteJSON)), &decoded))
	require.Equal(t, r.Lines, decoded.Lines)
	require.Equal(t, r.Environment, decoded.Environment)
}

func TestSummarySaysHowMuchCanBeConcluded(t *testing.T) {
	said := func(r *Report) string { return strings.Join(r.Summary(), "\n") }
	r := sample()
	require.Contains(t, said(r), "NOTHING CAN BE CONCLUDED on 2 of 4 lines")
	require.NotContains(t, said(r), "THE MACHINE WAS NOISY")
	for i := range r.Lines {
		r.Lines[i].Verdict.Conclusion, r.Lines[i].Verdict.Noise = measure.NoDecision, 0.5
	}
	require.Contains(t, said(r), "NOTHING CAN BE CONCLUDED from these measurements")
	require.Contains(t, said(r), "THE MACHINE WAS NOISY: on a typical line what is less than 5.1 times as fast")
	for i := range r.Lines {
		r.Lines[i].Verdict.Conclusion, r.Lines[i].Verdict.Noise = measure.Faster, 0.01
	}
	require.Contains(t, said(r), "Each of the 4 lines has a conclusion.")
	require.NotContains(t, said(r), "NOTHING")
}

// tuned is a search that has met its target.
func tuned() *Tuned {
	at := 3100.0
	return &Tuned{
		Environment: sample().Environment,
		Result: &tuning.Result{
			Options:  tuning.Options{Target: tuning.Target{Percentile: 99, Latency: 5 * time.Millisecond, Rate: 2000}, Instances: 2, Limit: time.Minute},
			Workload: measure.Workload{ReadShare: 0.9, ValueSize: 1024},
			Floor:    tuning.Floor{GetP50: 100, SetP50: 300},
			Trials: []tuning.Trial{
				{Purpose: "pool size", PoolSize: 2, Rate: 2400, Requests: 12_000, Failed: 7},
				{Purpose: "the recommendation", PoolSize: 4, Rate: 2000, Requests: 10_000, AtPercentile: &at, P50: 900, Met: true},
			},
			Met:    true,
			Advice: []tuning.Advice{{Field: "PoolSize", Value: "4", Because: "it is the smallest"}},
			Config: mysqlsession.Config{Host: "db.example", Username: "ada", Password: "s3cret", Database: "shop", PoolSize: 4},
		},
	}
}

func TestRecommendationComesWithItsMeasurementsAsCodeAndAsDSN(t *testing.T) {
	text := written(t, tuned().WriteText)
	for _, says := range []string{
		"p99 under 5ms at 2000 requests/s", "The target is met: with what follows p99 is 3.10 ms at 2000 requests/s",
		"PoolSize = 4\n    it is the smallest", "for each of the 2 instances", "PoolSize: 4,", "mysql://ada@db.example/shop?pool_size=4", "90 % reads",
	} {
		require.Contains(t, text, says)
	}
	require.NotContains(t, text, "s3cret")
	asJSON := written(t, tuned().WriteJSON)
	require.NotContains(t, asJSON, "s3cret")
	var decoded struct {
		Met    bool
		DSN    string
		Go     string
		Trials []tuning.Trial
	}
	require.NoError(t, json.Unmarshal([]byte(asJSON), &decoded))
	require.True(t, decoded.Met)
	require.Equal(t, "mysql://ada@db.example/shop?pool_size=4", decoded.DSN)
	require.Contains(t, decoded.Go, "mysqlsession.Config{")
	require.Equal(t, tuned().Trials, decoded.Trials)
}

func TestRecommendationThatFailedOnceIsNotPraised(t *testing.T) {
	r := tuned()
	spoilt := r.Trials[1]
	spoilt.Met = false
	r.Trials = []tuning.Trial{r.Trials[0], spoilt, r.Trials[1]}
	require.Contains(t, r.Conclusion(), "in the last of 2 measurements; in the others this machine was itself late")
}

func TestTargetThatIsNotMetIsSaidPlainlyWithWhatWasReached(t *testing.T) {
	r := tuned()
	r.Met = false
	require.Contains(t, r.Conclusion(), "THE TARGET IS NOT MET (p99 under 5ms at 2000 requests/s)")
	require.Contains(t, r.Conclusion(), "at no lower rate")
	r.Reached = &r.Trials[1]
	require.Contains(t, r.Conclusion(), "p99 is 3.10 ms at 2000 requests/s with 4 connections")
	text := written(t, r.WriteText)
	require.NotContains(t, text, "mysqlsession.Config")
	r.OutOfTime = true
	require.Contains(t, r.Conclusion(), "--limit gives more than 1m0s")
	r.Reached, r.Floor.GetP50 = nil, 6000
	require.Contains(t, r.Conclusion(), "It cannot be met at any rate: one caller alone needs 6.00 ms for a get")
}

func TestDoubtsAreTold(t *testing.T) {
	require.Empty(t, tuned().Doubts())
	r := tuned()
	r.Trials[1].Late = 600
	r.Trials[0].Requests = 200
	said := strings.Join(r.Doubts(), "\n")
	require.Contains(t, said, "THIS MACHINE WAS ITSELF LATE in 1 of 2 measurements: it sent requests up to 600 µs")
	require.Contains(t, said, "FEW REQUESTS: a measurement had only 200 of them, so p99 rests on the 2.0 slowest")
}
