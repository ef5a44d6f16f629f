package mysqlsession_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mysqlsession/mysqlsession"
	"github.com/mysqlsession/mysqlsession/internal/dbtest"
)

// loggedLines is a logger, and what it has logged.
type loggedLines struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *loggedLines) Write(line []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(line)
}

func (l *loggedLines) logger() *slog.Logger {
	return slog.New(slog.NewJSONHandler(l, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// take returns the lines so far, without their times, and forgets them.
func (l *loggedLines) take(t *testing.T) []map[string]any {
	l.mu.Lock()
	defer l.mu.Unlock()
	var lines []map[string]any
	for line := range strings.Lines(l.text.String()) {
		var fields map[string]any
		require.NoError(t, json.Unmarshal([]byte(line), &fields))
		delete(fields, "time")
		lines = append(lines, fields)
	}
	l.text.Reset()
	return lines
}

// failed is a call that has failed.
func failed(err error) mysqlsession.CallInfo {
	return mysqlsession.CallInfo{Pool: "p", Operation: "get", Duration: time.Millisecond, Err: err}
}

func TestFailedAndSlowCallsAreLogged(t *testing.T) {
	var lines loggedLines
	trace := mysqlsession.LogTrace(lines.logger(), mysqlsession.LogOptions{})
	trace.Call(t.Context(), failed(nil))
	trace.Call(t.Context(), failed(mysqlsession.ErrNotFound))
	require.Empty(t, lines.take(t))

	trace.Call(t.Context(), mysqlsession.CallInfo{Pool: "p", Operation: "set", Duration: time.Second})
	trace.Call(t.Context(), failed(mysqlsession.ErrUnavailable))
	trace.Call(t.Context(), failed(mysqlsession.ErrSchema))
	trace.Call(t.Context(), failed(context.Canceled))
	require.Equal(t, []map[string]any{
		{"level": "WARN", "msg": "mysqlsession: a call was slow", "pool": "p", "operation": "set", "duration": 1e9},
		{"level": "WARN", "msg": "mysqlsession: a call failed", "pool": "p", "operation": "get", "duration": 1e6, "kind": "unavailable", "error": "mysqlsession: server unavailable"},
		{"level": "ERROR", "msg": "mysqlsession: a call failed", "pool": "p", "operation": "get", "duration": 1e6, "kind": "schema", "error": "mysqlsession: schema lacks what the operation needs"},
		{"level": "INFO", "msg": "mysqlsession: a call failed", "pool": "p", "operation": "get", "duration": 1e6, "kind": "canceled", "error": "not of this package"},
	}, lines.take(t))

	quiet := mysqlsession.LogTrace(lines.logger(), mysqlsession.LogOptions{SlowCall: -1})
	quiet.Call(t.Context(), mysqlsession.CallInfo{Duration: time.Hour})
	require.Empty(t, lines.take(t))
}

// What a function of the caller's says may quote whatever it was given.
func TestErrorsOfOthersAreNotQuotedInTheLog(t *testing.T) {
	var lines loggedLines
	trace := mysqlsession.LogTrace(lines.logger(), mysqlsession.LogOptions{})
	trace.Call(t.Context(), failed(errors.New("user alice has no basket")))
	trace.Call(t.Context(), failed(fmt.Errorf("user alice: %w", mysqlsession.ErrConflict)))
	for _, line := range lines.take(t) {
		require.Equal(t, "not of this package", line["error"])
	}
}

// An application may give as a cause whatever it knows of the request.
func TestTheCauseOfAContextsEndIsNotQuotedInTheLog(t *testing.T) {
	var lines loggedLines
	cfg := mysqlsession.Config{PoolSize: 1, Database: "app", CleanupInterval: -1, Trace: mysqlsession.LogTrace(lines.logger(), mysqlsession.LogOptions{})}
	inPool(t, cfg, func(t *testing.T, _ *backend, pool *mysqlsession.Pool) {
		store, err := mysqlsession.NewStore(pool, cfg)
		require.NoError(t, err)
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(errors.New("alice has left"))
		require.ErrorContains(t, store.Delete(ctx, "n", newKey()), "alice", "the caller is told")
		require.NoError(t, store.Close())
	})
	logged := fmt.Sprint(lines.take(t))
	require.Contains(t, logged, "context canceled, its cause is of the kind other")
	require.NotContains(t, logged, "alice")
}

// What this package itself gives as a cause is what an operator wants to know.
func TestWhatALimitOfOursHasEndedIsInTheLog(t *testing.T) {
	var lines loggedLines
	var armed atomic.Bool
	cfg := mysqlsession.Config{PoolSize: 2, ConnectTimeout: time.Second, Trace: mysqlsession.LogTrace(lines.logger(), mysqlsession.LogOptions{})}
	cfg.BeforeConnect = func(ctx context.Context, _ *mysqlsession.Config) error {
		if !armed.Load() {
			return nil
		}
		<-ctx.Done()
		return ctx.Err()
	}
	inPool(t, cfg, func(t *testing.T, _ *backend, pool *mysqlsession.Pool) {
		held := hold(t, pool, 1)
		armed.Store(true)
		require.Error(t, <-acquiring(t.Context(), pool))
		release(held)
	})
	require.Contains(t, fmt.Sprint(lines.take(t)), "connect: BeforeConnect: server unavailable: context deadline exceeded")
}

func TestConnectionsThatComeAndGoAreLogged(t *testing.T) {
	var lines loggedLines
	trace := mysqlsession.LogTrace(lines.logger(), mysqlsession.LogOptions{})
	trace.Connect(mysqlsession.ConnectInfo{Pool: "p", Address: "a:1", Duration: time.Millisecond})
	trace.Connect(mysqlsession.ConnectInfo{Pool: "p", Address: "a:1", Duration: time.Millisecond, Err: mysqlsession.ErrUnavailable})
	trace.Connect(mysqlsession.ConnectInfo{Pool: "p", Address: "a:1", Duration: time.Millisecond, Err: mysqlsession.ErrClosed})
	for _, reason := range []mysqlsession.DisconnectReason{
		mysqlsession.DisconnectMaxIdle, mysqlsession.DisconnectDead, mysqlsession.DisconnectBroken, mysqlsession.DisconnectPoolClosed,
	} {
		trace.Disconnect(mysqlsession.DisconnectInfo{Pool: "p", Reason: reason, Age: time.Second})
	}
	trace.Batch(mysqlsession.BatchInfo{Pool: "p", Operation: "set", Calls: 7})
	trace.Batch(mysqlsession.BatchInfo{Pool: "p", Operation: "set", Calls: 1, Err: mysqlsession.ErrValueTooLarge}) // the call has a line
	trace.Batch(mysqlsession.BatchInfo{Pool: "p", Operation: "set", Calls: 7, Err: mysqlsession.ErrValueTooLarge})
	var told []string
	for _, line := range lines.take(t) {
		told = append(told, fmt.Sprint(line["level"], " ", line["msg"], " ", line["reason"]))
	}
	require.Equal(t, []string{
		"DEBUG mysqlsession: a connection was opened <nil>",
		"WARN mysqlsession: a connection could not be opened <nil>",
		"DEBUG mysqlsession: a connection could not be opened <nil>",
		"DEBUG mysqlsession: a connection was closed max_idle",
		"INFO mysqlsession: a connection was closed dead",
		"WARN mysqlsession: a connection was closed broken",
		"DEBUG mysqlsession: a connection was closed pool_closed",
		"INFO mysqlsession: a batch fell apart <nil>",
	}, told)
}

// A database that is down fails calls by the ten thousand in a second, and none of the log
// is read any more.
func TestOfManyFailuresAFewAreLoggedAndTheOthersCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var lines loggedLines
		trace := mysqlsession.LogTrace(lines.logger(), mysqlsession.LogOptions{Lines: 5, Interval: 10 * time.Second})
		const failures = 50_000
		for range failures {
			trace.Call(t.Context(), failed(mysqlsession.ErrUnavailable))
		}
		trace.Call(t.Context(), failed(mysqlsession.ErrSchema)) // it is not lost among the others
		logged := lines.take(t)
		require.Len(t, logged, 6)
		require.Equal(t, "schema", logged[5]["kind"])

		time.Sleep(10 * time.Second)
		synctest.Wait()
		require.Equal(t, []map[string]any{{
			"level": "WARN", "msg": "mysqlsession: a call failed, more than are logged", "left_out": float64(failures - 5), "interval": 1e10, "kind": "unavailable",
		}}, lines.take(t))

		time.Sleep(time.Hour)
		synctest.Wait()
		require.Empty(t, lines.take(t))
		trace.Call(t.Context(), failed(mysqlsession.ErrUnavailable))
		require.Len(t, lines.take(t), 1, "a new interval has begun")
	})
}

