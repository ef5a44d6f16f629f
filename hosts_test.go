package mysqlsession_test

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/mysqlsession/mysqlsession"
)

// The addresses of the servers in these tests.
const (
	hostA = "a:3306"
	hostB = "b:3306"
	hostC = "c:3306"
)

// backends are servers in memory, by their addresses.
type backends map[string]*backend

func (s backends) dial(ctx context.Context, network, address string) (net.Conn, error) {
	b := s[address]
	if b == nil {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}
	}
	return b.dial(ctx, network, address)
}

// among runs test, in fake time, with servers A, B and C, none of which may ever see more
// connections than the pool's size, and a pool that uses them in this order, once prepare
// has done to them what it will.
func among(t *testing.T, cfg mysqlsession.Config, prepare func(s backends), test func(t *testing.T, s backends, pool *mysqlsession.Pool)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		servers := newBackends(t, cfg.PoolSize)
		prepare(servers)
		cfg.Host, cfg.Hosts, cfg.DialFunc = "a", []string{hostB, hostC}, servers.dial
		pool, err := mysqlsession.NewPool(t.Context(), cfg)
		require.NoError(t, err)
		t.Cleanup(func() {
			assert.NoError(t, pool.Close())
			for address, b := range servers {
				assert.Zero(t, b.open(), address)
				close(b.quit)
			}
		})
		test(t, servers, pool)
	})
}

func newBackends(t *testing.T, limit int) backends {
	servers := backends{}
	for _, address := range []string{hostA, hostB, hostC} {
		servers[address] = &backend{t: t, limit: limit, quit: make(chan struct{})}
	}
	return servers
}

func asTheyAre(backends) {}

// servedBy is the address of a connection that a caller gets.
func servedBy(t *testing.T, pool *mysqlsession.Pool) string {
	t.Helper()
	conn := acquire(t, pool)
	defer conn.Release()
	return conn.Conn().Address()
}

// fails changes a server in one of the ways in which servers fail.
type fails func(b *backend)

func refusing(b *backend)  { b.set(func() { b.down = errRefused }) }
func readOnly(b *backend)  { b.set(func() { b.readOnly = true }) }
func notReady(b *backend)  { b.set(func() { b.refusal = 1047 }) }
func blackHole(b *backend) { b.set(func() { b.dialTime = time.Hour }) }
func mute(b *backend)      { b.set(func() { b.silent = true }) }
func notOnline(b *backend) { b.set(func() { b.refusal = 3098 }) }
func goingDown(b *backend) { b.set(func() { b.refusal = 1053 }) }
func noRoom(b *backend)    { b.set(func() { b.loginRefusal = 1040 }) }

// well undoes that.
func well(b *backend) {
	b.set(func() {
		b.down, b.readOnly, b.refusal, b.loginRefusal, b.dialTime, b.silent = nil, false, 0, 0, 0, false
	})
}

var failings = map[string]fails{
	"refuses": refusing, "is read-only": readOnly, "is not ready": notReady, "is a black hole": blackHole,
	"is mute": mute, "is going down": goingDown, "has no room": noRoom,
}

func TestAConnectionGoesToTheFirstAddressThatServes(t *testing.T) {
	for name, fail := range failings {
		t.Run("the first "+name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				servers := newBackends(t, 1)
				fail(servers[hostA])
				fail(servers[hostB])
				conn, err := mysqlsession.Connect(t.Context(), mysqlsession.Config{
					Host: "a", Hosts: []string{hostB, hostC}, DialFunc: servers.dial, ConnectTimeout: 3 * time.Second,
				})
				require.NoError(t, err)
				require.Equal(t, hostC, conn.Address())
				require.NoError(t, conn.Close())
			})
		})
	}
}

func TestWhenNoAddressServesTheErrorSaysWhyForEach(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		servers := newBackends(t, 1)
		readOnly(servers[hostA])
		notReady(servers[hostB])
		blackHole(servers[hostC])
		began := time.Now()
		_, err := mysqlsession.Connect(t.Context(), mysqlsession.Config{
			Host: "a", Hosts: []string{hostB, hostC}, DialFunc: servers.dial, ConnectTimeout: 3 * time.Second,
		})
		require.ErrorIs(t, err, mysqlsession.ErrUnavailable)
		require.ErrorIs(t, err, mysqlsession.ErrNotWritable)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.ErrorContains(t, err, "connect to "+hostA+": set up the session: server is not writable: read_only is on")
		require.ErrorContains(t, err, "connect to "+hostB+": set up the session: node not ready")
		require.ErrorContains(t, err, "connect to "+hostC)
		require.Equal(t, 3*time.Second, time.Since(began))
	})
}

