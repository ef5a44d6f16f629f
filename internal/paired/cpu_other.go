//go:build !unix

package paired

import "time"

// processCPU is unknown here.
func processCPU() time.Duration { return 0 }
