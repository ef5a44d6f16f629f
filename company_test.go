package mysqlsession_test

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/mysqlsession/mysqlsession"
)

// company is a store whose calls share one lane: a test can have them wait for it, in an
// order of its own, and be served together.
type company struct {
	*mysqlsession.Store
	size int // of the pool

	mu   sync.Mutex // guards what follows
	seen []mysqlsession.BatchInfo
}

// call is a call of the store's, made by a caller of its own.
type call func() error

// newCompany opens a store on tables that exist.
func newCompany(t *testing.T, cfg mysqlsession.Config) *company {
	t.Helper()
	cfg.PoolSize = max(cfg.PoolSize, 1)
	cfg.CoalesceMaxLanes = 1
	c := &company{size: cfg.PoolSize}
	cfg.Trace = &mysqlsession.Trace{Batch: func(info mysqlsession.BatchInfo) {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.seen = append(c.seen, info)
	}}
	c.Store = openStore(t, cfg)
	_, err := c.Get(t.Context(), "name", "nobody") // now the tables have been looked at
	require.ErrorIs(t, err, mysqlsession.ErrNotFound)
	return c
}

// together has the calls served in one batch, if they can be, and returns their errors.
func (c *company) together(t *testing.T, calls ...call) []error {
	t.Helper()
	return c.queue(t, calls...)()
}

// queue has the calls wait for the lane, in this order. serve lets them be served, and
// returns their errors.
func (c *company) queue(t *testing.T, calls ...call) (serve func() []error) {
	t.Helper()
	letGo := c.block(t)
	errs := make([]error, len(calls))
	var group sync.WaitGroup
	waiting := c.Pool().Stat().Waiting
	for i, call := range calls {
		group.Go(func() { errs[i] = call() })
		await(t, "the call waits", func() bool { return c.Pool().Stat().Waiting == waiting+1+i })
	}
	return func() []error {
		letGo()
		group.Wait()
		return errs
	}
}

// block takes all connections, and has a call wait for one that keeps the lane, until letGo.
func (c *company) block(t *testing.T) (letGo func()) {
	t.Helper()
	c.rest(t)
	held := hold(t, c.Pool(), c.size)
	first := make(chan struct{})
	go func() {
		defer close(first)
		_, _ = c.Get(context.Background(), "name", "nobody") // what becomes of it is no matter
	}()
	await(t, "the lane is taken", func() bool { return c.Pool().Stat().Waiting == 1 })
	c.mu.Lock()
	c.seen = nil
	c.mu.Unlock()
	var once sync.Once
	letGo = func() {
		once.Do(func() {
			release(held)
			<-first
		})
	}
	t.Cleanup(letGo)
	return letGo
}

// rest waits until the lane is free: callers go on before it is.
func (c *company) rest(t *testing.T) {
	t.Helper()
	await(t, "the lane is free", func() bool {
		stat := c.Pool().Stat()
		return stat.Lanes == 0 && stat.AcquiredConns == 0
	})
}

// batches is what was served together since the calls were queued: "get 3", or "get 3
// failed" if each was then run by itself.
func (c *company) batches() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	list := []string{}
	for _, info := range c.seen {
		text := fmt.Sprintf("%s %d", info.Operation, info.Calls)
		if info.Err != nil {
			text += " failed"
		}
		list = append(list, text)
	}
	return list
}

// set, get, touch and delete are calls of sessions named "name" that live for a minute.
func (c *company) set(t *testing.T, key, value string, opts ...*mysqlsession.SetOptions) call {
	var chosen *mysqlsession.SetOptions
	if len(opts) > 0 {
		chosen = opts[0]
	}
	return func() error { return c.Set(t.Context(), "name", key, []byte(value), time.Minute, chosen) }
}

// rotate stores a session in the place of another one, whether that is live or not.
func (c *company) rotate(t *testing.T, old, key, value string) call {
	return c.set(t, key, value, &mysqlsession.SetOptions{OldKey: old, Metadata: member("subject").Metadata})
}

func (c *company) get(t *testing.T, key string, value *string) call {
	return func() error {
		got, err := c.Get(t.Context(), "name", key)
		*value = string(got)
		return err
	}
}

func (c *company) touch(t *testing.T, key string, ttl time.Duration) call {
	return func() error { return c.Touch(t.Context(), "name", key, ttl) }
}

func (c *company) delete(t *testing.T, key string) call {
	return func() error { return c.Delete(t.Context(), "name", key) }
}

// holds asserts that the session has the value; "" is for none.
func (c *company) holds(t *testing.T, key, value string) {
	t.Helper()
	got, err := c.Get(t.Context(), "name", key)
	if value == "" {
		assert.ErrorIs(t, err, mysqlsession.ErrNotFound, key)
		return
	}
	if assert.NoError(t, err, key) {
		assert.Equal(t, value, string(got), key)
	}
}

// await waits for what goroutines of this process are about to do.
func await(t *testing.T, what string, reached func() bool) {
	t.Helper()
	for began := time.Now(); !reached(); runtime.Gosched() {
		if time.Since(began) > 20*time.Second {
			t.Fatal("it did not come about: " + what)
		}
	}
}

// errorsOnlyOf asserts that exactly the calls of these numbers have failed, with that error.
func errorsOnlyOf(t *testing.T, errs []error, want error, numbers ...int) {
	t.Helper()
	failed := make(map[int]bool)
	for _, number := range numbers {
		failed[number] = true
		assert.ErrorIs(t, errs[number], want, "call %d", number)
	}
	for i, err := range errs {
		if !failed[i] {
			assert.NoError(t, err, "call %d", i)
		}
	}
}