// A read-only replica of one's own is a fine place to read sessions from, if one says so.
func TestALoneServerMayBeReadOnly(t *testing.T) {
	inPool(t, mysqlsession.Config{PoolSize: 1}, func(t *testing.T, b *backend, pool *mysqlsession.Pool) {
		readOnly(b)
		acquire(t, pool).Discard()
		acquire(t, pool).Release()
	})
}

func TestADeadAddressCostsOneDialItsShareAndNotEveryDial(t *testing.T) {
	cfg := mysqlsession.Config{PoolSize: 4, MaxConcurrentDials: 1, ConnectTimeout: 6 * time.Second, HealthCheckPeriod: time.Hour}
	for name, fail := range map[string]fails{"black hole": blackHole, "mute": mute} {
		t.Run(name, func(t *testing.T) {
			began := time.Now()
			among(t, cfg, func(s backends) {
				began = time.Now()
				fail(s[hostA])
			}, func(t *testing.T, s backends, pool *mysqlsession.Pool) {
				require.Equal(t, 2*time.Second, time.Since(began), "a third of ConnectTimeout")
				release(hold(t, pool, 4))
				require.Equal(t, 2*time.Second, time.Since(began))
				require.Equal(t, 1, s[hostA].dialled())
				require.Equal(t, map[string]int{hostB: 4}, pool.Stat().Addresses)
			})
		})
	}
}

func TestTheFirstAddressIsTriedLastWhenItFailedAndOthersFailToo(t *testing.T) {
	cfg := mysqlsession.Config{PoolSize: 1, HealthCheckPeriod: time.Hour}
	among(t, cfg, func(s backends) { refusing(s[hostA]) }, func(t *testing.T, s backends, pool *mysqlsession.Pool) {
		well(s[hostA])
		refusing(s[hostB])
		refusing(s[hostC])
		acquire(t, pool).Discard()
		require.Equal(t, hostA, servedBy(t, pool))
	})
}

func TestConnectionsComeBackToTheFirstAddressWhenItServesAgain(t *testing.T) {
	cfg := mysqlsession.Config{PoolSize: 6, MaxConcurrentDials: 2, HealthCheckPeriod: 10 * time.Second}
	for name, fail := range failings {
		t.Run("after it "+name, func(t *testing.T) {
			among(t, cfg, func(s backends) { fail(s[hostA]) }, func(t *testing.T, s backends, pool *mysqlsession.Pool) {
				held := hold(t, pool, 6)
				release(held[3:])
				before := s[hostB].dialled()
				time.Sleep(25 * time.Second)
				require.Equal(t, map[string]int{hostB: 6}, pool.Stat().Addresses)
				well(s[hostA])
				time.Sleep(31 * time.Second) // three probes
				require.Equal(t, hostA, servedBy(t, pool), "those that were idle are replaced")
				release(held)
				release(hold(t, pool, 6))
				require.Equal(t, map[string]int{hostA: 6}, pool.Stat().Addresses, "and those that were in use")
				require.Equal(t, before, s[hostB].dialled())
				require.Zero(t, s[hostC].dialled())
			})
		})
	}
}

// All of a pool's connections are to be replaced at once, under traffic, and the first
// address fails again just then.
func TestNobodyFailsWhileConnectionsMove(t *testing.T) {
	cfg := mysqlsession.Config{PoolSize: 8, MaxConcurrentDials: 2, HealthCheckPeriod: 5 * time.Second, ConnectTimeout: 4 * time.Second}
	for name, again := range failings {
		t.Run("it "+name+" again", func(t *testing.T) {
			if name == "is not ready" || name == "is going down" {
				return // these fail the calls themselves
			}
			among(t, cfg, func(s backends) { refusing(s[hostA]) }, func(t *testing.T, s backends, pool *mysqlsession.Pool) {
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				var group sync.WaitGroup
				for range 12 {
					group.Go(func() {
						for ctx.Err() == nil {
							assert.NoError(t, pool.Do(t.Context(), func(conn *mysqlsession.Conn) error {
								_, err := conn.Exec(t.Context(), "SLEEP 50ms")
								return err
							}))
						}
					})
				}
				time.Sleep(7 * time.Second)
				well(s[hostA])
				for moved := 0; moved < 3; moved = pool.Stat().Addresses[hostA] {
					time.Sleep(time.Millisecond)
				}
				again(s[hostA])
				time.Sleep(20 * time.Second)
				well(s[hostA])
				group.Wait()
				require.Equal(t, map[string]int{hostA: 8}, pool.Stat().Addresses)
				_, dials := s[hostA].peaks()
				require.LessOrEqual(t, dials, 2)
			})
		})
	}
}

