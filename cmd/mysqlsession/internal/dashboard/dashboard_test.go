package dashboard

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mysqlsession/mysqlsession/cmd/mysqlsession/internal/load"
	"github.com/mysqlsession/mysqlsession/debug"
)

// fakeLoad is a load of which only the settings are real.
type fakeLoad struct {
	settings load.Settings
	looks    int
	problem  error
}

func (f *fakeLoad) Look()                   { f.looks++ }
func (f *fakeLoad) Settings() load.Settings { return f.settings }
func (f *fakeLoad) Problem() error          { return f.problem }
func (f *fakeLoad) Change(s load.Settings) load.Settings {
	f.settings = s.Clamp()
	return f.settings
}

// ask asks a dashboard, as a page at its own address does unless the headers, which are
// pairs, say otherwise.
func ask(f *fakeLoad, method, path, body string, headers ...string) *httptest.ResponseRecorder {
	request := httptest.NewRequest(method, path, strings.NewReader(body))
	if method == http.MethodPost {
		request.Header.Set("Content-Type", "application/json")
		request.Header.Set("Sec-Fetch-Site", "same-origin")
	}
	for i := 0; i < len(headers); i += 2 {
		request.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	New(f, debug.NewRecorder().Handler(), "some <database>").ServeHTTP(w, request)
	return w
}

func TestThePageShowsTheSettingsAndHasStrictHeaders(t *testing.T) {
	settings := load.Default
	settings.Callers, settings.Coalesce = 512, false
	w := ask(&fakeLoad{settings: settings}, http.MethodGet, "/dashboard/", "")
	require.Equal(t, http.StatusOK, w.Code)
	require.Contains(t, w.Body.String(), `<output for="callers">512</output>`)
	require.Contains(t, w.Body.String(), `aria-valuetext="512"`)
	require.NotContains(t, w.Body.String(), "checked>")
	require.Contains(t, w.Body.String(), "some &lt;database&gt;")
	require.NotRegexp(t, `<script>|<style| style=| on[a-z]+=|https?://`, w.Body.String())
	policy := w.Header().Get("Content-Security-Policy")
	require.Contains(t, policy, "default-src 'none'")
	require.NotContains(t, policy, "unsafe")

	settings.Coalesce = true
	require.Contains(t, ask(&fakeLoad{settings: settings}, http.MethodGet, "/dashboard/", "").Body.String(), "checked>")
}

func TestEveryFileOfThePageIsThereAndNoOther(t *testing.T) {
	for path, status := range map[string]int{
		"dashboard.css": 200, "dashboard.js": 200, "pool/charts.js": 200, "pool/samples.js": 200, "pool/poll.js": 200,
		"pool/uplot.js": 200, "pool/uplot.css": 200, "pool/style.css": 200, "pool/icon.svg": 200, "pool/": 200,
		"dashboard.html": 404, "nothing": 404, "assets/dashboard.js": 404, "pool/nothing.js": 404,
	} {
		require.Equal(t, status, ask(&fakeLoad{}, http.MethodGet, "/dashboard/"+path, "").Code, path)
	}
}

func TestOnlyWhoAsksForFiguresLooks(t *testing.T) {
	f := &fakeLoad{}
	for _, path := range []string{"", "load", "pool/", "pool/charts.js"} {
		ask(f, http.MethodGet, "/dashboard/"+path, "")
	}
	require.Zero(t, f.looks)
	w := ask(f, http.MethodGet, "/dashboard/pool/snapshot.json", "")
	require.Equal(t, "application/json", w.Header().Get("Content-Type"))
	require.Equal(t, 1, f.looks)
}

func TestSettingsAreChangedAndBroughtIntoTheirRanges(t *testing.T) {
	f := &fakeLoad{settings: load.Default}
	w := ask(f, http.MethodPost, "/dashboard/load", `{"callers": 99999, "coalesce": false}`)
	require.Equal(t, http.StatusOK, w.Code)
	wanted := load.Default
	wanted.Callers, wanted.Coalesce = 1024, false
	require.Equal(t, wanted, f.settings, "what is left out stays as it is")

	var answer state
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), &answer))
	require.Equal(t, wanted, answer.Settings)
	require.NoError(t, json.Unmarshal(ask(f, http.MethodGet, "/dashboard/load", "").Body.Bytes(), &answer))
	require.Equal(t, wanted, answer.Settings)

	f.problem = errors.New("the database is away")
	require.Contains(t, ask(f, http.MethodGet, "/dashboard/load", "").Body.String(), "the database is away")
}

func TestWhatIsNoChangeOfSettingsChangesNothing(t *testing.T) {
	for name, c := range map[string]struct {
		status  int
		body    string
		headers []string
	}{
		"another site":      {http.StatusForbidden, `{"callers": 1}`, []string{"Sec-Fetch-Site", "cross-site"}},
		"a site beside it":  {http.StatusForbidden, `{"callers": 1}`, []string{"Sec-Fetch-Site", "same-site"}},
		"an old browser":    {http.StatusForbidden, `{"callers": 1}`, []string{"Sec-Fetch-Site", "", "Origin", "http://other.example"}},
		"a form":            {http.StatusUnsupportedMediaType, `callers=1`, []string{"Content-Type", "application/x-www-form-urlencoded"}},
		"text":              {http.StatusUnsupportedMediaType, `{"callers": 1}`, []string{"Content-Type", "text/plain"}},
		"no JSON":           {http.StatusBadRequest, `{`, nil},
		"an unknown name":   {http.StatusBadRequest, `{"password": 1}`, nil},
		"text for a number": {http.StatusBadRequest, `{"callers": "1"}`, nil},
		"a fraction":        {http.StatusBadRequest, `{"callers": 1.5}`, nil},
		"too much":          {http.StatusBadRequest, `{"callers": ` + strings.Repeat(" ", longestChange) + `1}`, nil},
	} {
		t.Run(name, func(t *testing.T) {
			f := &fakeLoad{settings: load.Default}
			require.Equal(t, c.status, ask(f, http.MethodPost, "/dashboard/load", c.body, c.headers...).Code)
			require.Equal(t, load.Default, f.settings)
		})
	}
	require.Equal(t, http.StatusMethodNotAllowed, ask(&fakeLoad{}, http.MethodPut, "/dashboard/load", "", "Sec-Fetch-Site", "same-origin").Code)
}

func TestASliderStandsAtTheStepThatIsNearest(t *testing.T) {
	s := load.Default
	s.Callers, s.ValueSize, s.Writes = 130, 5000, 100
	for _, c := range controls(s) {
		ranged := load.Ranges[c.Name]
		require.Equal(t, ranged.Max, c.Steps[c.Last()], "%s reaches as far as its range", c.Name)
		require.GreaterOrEqual(t, c.Steps[0], ranged.Min)
		require.Len(t, c.Words, len(c.Steps))
		switch c.Name {
		case "callers":
			require.Equal(t, "128", c.Said())
		case "valueSize":
			require.Equal(t, "4 KiB", c.Said())
		case "writes":
			require.Equal(t, "100 %", c.Said())
		}
	}
	for _, c := range controls(load.Default) {
		require.Equal(t, numberOf(load.Default, c.Name), c.Steps[c.Value], "the first setting of %s is a step", c.Name)
	}
}

// numberOf is a setting by its name.
func numberOf(s load.Settings, name string) int {
	text, _ := json.Marshal(s)
	values := map[string]any{}
	_ = json.Unmarshal(text, &values)
	return int(values[name].(float64))
}
