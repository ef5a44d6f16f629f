package dashboard

import (
	"fmt"
	"slices"
	"strings"

	"github.com/mysqlsession/mysqlsession/cmd/mysqlsession/internal/load"
)

// control is a slider. It moves along a list of values, since most settings matter by their
// size and not by their last digit.
type control struct {
	Name, Label string
	Steps       []int
	Words       []string // what the steps are called
	Value       int      // the index of the step that is nearest to the setting
}

// List is the steps as the page's script reads them.
func (c control) List() string { return strings.Trim(fmt.Sprint(c.Steps), "[]") }

// Names is the steps' names as the page's script reads them.
func (c control) Names() string { return strings.Join(c.Words, ",") }

// Last is the index of the last step.
func (c control) Last() int { return len(c.Steps) - 1 }

// Said is what the setting is called.
func (c control) Said() string { return c.Words[c.Value] }

// controls are the sliders for the settings.
func controls(s load.Settings) []control {
	return []control{
		newControl("callers", "Callers", s.Callers, "%d", 0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024),
		newControl("writes", "Writes", s.Writes, "%d %%", 0, 5, 10, 20, 30, 40, 50, 60, 70, 80, 90, 100),
		newControl("valueSize", "Value size", s.ValueSize, "%d B", 16, 64, 256, 1<<10, 4<<10, 16<<10),
		newControl("poolSize", "Pool size", s.PoolSize, "%d", 1, 2, 4, 8, 16, 32, 64),
		newControl("backlog", "Backlog", s.Backlog, "%d", 0, 1, 4, 16, 64, 250, 1000, 10000),
		newControl("delay", "Network delay", s.Delay, "%d ms", 0, 1, 2, 5, 10, 20, 50, 100, 200),
	}
}

func newControl(name, label string, value int, format string, steps ...int) control {
	c := control{Name: name, Label: label, Steps: steps}
	for i, step := range steps {
		word := fmt.Sprintf(format, step)
		if step >= 1<<10 && strings.HasSuffix(format, " B") {
			word = fmt.Sprintf("%d KiB", step>>10)
		}
		c.Words = append(c.Words, word)
		if distance(step, value) < distance(steps[c.Value], value) {
			c.Value = i
		}
	}
	return c
}

func distance(a, b int) int { return slices.Max([]int{a - b, b - a}) }
