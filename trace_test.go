package mysqlsession_test

import (
	"context"
	"errors"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mysqlsession/mysqlsession"
	"github.com/mysqlsession/mysqlsession/internal/dbtest"
)

func TestEveryOperationIsToldOfOnceWithItsTimeAndItsError(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		var mu sync.Mutex
		var told []mysqlsession.CallInfo
		cfg := server.NewDatabase(t)
		cfg.Pool, cfg.CleanupInterval = "traced", -1
		cfg.Trace = &mysqlsession.Trace{Call: func(_ context.Context, info mysqlsession.CallInfo) {
			mu.Lock()
			defer mu.Unlock()
			told = append(told, info)
		}}
		createNewTables(t, cfg, nil)
		store := openStore(t, cfg)
		ctx, key := t.Context(), newKey()
		broken := errors.New("broken")
		each := func(err error) func(string, []byte, time.Time) error {
			return func(string, []byte, time.Time) error { return err }
		}
		same := func(old []byte) ([]byte, error) { return old, nil }

		for _, c := range []struct {
			operation string
			call      func() error
			err       error
		}{
			{"get", func() error { _, err := store.Get(ctx, "n", key); return err }, mysqlsession.ErrNotFound},
			{"get", func() error { _, err := store.Get(ctx, "n", ""); return err }, mysqlsession.ErrInvalidKey},
			{"update", func() error { return store.Update(ctx, "n", key, time.Hour, same) }, mysqlsession.ErrNotFound},
			{"set", func() error { return store.Set(ctx, "n", key, []byte("v"), time.Hour, nil) }, nil},
			{"set", func() error { return store.Set(ctx, "n", key, nil, -time.Hour, nil) }, mysqlsession.ErrInvalidTTL},
			{"get many", func() error { _, err := store.GetMany(ctx, "n", []string{key}); return err }, nil},
			{"touch", func() error { return store.Touch(ctx, "n", key, time.Hour) }, nil},
			{"update", func() error { return store.Update(ctx, "n", key, time.Hour, same) }, nil},
			{"read metadata", func() error { _, err := store.ReadMetadata(ctx, "n", "a", "s"); return err }, nil},
			{"delete subject", func() error { _, err := store.DeleteSubject(ctx, "n", "a", "s"); return err }, nil},
			{"delete others", func() error { _, err := store.DeleteOthers(ctx, "n", "a", "s", key); return err }, nil},
			{"count subject", func() error { _, err := store.CountSubject(ctx, "n", "a", "s"); return err }, nil},
			{"inspect", func() error { _, err := store.Inspect(ctx, key); return err }, nil},
			{"inspect subject", func() error { _, err := store.InspectSubject(ctx, "a", "s"); return err }, nil},
			{"count", func() error { _, err := store.Count(ctx); return err }, nil},
			{"count expired", func() error { _, err := store.CountExpired(ctx); return err }, nil},
			{"each", func() error { return store.Each(ctx, "n", each(broken)) }, broken},
			{"delete", func() error { return store.DeleteStored(ctx, "n", key) }, nil},
			{"delete", func() error { return store.Delete(ctx, "n", key) }, nil},
			{"delete all", func() error { _, err := store.DeleteAll(ctx, "n"); return err }, nil},
		} {
			told = nil
			began := time.Now()
			err := c.call()
			took := time.Since(began)
			require.ErrorIs(t, err, c.err, c.operation)
			require.Len(t, told, 1, c.operation)
			require.Equal(t, c.operation, told[0].Operation)
			require.Equal(t, "traced", told[0].Pool)
			require.Equal(t, err, told[0].Err)
			require.Positive(t, told[0].Duration)
			require.LessOrEqual(t, told[0].Duration, took)
		}
	})
}

func TestCallsThatAreCombinedAreEachToldOf(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		const callers, rounds = 16, 20
		var mu sync.Mutex
		told := map[string]int{}
		cfg := server.NewDatabase(t)
		cfg.PoolSize = 1
		cfg.Trace = &mysqlsession.Trace{Call: func(_ context.Context, info mysqlsession.CallInfo) {
			mu.Lock()
			defer mu.Unlock()
			told[info.Operation]++
		}}
		createNewTables(t, cfg, nil)
		store := openStore(t, cfg)
		var done sync.WaitGroup
		for range callers {
			done.Go(func() {
				for range rounds {
					if err := store.Set(context.Background(), "n", newKey(), nil, time.Hour, nil); err != nil {
						t.Error(err)
					}
				}
			})
		}
		done.Wait()
		require.Equal(t, map[string]int{"set": callers * rounds}, told)
		require.Positive(t, store.Pool().Stat().BatchCount)
	})
}

