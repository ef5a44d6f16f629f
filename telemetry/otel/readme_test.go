package mysqlsessionotel_test

import (
	"maps"
	"os"
	"regexp"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mysqlsession/mysqlsession/internal/dbtest"
	"github.com/mysqlsession/mysqlsession/internal/pagetest"
	"github.com/mysqlsession/mysqlsession/internal/telemetrytest"
)

func TestTheReadmesCodeIsThatOfTheExampleWhichIsRun(t *testing.T) {
	pagetest.Readme(t, []string{telemetrytest.CostCommand}, "text")
}

func TestTheReadmesTableIsOfTheInstrumentsThatThereAre(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	require.NoError(t, err)
	var named []string
	for _, match := range regexp.MustCompile("(?m)^\\| `(db\\.[a-z._]+)` \\|").FindAllStringSubmatch(string(readme), -1) {
		named = append(named, match[1])
	}
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		c := newCapture(t)
		traffic := telemetrytest.Open(t, server, c.Trace())
		_, err := c.Register(traffic.Store.Pool())
		require.NoError(t, err)
		traffic.Answers(t)
		require.ElementsMatch(t, slices.Collect(maps.Keys(c.collect(t))), named)
	})
}