func TestADemotedServerIsLeftInOneRoundTripByAllConnections(t *testing.T) {
	for name, fail := range map[string]fails{"read-only": readOnly, "not ready": notReady, "shutting down": goingDown, "not online": notOnline} {
		t.Run(name, func(t *testing.T) {
			among(t, mysqlsession.Config{PoolSize: 6}, asTheyAre, func(t *testing.T, s backends, pool *mysqlsession.Pool) {
				held := hold(t, pool, 6)
				release(held[1:])
				fail(s[hostA])
				_, err := held[0].Conn().Exec(t.Context(), "WRITE")
				require.Error(t, err)
				require.True(t, mysqlsession.SafeToRetry(err))
				held[0].Release()
				release(hold(t, pool, 6))
				require.Equal(t, map[string]int{hostB: 6}, pool.Stat().Addresses)
			})
		})
	}
}

func TestADemotedServerIsLeftAlsoByAPoolThatOnlyReads(t *testing.T) {
	cfg := mysqlsession.Config{PoolSize: 2, HealthCheckPeriod: 10 * time.Second}
	among(t, cfg, asTheyAre, func(t *testing.T, s backends, pool *mysqlsession.Pool) {
		release(hold(t, pool, 2))
		readOnly(s[hostA])
		time.Sleep(11 * time.Second)
		require.Equal(t, hostB, servedBy(t, pool))
	})
}

func TestAServerThatHasFallenSilentIsLeftByAllConnections(t *testing.T) {
	cfg := mysqlsession.Config{PoolSize: 4, ReadTimeout: time.Second, ConnectTimeout: 3 * time.Second, HealthCheckPeriod: time.Hour}
	among(t, cfg, asTheyAre, func(t *testing.T, s backends, pool *mysqlsession.Pool) {
		release(hold(t, pool, 4))
		blackHole(s[hostA])
		err := pool.Do(t.Context(), func(conn *mysqlsession.Conn) error {
			_, err := conn.Exec(t.Context(), "SLEEP 1h")
			return err
		})
		require.ErrorIs(t, err, mysqlsession.ErrUnavailable)
		began := time.Now()
		require.Equal(t, hostB, servedBy(t, pool))
		release(hold(t, pool, 4))
		require.Zero(t, time.Since(began), "nobody waits for it again")
	})
}

// A server that was stopped for a while answers, when it goes on, the logins that have hung in
// it, before it knows that the others have gone on without it.
func TestALoginThatAnAddressAnswersAfterItWasFoundFailedIsNoReasonToGoBack(t *testing.T) {
	cfg := mysqlsession.Config{PoolSize: 2, MaxConcurrentDials: 2, ReadTimeout: time.Second, ConnectTimeout: 30 * time.Second, HealthCheckPeriod: time.Hour}
	among(t, cfg, asTheyAre, func(t *testing.T, s backends, pool *mysqlsession.Pool) {
		held := acquire(t, pool)
		s[hostA].set(func() { s[hostA].dialTime = 2 * time.Second })
		second := acquiring(t.Context(), pool)
		_, err := held.Conn().Exec(t.Context(), "SLEEP 1h")
		require.ErrorIs(t, err, mysqlsession.ErrUnavailable)
		held.Release()
		require.Equal(t, hostB, servedBy(t, pool))
		require.Empty(t, second)
		require.NoError(t, <-second, "it is served all the same")
		release(hold(t, pool, 2))
		require.Equal(t, map[string]int{hostB: 2}, pool.Stat().Addresses)
		require.Equal(t, 2, s[hostA].dialled())
	})
}

