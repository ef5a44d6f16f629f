package mysqlsession_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mysqlsession/mysqlsession"
)

// BenchmarkCancelledCalls gives calls up while the server works on them, and reports what
// that costs in new connections: reconnects/op is 1 where every such call closes its
// connection.
func BenchmarkCancelledCalls(b *testing.B) {
	pool := benchStore(b, benchServer(b)).Pool()
	before := pool.Stat().NewConnsCount
	b.SetParallelism(4)
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			err := pool.Do(b.Context(), func(c *mysqlsession.Conn) error {
				ctx, cancel := context.WithTimeout(b.Context(), time.Millisecond)
				defer cancel()
				return c.Query(ctx, "SELECT SLEEP(0.005), ?", func(mysqlsession.Row) error { return nil }, 1)
			})
			if !errors.Is(err, context.DeadlineExceeded) {
				require.NoError(b, err)
			}
		}
	})
	b.StopTimer()
	stat := pool.Stat()
	b.ReportMetric(float64(stat.NewConnsCount-before)/float64(b.N), "reconnects/op")
	b.ReportMetric(float64(stat.DrainedCount)/float64(b.N), "drained/op")
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "cancelled/s")
}
