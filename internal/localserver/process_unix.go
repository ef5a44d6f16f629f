//go:build unix && !linux

package localserver

import (
	"os/exec"
	"syscall"
)

// setAttributes cannot make the child mortal: only the watchdog sees to it here.
func setAttributes(command *exec.Cmd, _ bool) {
	command.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
}