func TestAnAddressThatWasFoundFailedDuringALoginIsAskedAgainWhereNoOtherServes(t *testing.T) {
	cfg := mysqlsession.Config{PoolSize: 2, MaxConcurrentDials: 2, ReadTimeout: time.Second, ConnectTimeout: 30 * time.Second, HealthCheckPeriod: time.Hour}
	among(t, cfg, func(s backends) {
		refusing(s[hostB])
		refusing(s[hostC])
	}, func(t *testing.T, s backends, pool *mysqlsession.Pool) {
		held := acquire(t, pool)
		s[hostA].set(func() { s[hostA].dialTime = 2 * time.Second })
		second := acquiring(t.Context(), pool)
		s[hostA].set(func() { s[hostA].dialTime = 0 })
		_, err := held.Conn().Exec(t.Context(), "SLEEP 1h")
		require.ErrorIs(t, err, mysqlsession.ErrUnavailable)
		held.Release()
		require.NoError(t, <-second)
		require.Less(t, s[hostA].dialled(), 5)
		require.Equal(t, hostA, servedBy(t, pool))
	})
}

func TestAConnectionToAnAddressThatHasFailedIsNotUsedAgainWhileAnEarlierOneIsDialled(t *testing.T) {
	cfg := mysqlsession.Config{PoolSize: 4, MaxConcurrentDials: 1, HealthCheckPeriod: time.Second, ConnectTimeout: 30 * time.Second}
	among(t, cfg, func(s backends) { refusing(s[hostA]) }, func(t *testing.T, s backends, pool *mysqlsession.Pool) {
		held := acquire(t, pool)
		require.Equal(t, hostB, held.Conn().Address())
		refusing(s[hostB])
		second := acquire(t, pool)
		require.Equal(t, hostC, second.Conn().Address())
		well(s[hostA])
		time.Sleep(3500 * time.Millisecond) // it is trusted again
		s[hostA].set(func() { s[hostA].dialTime = 5 * time.Second })
		third := acquiring(t.Context(), pool)
		held.Release()
		second.Release()
		synctest.Wait()
		require.Equal(t, hostC, servedBy(t, pool), "what serves does so until it can be replaced")
		require.Equal(t, map[string]int{hostC: 1}, pool.Stat().Addresses)
		require.NoError(t, <-third)
	})
}

// Probes hang in a server that is stopped. When it goes on, the one that has hung succeeds, and
// so does the one that has waited for it to end: that is one moment, not two.
func TestProbesThatHungAndSucceedTogetherCountOnce(t *testing.T) {
	cfg := mysqlsession.Config{PoolSize: 1, HealthCheckPeriod: time.Second, ConnectTimeout: 3 * time.Second}
	among(t, cfg, func(s backends) { refusing(s[hostA]) }, func(t *testing.T, s backends, pool *mysqlsession.Pool) {
		well(s[hostA])
		s[hostA].set(func() { s[hostA].dialTime = 2500 * time.Millisecond })
		before := s[hostA].dialled()
		time.Sleep(time.Second + 1) // a probe is under way
		require.Equal(t, before+1, s[hostA].dialled())
		well(s[hostA])
		time.Sleep(3900 * time.Millisecond)
		require.Equal(t, hostB, servedBy(t, pool))
		time.Sleep(200 * time.Millisecond)
		require.Equal(t, hostA, servedBy(t, pool))
	})
}

func TestWhileNoServerCanBeReachedCallersFailAtOnceAndTheFirstThatIsBackServes(t *testing.T) {
	cfg := mysqlsession.Config{PoolSize: 4, ConnectTimeout: 3 * time.Second}
	among(t, cfg, asTheyAre, func(t *testing.T, s backends, pool *mysqlsession.Pool) {
		for address, b := range s {
			refusing(b)
			if address == hostA {
				blackHole(b)
			}
			b.hangUp()
		}
		for range 2 { // the first finds the connection dead, the other takes a black hole's share
			_ = pool.Do(t.Context(), func(conn *mysqlsession.Conn) error { return conn.Ping(t.Context()) })
		}
		before, outage := s[hostB].dialled(), time.Now()
		for time.Since(outage) < 30*time.Second {
			began := time.Now()
			_, err := pool.Acquire(t.Context())
			require.ErrorIs(t, err, mysqlsession.ErrUnavailable)
			require.LessOrEqual(t, time.Since(began), time.Second)
			time.Sleep(10 * time.Millisecond)
		}
		require.LessOrEqual(t, s[hostB].dialled()-before, 40)
		well(s[hostC])
		for conn := (*mysqlsession.PoolConn)(nil); conn == nil; time.Sleep(10 * time.Millisecond) {
			if conn, _ = pool.Acquire(t.Context()); conn != nil {
				require.Equal(t, hostC, conn.Conn().Address())
				conn.Release()
			}
			require.Less(t, time.Since(outage), 33*time.Second)
		}
	})
}

