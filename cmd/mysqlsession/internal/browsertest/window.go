// Package browsertest shows pages to tests, in a Chromium without a window.
package browsertest

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

// Limit is how long anything in a page may take. It is for a machine that has much
// else to do; what must be quick is measured.
const Limit = 30 * time.Second

// Window is a page in a Chromium without a window.
type Window struct {
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

// Open starts a browser of its own. It reaches this machine only. It is gone when the test ends.
func Open(t *testing.T) *Window {
	t.Helper()
	program := chromium(t)
	folder, err := os.MkdirTemp("", "browser") // a test's own is too long a path for sockets
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, os.RemoveAll(folder)) })
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
	w := &Window{t: t}
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

func (w *Window) listen(event any) {
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

// Run does something in the page.
func (w *Window) Run(actions ...chromedp.Action[chromedp.Void]) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.ctx, Limit)
	defer cancel()
	require.NoError(w.t, chromedp.Do(ctx, actions...))
}

// Goto goes to an address.
func (w *Window) Goto(address string) {
	w.t.Helper()
	w.Run(chromedp.Navigate(address))
}

// Press clicks on what has the text, and waits until the page says something.
func (w *Window) Press(button, says string) {
	w.t.Helper()
	w.Run(chromedp.Click(`//*[self::button or self::a][normalize-space()="` + button + `"]`))
	w.Await(`document.body.textContent.includes(` + quoted(says) + `)`)
}

func quoted(text string) string { return `"` + strings.ReplaceAll(text, `"`, `\"`) + `"` }

// Await waits until an expression, or what it promises, is true. It asks again and again, since
// a page that is left answers no question.
func (w *Window) Await(expression string) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.ctx, Limit)
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
			require.Fail(w.t, "not within "+Limit.String(), "%s (%v)", expression, err)
		}
	}
}

// Value is what an expression is.
func Value[T any](w *Window, expression string) T {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.ctx, Limit)
	defer cancel()
	result, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression))
	require.NoError(w.t, err, expression)
	return result
}

// Focus takes the keyboard to an element.
func (w *Window) Focus(id string) {
	w.t.Helper()
	w.Run(chromedp.Focus(chromedp.CSS("#" + id)))
}

// Key presses a key, as often as said.
func (w *Window) Key(key string, times int) {
	w.t.Helper()
	for range times {
		w.Run(chromedp.KeyEvent(key))
	}
}

// Prefer has the page shown as to people who prefer something.
func (w *Window) Prefer(feature, value string) {
	w.t.Helper()
	w.Run(chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
		_, err := cdp.Call(ctx, target, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{{Name: feature, Value: value}},
		})
		return err
	}))
}

// AssertQuiet says that nothing was wrong, and that nothing was asked of any other address.
func (w *Window) AssertQuiet(address string) {
	w.t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	assert.Empty(w.t, w.problems)
	require.NotEmpty(w.t, w.asked)
	for _, asked := range w.asked {
		assert.True(w.t, strings.HasPrefix(asked, address), asked)
	}
}

// Context is for what the other methods do not offer. It ends with the test.
func (w *Window) Context() context.Context { return w.ctx }

// Call has the browser do something that has a result.
func Call[P, R any](w *Window, command cdp.Command[P, R], parameters P) (result R) {
	w.t.Helper()
	w.Run(chromedp.Func(func(ctx context.Context, target *chromedp.Target) (err error) {
		result, err = cdp.Call(ctx, target, command, parameters)
		return err
	}))
	return result
}
