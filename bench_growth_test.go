package mysqlsession_test

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mysqlsession/mysqlsession"
)

const (
	// The first growthMeasured sessions, which operations go to, have values of the usual
	// size, and ids that spread over the whole table. The others only make it large: with
	// values of fillerValue bytes five million take some two gigabytes, indexes and
	// metadata included, and stay in growthMemory, so that what grows is the work on the
	// indexes and not the wait for a disk.
	growthMeasured = 1 << 16
	fillerValue    = 128
	fillerSubject  = 10             // sessions of one subject
	growthTTL      = 12 * time.Hour // nothing expires meanwhile
	growthMemory   = "--innodb-buffer-pool-size=4G"
)

// BenchmarkGrowth tells what operations cost with more and more sessions in the table, and
// beside each the same work as the server's own single statement, prepared, on the same
// kind of connection. `make bench-growth` runs it with
//
//	MYSQLSESSION_GROWTH_SIZES     numbers of sessions, rising, with commas between
//	MYSQLSESSION_GROWTH_CALLS     calls of each line, all callers' together
//	MYSQLSESSION_GROWTH_ROUNDS    how often each size is measured
//
// Without them it is small: it shows that it works.
func BenchmarkGrowth(b *testing.B) {
	sizes := numbersFrom(b, "MYSQLSESSION_GROWTH_SIZES", 1000)
	calls := max(numbersFrom(b, "MYSQLSESSION_GROWTH_CALLS", 128)[0], slices.Max(growthCallers))
	rounds := numbersFrom(b, "MYSQLSESSION_GROWTH_ROUNDS", 1)[0]
	require.True(b, slices.IsSorted(sizes), "sizes must rise")
	g := openGrowth(b)
	for _, size := range sizes {
		g.fill(b, size)
		for round := range rounds {
			for _, t := range g.tasks(calls) {
				sides := []string{"mysqlsession", "server"}
				if round%2 == 1 { // nobody always comes first
					slices.Reverse(sides)
				}
				for _, side := range sides {
					b.Run(fmt.Sprintf("sessions=%d/round=%d/%s/%s", size, round+1, t.name, side), func(b *testing.B) {
						g.measure(b, t, side == "server")
					})
				}
			}
		}
	}
}

// numbersFrom reads a list of positive numbers from the environment.
func numbersFrom(b *testing.B, variable string, otherwise int) []int {
	text := os.Getenv(variable)
	if text == "" {
		return []int{otherwise}
	}
	var numbers []int
	for part := range strings.SplitSeq(text, ",") {
		number, err := strconv.Atoi(part)
		require.NoError(b, err, variable)
		require.Positive(b, number, variable)
		numbers = append(numbers, number)
	}
	return numbers
}

// growth is a table that grows, and who works on it.
type growth struct {
	cfg   mysqlsession.Config
	store *mysqlsession.Store
	conns []*mysqlsession.Conn // for the server's own statements
	size  int                  // sessions in the table
	used  int                  // numbers of keys that were given to stock
	wrote int                  // a number that no write has used
}

func openGrowth(b *testing.B) *growth {
	g := &growth{cfg: benchServer(b, growthMemory), used: 1 << 40}
	g.store = benchStore(b, g.cfg)
	require.NoError(b, g.store.Migrate(b.Context()))
	unhurried := g.cfg
	unhurried.ReadTimeout = -1 // one statement may be about all that has expired
	for range benchConns {
		conn, err := mysqlsession.Connect(b.Context(), unhurried)
		require.NoError(b, err)
		b.Cleanup(func() { _ = conn.Close() })
		g.conns = append(g.conns, conn)
	}
	return g
}

// fill adds sessions until there are so many. They expire at moments that spread over
// a day.
func (g *growth) fill(b *testing.B, size int) {
	began, from := time.Now(), g.size
	expires := began.Add(growthTTL).Unix()
	loadSessions(b, g.cfg, size-from, func(i int) storedSession {
		i += from
		length := fillerValue
		if i < growthMeasured {
			length = benchValue
		}
		return storedSession{
			key: numberedKey(i), value: sessionValue(i, length), expires: expires + int64(i)*7919%86400,
			subject: "filler-" + strconv.Itoa(i/fillerSubject),
		}
	})
	g.size = size
	for _, table := range []string{"sessions", "sessions_meta"} {
		require.NoError(b, g.conns[0].Query(b.Context(), "ANALYZE TABLE "+table, func(mysqlsession.Row) error { return nil }))
	}
	fmt.Fprintf(os.Stderr, "growth: %d sessions, filled in %s\n", size, time.Since(began).Round(time.Second/10))
}

// measuredKey is the id of one of the sessions that are always there.
func (g *growth) measuredKey(i int) string { return numberedKey(i % min(g.size, growthMeasured)) }

// stock is sessions that are put in for the calls of one line. Each line's are new ones.
type stock struct {
	first, count int
	perSubject   int // 0: without metadata
}

func (s stock) key(i int) string { return numberedKey(s.first + i) }

// fresh is the id of a session that is not there yet.
func (s stock) fresh(i int) string { return numberedKey(s.first + s.count + i) }

func (s stock) subject(i int) string { return fmt.Sprintf("stock-%d-%d", s.first, i) }

// put makes the stock.
func (g *growth) put(b *testing.B, count, perSubject int, expires time.Time) stock {
	s := stock{first: g.used, count: count, perSubject: perSubject}
	g.used += 2 * count // fresh ones' too
	loadSessions(b, g.cfg, count, func(i int) storedSession {
		row := storedSession{key: s.key(i), value: sessionValue(i, benchValue), expires: expires.Unix()}
		if perSubject > 0 {
			row.subject = s.subject(i / perSubject)
		}
		return row
	})
	return s
}

// clear takes out what is left of the stock, and what came of it.
func (g *growth) clear(b *testing.B, s stock) {
	const chunk = 128
	statement := "DELETE FROM sessions WHERE sid IN (" + listOf("?", chunk) + ")"
	for first := 0; first < 2*s.count; first += chunk {
		keys := make([]any, chunk)
		for i := range keys {
			keys[i] = s.key(first + i) // the last ones may be of nobody
		}
		_, err := g.conns[0].Exec(b.Context(), statement, keys...)
		require.NoError(b, err)
	}
}

// measure runs one side's calls of a task, each of them once.
func (g *growth) measure(b *testing.B, t task, server bool) {
	var s stock
	if t.stock > 0 {
		s = g.put(b, t.stock, t.perSubject, t.expires())
		defer g.clear(b, s)
	}
	callers := t.callers
	if server {
		callers = min(callers, len(g.conns)) // a connection has one user at a time
	}
	each := max(1, t.calls/callers)
	g.wrote += each * callers
	wrote := g.wrote
	call := func(ctx context.Context, caller, n int) error {
		i := n*callers + caller
		c := turn{growth: g, stock: s, index: i, version: wrote + i}
		if server {
			return t.server(ctx, g.conns[caller], c)
		}
		return t.ours(ctx, c)
	}
	// Filling the table took longer than the pool keeps connections that idle.
	drive(b, workload{callers: benchConns, call: func(ctx context.Context, caller, n int) error {
		_, err := g.store.Get(ctx, benchName, g.measuredKey(caller+n))
		return err
	}}, pace{calls: 4})
	measure(b, workload{callers: callers, rows: max(1, t.rows), call: call}, pace{calls: each})
}
