package localserver

import (
	"fmt"
	"os/exec"
	"runtime"
	"strconv"
	"time"
)

// killLimit is how long a killed process may take to be gone. The kernel needs
// milliseconds, unless a disk does not answer.
const killLimit = 10 * time.Second

// process is a child in a session of its own, so that a terminal's Ctrl-C reaches only
// the program that decides when the child ends. Its methods may be used concurrently.
type process struct {
	command *exec.Cmd
	pid     int
	done    chan struct{} // closed once the child has ended and has been waited for
	err     error         // how it ended; valid after done
}

// startProcess starts a child that is not to outlive this program: the kernel sees to
// that where it can, and the watchdog does. Without a watchdog the child is one.
func startProcess(command *exec.Cmd, w *watchdog) (*process, error) {
	setAttributes(command, w != nil)
	p := &process{command: command, done: make(chan struct{})}
	started := make(chan error)
	go func() {
		// Linux sends the parent-death signal when the thread that started the child
		// ends, not the program: the thread must stay until the child is gone.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		if err := command.Start(); err != nil {
			started <- err
			return
		}
		p.pid = command.Process.Pid
		w.tell(wordBegan, strconv.Itoa(p.pid))
		started <- nil
		p.err = command.Wait()
		w.tell(wordEnded, strconv.Itoa(p.pid))
		close(p.done)
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	return p, nil
}

// ended reports whether the child is gone.
func (p *process) ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// kill ends the child, and what it started, at once, and returns when it is gone. It
// gives up on a child that the kernel does not let go of.
func (p *process) kill() error {
	if p == nil || p.ended() {
		return nil
	}
	killGroup(p.pid)
	if !p.wait(killLimit) {
		return fmt.Errorf("process %d is still there %s after it was killed", p.pid, killLimit)
	}
	return nil
}

// terminate asks the child to end, and kills it if it has not after the grace.
func (p *process) terminate(grace time.Duration) error {
	if p == nil || p.ended() {
		return nil
	}
	terminate(p.command.Process)
	if p.wait(grace) {
		return nil
	}
	return p.kill()
}

// wait reports whether the child has ended within the limit.
func (p *process) wait(limit time.Duration) bool {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-p.done:
		return true
	case <-timer.C:
		return false
	}
}
