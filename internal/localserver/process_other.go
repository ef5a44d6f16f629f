//go:build !unix

package localserver

import (
	"os"
	"os/exec"
)

const supported = false

func setAttributes(*exec.Cmd, bool) {}
func killGroup(int)                 {}
func terminate(*os.Process)         {}
