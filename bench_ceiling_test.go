package mysqlsession_test

import (
	"context"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mysqlsession/mysqlsession"
)

// ceilingConns is how many connections the ceiling is measured on.
const ceilingConns = 2

// measureCeiling is the most that combining calls can come to: the multi-row statements
// alone, always as large, one after the other on connections of their own, with no
// caller's row to be found in a reply. The best of the sizes is the ceiling.
func measureCeiling(b *testing.B, cfg mysqlsession.Config, at link, operation string) {
	for _, rows := range []int{32, 64, 128} {
		b.Run("rows="+strconv.Itoa(rows), func(b *testing.B) {
			call := openCeiling(b, cfg, at, rows)[operation]
			measure(b, workload{callers: ceilingConns, conns: ceilingConns, rows: rows, call: call}, benchPace(ceilingConns))
		})
	}
}

// openCeiling has the operations that a ceiling is measured of. A caller is a connection.
func openCeiling(b *testing.B, cfg mysqlsession.Config, at link, rows int) map[string]operation {
	cfg.DialFunc = at.dial
	conns := make([]*mysqlsession.Conn, ceilingConns)
	content := make([]values, ceilingConns)
	for i := range conns {
		var err error
		conns[i], err = mysqlsession.Connect(b.Context(), cfg)
		require.NoError(b, err)
		b.Cleanup(func() { _ = conns[i].Close() })
		content[i] = newValues(rows)
	}
	get := "SELECT sid, name, data FROM sessions WHERE sid IN (" + listOf("?", rows) + ") AND exp >= FROM_UNIXTIME(?)"
	set := "INSERT INTO sessions (sid, name, data, exp) VALUES " + listOf("(?, ?, ?, FROM_UNIXTIME(?))", rows) +
		" ON DUPLICATE KEY UPDATE name = VALUES(name), data = VALUES(data), exp = VALUES(exp)"
	return map[string]operation{
		"get": func(ctx context.Context, caller, _ int) error {
			arguments := make([]any, 0, rows+1)
			for _, key := range ceilingKeys(caller, rows) {
				arguments = append(arguments, key)
			}
			return conns[caller].Query(ctx, get, func(mysqlsession.Row) error { return nil }, append(arguments, time.Now().Unix())...)
		},
		"set": func(ctx context.Context, caller, _ int) error {
			arguments := make([]any, 0, 4*rows)
			expires := time.Now().Add(benchTTL).Unix()
			for i, key := range ceilingKeys(caller, rows) {
				arguments = append(arguments, key, benchName, content[caller].next(i), expires)
			}
			_, err := conns[caller].Exec(ctx, set, arguments...)
			return err
		},
	}
}

// ceilingKeys are the ids of so many different sessions, at random and in their order.
// Each caller has its own share of them: nobody waits for the other's locks.
func ceilingKeys(caller, rows int) []string {
	const share = benchSessions / ceilingConns // a power of two too
	start, stride := rand.IntN(share), rand.IntN(share)|1
	picks := make([]int, rows)
	for i := range picks {
		picks[i] = (start+i*stride)%share*ceilingConns + caller
	}
	slices.Sort(picks)
	keys := make([]string, rows)
	for i, pick := range picks {
		keys[i] = sessionKeys()[pick]
	}
	return keys
}
