package mysqlsession_test

import (
	"context"
	"fmt"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/mysqlsession/mysqlsession"
	"github.com/mysqlsession/mysqlsession/internal/dbtest"
)

// onCompany runs test on every server, with new tables.
func onCompany(t *testing.T, test func(t *testing.T, server dbtest.Server, c *company)) {
	t.Helper()
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		cfg := server.NewDatabase(t)
		createNewTables(t, cfg, nil)
		test(t, server, newCompany(t, cfg))
	})
}

func TestEveryCallerOfABatchGetsItsOwnRow(t *testing.T) {
	onCompany(t, func(t *testing.T, _ dbtest.Server, c *company) {
		names := []string{"a", "b", ""}
		for i := range 30 {
			require.NoError(t, c.Set(t.Context(), names[i%3], fmt.Sprintf("key%02d", i), []byte(fmt.Sprintf("value %d of %s", i, names[i%3])), time.Minute, nil))
		}
		var calls []call
		var wants, gots []string
		for i := range 40 { // ten of which are not there
			for _, name := range names {
				want := ""
				if i < 30 && name == names[i%3] {
					want = fmt.Sprintf("value %d of %s", i, name)
				}
				n := len(gots)
				wants, gots = append(wants, want), append(gots, "")
				calls = append(calls, func() error {
					got, err := c.Get(t.Context(), name, fmt.Sprintf("key%02d", i*7%40))
					gots[n] = string(got)
					return err
				})
			}
		}
		// Call i asks for key i*7%40, so that they do not come in the order of the keys.
		errs := c.together(t, calls...)
		require.Equal(t, []string{"get 120"}, c.batches())
		for n := range calls {
			i := n / 3 * 7 % 40
			want := wants[i*3+n%3]
			if want == "" {
				assert.ErrorIs(t, errs[n], mysqlsession.ErrNotFound)
				assert.Empty(t, gots[n])
				continue
			}
			assert.NoError(t, errs[n])
			assert.Equal(t, want, gots[n])
		}
	})
}

// bytesRead counts what a connection has read.
type bytesRead struct {
	net.Conn
	count *atomic.Int64
}

func (b bytesRead) Read(p []byte) (int, error) {
	n, err := b.Conn.Read(p)
	b.count.Add(int64(n))
	return n, err
}

func TestASessionThatManyAskForIsReadOnceAndEachGetsACopy(t *testing.T) {
	const size = 50 << 10
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		cfg := server.NewDatabase(t)
		createNewTables(t, cfg, nil)
		var read atomic.Int64
		cfg.DialFunc = func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := new(net.Dialer).DialContext(ctx, network, address)
			return bytesRead{conn, &read}, err
		}
		c := newCompany(t, cfg)
		require.NoError(t, c.Set(t.Context(), "name", "key", make([]byte, size), time.Minute, nil))
		gots := make([][]byte, 16)
		var calls []call
		for i := range gots {
			calls = append(calls, func() (err error) {
				gots[i], err = c.Get(t.Context(), "name", "key")
				return err
			})
		}
		before := read.Load()
		errorsOnlyOf(t, c.together(t, calls...), nil)
		require.Equal(t, []string{"get 16"}, c.batches())
		require.Less(t, read.Load()-before, int64(2*size))
		for i := range gots {
			require.Equal(t, make([]byte, size), gots[i])
			for n := range gots[i] { // which is nobody else's
				gots[i][n] = 'x'
			}
			_ = append(gots[i], "and behind it"...)
		}
	})
}

func TestOfTwoWritesToOneSessionInABatchTheLaterWins(t *testing.T) {
	onCompany(t, func(t *testing.T, _ dbtest.Server, c *company) {
		const keys, writes = 3, 10
		var calls []call
		for n := range writes {
			for key := range keys {
				key = (key + n) % keys
				calls = append(calls, c.set(t, fmt.Sprint("key", key), fmt.Sprint("value ", n)))
			}
		}
		calls = append(calls, c.set(t, "key1", "last"), func() error {
			return c.Set(t.Context(), "another", "key2", []byte("last"), time.Hour, nil)
		})
		errorsOnlyOf(t, c.together(t, calls...), nil)
		require.Equal(t, []string{"set 32"}, c.batches())
		c.holds(t, "key0", "value 9")
		c.holds(t, "key1", "last")
		c.holds(t, "key2", "") // the other name has taken it over
		got, err := c.Get(t.Context(), "another", "key2")
		require.NoError(t, err)
		require.Equal(t, "last", string(got))
	})
}

func TestOfTwoTouchesOfOneSessionInABatchTheLaterWins(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		cfg := server.NewDatabase(t)
		createNewTables(t, cfg, nil)
		now := time.Date(2031, time.May, 6, 7, 8, 9, 0, time.UTC)
		cfg.Clock = func() time.Time { return now }
		c := newCompany(t, cfg)
		for _, missing := range []bool{false, true} {
			for _, key := range []string{"down", "up", "once"} {
				require.NoError(t, c.Set(t.Context(), "name", key, nil, time.Minute, nil))
			}
			calls := []call{
				c.touch(t, "down", 3*time.Hour), c.touch(t, "up", time.Hour), c.touch(t, "once", time.Hour),
				c.touch(t, "down", 2*time.Hour), c.touch(t, "up", 2*time.Hour),
				c.touch(t, "down", 1*time.Hour), c.touch(t, "up", 3*time.Hour),
			}
			var gone []int
			if missing {
				calls, gone = append(calls, c.touch(t, "missing", 2*time.Hour)), []int{7}
			}
			errorsOnlyOf(t, c.together(t, calls...), mysqlsession.ErrNotFound, gone...)
			require.Equal(t, []string{fmt.Sprint("touch ", len(calls))}, c.batches())
			ends := make(map[string]time.Duration)
			require.NoError(t, c.Each(t.Context(), "name", func(key string, _ []byte, expires time.Time) error {
				ends[key] = expires.Sub(now)
				return nil
			}))
			require.Equal(t, map[string]time.Duration{"down": time.Hour, "up": 3 * time.Hour, "once": time.Hour}, ends)
		}
	})
}

