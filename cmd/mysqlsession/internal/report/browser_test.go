//go:build unix

package report

import (
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	protocol "github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	"github.com/mysqlsession/mysqlsession/cmd/mysqlsession/internal/browsertest"
)

// pictures has the README's picture made anew, of a report that the program makes then:
//
//	go test -run TestPicture . -pictures
var pictures = flag.Bool("pictures", false, "write the README's picture of a report")

// read shows the page of a file.
func read(t *testing.T, path string) *browsertest.Window {
	t.Helper()
	w := browsertest.Open(t)
	w.Run(chromedp.EmulateViewport(1040, 900, chromedp.EmulateScale(1.5)))
	w.Goto("file://" + path)
	return w
}

// saved is a file with the page of a report.
func saved(t *testing.T, r *Report) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "report.html")
	require.NoError(t, os.WriteFile(path, []byte(written(t, r.WriteHTML)), 0o600))
	return path
}

func TestReportInABrowserAsksForNothingAndPrints(t *testing.T) {
	path := saved(t, sample())
	r := read(t, path)
	require.Equal(t, "mysqlsession and database/sql", browsertest.Value[string](r, "document.title"))
	require.Equal(t, 6, browsertest.Value[int](r, `[...document.querySelectorAll("svg")].filter((s) => s.getBoundingClientRect().height > 100 && s.getBoundingClientRect().width > 200).length`))
	require.True(t, browsertest.Value[bool](r, `document.documentElement.scrollWidth <= innerWidth`), "nothing is beyond the margin")

	cssSize := true
	printed := browsertest.Call(r, protocol.PrintToPDF, protocol.PrintToPDFParams{PreferCSSPageSize: &cssSize}).Data
	pages := regexp.MustCompile(`/Type\s*/Page[^s]`).FindAllIndex(printed, -1)
	require.Len(t, pages, 2, "a report of two operations")
	box := regexp.MustCompile(`/MediaBox \[0 0 (\S+) (\S+)\]`).FindSubmatch(printed)
	require.Len(t, box, 3)
	for i, points := range []float64{595, 842} { // A4's
		length, err := strconv.ParseFloat(string(box[i+1]), 64)
		require.NoError(t, err)
		require.InDelta(t, points, length, 1.5)
	}

	r.AssertQuiet("file://" + path)
}

func TestPictureOfAReport(t *testing.T) {
	if !*pictures {
		t.Skip("the picture is made with -pictures only")
	}
	folder := t.TempDir()
	program, path := filepath.Join(folder, "mysqlsession"), filepath.Join(folder, "report.html")
	out, err := exec.Command("go", "build", "-o", program, "../..").CombinedOutput()
	require.NoError(t, err, string(out))
	bench := exec.Command(program, "bench", "--html", path)
	bench.Env = append(os.Environ(), "MYSQLSESSION_DSN=") // a server of its own
	out, err = bench.CombinedOutput()
	require.NoError(t, err, string(out))
	t.Log(strings.TrimSpace(string(out)))
	r := read(t, path)
	height := browsertest.Value[int](r, "document.documentElement.scrollHeight")
	r.Run(chromedp.EmulateViewport(1040, int64(height), chromedp.EmulateScale(1.5)))
	picture, err := chromedp.Run(r.Context(), chromedp.CaptureScreenshot())
	require.NoError(t, err)
	require.NoError(t, os.MkdirAll("../../../../docs", 0o755))
	require.NoError(t, os.WriteFile("../../../../docs/bench-report.png", picture, 0o644))
}