// An operation's span begins before it, goes through it in its context, and ends with it.
func TestAnOperationGoesOnWithTheContextThatItsBeginningGave(t *testing.T) {
	type key struct{}
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		var begun, ended []mysqlsession.CallInfo
		cfg := server.NewDatabase(t)
		cfg.Pool, cfg.CleanupInterval = "traced", -1
		cfg.Trace = &mysqlsession.Trace{
			CallStart: func(ctx context.Context, info mysqlsession.CallInfo) context.Context {
				begun = append(begun, info)
				return context.WithValue(ctx, key{}, len(begun))
			},
			Call: func(ctx context.Context, info mysqlsession.CallInfo) {
				require.Equal(t, len(begun), ctx.Value(key{}))
				ended = append(ended, info)
			},
		}
		createNewTables(t, cfg, nil)
		store := openStore(t, cfg)
		require.NoError(t, store.Set(t.Context(), "n", "k", []byte("v"), time.Hour, nil))
		require.NoError(t, store.Update(t.Context(), "n", "k", time.Hour, func(old []byte) ([]byte, error) { return old, nil }))
		require.Len(t, begun, 2, "what Update reads is no call of its own")
		require.Len(t, ended, 2)
		for i, operation := range []string{"set", "update"} {
			want := mysqlsession.CallInfo{Pool: "traced", Operation: operation, Database: cfg.Database, Table: "sessions", System: begun[i].System, Address: address(cfg)}
			require.Equal(t, want, begun[i])
			require.Contains(t, []string{"mysql", "mariadb"}, begun[i].System)
			want.Duration = ended[i].Duration
			require.Equal(t, want, ended[i])
			require.Positive(t, want.Duration)
		}
	})
}

// address is where a configuration leads.
func address(cfg mysqlsession.Config) string {
	if cfg.Socket != "" {
		return cfg.Socket
	}
	return net.JoinHostPort(cfg.Host, strconv.Itoa(int(cfg.Port)))
}

func TestABatchIsToldOfWithTheContextsOfTheCallsThatItServes(t *testing.T) {
	type key struct{}
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		const callers, rounds = 16, 20
		var mu sync.Mutex
		var batched, largest int
		linked := map[any]bool{}
		var next atomic.Int64
		cfg := server.NewDatabase(t)
		cfg.PoolSize, cfg.TableName = 1, cfg.Database+".sessions"
		cfg.Trace = &mysqlsession.Trace{
			CallStart: func(ctx context.Context, _ mysqlsession.CallInfo) context.Context {
				return context.WithValue(ctx, key{}, next.Add(1))
			},
			Batch: func(info mysqlsession.BatchInfo) {
				mu.Lock()
				defer mu.Unlock()
				if len(info.Contexts) != info.Calls || info.Database != cfg.Database || info.Table != "sessions" || info.System == "" || info.Address == "" {
					t.Errorf("%+v", info)
				}
				batched, largest = batched+info.Calls, max(largest, info.Calls)
				for _, ctx := range info.Contexts {
					linked[ctx.Value(key{})] = true
				}
			},
		}
		createNewTables(t, cfg, nil)
		store := openStore(t, cfg)
		var done sync.WaitGroup
		for range callers {
			done.Go(func() {
				for range rounds {
					if err := store.Set(context.Background(), "n", newKey(), nil, time.Hour, nil); err != nil {
						t.Error(err)
					}
				}
			})
		}
		done.Wait()
		require.NoError(t, store.Close())
		require.Greater(t, largest, 1)
		require.Len(t, linked, batched, "each call is in one batch at most")
		require.NotContains(t, linked, nil)
	})
}

func TestABatchIsToldOfWithoutContextsWhereNoneWereGiven(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		var batches atomic.Int64
		cfg := server.NewDatabase(t)
		cfg.PoolSize = 1
		cfg.Trace = &mysqlsession.Trace{Batch: func(info mysqlsession.BatchInfo) {
			batches.Add(1)
			if info.Contexts != nil {
				t.Errorf("%+v", info)
			}
		}}
		createNewTables(t, cfg, nil)
		store := openStore(t, cfg)
		var done sync.WaitGroup
		for range 64 {
			done.Go(func() {
				if err := store.Set(context.Background(), "n", newKey(), nil, time.Hour, nil); err != nil {
					t.Error(err)
				}
			})
		}
		done.Wait()
		require.NoError(t, store.Close())
		require.Positive(t, batches.Load())
	})
}
