package mysqlsession_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/mysqlsession/mysqlsession"
	"github.com/mysqlsession/mysqlsession/internal/dbtest"
)

// examplePool is a pool of four connections to a database of its own, and what removes both.
func examplePool() (ctx context.Context, pool *mysqlsession.Pool, done func()) {
	cfg, drop := dbtest.Example()
	cfg.PoolSize = 4
	ctx = context.Background()
	pool, err := mysqlsession.NewPool(ctx, cfg)
	if err != nil {
		drop()
		panic(err)
	}
	return ctx, pool, func() {
		_ = pool.Close() // always nil
		drop()
	}
}

// A pool by itself, without sessions.
func ExampleNewPool() {
	cfg, drop := dbtest.Example()
	defer drop()
	cfg.PoolSize = 8                        // never more connections than this
	cfg.Backlog = 100                       // callers that may wait for one
	cfg.ConnectTimeout = 2 * time.Second    // the longest that they wait
	cfg.KeepaliveTimeout = 30 * time.Second // the longest that a connection idles
	cfg.MaxConnLifetime = 10 * time.Minute  // and lives
	cfg.Pool = "reports"                    // its name in figures
	pool, err := mysqlsession.NewPool(context.Background(), cfg)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer pool.Close()
	stat := pool.Stat()
	fmt.Println(stat.Pool, stat.MaxConns, stat.MaxWaiting)
	// Output: reports 8 100
}

// Do is the way to a connection where a function's end is its end.
func ExamplePool_Do() {
	ctx, pool, done := examplePool()
	defer done()

	err := pool.Do(ctx, func(conn *mysqlsession.Conn) error {
		return conn.Query(ctx, "SELECT ? + 1", func(row mysqlsession.Row) error {
			n, err := row.Int64(0)
			fmt.Println(n, err)
			return err
		}, 41)
	})
	if err != nil {
		fmt.Println(err)
	}
	// Output: 42 <nil>
}

// A connection for as long as one likes. Whoever acquires it releases it.
func ExamplePool_Acquire() {
	ctx, pool, done := examplePool()
	defer done()

	acquired, err := pool.Acquire(ctx)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer acquired.Release()
	fmt.Println(acquired.Conn().Ping(ctx), pool.Stat().AcquiredConns, "in use")
	// Output: <nil> 1 in use
}

// The backlog bounds how many wait, and a context how long: everybody else is told at once.
func ExamplePool_Acquire_limits() {
	cfg, drop := dbtest.Example()
	defer drop()
	cfg.PoolSize, cfg.Backlog = 1, -1 // nobody may wait
	ctx := context.Background()
	pool, err := mysqlsession.NewPool(ctx, cfg)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer pool.Close()
	acquired, err := pool.Acquire(ctx)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer acquired.Release()
	_, err = pool.Acquire(ctx)
	fmt.Println(errors.Is(err, mysqlsession.ErrBacklogFull))
	// Output: true
}

// A pool's figures: what it has, what waits, and what it has done.
func ExamplePool_Stat() {
	ctx, pool, done := examplePool()
	defer done()

	if err := pool.Do(ctx, func(conn *mysqlsession.Conn) error { return conn.Ping(ctx) }); err != nil {
		fmt.Println(err)
		return
	}
	stat := pool.Stat()
	fmt.Println(stat.AcquiredConns, "in use,", stat.IdleConns, "idle,", stat.MaxConns, "at most")
	fmt.Println(stat.NewConnsCount, "opened,", stat.Waiting, "waiting")
	// Output:
	// 0 in use, 1 idle, 4 at most
	// 1 opened, 0 waiting
}

// A closed pool serves nobody. Connections that are out when it closes have five seconds.
func ExamplePool_Close() {
	ctx, pool, done := examplePool()
	defer done()

	if err := pool.Close(); err != nil {
		fmt.Println(err)
	}
	_, err := pool.Acquire(ctx)
	fmt.Println(errors.Is(err, mysqlsession.ErrClosed))
	// Output: true
}

// The connection is the caller's until the release.
func ExamplePoolConn_Conn() {
	ctx, pool, done := examplePool()
	defer done()

	acquired, err := pool.Acquire(ctx)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer acquired.Release()
	result, err := acquired.Conn().Exec(ctx, "DO 1")
	fmt.Println(result.RowsAffected, err)
	// Output: 0 <nil>
}

// A connection that is fit is used again; a second release does nothing.
func ExamplePoolConn_Release() {
	ctx, pool, done := examplePool()
	defer done()

	for range 3 {
		acquired, err := pool.Acquire(ctx)
		if err != nil {
			fmt.Println(err)
			return
		}
		acquired.Release()
		acquired.Release()
	}
	fmt.Println(pool.Stat().NewConnsCount, "connection for", pool.Stat().AcquireCount, "acquires") // NewPool's is one
	// Output: 1 connection for 4 acquires
}

// Whoever has changed the session of a connection, in ways that no other caller should find,
// discards it.
func ExamplePoolConn_Discard() {
	ctx, pool, done := examplePool()
	defer done()

	acquired, err := pool.Acquire(ctx)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer acquired.Discard()
	_, err = acquired.Conn().Exec(ctx, "SET SESSION sort_buffer_size = 8 << 20")
	fmt.Println(err)
	// Output: <nil>
}
