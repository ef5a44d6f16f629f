package mysqlsession_test

import (
	"context"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mysqlsession/mysqlsession"
	"github.com/mysqlsession/mysqlsession/internal/dbtest"
	"github.com/mysqlsession/mysqlsession/internal/faultproxy"
)

func TestAClosedPortIsUnavailableAtOnceAndSafeToRetry(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		f := behindProxy(t, server, nil)
		f.proxy.Refuse()
		f.proxy.Cut()
		awaitIdleness()
		for range 3 { // the last ones are told what the first one found
			err := f.call(t, t.Context(), 0, func(ctx context.Context) error { return f.get(ctx, keptValue) })
			require.ErrorIs(t, err, mysqlsession.ErrUnavailable)
			require.ErrorIs(t, err, syscall.ECONNREFUSED)
			require.True(t, mysqlsession.SafeToRetry(err))
		}
		eventually(t, "what was cut is gone", func() bool { return f.pool.Stat().TotalConns == 0 })
		f.healed(t)
	})
}

// stalledLogins are logins that get no further, by what the proxy does.
var stalledLogins = []struct {
	name      string
	direction faultproxy.Direction
	rule      faultproxy.Rule
	tls       bool
}{
	{"no greeting", faultproxy.ToClient, faultproxy.Rule{Then: faultproxy.Hold}, false},
	{"half a greeting", faultproxy.ToClient, faultproxy.Rule{After: 20, Then: faultproxy.Hold}, false},
	{"a greeting in drips", faultproxy.ToClient, faultproxy.Rule{Slice: 1, Rate: 5}, false},
	{"no answer to the response", faultproxy.ToServer, faultproxy.Rule{Then: faultproxy.Swallow}, false},
	{"no answer to the ClientHello", faultproxy.ToServer, faultproxy.Rule{After: 36, Then: faultproxy.Hold}, true},
}

func TestALoginThatStallsEndsAfterConnectTimeout(t *testing.T) {
	const limit = 200 * time.Millisecond
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		f := behindProxy(t, server, func(cfg *mysqlsession.Config) { cfg.ConnectTimeout = limit })
		for _, stall := range stalledLogins {
			if stall.tls && server.CA == "" && !server.Encrypts {
				continue
			}
			t.Run(stall.name, func(t *testing.T) {
				f.proxy.Set(stall.direction, stall.rule)
				cfg := f.cfg
				if stall.tls {
					cfg.SSLMode = mysqlsession.SSLModeRequired
				}
				before := f.sockets()
				began := time.Now()
				err := f.call(t, t.Context(), limit, func(ctx context.Context) error {
					_, err := mysqlsession.NewPool(ctx, cfg)
					return err
				})
				require.GreaterOrEqual(t, time.Since(began), limit)
				require.ErrorIs(t, err, mysqlsession.ErrUnavailable)
				require.ErrorIs(t, err, context.DeadlineExceeded)
				require.Equal(t, before, f.sockets(), "I3: its socket is closed")
				f.healed(t)
			})
		}
	})
}

// A caller that leaves during a login returns at once. What it did not wait for serves the
// next one.
func TestACallerThatLeavesDuringALoginReturnsAtOnce(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		f := behindProxy(t, server, nil)
		for _, stall := range stalledLogins[:2] {
			t.Run(stall.name, func(t *testing.T) {
				held := acquire(t, f.pool)
				held.Discard()
				eventually(t, "the pool is empty", func() bool { return f.pool.Stat().TotalConns == 0 })
				f.quiet(t)
				happened := f.proxy.Set(stall.direction, stall.rule)
				ctx, cancel := context.WithCancel(t.Context())
				left := make(chan struct{})
				go func() {
					defer close(left)
					awaitFault(t, "the stall", happened)
					cancel()
				}()
				err := f.call(t, ctx, 0, func(ctx context.Context) error { return f.get(ctx, keptValue) })
				<-left
				require.ErrorIs(t, err, context.Canceled)
				require.NotErrorIs(t, err, mysqlsession.ErrUnavailable, "it says nothing about the server")
				require.True(t, mysqlsession.SafeToRetry(err))
				require.Equal(t, 1, f.pool.Stat().ConstructingConns, "the login goes on")
				dials := f.proxy.Accepted()
				f.proxy.Clear()
				eventually(t, "it goes to idle", func() bool { return f.pool.Stat().IdleConns == 1 })
				require.NoError(t, f.get(t.Context(), keptValue))
				require.Equal(t, dials, f.proxy.Accepted())
				f.healed(t)
			})
		}
	})
}

// The server's side is cut, or gone, at each point of a login and of what sets the session up.
func TestALoginThatIsCutAnywhereIsUnavailableAndLeavesNothing(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		f := behindProxy(t, server, nil)
		passed := f.proxy.Passed(faultproxy.ToClient)
		require.NoError(t, connect(t, f.cfg).Close())
		whole := f.proxy.Passed(faultproxy.ToClient) - passed
		for _, then := range []faultproxy.Action{faultproxy.Cut, faultproxy.Reset} {
			for after := int64(0); after < whole; after += 1 + whole/23 {
				f.proxy.Set(faultproxy.ToClient, faultproxy.Rule{After: after, Then: then})
				err := f.call(t, t.Context(), 0, func(ctx context.Context) error {
					_, err := mysqlsession.NewPool(ctx, f.cfg)
					return err
				})
				require.ErrorIs(t, err, mysqlsession.ErrUnavailable, "after %d bytes", after)
			}
		}
		f.healed(t)
	})
}
