//go:build unix

package report

import (
	"context"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	protocol "github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"
)

// pictures has the README's picture made anew, of a report that the program makes then:
//
//	go test -run TestPicture -pictures ./internal/report
var pictures = flag.Bool("pictures", false, "write the README's picture of a report")

// browserLimit is how long anything in the page may take, on a machine that is busy.
const browserLimit = 30 * time.Second

// chromium is the program. Outside of CI a machine without it does without its tests.
func chromium(t *testing.T) string {
	t.Helper()
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome-stable", "google-chrome", "chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	const said = "no Chromium on this machine"
	if os.Getenv("CI") != "" {
		require.Fail(t, said)
	}
	t.Skip(said)
	return ""
}

// reader is a browser without a window that shows a report.
type reader struct {
	t   *testing.T
	ctx context.Context

	mu       sync.Mutex // guards all below
	problems []string   // what a developer would see in the console
	asked    []string   // addresses
}

// read shows the page of a file.
func read(t *testing.T, path string) *reader {
	t.Helper()
	folder, err := os.MkdirTemp("", "report") // the test's own is too long a path for sockets
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(folder) })
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(chromium(t)), chromedp.UserDataDir(folder+"/profile"), chromedp.Env("TMPDIR="+folder, "HOME="+folder),
		chromedp.Flag("headless", "new"), chromedp.DisableGPU, chromedp.Flag("host-resolver-rules", "MAP * ~NOTFOUND"),
	)
	if os.Geteuid() == 0 {
		options = append(options, chromedp.NoSandbox)
	}
	ctx, cancel := chromedp.NewExecAllocator(context.Background(), options...)
	t.Cleanup(cancel)
	r := &reader{t: t}
	r.ctx, cancel = chromedp.NewContext(ctx, chromedp.WithListener(r.listen))
	t.Cleanup(cancel)
	require.NoError(t, chromedp.Do(r.ctx, chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
		if _, err := cdp.Call(ctx, target, network.Enable, network.EnableParams{}); err != nil {
			return err
		}
		_, err := cdp.Call(ctx, target, log.Enable, struct{}{})
		return err
	})))
	r.run(chromedp.EmulateViewport(1040, 900, chromedp.EmulateScale(1.5)), chromedp.Navigate("file://"+path))
	return r
}

func (r *reader) listen(event any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch e := event.(type) {
	case *log.EventEntryAdded:
		r.problems = append(r.problems, e.Entry.Text)
	case *network.EventRequestWillBeSent:
		r.asked = append(r.asked, e.Request.URL)
	}
}

func (r *reader) run(actions ...chromedp.Action[chromedp.Void]) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.ctx, browserLimit)
	defer cancel()
	require.NoError(r.t, chromedp.Do(ctx, actions...))
}

// call has the browser do something that has a result.
func call[P, R any](r *reader, command cdp.Command[P, R], parameters P) (result R) {
	r.t.Helper()
	r.run(chromedp.Func(func(ctx context.Context, target *chromedp.Target) (err error) {
		result, err = cdp.Call(ctx, target, command, parameters)
		return err
	}))
	return result
}

// evaluate is what an expression is.
func evaluate[T any](r *reader, expression string) T {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.ctx, browserLimit)
	defer cancel()
	result, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression))
	require.NoError(r.t, err, expression)
	return result
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
	require.Equal(t, "mysqlsession and database/sql", evaluate[string](r, "document.title"))
	require.Equal(t, 6, evaluate[int](r, `[...document.querySelectorAll("svg")].filter((s) => s.getBoundingClientRect().height > 100 && s.getBoundingClientRect().width > 200).length`))
	require.True(t, evaluate[bool](r, `document.documentElement.scrollWidth <= innerWidth`), "nothing is beyond the margin")

	cssSize := true
	printed := call(r, protocol.PrintToPDF, protocol.PrintToPDFParams{PreferCSSPageSize: &cssSize}).Data
	pages := regexp.MustCompile(`/Type\s*/Page[^s]`).FindAllIndex(printed, -1)
	require.Len(t, pages, 2, "a report of two operations")
	box := regexp.MustCompile(`/MediaBox \[0 0 (\S+) (\S+)\]`).FindSubmatch(printed)
	require.Len(t, box, 3)
	for i, points := range []float64{595, 842} { // A4's
		length, err := strconv.ParseFloat(string(box[i+1]), 64)
		require.NoError(t, err)
		require.InDelta(t, points, length, 1.5)
	}

	r.mu.Lock()
	defer r.mu.Unlock()
	require.Empty(t, r.problems)
	require.Equal(t, []string{"file://" + path}, r.asked)
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
	height := evaluate[int](r, "document.documentElement.scrollHeight")
	r.run(chromedp.EmulateViewport(1040, int64(height), chromedp.EmulateScale(1.5)))
	picture, err := chromedp.Run(r.ctx, chromedp.CaptureScreenshot())
	require.NoError(t, err)
	require.NoError(t, os.MkdirAll("../../../../docs", 0o755))
	require.NoError(t, os.WriteFile("../../../../docs/bench-report.png", picture, 0o644))
}
