//go:build unix

package main

import (
	"os/exec"
	"syscall"
)

// detach keeps a terminal's Ctrl-C from a child that must end after us.
func detach(command *exec.Cmd) {
	command.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
}
