package mysqlsession_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/mysqlsession/mysqlsession"
	"github.com/mysqlsession/mysqlsession/internal/dbtest"
	"github.com/mysqlsession/mysqlsession/internal/faultproxy"
)

// large makes a request that no socket's buffers hold.
func large(cfg *mysqlsession.Config) { cfg.MaxPacketSize = 16 << 20 }

const largeValue = 15 << 20

func TestARequestThatCouldNotBeSentWholeIsSentAgainOnAnotherConnection(t *testing.T) {
	value := strings.Repeat("p4yload.", largeValue/8)
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		server.SetGlobal(t, "max_allowed_packet", 64<<20)
		f := behindProxy(t, server, large)
		for _, then := range []faultproxy.Action{faultproxy.Cut, faultproxy.Reset} {
			for _, times := range []int64{0, 1} {
				require.NoError(t, f.set(t.Context(), keptValue))
				before := f.pool.Stat().BrokenDestroyCount
				f.quiet(t)
				f.proxy.Set(faultproxy.ToServer, faultproxy.Rule{After: 1000, Then: then, Times: times})
				err := f.call(t, t.Context(), 0, func(ctx context.Context) error { return f.set(ctx, value) })
				require.Positive(t, f.pool.Stat().BrokenDestroyCount-before)
				if times == 1 {
					require.NoError(t, err, "another connection took it")
				} else {
					require.ErrorIs(t, err, mysqlsession.ErrUnavailable)
					require.True(t, mysqlsession.SafeToRetry(err), err)
					require.Equal(t, keptValue, f.stored(t))
				}
				f.healed(t)
			}
		}
	})
}

func TestAServerThatStopsReadingCostsSendTimeoutAndNothingIsApplied(t *testing.T) {
	const limit = 300 * time.Millisecond
	value := strings.Repeat("p4yload.", largeValue/8)
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		server.SetGlobal(t, "max_allowed_packet", 64<<20)
		f := behindProxy(t, server, func(cfg *mysqlsession.Config) { large(cfg); cfg.SendTimeout = limit })
		f.proxy.Set(faultproxy.ToServer, faultproxy.Rule{Then: faultproxy.Hold})
		began := time.Now()
		err := f.call(t, t.Context(), limit, func(ctx context.Context) error { return f.set(ctx, value) })
		require.GreaterOrEqual(t, time.Since(began), limit)
		require.ErrorIs(t, err, mysqlsession.ErrUnavailable)
		require.True(t, mysqlsession.SafeToRetry(err), err)
		require.ErrorContains(t, err, "could not be sent within")
		require.EqualValues(t, 1, f.pool.Stat().BrokenDestroyCount, "it is not tried again: the next server would not read either")
		f.healed(t)
		require.Equal(t, keptValue, f.stored(t))
	})
}

// lostReplies are the ways in which the reply to a request that was sent does not come.
var lostReplies = []struct {
	name      string
	direction faultproxy.Direction
	rule      faultproxy.Rule
	applied   bool // the server had the request
}{
	{"cut behind the request", faultproxy.ToServer, faultproxy.Rule{Then: faultproxy.Cut}, false},
	{"reset behind the request", faultproxy.ToServer, faultproxy.Rule{Then: faultproxy.Reset}, false},
	{"cut before the reply", faultproxy.ToClient, faultproxy.Rule{Then: faultproxy.Cut}, true},
	{"reset before the reply", faultproxy.ToClient, faultproxy.Rule{Then: faultproxy.Reset}, true},
	{"cut in the reply's header", faultproxy.ToClient, faultproxy.Rule{After: 2, Then: faultproxy.Cut}, true},
	{"reset in the reply", faultproxy.ToClient, faultproxy.Rule{After: 6, Then: faultproxy.Reset}, true},
}

