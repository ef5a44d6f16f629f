package mysqlsession_test

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/mysqlsession/mysqlsession"
	"github.com/mysqlsession/mysqlsession/internal/dbtest"
)

// filled is a value of that many bytes, unlike that of another number.
func filled(size, number int) []byte {
	return bytes.Repeat([]byte{byte(number), byte(number >> 8), 'x', 0xff}, size/4+1)[:size]
}

// reads are calls that read the sessions of those keys into gots.
func reads(t *testing.T, c *company, keys []string, gots [][]byte) []call {
	var calls []call
	for i, key := range keys {
		calls = append(calls, func() (err error) {
			gots[i], err = c.Get(t.Context(), "name", key)
			return err
		})
	}
	return calls
}

func TestABatchStaysWithinWhatTheServerTakes(t *testing.T) {
	const size, callers = 100 << 10, 24
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		cfg := server.NewDatabase(t)
		createNewTables(t, cfg, nil)
		for _, limit := range []int{1 << 20, 256 << 10} {
			server.SetGlobal(t, "max_allowed_packet", limit)
			for _, mode := range []mysqlsession.StatementMode{mysqlsession.StatementModePrepared, mysqlsession.StatementModeText} {
				for name, opts := range map[string]*mysqlsession.SetOptions{"sets": nil, "transactions": member("subject")} {
					t.Run(fmt.Sprint(limit, " ", mode, " ", name), func(t *testing.T) {
						cfg.StatementMode = mode
						c := newCompany(t, cfg)
						_, err := c.DeleteAll(t.Context(), "name")
						require.NoError(t, err)
						var calls []call
						for i := range callers {
							calls = append(calls, func() error {
								return c.Set(t.Context(), "name", fmt.Sprint("key", i), filled(size, i), time.Minute, opts)
							})
						}
						errorsOnlyOf(t, c.together(t, calls...), nil)
						for _, batch := range c.seen {
							assert.NoError(t, batch.Err, "no batch was too large")
						}
						if limit == 1<<20 {
							assert.Less(t, len(c.seen), callers/2, "they are combined nevertheless")
						}
						for i := range callers {
							got, err := c.Get(t.Context(), "name", fmt.Sprint("key", i))
							require.NoError(t, err)
							require.True(t, bytes.Equal(filled(size, i), got))
						}
					})
				}
			}
		}
	})
}

func TestABatchStaysWithinCoalesceMaxBytesAndRows(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		cfg := server.NewDatabase(t)
		createNewTables(t, cfg, nil)
		cfg.CoalesceMaxBytes, cfg.CoalesceMaxRows = 16<<10, 12
		c := newCompany(t, cfg)
		var large, small []call
		for i := range 8 {
			large = append(large, func() error {
				return c.Set(t.Context(), "name", fmt.Sprint("key", i), filled(4<<10, i), time.Minute, nil)
			})
		}
		for i := range 24 {
			small = append(small, c.set(t, fmt.Sprint("small", i), "value", member("subject")))
		}
		errorsOnlyOf(t, c.together(t, large...), nil)
		require.Equal(t, []string{"set 2", "set 2", "set 2", "set 2"}, c.batches(), "three would fit, and two are a rung of the ladder")
		errorsOnlyOf(t, c.together(t, small...), nil)
		require.Equal(t, []string{"set 12", "set 12"}, c.batches())
		over := func() error { // over the limit by itself, and nobody else's trouble
			return c.Set(t.Context(), "name", "over", filled(64<<10, 1), time.Minute, nil)
		}
		errorsOnlyOf(t, c.together(t, small[0], over, small[1], over), nil)
	})
}

