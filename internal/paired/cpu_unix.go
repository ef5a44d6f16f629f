//go:build unix

package paired

import (
	"syscall"
	"time"
)

// processCPU is the time that this process has spent on processors.
func processCPU() time.Duration {
	var usage syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &usage) != nil {
		return 0
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
