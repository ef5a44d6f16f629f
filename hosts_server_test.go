package mysqlsession_test

import (
	"context"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/mysqlsession/mysqlsession"
	"github.com/mysqlsession/mysqlsession/internal/dbtest"
	"github.com/mysqlsession/mysqlsession/internal/localserver"
)

func TestAServerThatTakesNoWritesIsPassedOverWhereThereIsAnother(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		settings := []string{"read_only"}
		if !server.MariaDB() {
			// As super_read_only brings read_only with it, that one is set first, and back last.
			settings = append(settings, "super_read_only", "offline_mode")
		}
		cfg := server.Config
		several := cfg
		several.Hosts = []string{net.JoinHostPort(cfg.Host, strconv.Itoa(int(cfg.Port)))}
		connect(t, several)
		for _, setting := range settings {
			t.Run(setting, func(t *testing.T) {
				if setting != "offline_mode" {
					server.SetGlobal(t, "read_only", 0) // until the test's end, whatever comes with it
				}
				server.SetGlobal(t, setting, 1)
				connect(t, cfg)
				_, err := mysqlsession.Connect(t.Context(), several)
				require.ErrorIs(t, err, mysqlsession.ErrNotWritable)
				require.ErrorIs(t, err, mysqlsession.ErrUnavailable)
			})
		}
	})
}

func TestTheSetUpTakesOneRoundTripWithSeveralHostsToo(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		cfg := server.Config
		cfg.Hosts = []string{net.JoinHostPort(cfg.Host, strconv.Itoa(int(cfg.Port)))}
		require.Equal(t, uint64(1), connect(t, cfg).RoundTrips())
	})
}

// pair is two servers, of which neither knows the other, with tables, and what a store
// needs to use them in turn. The account may do nothing to a read-only server.
type pair struct {
	first, second *localserver.Server
	cfg           mysqlsession.Config
}

// withPairs runs body with two servers of each program on this machine.
func withPairs(t *testing.T, body func(t *testing.T, p pair)) {
	t.Helper()
	programs := localserver.Find()
	if len(programs) == 0 {
		t.Skip("no server program on this machine") // others have one: "make test" installs it
	}
	for _, program := range programs {
		t.Run(program.Flavor+"-"+program.Version, func(t *testing.T) {
			p := pair{first: startServer(t, program), second: startServer(t, program)}
			p.cfg = p.config(p.first)
			p.cfg.Username, p.cfg.Password = "application", "secret"
			p.cfg.Hosts = []string{net.JoinHostPort(p.second.Host, strconv.Itoa(int(p.second.Port)))}
			p.cfg.HealthCheckPeriod = 200 * time.Millisecond
			p.cfg.ConnectTimeout, p.cfg.ReadTimeout = 2*time.Second, 2*time.Second
			body(t, p)
		})
	}
}

func startServer(t *testing.T, program localserver.Binary) *localserver.Server {
	t.Helper()
	server, err := localserver.Start(t.Context(), localserver.Options{Binary: program, Accounts: true})
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, server.Stop()) })
	cfg := pair{}.config(server)
	createNewTables(t, cfg, nil)
	admin := connect(t, cfg)
	for _, statement := range []string{
		"CREATE USER application IDENTIFIED BY 'secret'",
		"GRANT SELECT, INSERT, UPDATE, DELETE ON " + server.Database + ".* TO application",
	} {
		_, err := admin.Exec(t.Context(), statement)
		require.NoError(t, err)
	}
	return server
}

// config is the owner's.
func (pair) config(s *localserver.Server) mysqlsession.Config {
	return mysqlsession.Config{
		Host: s.Host, Port: s.Port, Username: s.Username, Password: s.Password, Database: s.Database,
	}
}

// traffic has callers use a store until stop is called, which returns once they have ended.
func traffic(t *testing.T, store *mysqlsession.Store, callers int, failed func(write bool, err error)) (succeeded *atomic.Int64, stop func()) {
	t.Helper()
	succeeded = new(atomic.Int64)
	ctx, cancel := context.WithCancel(t.Context())
	var group sync.WaitGroup
	for caller := range callers {
		group.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				key := "caller" + strconv.Itoa(caller)
				write := n%2 == 0
				var err error
				if write {
					err = store.Set(t.Context(), "name", key, []byte(key), time.Hour, &mysqlsession.SetOptions{
						Metadata: []mysqlsession.Metadata{{Audience: "web", Subject: key}},
					})
				} else {
					_, err = store.Get(t.Context(), "name", key)
				}
				if err != nil {
					failed(write, err)
				} else {
					succeeded.Add(1)
				}
			}
		})
	}
	return succeeded, func() {
		cancel()
		group.Wait()
	}
}

// more waits for so many more successes.
func more(t *testing.T, succeeded *atomic.Int64) {
	t.Helper()
	before := succeeded.Load()
	eventually(t, "calls succeed", func() bool { return succeeded.Load() > before+100 })
}

// leadTo waits until all connections lead to a server.
func leadTo(t *testing.T, store *mysqlsession.Store, server *localserver.Server) {
	t.Helper()
	address := net.JoinHostPort(server.Host, strconv.Itoa(int(server.Port)))
	eventually(t, "all connections lead to "+address, func() bool {
		counts := store.Pool().Stat().Addresses
		return len(counts) == 1 && counts[address] > 0
	})
}

// A server that is made read-only refuses writes, which were not applied: nobody is told.
func TestNoCallFailsWhenTheServerBecomesReadOnlyAndWhenItIsBack(t *testing.T) {
	withPairs(t, func(t *testing.T, p pair) {
		store := openStore(t, p.cfg)
		succeeded, stop := traffic(t, store, 12, func(write bool, err error) {
			// The two servers hold different sessions: a read after the move finds none.
			if write || !assert.ErrorIs(t, err, mysqlsession.ErrNotFound) {
				t.Error(err)
			}
		})
		defer stop()
		more(t, succeeded)
		leadTo(t, store, p.first)
		admin := connect(t, p.config(p.first))
		for range 2 {
			_, err := admin.Exec(t.Context(), "SET GLOBAL read_only = 1")
			require.NoError(t, err)
			leadTo(t, store, p.second)
			more(t, succeeded)
			_, err = admin.Exec(t.Context(), "SET GLOBAL read_only = 0")
			require.NoError(t, err)
			leadTo(t, store, p.first)
			more(t, succeeded)
		}
	})
}

// Of a server that is killed, only writes that were under way fail, with an unknown outcome.
func TestOnlyWritesUnderWayFailWhenTheServerIsKilled(t *testing.T) {
	withPairs(t, func(t *testing.T, p pair) {
		store := openStore(t, p.cfg)
		var unknown atomic.Int64
		succeeded, stop := traffic(t, store, 12, func(write bool, err error) {
			switch {
			case write && mysqlsession.OutcomeUnknown(err):
				unknown.Add(1)
			case write || !assert.ErrorIs(t, err, mysqlsession.ErrNotFound):
				t.Error(err)
			}
		})
		defer stop()
		for range 2 {
			more(t, succeeded)
			leadTo(t, store, p.first)
			unknown.Store(0)
			p.first.Kill()
			killed := time.Now()
			leadTo(t, store, p.second)
			more(t, succeeded)
			t.Logf("100 calls succeeded %v after the kill, %d writes had an unknown outcome", time.Since(killed), unknown.Load())
			require.LessOrEqual(t, unknown.Load(), int64(12), "one for each caller")
			require.NoError(t, p.first.Restart(t.Context()))
		}
		leadTo(t, store, p.first)
	})
}
