package localserver

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// watchdogVariable marks, in the environment, the process that is a watchdog.
const watchdogVariable = "MYSQLSESSION_WATCHDOG"

// folderPrefix opens the name of every folder that is made here. The watchdog removes
// no other.
const folderPrefix = "mysqlsession-"

// The watchdog's words. It says watching, once, when it has taken over; it is told the
// folder, each process that begins to work in it, and each that has ended.
const (
	wordWatching = "watching"
	wordFolder   = "folder"
	wordBegan    = "began"
	wordEnded    = "ended"
)

// errNoWatchdog is what a program gets that has forgotten to call Watchdog.
var errNoWatchdog = errors.New("no watchdog: the program must call localserver.Watchdog first in main or TestMain")

// Watchdog does nothing in a program that was started as usual. In the copy of the
// program that Start runs as the watchdog of a server it takes over and never returns.
// It must be the first call in main, or in TestMain.
func Watchdog() {
	if os.Getenv(watchdogVariable) == "" {
		return
	}
	// What ends the program must not end the one who cleans up after it, nor must the
	// end of the program, who may be gone before the word below is written. It is never
	// in the way: it ends when the program does.
	signal.Ignore(os.Interrupt, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGPIPE)
	_, _ = fmt.Println(wordWatching)
	newWard(os.Stdin).cleanUp(30 * time.Second)
	os.Exit(0)
}

// ward is what a watchdog answers for.
type ward struct {
	folder    string
	processes map[int]*os.Process
}

// newWard listens until the pipe breaks, which is when the program has ended or has
// let go of the watchdog.
func newWard(pipe io.Reader) *ward {
	w := &ward{processes: map[int]*os.Process{}}
	lines := bufio.NewScanner(pipe)
	for lines.Scan() {
		word, rest, _ := strings.Cut(lines.Text(), " ")
		switch word {
		case wordFolder:
			folder, err := strconv.Unquote(rest)
			if err == nil && filepath.IsAbs(folder) && strings.HasPrefix(filepath.Base(folder), folderPrefix) {
				w.folder = folder
			}
		case wordBegan:
			// A handle, where the system has such a thing, so that a number that is in
			// use again is not mistaken for the process.
			pid, err := strconv.Atoi(rest)
			if err == nil && pid > 1 {
				w.processes[pid], _ = os.FindProcess(pid)
			}
		case wordEnded:
			pid, _ := strconv.Atoi(rest)
			delete(w.processes, pid)
		}
	}
	return w
}

// cleanUp kills what still runs and removes the folder. A process that is being killed
// may be in the middle of making a file, so that can take more than one go; once the
// folder is gone nothing can come back into it.
func (w *ward) cleanUp(limit time.Duration) {
	for pid, process := range w.processes {
		if process != nil && process.Signal(syscall.Signal(0)) == nil {
			killGroup(pid)
		}
	}
	if w.folder == "" {
		return
	}
	for deadline := time.Now().Add(limit); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if os.RemoveAll(w.folder) == nil {
			return
		}
	}
}

// watchdog is the program's end of the pipe.
type watchdog struct {
	process  *process
	pipe     io.WriteCloser
	watching chan error // gets nil when the watchdog has taken over
}

// startWatchdog starts a copy of this program that cleans up after it. From its return
// on, whatever becomes of this program, the folder is removed.
func startWatchdog(folder string) (*watchdog, error) {
	if os.Getenv(watchdogVariable) != "" {
		return nil, errNoWatchdog // or else it would start copies of itself without end
	}
	program, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find this program: %w", err)
	}
	if runtime.GOOS == "linux" {
		program = "/proc/self/exe" // found also when the file has been replaced since
	}
	command := exec.Command(program)
	command.Args[0] = os.Args[0]
	command.Env = append(os.Environ(), watchdogVariable+"=1",
		// The race detector would have it wait for a second before it ends.
		"GORACE="+os.Getenv("GORACE")+" atexit_sleep_ms=0")
	pipe, err := command.StdinPipe()
	if err != nil {
		return nil, err
	}
	answer, answerEnd, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	command.Stdout = answerEnd
	w := &watchdog{pipe: pipe, watching: make(chan error, 1)}
	w.process, err = startProcess(command, nil)
	_ = answerEnd.Close()
	if err != nil {
		_ = answer.Close()
		return nil, fmt.Errorf("start the watchdog: %w", err)
	}
	go w.listen(answer)
	w.tell(wordFolder, strconv.Quote(folder))
	return w, nil
}

// listen hears whether the copy has taken over, or is doing something else.
func (w *watchdog) listen(answer io.ReadCloser) {
	defer func() { _ = answer.Close() }()
	line, _ := bufio.NewReader(answer).ReadString('\n')
	if line == wordWatching+"\n" {
		w.watching <- nil
	} else {
		w.watching <- errNoWatchdog
	}
}

// tell cannot fail in a way that matters: a watchdog that is gone is none.
func (w *watchdog) tell(word, rest string) {
	if w == nil {
		return
	}
	_, _ = fmt.Fprintln(w.pipe, word, rest)
}

// confirm waits until the watchdog has taken over.
func (w *watchdog) confirm(ctx context.Context) error {
	select {
	case err := <-w.watching:
		if err != nil {
			err = errors.Join(err, w.process.kill()) // whatever it is doing
		}
		return err
	case <-ctx.Done():
		return fmt.Errorf("wait for the watchdog: %w", context.Cause(ctx))
	}
}

// release lets the watchdog go and waits for its end.
func (w *watchdog) release() error {
	_ = w.pipe.Close()
	if w.process.wait(killLimit) {
		return nil
	}
	return w.process.kill()
}