// replacing is options for a session that takes the place of a live one.
func replacing(old string) *mysqlsession.SetOptions {
	return &mysqlsession.SetOptions{OldKey: old, MustExist: true}
}

func TestRotationsOfOneSessionInABatchHappenInTheOrderInWhichTheyCame(t *testing.T) {
	mustExist := &mysqlsession.SetOptions{MustExist: true}
	tests := map[string]struct {
		calls   func(t *testing.T, c *company) []call
		missing []int
		want    map[string]string
	}{
		"a chain": {
			func(t *testing.T, c *company) []call {
				return []call{c.set(t, "b", "2", replacing("a")), c.set(t, "c", "3", replacing("b")), c.set(t, "d", "4", replacing("c"))}
			}, nil, map[string]string{"a": "", "b": "", "c": "", "d": "4"},
		},
		"a chain to smaller keys": {
			func(t *testing.T, c *company) []call {
				return []call{c.set(t, "Z", "2", replacing("a")), c.set(t, "Y", "3", replacing("Z")), c.set(t, "X", "4", replacing("Y"))}
			}, nil, map[string]string{"a": "", "Z": "", "Y": "", "X": "4"},
		},
		"a chain backwards": {
			func(t *testing.T, c *company) []call {
				return []call{c.set(t, "d", "4", replacing("c")), c.set(t, "c", "3", replacing("b")), c.set(t, "b", "2", replacing("a"))}
			}, []int{0, 1}, map[string]string{"a": "", "b": "2", "c": "", "d": ""},
		},
		"a chain of which the first link is missing": {
			func(t *testing.T, c *company) []call {
				return []call{c.set(t, "c", "3", replacing("missing")), c.set(t, "d", "4", replacing("c")), c.set(t, "a", "new", mustExist)}
			}, []int{0, 1}, map[string]string{"a": "new", "c": "", "d": ""},
		},
		"stored and then rotated": {
			func(t *testing.T, c *company) []call {
				return []call{c.set(t, "a", "new", mustExist), c.set(t, "b", "2", replacing("a")), c.set(t, "a", "late", mustExist)}
			}, []int{2}, map[string]string{"a": "", "b": "2"},
		},
		"rotated twice": {
			func(t *testing.T, c *company) []call {
				return []call{c.set(t, "c", "first", replacing("a")), c.set(t, "b", "second", replacing("a"))}
			}, []int{1}, map[string]string{"a": "", "b": "", "c": "first"},
		},
		"rotated onto one id": {
			func(t *testing.T, c *company) []call {
				return []call{c.set(t, "b", "first", replacing("a")), c.set(t, "b", "second", must("b", ""))}
			}, nil, map[string]string{"a": "", "b": "second"},
		},
		"whatever there is, a chain": {
			func(t *testing.T, c *company) []call {
				return []call{c.rotate(t, "a", "b", "2"), c.rotate(t, "b", "c", "3"), c.rotate(t, "c", "d", "4")}
			}, nil, map[string]string{"a": "", "b": "", "c": "", "d": "4"},
		},
		"whatever there is, a chain backwards": {
			func(t *testing.T, c *company) []call {
				return []call{c.rotate(t, "c", "d", "4"), c.rotate(t, "b", "c", "3"), c.rotate(t, "a", "b", "2")}
			}, nil, map[string]string{"a": "", "b": "2", "c": "3", "d": "4"},
		},
		"whatever there is, onto one id": {
			func(t *testing.T, c *company) []call {
				return []call{c.rotate(t, "a", "b", "2"), c.rotate(t, "missing", "b", "3"), c.rotate(t, "a", "c", "4"), c.rotate(t, "a", "b", "5")}
			}, nil, map[string]string{"a": "", "b": "5", "c": "4"},
		},
		"whatever there is, there and back": {
			func(t *testing.T, c *company) []call {
				return []call{c.rotate(t, "a", "b", "2"), c.rotate(t, "b", "a", "3")}
			}, nil, map[string]string{"a": "3", "b": ""},
		},
		"whatever there is, nothing to do with one another": {
			func(t *testing.T, c *company) []call {
				return []call{c.rotate(t, "a", "z", "2"), c.rotate(t, "missing", "y", "3"), c.rotate(t, "gone", "x", "4")}
			}, nil, map[string]string{"a": "", "z": "2", "y": "3", "x": "4"},
		},
	}
	onCompany(t, func(t *testing.T, _ dbtest.Server, c *company) {
		for name, test := range tests {
			t.Run(name, func(t *testing.T) {
				_, err := c.DeleteAll(t.Context(), "name")
				require.NoError(t, err)
				require.NoError(t, c.set(t, "a", "1")())
				calls := test.calls(t, c)
				errs := c.together(t, calls...)
				require.Equal(t, []string{fmt.Sprint("set ", len(calls))}, c.batches())
				errorsOnlyOf(t, errs, mysqlsession.ErrNotFound, test.missing...)
				for key, value := range test.want {
					c.holds(t, key, value)
				}
			})
		}
	})
}
