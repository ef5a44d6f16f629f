//go:build !unix

package paired

import "time"

// ProcessCPU is 0: it is unknown here.
func ProcessCPU() time.Duration { return 0 }
