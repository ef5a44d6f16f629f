package mysqlsessionprom_test

import (
	"context"
	"testing"
	"time"

	"github.com/mysqlsession/mysqlsession"
	"github.com/mysqlsession/mysqlsession/internal/telemetrytest"
	mysqlsessionprom "github.com/mysqlsession/mysqlsession/telemetry/prometheus"
)

// BenchmarkCost tells what the collector costs reads of 64 callers, in paired rounds:
// go test -run '^$' -bench Cost -benchtime 101x .
func BenchmarkCost(b *testing.B) {
	telemetrytest.Cost(b, telemetrytest.Listener{Name: "collector", Trace: mysqlsessionprom.NewCollector().Trace()})
}

// BenchmarkHooks tells what a call's hook takes by itself.
func BenchmarkHooks(b *testing.B) {
	hooks := mysqlsessionprom.NewCollector().Trace()
	info := mysqlsession.CallInfo{Pool: "pool", Operation: "get", Database: "shop", Table: "sessions", System: "mariadb", Address: "db:3306", Duration: time.Millisecond}
	b.ReportAllocs()
	b.RunParallel(func(p *testing.PB) {
		for p.Next() {
			hooks.Call(context.Background(), info)
		}
	})
}
