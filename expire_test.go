package mysqlsession_test

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mysqlsession/mysqlsession"
	"github.com/mysqlsession/mysqlsession/internal/dbtest"
)

func TestTheLongestTTLIsAsFarAsASessionMayBeStored(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		cfg := server.NewDatabase(t)
		createNewTables(t, cfg, nil)
		var ahead atomic.Int64 // seconds
		cfg.Clock = func() time.Time { return time.Unix(time.Now().Unix()+ahead.Load(), 0) }
		store := openStore(t, cfg)
		longest := func() time.Duration {
			ttl, err := store.LongestTTL(t.Context())
			require.NoError(t, err)
			return ttl
		}
		// MySQL's dates end after more than a Duration can hold.
		for longest() > 48*time.Hour {
			ttl := longest()
			require.NoError(t, store.Set(t.Context(), "name", "key", nil, ttl-time.Minute, nil))
			ahead.Add(int64((ttl - 24*time.Hour) / time.Second))
		}
		ttl := longest()
		require.InDelta(t, float64(24*time.Hour), float64(ttl), float64(time.Minute))
		require.NoError(t, store.Set(t.Context(), "name", "key", nil, ttl-time.Minute, nil))
		require.ErrorIs(t, store.Set(t.Context(), "name", "key", nil, ttl+time.Second, nil), mysqlsession.ErrInvalidTTL)
		ahead.Add(int64(48 * time.Hour / time.Second))
		require.Negative(t, longest())
		require.NoError(t, store.Close())
		_, err := store.LongestTTL(t.Context())
		require.ErrorIs(t, err, mysqlsession.ErrClosed)
	})
}