// What a full server has accepted serves on, beside what goes elsewhere.
func TestAServerWithoutRoomKeepsTheConnectionsThatItHas(t *testing.T) {
	cfg := mysqlsession.Config{PoolSize: 5, HealthCheckPeriod: 10 * time.Second}
	among(t, cfg, asTheyAre, func(t *testing.T, s backends, pool *mysqlsession.Pool) {
		held := hold(t, pool, 2)
		s[hostA].set(func() { s[hostA].loginRefusal = 1040 })
		held = append(held, hold(t, pool, 3)...)
		require.Equal(t, map[string]int{hostA: 2, hostB: 3}, pool.Stat().Addresses)
		release(held)
		release(hold(t, pool, 5))
		require.Equal(t, map[string]int{hostA: 2, hostB: 3}, pool.Stat().Addresses)
		s[hostA].set(func() { s[hostA].loginRefusal = 0 })
		time.Sleep(31 * time.Second)
		release(hold(t, pool, 5))
		require.Equal(t, map[string]int{hostA: 5}, pool.Stat().Addresses)
	})
}

// A primary that was stopped for a while takes itself for the primary still, for a moment,
// while the group has another one.
func TestAMemberOfAGroupWithOnePrimaryIsNotBelievedWhileAnotherServes(t *testing.T) {
	cfg := mysqlsession.Config{PoolSize: 2, HealthCheckPeriod: time.Second}
	among(t, cfg, func(s backends) {
		for _, b := range s {
			b.singlePrimary = true
		}
		refusing(s[hostA])
		readOnly(s[hostC])
	}, func(t *testing.T, s backends, pool *mysqlsession.Pool) {
		well(s[hostA])
		time.Sleep(time.Minute)
		require.Equal(t, hostB, servedBy(t, pool))
		readOnly(s[hostB])
		time.Sleep(2 * time.Second)
		require.Equal(t, hostA, servedBy(t, pool))
	})
}

func TestAddressesThatBeforeConnectChoosesAreTriedAsTheyAre(t *testing.T) {
	cfg := mysqlsession.Config{PoolSize: 2, HealthCheckPeriod: time.Second}
	cfg.BeforeConnect = func(_ context.Context, cfg *mysqlsession.Config) error {
		cfg.Host, cfg.Hosts = "c", []string{hostA}
		return nil
	}
	among(t, cfg, asTheyAre, func(t *testing.T, s backends, pool *mysqlsession.Pool) {
		time.Sleep(10 * time.Second)
		release(hold(t, pool, 2))
		require.Equal(t, map[string]int{hostC: 2}, pool.Stat().Addresses)
		require.Zero(t, s[hostA].dialled())
	})
}

func TestTheLogIsToldOncePerMoveAndNotPerConnection(t *testing.T) {
	var log bytes.Buffer
	cfg := mysqlsession.Config{PoolSize: 4, HealthCheckPeriod: 10 * time.Second, Database: "d", Pool: "sessions"}
	cfg.Logger = slog.New(slog.NewTextHandler(&log, nil))
	among(t, cfg, asTheyAre, func(t *testing.T, s backends, pool *mysqlsession.Pool) {
		require.Empty(t, log.String())
		readOnly(s[hostA])
		acquire(t, pool).Discard()
		release(hold(t, pool, 4))
		synctest.Wait()
		require.Equal(t, 1, bytes.Count(log.Bytes(), []byte("\n")), log.String())
		require.Contains(t, log.String(), "connections lead to another address")
		require.Contains(t, log.String(), "pool=sessions address="+hostB)
		well(s[hostA])
		time.Sleep(30 * time.Second)
		synctest.Wait()
		require.Equal(t, 2, bytes.Count(log.Bytes(), []byte("\n")), log.String())
	})
}