func TestLargeValuesReadTogetherWithSmallOnesFailNobody(t *testing.T) {
	const largest = 1<<20 - 4
	sizes := []int{largest, 0, 1, largest, 65535, 65536, 65537, largest, 1000, largest - 1, 65536, largest, 70000, largest, largest, 16 << 10, largest, largest, 3, largest}
	onCompany(t, func(t *testing.T, _ dbtest.Server, c *company) {
		var keys []string
		for i, size := range sizes {
			keys = append(keys, fmt.Sprint("key", i))
			require.NoError(t, c.Set(t.Context(), "name", keys[i], filled(size, i), time.Minute, nil))
		}
		gots := make([][]byte, len(sizes)+2)
		errs := c.together(t, reads(t, c, append(keys, "missing", keys[0]), gots)...)
		require.Equal(t, []string{"get 22"}, c.batches())
		errorsOnlyOf(t, errs, mysqlsession.ErrNotFound, 20)
		for i, size := range sizes {
			require.True(t, bytes.Equal(filled(size, i), gots[i]), "%d bytes", size)
		}
		require.True(t, bytes.Equal(gots[0], gots[21]))
		gots[0][0] = '!'
		require.NotEqual(t, gots[0][0], gots[21][0], "each has a copy")
		require.Zero(t, c.Pool().Stat().BrokenDestroyCount)
	})
}

func TestInABatchARowThatIsTooLargeFailsItsOwnReaderAlone(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		for _, limit := range []int{1 << 10, 64 << 10, 128 << 10, 1 << 20} {
			t.Run(fmt.Sprint(limit), func(t *testing.T) {
				cfg := server.NewDatabase(t)
				createNewTables(t, cfg, nil)
				other := openStore(t, cfg) // which may store more
				cfg.MaxPacketSize = limit
				c := newCompany(t, cfg)
				if limit == 1<<20 {
					cfg.MaxPacketSize = 2 << 20
					other = openStore(t, cfg)
				}
				sizes := map[string]int{"exact": limit - 4, "over": limit - 3, "far over": limit + 100<<10, "small": 1, "half": limit / 2}
				var keys []string
				for i, name := range []string{"small", "exact", "over", "half", "far over", "exact"} {
					keys = append(keys, fmt.Sprint("key", i))
					require.NoError(t, other.Set(t.Context(), "name", keys[i], filled(sizes[name], i), time.Minute, nil))
				}
				gots := make([][]byte, len(keys))
				errs := c.together(t, reads(t, c, keys, gots)...)
				require.Equal(t, []string{"get 6"}, c.batches())
				errorsOnlyOf(t, errs, mysqlsession.ErrPacketTooLarge, 2, 4)
				for i, size := range []int{1, limit - 4, 0, limit / 2, 0, limit - 4} {
					require.True(t, bytes.Equal(filled(size, i), gots[i]), "key %d", i)
				}
				require.Zero(t, c.Pool().Stat().BrokenDestroyCount)
			})
		}
	})
}

// An old table may hold a session without a value. It is not there.
func TestInABatchOnOldTablesARowWithoutAValueIsNotFound(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		cfg := server.NewDatabase(t)
		admin := server.AdminIn(t, cfg.Database)
		createDocumentTables(t, cfg, admin)
		c := newCompany(t, cfg)
		for _, key := range []string{"a", "b", "c", "d"} {
			require.NoError(t, c.set(t, key, "value of "+key)())
		}
		execute(t, admin, "UPDATE sessions SET data = NULL WHERE sid = 'b'")
		execute(t, admin, "UPDATE sessions SET exp = NULL WHERE sid = 'c'")
		var gots [4]string
		errs := c.together(t, c.get(t, "a", &gots[0]), c.get(t, "b", &gots[1]), c.get(t, "c", &gots[2]), c.get(t, "d", &gots[3]))
		errorsOnlyOf(t, errs, mysqlsession.ErrNotFound, 1, 2)
		assert.Equal(t, [4]string{"value of a", "", "", "value of d"}, gots)
		errs = c.together(t, c.touch(t, "a", time.Hour), c.touch(t, "b", time.Hour), c.touch(t, "c", time.Hour))
		errorsOnlyOf(t, errs, mysqlsession.ErrNotFound, 1, 2)
	})
}
