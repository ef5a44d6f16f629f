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
)

// socketCounter counts the sockets that are open or being opened to a real server.
type socketCounter struct {
	mu        sync.Mutex
	now, most int
}

func (c *socketCounter) add(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now += n
	c.most = max(c.most, c.now)
}

// open is how many there are.
func (c *socketCounter) open() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *socketCounter) dial(ctx context.Context, network, address string) (net.Conn, error) {
	c.add(1)
	conn, err := new(net.Dialer).DialContext(ctx, network, address)
	if err != nil {
		c.add(-1)
		return nil, err
	}
	// The socket's own methods stay visible, so that the pool can look at it.
	return &countedTCP{TCPConn: conn.(*net.TCPConn), counter: c}, nil
}

type countedTCP struct {
	*net.TCPConn
	counter *socketCounter
	once    sync.Once
}

func (c *countedTCP) Close() error {
	err := c.TCPConn.Close()
	c.once.Do(func() { c.counter.add(-1) })
	return err
}

// ofUser counts a user's connections.
const ofUser = "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE USER = ?"

func TestThePoolsLimitHoldsAtTheDialerAndAtTheServer(t *testing.T) {
	const size, callers, each = 5, 24, 40
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		cfg := server.NewDatabase(t)
		createNewTables(t, cfg, nil)
		admin := server.Admin(t)
		cfg = server.NewUser(t, cfg, "ALL") // whose connections are nobody else's
		cfg.PoolSize = size
		var sockets socketCounter
		cfg.DialFunc = sockets.dial
		store := openStore(t, cfg)

		var finished atomic.Bool
		watched := make(chan int)
		go func() {
			most := 0
			for !finished.Load() {
				most = max(most, count(t, admin, ofUser, cfg.Username))
			}
			watched <- most
		}()
		load(t, store, callers, each, func(*mysqlsession.Conn) {})
		finished.Store(true)
		require.LessOrEqual(t, <-watched, size, "on the server, with no connection being replaced")
		require.Equal(t, size, sockets.most)
		require.Equal(t, int64(size), store.Pool().Stat().NewConnsCount)

		// A server is rid of a closed connection a moment after we are.
		load(t, store, callers, each, func(conn *mysqlsession.Conn) { _ = conn.Close() })
		require.Equal(t, size, sockets.most, "at the dialer, with connections being replaced")
		require.Greater(t, store.Pool().Stat().NewConnsCount, int64(size))
	})
}

// load has callers use a store and its pool, and do something to a connection now and then.
func load(t *testing.T, store *mysqlsession.Store, callers, each int, do func(conn *mysqlsession.Conn)) {
	t.Helper()
	var group sync.WaitGroup
	for caller := range callers {
		group.Go(func() {
			for n := range each {
				key := strconv.Itoa(caller) + "." + strconv.Itoa(n%4)
				if err := store.Set(t.Context(), "name", key, []byte(key), time.Minute, nil); err != nil {
					t.Error(err)
				}
				value, err := store.Get(t.Context(), "name", key)
				if err != nil || string(value) != key {
					t.Errorf("%q, %v where %q was stored", value, err, key)
				}
				if n%8 == 0 {
					err := store.Pool().Do(t.Context(), func(conn *mysqlsession.Conn) error {
						do(conn)
						return nil
					})
					if err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	group.Wait()
}

// All connections of a pool die when its server restarts.
func TestConnectionsThatDiedTogetherAreReplacedUnseen(t *testing.T) {
	const size = 8
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		cfg := server.NewDatabase(t)
		cfg.PoolSize = size
		createNewTables(t, cfg, nil)
		store := openStore(t, cfg)
		admin := server.Admin(t)
		held := hold(t, store.Pool(), size)
		var ids []uint32
		for _, conn := range held {
			ids = append(ids, conn.Conn().ConnectionID())
		}
		release(held)
		for _, id := range ids {
			kill(t, admin, id)
		}
		awaitIdleness()
		var group sync.WaitGroup
		for caller := range 2 * size {
			group.Go(func() {
				assert.NoError(t, store.Set(t.Context(), "name", "key"+strconv.Itoa(caller), nil, time.Minute, nil))
			})
		}
		group.Wait()
		stat := store.Pool().Stat()
		require.Zero(t, stat.BrokenDestroyCount, "no call may meet a dead connection")
		require.Positive(t, stat.DeadDestroyCount)
	})
}

// A server that takes no more connections than there are must not make the pool refuse its
// callers, nor lose what it has.
func TestCallersShareTheConnectionsThatAServerAllows(t *testing.T) {
	const allowed, callers, each = 2, 12, 20
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		cfg := server.NewDatabase(t)
		createNewTables(t, cfg, nil)
		cfg = server.NewUser(t, cfg, "ALL")
		cfg.PoolSize = 4
		execute(t, server.Admin(t), "ALTER USER '"+cfg.Username+"'@'%' WITH MAX_USER_CONNECTIONS "+strconv.Itoa(allowed))
		store := openStore(t, cfg)
		pool := store.Pool()
		held := hold(t, pool, allowed)
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		defer cancel()
		_, err := pool.Acquire(ctx)
		require.ErrorIs(t, err, context.DeadlineExceeded, "it waits")
		release(held)
		load(t, store, callers, each, func(*mysqlsession.Conn) {})
		require.Equal(t, int64(allowed), pool.Stat().NewConnsCount)

		// Those that the server takes after all are used.
		execute(t, server.Admin(t), "ALTER USER '"+cfg.Username+"'@'%' WITH MAX_USER_CONNECTIONS 0")
		held = hold(t, pool, cfg.PoolSize)
		release(held)
		require.Equal(t, int64(cfg.PoolSize), pool.Stat().NewConnsCount)
	})
}
