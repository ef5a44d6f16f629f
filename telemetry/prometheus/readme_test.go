package mysqlsessionprom_test

import (
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mysqlsession/mysqlsession/internal/dbtest"
	"github.com/mysqlsession/mysqlsession/internal/pagetest"
	"github.com/mysqlsession/mysqlsession/internal/telemetrytest"
)

func TestTheReadmesCodeIsThatOfTheExampleWhichIsRun(t *testing.T) {
	pagetest.Readme(t, []string{telemetrytest.CostCommand}, "text")
}

func TestTheReadmesTableIsOfTheMetricsThatThereAreWithTheirLabels(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	require.NoError(t, err)
	named := map[string]string{}
	for _, match := range regexp.MustCompile("(?m)^\\| `(mysqlsession_\\w+)` \\| (\\w+) \\|([^|]*)\\|").FindAllStringSubmatch(string(readme), -1) {
		named[match[1]] = match[2] + " " + strings.Join(strings.Fields(strings.ReplaceAll(strings.ReplaceAll(match[3], "`", ""), ",", "")), " ")
	}
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		there := map[string]string{}
		for name, family := range everything(t, server).scrape(t) {
			var labels []string
			for _, label := range family.GetMetric()[0].GetLabel() {
				if label.GetName() != "pool" {
					labels = append(labels, label.GetName())
				}
			}
			there[name] = strings.TrimSpace(strings.ToLower(family.GetType().String()) + " " + strings.Join(labels, " "))
		}
		for name := range named {
			named[name] = strings.TrimSpace(named[name])
		}
		require.Equal(t, there, named, "%v", slices.Sorted(maps.Keys(there)))
	})
}