func TestTheLogOfAStoreHasNeitherIdsNorValuesNorSubjects(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		var lines loggedLines
		cfg := server.NewDatabase(t)
		createNewTables(t, cfg, nil)
		cfg.Logger, cfg.CleanupInterval = lines.logger(), -1
		cfg.Trace = mysqlsession.LogTrace(cfg.Logger, mysqlsession.LogOptions{SlowCall: 1})
		store, err := mysqlsession.Open(t.Context(), cfg)
		require.NoError(t, err)
		key, secret := newKey(), "the-secret-of-it"
		require.NoError(t, store.Set(t.Context(), "n", key, []byte(secret), time.Hour, &mysqlsession.SetOptions{
			Metadata: []mysqlsession.Metadata{{Audience: secret, Subject: secret}},
		}))
		require.Error(t, store.Set(t.Context(), "n", key, nil, -1, nil))
		require.Error(t, store.Update(t.Context(), "n", key, time.Hour, func(old []byte) ([]byte, error) { return nil, errors.New(string(old)) }))
		require.NoError(t, store.Close())
		logged := fmt.Sprint(lines.take(t))
		require.Contains(t, logged, "a call was slow")
		require.Contains(t, logged, "a connection was closed")
		require.NotContains(t, logged, key)
		require.NotContains(t, logged, secret)
	})
}

