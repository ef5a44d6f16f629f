package mysqlsession_test

import (
	"context"
	"database/sql"
	"net"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mysqlsession/mysqlsession"
	"github.com/mysqlsession/mysqlsession/internal/dbtest"
	"github.com/mysqlsession/mysqlsession/internal/faultproxy"
)

// faulty is a store on a real server, to which a fault proxy is the only way, but for the
// administrator's.
type faulty struct {
	*witness
	proxy *faultproxy.Proxy
	store *mysqlsession.Store
	admin *sql.DB
	cfg   mysqlsession.Config
}

// What a faulty store holds from the start.
const (
	keptKey   = "kept-k3y"
	keptValue = "kept-p4yload"
)

// behindProxy opens a store behind a fault proxy, one connection open. It has tables and
// one session, and calls are not combined.
func behindProxy(t *testing.T, server dbtest.Server, change func(cfg *mysqlsession.Config)) *faulty {
	t.Helper()
	cfg := server.NewDatabase(t)
	createNewTables(t, cfg, nil)
	cfg = server.NewUser(t, cfg, "ALL")
	proxy := newProxy(t, cfg)
	var sockets socketCounter
	cfg.DialFunc = sockets.dial
	cfg.Host, cfg.Port = "127.0.0.1", uint16(proxy.Address().Port)
	cfg.PoolSize, cfg.Coalesce = 2, mysqlsession.CoalesceOff
	if change != nil {
		change(&cfg)
	}
	f := &faulty{proxy: proxy, admin: server.AdminIn(t, cfg.Database), cfg: cfg}
	f.store = openStore(t, cfg)
	require.NoError(t, f.set(t.Context(), keptValue))
	f.witness = newWitness(f.store.Pool(), sockets.open, echoIn(f.store))
	f.secrets = []string{cfg.Password, keptKey, keptValue, "p4yload"}
	return f
}

// newProxy makes a proxy to the server of a configuration.
func newProxy(t *testing.T, cfg mysqlsession.Config) *faultproxy.Proxy {
	t.Helper()
	proxy, err := faultproxy.New(net.JoinHostPort(cfg.Host, strconv.Itoa(int(cfg.Port))))
	require.NoError(t, err)
	t.Cleanup(proxy.Close)
	return proxy
}

func (f *faulty) set(ctx context.Context, value string) error {
	return f.store.Set(ctx, "name", keptKey, []byte(value), time.Minute, nil)
}

// get reads the session that is kept. Another value than the one wanted is an error.
func (f *faulty) get(ctx context.Context, want string) error {
	got, err := f.store.Get(ctx, "name", keptKey)
	if err != nil {
		return err
	}
	return requireSame(want, string(got))
}

// stored is what the server has, by a way around the proxy.
func (f *faulty) stored(t *testing.T) string {
	t.Helper()
	var value string
	require.NoError(t, f.admin.QueryRowContext(t.Context(), "SELECT data FROM sessions WHERE sid = ?", keptKey).Scan(&value))
	return value
}

// healed ends the fault, and sees that nothing is left of it.
func (f *faulty) healed(t *testing.T) {
	t.Helper()
	f.proxy.Clear()
	require.NoError(t, f.proxy.Admit())
	f.settled(t)
}

// quiet waits until the proxy has no connection that the pool has closed: what one still
// says in the end would meet the next rule.
func (f *faulty) quiet(t *testing.T) {
	t.Helper()
	eventually(t, "the proxy's connections are the pool's", func() bool { return f.proxy.Open() == f.pool.Stat().TotalConns })
}

// awaitFault waits for what a proxy says has happened.
func awaitFault(t *testing.T, what string, happened <-chan struct{}) {
	t.Helper()
	timer := time.NewTimer(20 * time.Second)
	defer timer.Stop()
	select {
	case <-happened:
	case <-timer.C:
		t.Fatal("it did not happen: " + what)
	}
}

// within is a context that ends by itself.
func within(t *testing.T, limit time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	t.Cleanup(cancel)
	return ctx
}
