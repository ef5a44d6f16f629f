//go:build unix

package main

import (
	"flag"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/mysqlsession/mysqlsession/cmd/mysqlsession/internal/browsertest"
	"github.com/mysqlsession/mysqlsession/internal/dbtest"
)

// pictures has the README's pictures made anew:
//
//	go test -run TestDashboard -pictures .
var pictures = flag.Bool("pictures", false, "write the README's pictures of the dashboard")

// chart is an expression for the figure with a title.
func chart(title string) string {
	return `[...document.querySelectorAll("figure")].find((f) => f.querySelector("h2").firstChild.data === "` + title + `")`
}

// latest is an expression for the value that a chart has drawn last of a series; null: a gap.
// Of stacked series it is the sum of those up to this one.
func latest(title, series string) string {
	return `(((f) => f.plot.data[f.plot.series.findIndex((s) => s.label === "` + series + `")]?.at(-1))(` + chart(title) + `))`
}

// picture is how many pixels of a chart have a colour, and the sum of their places.
type picture struct{ Coloured, Where float64 }

// drawn is what a chart shows.
func drawn(w *browsertest.Window, title string) picture {
	return browsertest.Value[picture](w, `(() => {
		const canvas = `+chart(title)+`.querySelector("canvas");
		const copy = new OffscreenCanvas(canvas.width, canvas.height).getContext("2d", {willReadFrequently: true});
		copy.drawImage(canvas, 0, 0);
		const {data} = copy.getImageData(0, 0, canvas.width, canvas.height);
		let Coloured = 0, Where = 0;
		for (let i = 0; i < data.length; i += 4) {
			if (data[i+3] > 20 && Math.max(data[i], data[i+1], data[i+2]) - Math.min(data[i], data[i+1], data[i+2]) > 40) {
				Coloured++;
				Where += i;
			}
		}
		return {Coloured, Where};
	})()`)
}

func TestStoryOfTheDemonstrationInABrowser(t *testing.T) {
	w := browsertest.Open(t)
	p := startDemoOnAnyServer(t)
	w.Goto(p.address)
	w.Press("Count my visits", "1 time")
	w.Press("Look again", "2 times")
	w.Focus("name")
	w.Key("Ada", 1)
	w.Press("Sign in", "Hello, Ada")
	w.Press("Look again", "4 times")
	w.Press("Sign out everywhere", "You are signed out everywhere: 1 session ended")
	w.Press("Dashboard", "Coalesce calls")
	w.Await(latest("Throughput", "all") + ` > 0`)
	w.Press("The web application", "you have no session and no cookie")
	w.AssertQuiet(p.address + "/")
	assert.Zero(t, p.interrupt(syscall.SIGINT))
	p.assertNothingLeft()
}

// startDemoOnAnyServer runs the demonstration on the first server that there is, if the
// machine has none to start.
func startDemoOnAnyServer(t *testing.T) *program {
	t.Helper()
	config := dbtest.Servers(t)[0].NewDatabase(t)
	return startDemo(t, dsnVariable+"="+config.ConnString())
}