func TestEveryErrorOfThePackageHasAKindOfItsOwn(t *testing.T) {
	kinds := map[string]bool{"": true, "other": true, "server_error": true}
	require.Empty(t, mysqlsession.ErrorKind(nil))
	require.Equal(t, "other", mysqlsession.ErrorKind(errors.New("anything")))
	require.Equal(t, "server_error", mysqlsession.ErrorKind(&mysqlsession.ServerError{Code: 1205}))
	for _, err := range []error{
		mysqlsession.ErrInvalidConfig, mysqlsession.ErrInvalidKey, mysqlsession.ErrInvalidName, mysqlsession.ErrInvalidTTL, mysqlsession.ErrInvalidOptions, mysqlsession.ErrValueTooLarge,
		mysqlsession.ErrTextColumn, mysqlsession.ErrBacklogFull, mysqlsession.ErrAcquireTimeout, mysqlsession.ErrClosed, mysqlsession.ErrUnavailable,
		mysqlsession.ErrTLSUnavailable, mysqlsession.ErrKeyRetrieval, mysqlsession.ErrNotFound, mysqlsession.ErrConflict, mysqlsession.ErrPacketTooLarge,
		mysqlsession.ErrProtocol, mysqlsession.ErrNotWritable, mysqlsession.ErrSchema, context.Canceled, context.DeadlineExceeded,
	} {
		kind := mysqlsession.ErrorKind(fmt.Errorf("get: %w", err))
		require.False(t, kinds[kind], "%v is %q", err, kind)
		kinds[kind] = true
	}
	readOnly := errors.Join(mysqlsession.ErrUnavailable, mysqlsession.ErrNotWritable)
	require.Equal(t, "not_writable", mysqlsession.ErrorKind(readOnly), "what says most")
}
