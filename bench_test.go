package mysqlsession_test

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mysqlsession/mysqlsession"
	"github.com/mysqlsession/mysqlsession/internal/dbtest"
	"github.com/mysqlsession/mysqlsession/internal/localserver"
)

// benchOperations have rotate at the end: it leaves sessions behind.
var benchOperations = []string{"get", "set", "mixed", "rotate"}

// BenchmarkPeers runs the same operations on the same server through this package,
// through database/sql with go-sql-driver/mysql, and through go-mysql's own pool, each
// with 16 connections. Compare the lines of one run; `make bench` makes several, each with
// its number in MYSQLSESSION_BENCH_ROUND, and takes medians. Those of even numbers go
// through the peers in the opposite order, so that nobody always comes first.
//
// -benchtime is the time of each line. Beside ops/s a line has the latency's median and
// 99th percentile as callers see it, what this process spends on processors, and how fair
// it was: the slowest caller's mean latency against the median caller's.
func BenchmarkPeers(b *testing.B) {
	cfg := benchDatabase(b)
	for _, operation := range benchOperations {
		for _, at := range links {
			peers := peersAt(b, cfg, at)
			if round, _ := strconv.Atoi(os.Getenv("MYSQLSESSION_BENCH_ROUND")); round > 0 && round%2 == 0 {
				slices.Reverse(peers)
			}
			for _, callers := range []int{1, 4, 16, 64, 256, mostCallers} {
				if callers == 256 && (operation == "get" || operation == "set") { // which it is compared with most
					b.Run(at.name+"/"+operation+"/ceiling", func(b *testing.B) { measureCeiling(b, cfg, at, operation) })
				}
				for _, p := range peers {
					b.Run(fmt.Sprintf("%s/%s/callers=%d/%s", at.name, operation, callers, p.name), func(b *testing.B) {
						measure(b, workload{callers: callers, conns: p.conns, rows: 1, call: p.open(b)[operation]}, benchPace(callers))
					})
				}
			}
		}
	}
}

// BenchmarkAlternating is for one caller on a machine that is not quiet: it takes turns
// between the peers from call to call, so that they share whatever else is going on, and
// reports the medians, and each peer's against ours: over 1 is slower than this package.
func BenchmarkAlternating(b *testing.B) {
	cfg := benchDatabase(b)
	peers := peersAt(b, cfg, links[0])
	for _, name := range benchOperations {
		b.Run(name, func(b *testing.B) {
			runs := make([]operation, len(peers))
			latencies := make([][]time.Duration, len(peers))
			for i, p := range peers {
				runs[i] = p.open(b)[name]
			}
			for n := 0; b.Loop(); n++ {
				for turn := range runs {
					i := (n + turn) % len(runs) // nobody always follows the same one
					start := time.Now()
					require.NoError(b, runs[i](context.Background(), i, n))
					if n >= 8 { // connections are open and statements prepared
						latencies[i] = append(latencies[i], time.Since(start))
					}
				}
			}
			if len(latencies[0]) == 0 {
				return
			}
			for i, p := range peers {
				slices.Sort(latencies[i])
				median := latencies[i][len(latencies[i])/2]
				b.ReportMetric(float64(median.Nanoseconds())/1e3, p.name+"-p50-us")
				b.ReportMetric(float64(median)/float64(latencies[0][len(latencies[0])/2]), p.name+"-ratio")
			}
		})
	}
}

// BenchmarkGet tells what a context costs: a background one, and one that is made for
// the call and can end.
func BenchmarkGet(b *testing.B) {
	store := benchStore(b, benchDatabase(b))
	keys := sessionKeys()
	b.Run("background", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			_, err := store.Get(context.Background(), benchName, keys[0])
			require.NoError(b, err)
		}
	})
	b.Run("timeout", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			_, err := store.Get(ctx, benchName, keys[0])
			cancel()
			require.NoError(b, err)
		}
	})
}

// benchServer is a database on a server with its durable defaults: what
// MYSQLSESSION_TEST_DSNS names first, or a private one with these arguments.
func benchServer(b *testing.B, arguments ...string) mysqlsession.Config {
	if os.Getenv("MYSQLSESSION_TEST_DSNS") != "" {
		return dbtest.Servers(b)[0].NewDatabase(b)
	}
	binaries := localserver.Find()
	require.NotEmpty(b, binaries, "no server found: set MYSQLSESSION_TEST_DSNS, or install mariadb-server-core")
	// The tests' redo log is small, and a server that writes much would wait for its pages.
	redo := "--loose-innodb-redo-log-capacity=100M"
	if binaries[0].Flavor == localserver.FlavorMariaDB {
		redo = "--innodb-log-file-size=96M"
	}
	server, err := localserver.Start(b.Context(), localserver.Options{
		Binary: binaries[0], Durable: true, Arguments: append([]string{redo}, arguments...),
	})
	require.NoError(b, err)
	b.Cleanup(func() { require.NoError(b, server.Stop()) })
	return mysqlsession.Config{
		Host: server.Host, Port: server.Port, Username: server.Username, Password: server.Password, Database: server.Database,
	}
}

// benchDatabase is a database with all sessions in it.
func benchDatabase(b *testing.B) mysqlsession.Config {
	cfg := benchServer(b)
	require.NoError(b, benchStore(b, cfg).Migrate(b.Context()))
	expires := time.Now().Add(24 * time.Hour).Unix()
	loadSessions(b, cfg, benchSessions, func(i int) storedSession {
		return storedSession{key: sessionKeys()[i], value: sessionValue(i, benchValue), expires: expires}
	})
	return cfg
}

// benchStore is a store of ours that leaves expired sessions alone: its clean-up would
// come at some line's expense.
func benchStore(b *testing.B, cfg mysqlsession.Config) *mysqlsession.Store {
	cfg.PoolSize, cfg.CleanupInterval = benchConns, -1
	store, err := mysqlsession.Open(b.Context(), cfg)
	require.NoError(b, err)
	b.Cleanup(func() { require.NoError(b, store.Close()) })
	return store
}
