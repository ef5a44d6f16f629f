package dbtest

import (
	"fmt"
	"slices"
	"testing"

	"github.com/mysqlsession/mysqlsession"
)

// Example is for examples, which have no testing.TB: the Config of an empty database on the
// first server, and what drops it again.
func Example() (cfg mysqlsession.Config, done func()) {
	tb := &exampleTB{}
	cfg = Servers(tb)[0].NewDatabase(tb)
	cfg.CleanupInterval = -1
	return cfg, tb.done
}

// exampleTB is as much of a testing.TB as the servers need. An example can fail by a panic,
// or by what it prints.
type exampleTB struct {
	testing.TB
	cleanups []func()
}

func (tb *exampleTB) Helper() {}

func (tb *exampleTB) Cleanup(f func()) { tb.cleanups = append(tb.cleanups, f) }

func (tb *exampleTB) Fatal(arguments ...any) { panic(fmt.Sprint(arguments...)) }

func (tb *exampleTB) Fatalf(format string, arguments ...any) {
	panic(fmt.Sprintf(format, arguments...))
}

func (tb *exampleTB) Errorf(format string, arguments ...any) { fmt.Printf(format+"\n", arguments...) }

func (tb *exampleTB) done() {
	for _, f := range slices.Backward(tb.cleanups) {
		f()
	}
}
