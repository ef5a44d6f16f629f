//go:build unix

package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// browserLimit is how long anything in a page may take. It is for a machine that has much
// else to do; what must be quick is measured.
const browserLimit = 30 * time.Second

// window is a page in a Chromium without a window.
type window struct {
	t   *testing.T
	ctx context.Context

	mu       sync.Mutex // guards all below
	problems []string   // errors that a developer would see in the console
	asked    []string   // addresses that were asked for anything
}

// chromium is the program. Outside of CI a machine without it does without its tests.
func chromium(t *testing.T) string {
	t.Helper()
	for _, name := range []string{
		"chromium", "chromium-browser", "google-chrome-stable", "google-chrome", "chrome",
		"/Applications/Google Chrome.app/Contents/MacOS/Google Chrome", "/Applications/Chromium.app/Contents/MacOS/Chromium",
	} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	const said = "no Chromium on this machine; this installs one: scripts/need browser"
	if os.Getenv("CI") != "" {
		require.Fail(t, said)
	}
	t.Skip(said)
	return ""
}

// openWindow starts a browser of its own. It reaches this machine only.
func openWindow(t *testing.T) *window {
	t.Helper()
	program, folder := chromium(t), shortFolder(t)
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(program), chromedp.UserDataDir(folder+"/profile"), chromedp.Env("TMPDIR="+folder, "HOME="+folder),
		chromedp.Flag("headless", "new"), chromedp.DisableGPU, chromedp.WindowSize(1360, 880),
		chromedp.Flag("host-resolver-rules", "MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"),
	)
	if os.Geteuid() == 0 {
		options = append(options, chromedp.NoSandbox)
	}
	ctx, cancel := chromedp.NewExecAllocator(context.Background(), options...)
	t.Cleanup(cancel) // waits until the program has ended
	w := &window{t: t}
	w.ctx, cancel = chromedp.NewContext(ctx, chromedp.WithListener(w.listen))
	t.Cleanup(cancel)
	// The browser lives as long as the context that it is first used with: not a short one.
	require.NoError(t, chromedp.Do(w.ctx, enable(network.Enable), enable(log.Enable)))
	return w
}

// enable has the browser tell of what goes on.
func enable[P any](command cdp.Command[P, cdp.Empty]) chromedp.Action[chromedp.Void] {
	return func(ctx context.Context, target *chromedp.Target) (chromedp.Void, error) {
		var parameters P
		_, err := cdp.Call(ctx, target, command, parameters)
		return chromedp.Void{}, err
	}
}

func (w *window) listen(event any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch e := event.(type) {
	case *runtime.EventExceptionThrown:
		w.problems = append(w.problems, fmt.Sprintf("%+v", e.ExceptionDetails.Exception))
	case *runtime.EventConsoleAPICalled:
		w.problems = append(w.problems, fmt.Sprintf("console: %s %+v", e.Type, e.Args))
	case *log.EventEntryAdded:
		w.problems = append(w.problems, fmt.Sprintf("%s: %s %s", e.Entry.Level, e.Entry.Text, e.Entry.URL))
	case *network.EventRequestWillBeSent:
		w.asked = append(w.asked, e.Request.URL)
	}
}

// run does something in the page.
func (w *window) run(actions ...chromedp.Action[chromedp.Void]) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.ctx, browserLimit)
	defer cancel()
	require.NoError(w.t, chromedp.Do(ctx, actions...))
}

// open goes to an address.
func (w *window) open(address string) {
	w.t.Helper()
	w.run(chromedp.Navigate(address))
}

// press clicks on what has the text, and waits until the page says something.
func (w *window) press(button, says string) {
	w.t.Helper()
	w.run(chromedp.Click(`//*[self::button or self::a][normalize-space()="` + button + `"]`))
	w.await(`document.body.textContent.includes(` + quoted(says) + `)`)
}

func quoted(text string) string { return `"` + strings.ReplaceAll(text, `"`, `\"`) + `"` }

// await waits until an expression, or what it promises, is true. It asks again and again, since
// a page that is left answers no question.
func (w *window) await(expression string) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.ctx, browserLimit)
	defer cancel()
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for {
		is, err := chromedp.Run(ctx, chromedp.Evaluate[bool](`(async () => Boolean(await (`+expression+`)))()`, chromedp.EvalAwaitPromise))
		if is && err == nil {
			return
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			require.Fail(w.t, "not within "+browserLimit.String(), "%s (%v)", expression, err)
		}
	}
}

// value is what an expression is.
func value[T any](w *window, expression string) T {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.ctx, browserLimit)
	defer cancel()
	result, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression))
	require.NoError(w.t, err, expression)
	return result
}

// focus takes the keyboard to an element.
func (w *window) focus(id string) {
	w.t.Helper()
	w.run(chromedp.Focus(chromedp.CSS("#" + id)))
}

// key presses a key, as often as said.
func (w *window) key(key string, times int) {
	w.t.Helper()
	for range times {
		w.run(chromedp.KeyEvent(key))
	}
}

// prefer has the page shown as to people who prefer something.
func (w *window) prefer(feature, value string) {
	w.t.Helper()
	w.run(chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
		_, err := cdp.Call(ctx, target, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{{Name: feature, Value: value}},
		})
		return err
	}))
}

// assertQuiet says that nothing was wrong, and that nothing was asked of any other address.
func (w *window) assertQuiet(address string) {
	w.t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	assert.Empty(w.t, w.problems)
	require.NotEmpty(w.t, w.asked)
	for _, asked := range w.asked {
		assert.True(w.t, strings.HasPrefix(asked, address+"/"), asked)
	}
}
