package telemetrytest

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mysqlsession/mysqlsession"
)

// OneWaits takes the connection of a pool that has one, and has another caller wait for it.
// leave ends the waiting, and then gives the connection back.
func OneWaits(t *testing.T, pool *mysqlsession.Pool) (leave func()) {
	t.Helper()
	conn, err := pool.Acquire(t.Context())
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	left := make(chan error, 1)
	go func() {
		_, err := pool.Acquire(ctx)
		left <- err
	}()
	require.Eventually(t, func() bool { return pool.Stat().Waiting == 1 }, 10*time.Second, time.Millisecond)
	return func() {
		t.Helper()
		cancel()
		require.ErrorIs(t, <-left, context.Canceled)
		conn.Release()
	}
}
