package doctor

import (
	"fmt"
	"time"

	"github.com/mysqlsession/mysqlsession"
)

// aboutConfig looks at the configuration by itself.
func aboutConfig(cfg *mysqlsession.Config) []Finding {
	l := findings{}
	if cfg.ReadTimeout > 0 && cfg.LockWaitTimeout >= cfg.ReadTimeout {
		l.warn("LockWaitTimeout", fmt.Sprintf("is %v, and ReadTimeout %v: a write that waits for a lock is given up before the server gives it up, so that its outcome is unknown",
			cfg.LockWaitTimeout, cfg.ReadTimeout), fmt.Sprintf("read_timeout=%v in the DSN", cfg.LockWaitTimeout+3*time.Second))
	}
	if cfg.CleanupInterval < 0 {
		l.note("CleanupInterval", "is negative: stores with this configuration remove no expired sessions", "cleanup_interval=1m in the DSN, or call Store.Cleanup from elsewhere")
	}
	return l
}