func TestDashboardInABrowser(t *testing.T) {
	w := browsertest.Open(t)
	server := dbtest.Servers(t)[0]
	config := server.NewDatabase(t)
	p := startDemo(t, dsnVariable+"="+config.ConnString())
	if *pictures {
		p = startDemo(t) // with a server of its own, as most people see it first
	}
	w.Goto(p.address + "/dashboard/")
	w.Await(latest("Throughput", "all") + ` > 0 && ` + latest("Latency", "p99") + ` > 0 && ` + latest("Connections", "used") + ` > 0`)
	assert.Contains(t, browsertest.Value[string](w, `document.querySelector("#state").textContent`), "live")

	t.Run("charts move", func(t *testing.T) {
		w.Await(chart("Throughput") + `.plot.data[1].filter(Boolean).length > 8`)
		before := map[string]float64{}
		for _, title := range []string{"Connections", "Callers waiting", "Throughput", "Latency", "Batch size"} {
			picture := drawn(w, title)
			assert.Positive(t, picture.Coloured, title)
			before[title] = picture.Where
		}
		samples := browsertest.Value[int](w, chart("Throughput")+`.plot.data[0].length`)
		w.Await(chart("Throughput") + `.plot.data[0].length >= ` + strconv.Itoa(samples+4))
		for title, where := range before {
			assert.NotEqual(t, where, drawn(w, title).Where, title)
		}
	})
	t.Run("every control is reached by keyboard", func(t *testing.T) { reachControls(t, w) })
	t.Run("a slider is moved by keyboard", func(t *testing.T) {
		w.Focus("callers")
		w.Key(kb.ArrowRight, 1)
		w.Await(`fetch("load").then((a) => a.json()).then((s) => s.settings.callers === 128)`)
		assert.Equal(t, "128", browsertest.Value[string](w, `document.querySelector("#callers").getAttribute("aria-valuetext")`))
		w.Key(kb.Home, 1)
		w.Await(latest("Throughput", "all") + ` === 0 && ` + latest("Connections", "idle") + ` > 0`) // idle ones
		w.Key(kb.ArrowRight, 7)
		w.Await(latest("Throughput", "all") + ` > 0`)

		w.Focus("poolSize")
		w.Key(kb.ArrowLeft, 1)
		w.Await(latest("Connections", "limit") + ` === 4`)
		w.Key(kb.ArrowRight, 1)
		w.Await(latest("Connections", "limit") + ` === 8`)
	})
	t.Run("coalescing off and on is visible within two seconds", func(t *testing.T) {
		const most = 2 * time.Second
		const size, waiting = "Batch size", "Callers waiting"
		w.Await(latest(size, "mean") + ` > 1`)
		w.Focus("coalesce")
		for range 2 {
			for _, seen := range []string{ // off, on
				latest(size, "mean") + ` === null && ` + latest(waiting, "waiting") + ` >= 40`,
				latest(size, "mean") + ` > 1 && ` + latest(waiting, "waiting") + ` < 50`,
			} {
				began := time.Now()
				w.Key(" ", 1)
				w.Await(seen)
				took := time.Since(began)
				assert.Less(t, took, most)
				t.Log("seen after", took.Round(time.Millisecond))
			}
		}
		assert.Empty(t, browsertest.Value[string](w, `document.querySelector("#problem").textContent`))
	})
	t.Run("nothing fails while pools are exchanged", func(t *testing.T) {
		// Where three of these run on two processors some calls are too late, whatever pools do.
		for _, series := range []string{"backlog full", "failed"} {
			assert.Zero(t, browsertest.Value[float64](w, chart("Turned away")+`.plot.data[`+chart("Turned away")+
				`.plot.series.findIndex((s) => s.label === "`+series+`")].reduce((sum, n) => sum + n, 0)`), series)
		}
	})
	t.Run("it can be paused", func(t *testing.T) {
		w.Focus("pause")
		w.Key(kb.Enter, 1)
		w.Await(`document.querySelector("#state").textContent === "paused"`)
		w.Key(kb.Enter, 1)
		w.Await(`document.querySelector("#state").textContent === "live"`)
	})
	t.Run("light and dark", func(t *testing.T) { takePictures(t, w) })

	w.AssertQuiet(p.address + "/")
	w.Goto("about:blank")
	assert.Zero(t, p.interrupt(syscall.SIGINT))
	p.assertNothingLeft()
	var tables int
	require.NoError(t, server.AdminIn(t, config.Database).QueryRow(
		"SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = DATABASE() AND table_name LIKE '%load%'").Scan(&tables))
	assert.Zero(t, tables, "tables of the load are left")
}

// reachControls goes through the page with the tabulator key.
func reachControls(t *testing.T, w *browsertest.Window) {
	t.Helper()
	w.Run(chromedp.Evaluate[chromedp.Void](`document.activeElement.blur()`))
	missing := []string{"pause", "callers", "writes", "valueSize", "poolSize", "backlog", "delay", "coalesce"}
	for range 2 + len(missing) { // there are links before them
		w.Key(kb.Tab, 1)
		at := browsertest.Value[struct{ ID, Outline, Name string }](w, `(() => {
			const at = document.activeElement;
			return {ID: at.id, Outline: getComputedStyle(at).outlineStyle, Name: at.labels?.[0]?.textContent ?? at.textContent};
		})()`)
		assert.Equal(t, "solid", at.Outline, "where the keyboard is can be seen: %s", at.ID)
		assert.NotEmpty(t, strings.TrimSpace(at.Name), "%s has no name", at.ID)
		for i, id := range missing {
			if id == at.ID {
				missing = append(missing[:i], missing[i+1:]...)
				break
			}
		}
	}
	assert.Empty(t, missing)
}

// takePictures looks at the page as those see it who prefer light, and dark.
func takePictures(t *testing.T, w *browsertest.Window) {
	t.Helper()
	w.Run(chromedp.EmulateViewport(1360, 800, chromedp.EmulateScale(1.5)))
	if *pictures {
		tellAStory(w)
	}
	w.Run(chromedp.Evaluate[chromedp.Void](`document.activeElement.blur()`))
	ground := map[string]string{}
	for _, scheme := range []string{"light", "dark"} {
		w.Prefer("prefers-color-scheme", scheme)
		w.Await(`matchMedia("(prefers-color-scheme: ` + scheme + `)").matches`)
		ground[scheme] = browsertest.Value[string](w, `getComputedStyle(document.body).backgroundColor`)
		assert.Positive(t, drawn(w, "Throughput").Coloured, scheme)
		picture, err := chromedp.Run(w.Context(), chromedp.CaptureScreenshot())
		require.NoError(t, err)
		require.NotEmpty(t, picture)
		if *pictures {
			require.NoError(t, os.MkdirAll("../../docs", 0o755))
			require.NoError(t, os.WriteFile("../../docs/dashboard-"+scheme+".png", picture, 0o644))
		}
	}
	assert.NotEqual(t, ground["light"], ground["dark"])
}

// tellAStory has something happen that is worth a picture.
func tellAStory(w *browsertest.Window) {
	wait := func(d time.Duration) { w.Run(chromedp.Sleep(d)) }
	w.Focus("coalesce")
	wait(17 * time.Second)
	w.Key(" ", 1)
	wait(15 * time.Second)
	w.Focus("backlog")
	w.Key(kb.ArrowLeft, 3)
	wait(10 * time.Second)
	w.Key(kb.ArrowRight, 3)
	w.Focus("coalesce")
	w.Key(" ", 1)
	wait(17 * time.Second)
}
