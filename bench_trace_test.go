package mysqlsession_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mysqlsession/mysqlsession"
	"github.com/mysqlsession/mysqlsession/internal/paired"
)

// BenchmarkTrace tells what hooks cost reads of 64 callers: none, again none, which is the
// error of the measurement, and one of each sort that does nothing. -benchtime is the
// number of rounds: 101x.
func BenchmarkTrace(b *testing.B) {
	const callers = 64
	cfg := benchDatabase(b)
	empty := &mysqlsession.Trace{
		CallStart:  func(ctx context.Context, _ mysqlsession.CallInfo) context.Context { return ctx },
		Call:       func(context.Context, mysqlsession.CallInfo) {},
		Batch:      func(mysqlsession.BatchInfo) {},
		Connect:    func(mysqlsession.ConnectInfo) {},
		Acquire:    func(mysqlsession.AcquireInfo) {},
		Release:    func(mysqlsession.ReleaseInfo) {},
		Disconnect: func(mysqlsession.DisconnectInfo) {},
		Leak:       func(mysqlsession.LeakInfo) {},
	}
	reads := func(trace *mysqlsession.Trace) func(int, int) error {
		cfg.Trace = trace
		store := benchStore(b, cfg)
		return func(caller, n int) error {
			_, err := store.Get(context.Background(), benchName, anyKey(caller, n))
			return err
		}
	}
	results, err := paired.Compare([]paired.Alternative{
		{Name: "without", Call: reads(nil)}, {Name: "without, again", Call: reads(nil)}, {Name: "empty hooks", Call: reads(empty)},
	}, callers, max(b.N, 3), 50*time.Millisecond)
	require.NoError(b, err)
	if b.N > 1 { // the testing package tries with one first
		b.Log("\n" + paired.Table(results))
	}
	b.ReportMetric(100*(results[1].CPURatio-1), "again-cpu-%")
	b.ReportMetric(100*(results[2].CPURatio-1), "hooks-cpu-%")
	b.ReportMetric(100*(results[2].RateRatio-1), "hooks-rate-%")
	b.ReportMetric(0, "ns/op")
}
