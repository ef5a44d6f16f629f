//go:build unix

package paired

import (
	"syscall"
	"time"
)

// ProcessCPU is the time that this process, and not the server, has spent on processors.
func ProcessCPU() time.Duration {
	var usage syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &usage) != nil {
		return 0
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