func TestAWriteWhoseReplyIsLostHasAnUnknownOutcomeAndAReadIsRepeatedUnseen(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		f := behindProxy(t, server, nil)
		for _, loss := range lostReplies {
			t.Run(loss.name, func(t *testing.T) {
				require.NoError(t, f.set(t.Context(), keptValue))
				loss.rule.Times = 1
				f.quiet(t)
				f.proxy.Set(loss.direction, loss.rule)
				dials := f.proxy.Accepted()
				err := f.call(t, t.Context(), 0, func(ctx context.Context) error { return f.set(ctx, "new p4yload") })
				require.True(t, mysqlsession.OutcomeUnknown(err), err)
				require.ErrorIs(t, err, mysqlsession.ErrUnavailable)
				require.Equal(t, dials, f.proxy.Accepted(), "a write is not repeated")
				want := keptValue
				if loss.applied {
					want = "new p4yload"
				}
				require.Equal(t, want, f.stored(t))

				f.healed(t)
				f.quiet(t)
				dials = f.proxy.Accepted()
				f.proxy.Set(loss.direction, loss.rule)
				require.NoError(t, f.call(t, t.Context(), 0, func(ctx context.Context) error { return f.get(ctx, want) }))
				require.Equal(t, dials+1, f.proxy.Accepted(), "a read is")
				f.healed(t)
			})
		}
	})
}

// A transaction is cut after every few of its bytes. What the caller is told must agree with
// what the server has, which is all of it or nothing.
func TestATransactionThatIsCutAnywhereIsWholeOrNothingAndTheCallerIsToldTheTruth(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		f := behindProxy(t, server, func(cfg *mysqlsession.Config) { cfg.PoolSize = 1 })
		rotate := func(ctx context.Context, from, to string) error {
			return f.store.Set(ctx, "name", to, []byte(to), time.Minute, &mysqlsession.SetOptions{
				OldKey: from, Metadata: []mysqlsession.Metadata{{Audience: "audience", Subject: to}},
			})
		}
		// One statement, one moment: what the server is at may be done between two.
		live := func(from, to string) (old, fresh bool) {
			row := f.admin.QueryRowContext(t.Context(), `SELECT COALESCE(SUM(sid = ?), 0) > 0, COALESCE(SUM(sid = ?), 0) > 0
				FROM sessions WHERE sid IN (?, ?) AND exp > NOW()`, from, to, from, to)
			require.NoError(t, row.Scan(&old, &fresh))
			return old, fresh
		}
		told := map[string]int{}
		for _, direction := range []faultproxy.Direction{faultproxy.ToServer, faultproxy.ToClient} {
			require.NoError(t, rotate(t.Context(), "none", "warm"))
			passed := f.proxy.Passed(direction)
			require.NoError(t, rotate(t.Context(), "warm", "warmer"))
			whole := f.proxy.Passed(direction) - passed
			for after := int64(0); after <= whole; after += 1 + whole/25 {
				from, to := fmt.Sprintf("from-%d-%d", direction, after), fmt.Sprintf("to-%d-%d", direction, after)
				require.NoError(t, f.store.Set(t.Context(), "name", from, nil, time.Minute, nil))
				require.NoError(t, rotate(t.Context(), "warm", "warmer")) // prepared
				f.quiet(t)
				f.proxy.Set(direction, faultproxy.Rule{After: after, Then: faultproxy.Cut, Times: 1})
				err := f.call(t, t.Context(), 0, func(ctx context.Context) error { return rotate(ctx, from, to) })
				f.proxy.Clear()
				// The server may be at it still, if the reply is what was lost.
				eventually(t, "the server is through with it", func() bool {
					return count(t, f.admin, "SELECT COUNT(*) FROM information_schema.INNODB_TRX") == 0
				})
				old, fresh := live(from, to)
				assert.NotEqual(t, old, fresh, "all or nothing: %v", err)
				switch {
				case err == nil:
					told["done"]++
					assert.True(t, fresh)
				case mysqlsession.OutcomeUnknown(err):
					told["unknown"]++
				default:
					told["not applied"]++
					assert.True(t, mysqlsession.SafeToRetry(err), err)
					assert.True(t, old)
				}
			}
		}
		f.healed(t)
		require.Positive(t, told["done"], "most are lost before their COMMIT, and repeated unseen")
		require.Positive(t, told["unknown"], "some in it")
		require.Zero(t, told["not applied"], "another connection always took it")
	})
}

