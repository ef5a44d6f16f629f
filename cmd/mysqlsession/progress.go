package main

import (
	"io"
	"time"

	"github.com/schollz/progressbar/v3"
)

// progress shows on a terminal how far something is. Elsewhere it shows nothing.
type progress struct{ bar *progressbar.ProgressBar }

// newProgress is that of so many steps.
func newProgress(w io.Writer, steps int) *progress {
	if !isTerminal(w) {
		return &progress{}
	}
	return &progress{progressbar.NewOptions(steps,
		progressbar.OptionSetWriter(w),
		progressbar.OptionSetWidth(30),
		progressbar.OptionSetPredictTime(true),
		progressbar.OptionThrottle(50*time.Millisecond),
		progressbar.OptionClearOnFinish(),
	)}
}

// advance goes on by a step, and says what it is.
func (p *progress) advance(step string) {
	if p.bar != nil {
		p.bar.Describe(step)
		_ = p.bar.Add(1)
	}
}

// end takes the bar away.
func (p *progress) end() {
	if p.bar != nil {
		_ = p.bar.Clear()
	}
}
