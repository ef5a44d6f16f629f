//go:build unix

package localserver

import (
	"os"
	"syscall"
)

const supported = true

// killGroup kills the process and what it started, which share the process group that
// has its number.
func killGroup(pid int) {
	_ = syscall.Kill(-pid, syscall.SIGKILL)
}

func terminate(process *os.Process) {
	_ = process.Signal(syscall.SIGTERM)
}
