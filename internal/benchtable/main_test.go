package main

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// tables is what the command prints.
func tables(t *testing.T, input string) string {
	t.Helper()
	var out strings.Builder
	require.NoError(t, run(strings.NewReader(input), &out))
	return out.String()
}

func TestTheTableHasMediansAndTheMedianOfEachRoundsRatio(t *testing.T) {
	out := tables(t, `goos: linux
BenchmarkPeers/loopback/get/callers=64/mysqlsession-2 	 1 	 10 ns/op 	 300 ops/s 	 1 p50-us 	 10 p99-us 	 6 cpu-us/op 	 1.5 unfair 	 1 allocs/op
BenchmarkPeers/loopback/get/callers=64/sql-prepared-2 	 1 	 10 ns/op 	 100 ops/s 	 1 p50-us 	 20 p99-us 	 12 cpu-us/op 	 1 unfair 	 28 allocs/op
BenchmarkPeers/loopback/get/callers=64/mysqlsession-2 	 1 	 10 ns/op 	 100 ops/s 	 3 p50-us 	 30 p99-us 	 4 cpu-us/op 	 2.5 unfair 	 1 allocs/op
BenchmarkPeers/loopback/get/callers=64/sql-prepared-2 	 1 	 10 ns/op 	 100 ops/s 	 1 p50-us 	 20 p99-us 	 16 cpu-us/op 	 1 unfair 	 28 allocs/op
PASS
`)
	require.Contains(t, out, "| get | 64 | 200 | 2 µs | 20 µs | 5.0 µs | 1 | 2.00 | - | - | - | - | 1.00 | 0.38 | 2.00 |")
}

func TestEachLinkHasATableAndOnlyTheFarOneThePeerWithManyConnections(t *testing.T) {
	out := tables(t, `
BenchmarkPeers/loopback/set/callers=1/mysqlsession 	 1 	 300 ops/s
BenchmarkPeers/loopback/set/callers=1/coalescing-off 	 1 	 200 ops/s
BenchmarkPeers/1ms/set/callers=1/sql-prepared-64conns 	 1 	 100 ops/s
BenchmarkPeers/1ms/set/callers=1/mysqlsession 	 1 	 150 ops/s
`)
	near, far, ok := strings.Cut(out, "\n\nLink 1ms:\n\n")
	require.True(t, ok, out)
	require.NotContains(t, near, "64conns")
	require.Contains(t, near, "| set | 1 | 300 | 0 µs | 0 µs | 0.0 µs | 0 | - | - | - | 1.50 | - |")
	require.Contains(t, far, "×coalescing-off | ×sql-prepared-64conns | of ceiling")
	require.Contains(t, far, "| set | 1 | 150 | 0 µs | 0 µs | 0.0 µs | 0 | - | - | - | - | 1.50 | - |")
}

func TestTheCeilingIsTheBestSizeOfItsRoundLinkAndOperation(t *testing.T) {
	out := tables(t, `
BenchmarkPeers/loopback/get/callers=64/mysqlsession-2 	 1 	 50 ops/s
BenchmarkPeers/loopback/get/ceiling/rows=32-2 	 1 	 80 ops/s
BenchmarkPeers/loopback/get/ceiling/rows=128-2 	 1 	 100 ops/s
BenchmarkPeers/1ms/get/ceiling/rows=128-2 	 1 	 1000 ops/s
BenchmarkPeers/loopback/set/ceiling/rows=128-2 	 1 	 1000 ops/s
BenchmarkPeers/loopback/get/callers=64/mysqlsession-2 	 1 	 50 ops/s
BenchmarkPeers/loopback/get/ceiling/rows=32-2 	 1 	 100 ops/s
BenchmarkPeers/loopback/get/ceiling/rows=128-2 	 1 	 40 ops/s
`)
	require.Contains(t, out, "| 50 % |")
	require.NotContains(t, out, "| ceiling |")
}

func TestGrowthIsTheCostAtEachSizeAndAgainstTheSmallest(t *testing.T) {
	out := tables(t, `
BenchmarkGrowth/sessions=1000000/round=1/get/callers=64/mysqlsession-2 	 1 	 9000 ns/op
BenchmarkGrowth/sessions=1000000/round=2/get/callers=64/mysqlsession-2 	 1 	 11000 ns/op
BenchmarkGrowth/sessions=20000/round=1/get/callers=64/mysqlsession-2 	 1 	 5000 ns/op
BenchmarkGrowth/sessions=20000/round=1/get/callers=64/server-2 	 1 	 4000 ns/op
BenchmarkGrowth/sessions=1000000/round=1/get/callers=64/server-2 	 1 	 6000 ns/op
BenchmarkGrowth/sessions=20000/round=1/cleanup/subject=1/server-2 	 1 	 6000 ns/op
`)
	require.Contains(t, out, "| operation | with | 20000: ours | server | 1000000: ours | server | 1000000 against 20000: ours | server |")
	require.Contains(t, out, "| get | callers=64 | 5.0 µs | 4.0 µs | 10.0 µs | 6.0 µs | 2.00 | 1.50 |")
	require.Contains(t, out, "| cleanup | subject=1 | - | 6.0 µs | - | - | - | - |")
}

func TestInputWithoutABenchmarkIsAnError(t *testing.T) {
	require.Error(t, run(strings.NewReader("PASS\n"), new(strings.Builder)))
	require.ErrorContains(t, run(strings.NewReader("BenchmarkPeers/a/b/callers=1/c 1 x ops/s\n"), new(strings.Builder)), "BenchmarkPeers/a/b")
}

func TestNamesLoseTheNumberOfProcessorsOnly(t *testing.T) {
	require.Equal(t, "sql-prepared", withoutCPUs("sql-prepared-2"))
	require.Equal(t, "sql-prepared", withoutCPUs("sql-prepared"))
	require.Equal(t, manyConns, withoutCPUs(manyConns+"-64"))
	require.Equal(t, manyConns, withoutCPUs(manyConns))
}
