package localserver

import (
	"os/exec"
	"syscall"
)

func setAttributes(command *exec.Cmd, mortal bool) {
	command.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if mortal {
		command.SysProcAttr.Pdeathsig = syscall.SIGKILL
	}
}
