package mysqlsessionprom_test

import (
	"encoding/json"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/stretchr/testify/require"

	"github.com/mysqlsession/mysqlsession"
	"github.com/mysqlsession/mysqlsession/internal/dbtest"
)

// dashboard is what is looked at of dashboard.json.
type dashboard struct {
	Panels []struct {
		Title   string
		Targets []struct{ Expr, LegendFormat string }
	}
	Templating struct {
		List []struct {
			Name, Type string
			Query      any
		}
	}
}

func readDashboard(t *testing.T) dashboard {
	t.Helper()
	text, err := os.ReadFile("dashboard.json")
	require.NoError(t, err)
	var d dashboard
	require.NoError(t, json.Unmarshal(text, &d))
	return d
}

// query is one that the dashboard makes.
type query struct{ panel, text, legend string }

var (
	labelValues   = regexp.MustCompile(`^label_values\((.*), (\w+)\)$`)
	legendLabel   = regexp.MustCompile(`\{\{(\w+)\}\}`)
	variable      = regexp.MustCompile(`\$\w+`)
	grafanaRanges = strings.NewReplacer("$__rate_interval", "5m")
)

// histogramPart is what the name of a histogram's series ends in.
var histogramPart = regexp.MustCompile("_(count|sum|bucket)$")

// queries are all that the dashboard makes: those of its panels, and those of its variables.
func (d dashboard) queries(t *testing.T) []query {
	t.Helper()
	var all []query
	for _, panel := range d.Panels {
		for _, target := range panel.Targets {
			all = append(all, query{panel.Title, target.Expr, target.LegendFormat})
		}
	}
	for _, v := range d.Templating.List {
		if v.Type != "query" {
			continue
		}
		text := v.Query.(map[string]any)["query"].(string)
		match := labelValues.FindStringSubmatch(text)
		require.NotNil(t, match, text)
		all = append(all, query{"variable " + v.Name, "sum by (" + match[2] + ") (" + match[1] + ")", "{{" + match[2] + "}}"})
	}
	return all
}

// exposed is what a scrape has: each series' name, with the labels that it may have and
// the values that they may have. What a scraper adds is in every one.
func exposed(families map[string]*dto.MetricFamily) map[string]map[string]map[string]bool {
	names := map[string]map[string]map[string]bool{}
	for name, family := range families {
		known := map[string]map[string]bool{"job": nil, "instance": nil}
		for _, m := range family.GetMetric() {
			for _, label := range m.GetLabel() {
				if known[label.GetName()] == nil {
					known[label.GetName()] = map[string]bool{}
				}
				known[label.GetName()][label.GetValue()] = true
			}
		}
		if family.GetType() != dto.MetricType_HISTOGRAM {
			names[name] = known
			continue
		}
		names[name+"_count"], names[name+"_sum"] = known, known
		names[name+"_bucket"] = maps.Clone(known)
		names[name+"_bucket"]["le"] = nil
	}
	return names
}

func TestEveryQueryOfTheDashboardIsOfMetricsAndLabelsThatThereAre(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		known := exposed(everything(t, server).scrape(t))
		queries := readDashboard(t).queries(t)
		require.Greater(t, len(queries), 40)
		used := map[string]bool{}
		for _, q := range queries {
			checkQuery(t, q, known, used)
		}
		// A metric that nobody looks at may as well not be there.
		for name := range known {
			if !used[histogramPart.ReplaceAllString(name, "")] {
				t.Errorf("%s is in no panel", name)
			}
		}
	})
}

// checkQuery checks one query, and notes which metrics it uses.
func checkQuery(t *testing.T, q query, known map[string]map[string]map[string]bool, used map[string]bool) {
	t.Helper()
	expression, err := parser.ParseExpr(grafanaRanges.Replace(q.text))
	require.NoError(t, err, "%s: %s", q.panel, q.text)
	var grouping []string
	available := map[string]bool{}
	parser.Inspect(expression, func(node parser.Node, _ []parser.Node) error {
		switch node := node.(type) {
		case *parser.VectorSelector:
			used[histogramPart.ReplaceAllString(node.Name, "")] = true
			there, ok := known[node.Name]
			if !ok {
				t.Errorf("%s: there is no metric %s", q.panel, node.Name)
			}
			for label := range there {
				available[label] = true
			}
			for _, matcher := range node.LabelMatchers {
				if matcher.Name != labels.MetricName {
					checkMatcher(t, q, there, matcher)
				}
			}
		case *parser.AggregateExpr:
			grouping = append(grouping, node.Grouping...)
		}
		return nil
	})
	for _, label := range grouping {
		if !available[label] {
			t.Errorf("%s: none of its metrics has a label %s", q.panel, label)
		}
	}
	for _, match := range legendLabel.FindAllStringSubmatch(q.legend, -1) {
		if !slices.Contains(grouping, match[1]) {
			t.Errorf("%s: the legend names %s, which the query does not keep", q.panel, match[1])
		}
	}
}

// checkMatcher checks that a metric has the label, and that what is looked for can be there.
func checkMatcher(t *testing.T, q query, there map[string]map[string]bool, matcher *labels.Matcher) {
	t.Helper()
	values, ok := there[matcher.Name]
	if !ok {
		t.Errorf("%s: there is no label %s", q.panel, matcher.Name)
	}
	if variable.MatchString(matcher.Value) {
		return
	}
	// Outcomes that the traffic has none of.
	kinds := []string{mysqlsession.ErrorKind(mysqlsession.ErrUnavailable), mysqlsession.ErrorKind(mysqlsession.ErrNotWritable)}
	for value := range strings.SplitSeq(matcher.Value, "|") {
		if !values[value] && !(matcher.Name == "outcome" && (slices.Contains(kinds, value) || value == mysqlsession.ErrorKind(mysqlsession.ErrNotFound))) {
			t.Errorf("%s: %s is never %q", q.panel, matcher.Name, value)
		}
	}
}

func TestTheDashboardsVariablesAreThere(t *testing.T) {
	d := readDashboard(t)
	there := []string{"__rate_interval"}
	for _, v := range d.Templating.List {
		there = append(there, v.Name)
	}
	for _, q := range d.queries(t) {
		for _, name := range variable.FindAllString(q.text, -1) {
			require.Contains(t, there, name[1:], q.panel)
		}
	}
}

func TestTheDashboardsPanelsHaveTitlesOfTheirOwn(t *testing.T) {
	seen := map[string]bool{}
	for _, panel := range readDashboard(t).Panels {
		require.NotEmpty(t, panel.Title)
		require.False(t, seen[panel.Title], panel.Title)
		seen[panel.Title] = true
	}
}