// silences are peers that are there and say nothing.
var silences = map[string]func(proxy *faultproxy.Proxy) <-chan struct{}{
	"a reply that does not come": func(proxy *faultproxy.Proxy) <-chan struct{} {
		return proxy.Set(faultproxy.ToClient, faultproxy.Rule{Then: faultproxy.Hold})
	},
	"a reply that stops": func(proxy *faultproxy.Proxy) <-chan struct{} {
		return proxy.Set(faultproxy.ToClient, faultproxy.Rule{After: 5, Then: faultproxy.Hold})
	},
	"a connection that is half open": func(proxy *faultproxy.Proxy) <-chan struct{} {
		proxy.Set(faultproxy.ToClient, faultproxy.Rule{Then: faultproxy.Swallow})
		return proxy.Set(faultproxy.ToServer, faultproxy.Rule{Then: faultproxy.Swallow})
	},
}

// ended is how many connections of a pool were closed as unfit after a call, or drained.
func ended(pool *mysqlsession.Pool) int64 {
	stat := pool.Stat()
	return stat.BrokenDestroyCount + stat.DrainedCount
}

// The reply that comes after all must not be the next call's.
func TestACallToASilentServerEndsWithItsContextAndItsConnectionWithIt(t *testing.T) {
	const limit = 100 * time.Millisecond
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		f := behindProxy(t, server, nil)
		for name, silence := range silences {
			t.Run(name, func(t *testing.T) {
				for _, cancelled := range []bool{false, true} {
					require.NoError(t, f.set(t.Context(), keptValue))
					before := ended(f.pool)
					happened := silence(f.proxy)
					ctx, cancel := context.WithTimeout(t.Context(), limit)
					if cancelled {
						ctx, cancel = context.WithCancel(t.Context())
						go func() {
							awaitFault(t, name, happened)
							cancel()
						}()
					}
					err := f.call(t, ctx, limit, func(ctx context.Context) error { return f.set(ctx, "late p4yload") })
					require.ErrorIs(t, err, ctx.Err())
					cancel()
					require.True(t, mysqlsession.OutcomeUnknown(err), err)
					require.NotErrorIs(t, err, mysqlsession.ErrUnavailable)
					f.proxy.Clear()
					await(t, "its connection is drained, or closed", func() bool { return ended(f.pool) == before+1 })
					f.healed(t)
				}
				silence(f.proxy)
				ctx := within(t, limit)
				err := f.call(t, ctx, limit, func(ctx context.Context) error { return f.get(ctx, keptValue) })
				require.ErrorIs(t, err, context.DeadlineExceeded)
				require.True(t, mysqlsession.SafeToRetry(err), err)
				f.healed(t)
			})
		}
	})
}

func TestACallToASilentServerEndsAfterReadTimeout(t *testing.T) {
	const limit = 200 * time.Millisecond
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		f := behindProxy(t, server, func(cfg *mysqlsession.Config) { cfg.ReadTimeout = limit })
		for name, silence := range silences {
			t.Run(name, func(t *testing.T) {
				silence(f.proxy)
				err := f.call(t, t.Context(), limit, func(ctx context.Context) error { return f.set(ctx, keptValue) })
				require.ErrorIs(t, err, mysqlsession.ErrUnavailable)
				require.True(t, mysqlsession.OutcomeUnknown(err), err)
				require.ErrorContains(t, err, "no reply within")
				f.healed(t)
			})
		}
	})
}

func TestBytesInPiecesLateAndSlowAreTheSameBytes(t *testing.T) {
	rules := map[string]faultproxy.Rule{
		"a byte at a time":    {Slice: 1},
		"seven at a time":     {Slice: 7},
		"late":                {Delay: 2 * time.Millisecond},
		"at a modem's speed":  {Rate: 100_000, Slice: 100},
		"with everything off": {},
	}
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		for _, secure := range []bool{false, true} {
			if secure && server.CA == "" && !server.Encrypts {
				continue
			}
			f := behindProxy(t, server, func(cfg *mysqlsession.Config) {
				if secure {
					cfg.SSLMode = mysqlsession.SSLModeRequired
				}
			})
			for name, rule := range rules {
				f.proxy.Set(faultproxy.ToServer, rule)
				f.proxy.Set(faultproxy.ToClient, rule)
				acquire(t, f.pool).Discard() // so that there is a login too
				for range 3 {
					require.NoError(t, f.call(t, t.Context(), 0, func(ctx context.Context) error { return f.echo(ctx, f.tag()) }), name)
				}
				require.NoError(t, f.get(t.Context(), keptValue), name)
			}
			f.healed(t)
			require.Zero(t, f.pool.Stat().DeadDestroyCount)
		}
	})
}
