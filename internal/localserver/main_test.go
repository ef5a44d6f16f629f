//go:build unix

package localserver

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// The tests run copies of themselves as programs that use the package.
const (
	childVariable  = "LOCALSERVER_TEST_CHILD"
	childServes    = "serves"           // starts a server, says so, and waits to be killed
	childPrepares  = "prepares"         // sets up a server's data, says so at once, and waits to be killed
	childForgetful = "forgets watchdog" // calls Start without having called Watchdog
)

func TestMain(m *testing.M) {
	kind, encoded, _ := strings.Cut(os.Getenv(childVariable), " = ")
	if kind != childForgetful {
		Watchdog()
	}
	if kind == "" {
		os.Exit(m.Run())
	}
	var options Options
	if err := json.Unmarshal([]byte(encoded), &options); err != nil {
		fmt.Println("bad options:", err)
		os.Exit(2)
	}
	child(kind, options)
}

// report is what a copy says of its server, as a line of JSON.
type report struct {
	Folder        string
	Pid, Watchdog int
	Error         string
}

func child(kind string, options Options) {
	say := func(s *Server, err error) {
		r := report{}
		if s != nil {
			r = report{Folder: s.Folder, Pid: s.process.pid, Watchdog: s.watchdog.process.pid}
		}
		if err != nil {
			r.Error = err.Error()
		}
		line, _ := json.Marshal(r)
		fmt.Println(string(line))
	}
	switch kind {
	case childPrepares:
		s, err := newServer(options)
		if err == nil {
			var command *exec.Cmd
			if command, err = s.initialization(); err == nil {
				_, err = s.runLocked(command)
			}
		}
		say(s, err)
	default:
		say(Start(context.Background(), options))
	}
	select {}
}
