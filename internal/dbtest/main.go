package dbtest

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/mysqlsession/mysqlsession/internal/localserver"
)

// Main is a package's TestMain: it runs the tests, stops the servers that were
// started for them, and fails when a goroutine is left.
func Main(m *testing.M) {
	// In the process that removes the servers should this one be killed, this call
	// does that and does not return.
	localserver.Watchdog()
	code := m.Run()
	for _, stop := range process.stop {
		if err := stop(); err != nil {
			fmt.Fprintln(os.Stderr, "stopping a test server:", err)
			code = max(code, 1)
		}
	}
	if code == 0 {
		if stacks := leakedGoroutines(leakGrace); len(stacks) > 0 {
			fmt.Fprintf(os.Stderr, "FAIL: %d goroutines were left running:\n\n%s\n", len(stacks), strings.Join(stacks, "\n\n"))
			code = 1
		}
	}
	os.Exit(code)
}

// leakGrace is how long goroutines that were told to end may take to do so.
const leakGrace = 5 * time.Second

// leakedGoroutines returns the stacks of the goroutines that still run after grace
// and that no package keeps for the process.
func leakedGoroutines(grace time.Duration) []string {
	deadline := time.NewTimer(grace)
	defer deadline.Stop()
	look := time.NewTicker(20 * time.Millisecond)
	defer look.Stop()
	for {
		stacks := foreignGoroutines()
		if len(stacks) == 0 {
			return nil
		}
		select {
		case <-look.C:
		case <-deadline.C:
			return stacks
		}
	}
}

// lasting are functions in the stacks of goroutines that live as long as the process.
var lasting = [...]string{
	"testing.(*M).",
	"os/signal.loop(",
	"os/signal.signal_recv(",
	"runtime.ensureSigM(",
	// The clocks of fasthttp and of fiber's cache.
	"github.com/valyala/fasthttp.updateServerDate",
	"github.com/gofiber/fiber/v3/middleware/cache.New.",
	// Its connections to the engine, and to the container that cleans up after it.
	"net/http.(*persistConn).",
	"github.com/testcontainers/testcontainers-go.",
	// Every scs.New starts a store in memory, which cannot be stopped without a race.
	"github.com/alexedwards/scs/v2/memstore.(*MemStore).startCleanup(",
}

func foreignGoroutines() []string {
	var stacks []string
	for _, stack := range strings.Split(string(allStacks()), "\n\n")[1:] { // the first is this one
		if !isLasting(stack) {
			stacks = append(stacks, stack)
		}
	}
	return stacks
}

func isLasting(stack string) bool {
	for _, function := range lasting {
		if strings.Contains(stack, function) {
			return true
		}
	}
	return false
}

func allStacks() []byte {
	for size := 1 << 20; ; size *= 2 {
		buf := make([]byte, size)
		if n := runtime.Stack(buf, true); n < size {
			return buf[:n]
		}
	}
}
