package mysqlsession_test

import (
	"database/sql"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/mysqlsession/mysqlsession"
	"github.com/mysqlsession/mysqlsession/internal/dbtest"
)

// roundTrips is how many the pool's only connection has made.
func (c *company) roundTrips(t *testing.T) uint64 {
	t.Helper()
	c.rest(t)
	conn := acquire(t, c.Pool())
	defer conn.Release()
	return conn.Conn().RoundTrips()
}

func TestABatchTakesAsManyRoundTripsAsOneCall(t *testing.T) {
	onCompany(t, func(t *testing.T, _ dbtest.Server, c *company) {
		batch := func(do func(key string) call) []call {
			var calls []call
			for i := range 16 {
				calls = append(calls, do(fmt.Sprint("key", i)))
			}
			return calls
		}
		tests := []struct {
			name  string
			do    func(key string) call
			trips uint64
		}{
			{"set", func(key string) call { return c.set(t, key, "value") }, 1},
			{"get", func(key string) call { return c.get(t, key, new(string)) }, 1},
			{"touch", func(key string) call { return c.touch(t, key, time.Hour) }, 1},
			{"set with metadata", func(key string) call { return c.set(t, key, "value", member("subject")) }, 2},
			{"set in place of one", func(key string) call { return c.set(t, "new"+key, "value", must(key, "subject")) }, 2},
			{"set after another", func(key string) call { return c.rotate(t, key, "newer"+key, "value") }, 2},
			{"delete", func(key string) call { return c.delete(t, key) }, 1},
		}
		for range 2 { // the first time round statements are prepared
			for _, test := range tests {
				serve := c.queue(t, batch(test.do)...)
				errorsOnlyOf(t, serve(), nil)
			}
		}
		for _, test := range tests {
			before := c.roundTrips(t)
			errorsOnlyOf(t, c.together(t, batch(test.do)...), nil)
			require.Equal(t, 1+test.trips, c.roundTrips(t)-before, "the call that kept the lane, and the batch of: "+test.name)
		}
	})
}

// preparedStatements is how many the server holds for everybody.
func preparedStatements(t *testing.T, admin *sql.DB) int {
	t.Helper()
	var name string
	var n int
	require.NoError(t, admin.QueryRowContext(t.Context(), "SHOW GLOBAL STATUS LIKE 'Prepared_stmt_count'").Scan(&name, &n))
	return n
}

// mixture makes a random batch of one kind and asserts that all is well with it.
func mixture(t *testing.T, c *company, random *rand.Rand, round int) {
	t.Helper()
	var calls []call
	kind, size := random.IntN(7), 1+random.IntN(60)
	for i := range size {
		key := fmt.Sprintf("%d-%d", round, i)
		switch kind {
		case 0:
			calls = append(calls, c.set(t, key, "value"))
		case 1:
			calls = append(calls, c.set(t, key, "value", member(fmt.Sprint("subject", random.IntN(9)))))
		case 2:
			calls = append(calls, c.delete(t, key))
		default: // a batch of those is looked for
			require.NoError(t, c.Set(t.Context(), "name", key, []byte("value"), time.Minute, nil))
			switch kind {
			case 3:
				var got string
				calls = append(calls, func() error {
					if err := c.get(t, key, &got)(); err != nil || got != "value" {
						return fmt.Errorf("%q, %w", got, err)
					}
					return nil
				})
			case 4:
				calls = append(calls, c.touch(t, key, time.Hour))
			case 5:
				calls = append(calls, c.set(t, "new"+key, "value", must(key, "")))
			case 6:
				calls = append(calls, c.rotate(t, key, "new"+key, "value"))
			}
		}
	}
	errorsOnlyOf(t, c.together(t, calls...), nil)
}

func TestPreparedStatementsStayFewWhateverTheSizesOfBatches(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		cfg := server.NewDatabase(t)
		createNewTables(t, cfg, nil)
		admin := server.Admin(t)
		before := preparedStatements(t, admin)
		for _, capacity := range []int{0, 8} {
			cfg.StatementCacheCapacity = capacity
			c := newCompany(t, cfg)
			random := rand.New(rand.NewPCG(1, uint64(capacity)))
			for round := range 60 {
				mixture(t, c, random, round)
			}
			most := 64
			if capacity > 0 {
				most = capacity + 2*8 // of one transaction: more at a time than there is room for
			}
			require.LessOrEqual(t, preparedStatements(t, admin)-before, most)
			require.NoError(t, c.Close())
			eventually(t, "the connection is gone", func() bool { return preparedStatements(t, admin) <= before })
		}
	})
}

func TestBatchesGoOnAsTextWhereTheServerPreparesNothingMore(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		cfg := server.NewDatabase(t)
		createNewTables(t, cfg, nil)
		admin := server.Admin(t)
		c := newCompany(t, cfg)
		require.NoError(t, c.set(t, "key", "value")()) // some it has already
		server.SetGlobal(t, "max_prepared_stmt_count", preparedStatements(t, admin)+1)
		random := rand.New(rand.NewPCG(1, 2))
		for round := range 30 {
			mixture(t, c, random, round)
		}
		require.Equal(t, int64(1), c.Pool().Stat().NewConnsCount)
	})
}

func TestBatchesWorkWithoutPreparedStatements(t *testing.T) {
	every := make([]byte, 256)
	for i := range every {
		every[i] = byte(i)
	}
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		cfg := server.NewDatabase(t)
		createNewTables(t, cfg, nil)
		cfg.StatementMode = mysqlsession.StatementModeText
		admin := server.Admin(t)
		before := preparedStatements(t, admin)
		c := newCompany(t, cfg)
		random := rand.New(rand.NewPCG(1, 3))
		for round := range 30 {
			mixture(t, c, random, round)
		}
		key := `!"#$%&'()*+,-./:;<=>?@[\]^_{|}~`
		errorsOnlyOf(t, c.together(t, c.set(t, key, string(every)), c.set(t, key+"2", "?")), nil)
		var gots [2]string
		errorsOnlyOf(t, c.together(t, c.get(t, key, &gots[0]), c.get(t, key+"2", &gots[1])), nil)
		assert.Equal(t, [2]string{string(every), "?"}, gots)
		require.LessOrEqual(t, preparedStatements(t, admin), before)
	})
}
