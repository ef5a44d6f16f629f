package main

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestTheTableHasMediansAndTheMedianOfEachRoundsRatio(t *testing.T) {
	input := `goos: linux
BenchmarkPeers/get/callers=64/mysqlsession-2 	 100 	 10 ns/op 	 300 ops/s 	 1 p50-us 	 10 p99-us 	 1 allocs/op
BenchmarkPeers/get/callers=64/sql-prepared-2 	 100 	 10 ns/op 	 100 ops/s 	 1 p50-us 	 20 p99-us 	 28 allocs/op
BenchmarkPeers/get/callers=64/mysqlsession-2 	 100 	 10 ns/op 	 100 ops/s 	 3 p50-us 	 30 p99-us 	 1 allocs/op
BenchmarkPeers/get/callers=64/sql-prepared-2 	 100 	 10 ns/op 	 100 ops/s 	 1 p50-us 	 20 p99-us 	 28 allocs/op
PASS
`
	results, err := read(strings.NewReader(input))
	require.NoError(t, err)
	var out strings.Builder
	require.NoError(t, write(&out, results))
	require.Contains(t, out.String(), "| get | 64 | 200 | 2 µs | 20 µs | 1 | 2.00 | - | - | 1.00 |")
}

func TestNamesLoseTheNumberOfProcessorsOnly(t *testing.T) {
	require.Equal(t, "sql-prepared", withoutCPUs("sql-prepared-2"))
	require.Equal(t, "sql-prepared", withoutCPUs("sql-prepared"))
}
