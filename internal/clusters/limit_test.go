//go:build clusters

package clusters

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/mysqlsession/mysqlsession"
)

// No lock reaches another node of Galera. What does is that two transactions which change the
// same row conflict when they commit: one of them is rolled back, and repeated.
func TestALimitHoldsAmongSignInsOnSeveralNodesOfGalera(t *testing.T) {
	const callers, rounds, limit = 4, 15, 2
	c := start(t, "galera")
	var stores []*mysqlsession.Store
	for number := range c.nodes {
		cfg := c.config(number + 1)
		cfg.AfterConnect = func(ctx context.Context, conn *mysqlsession.Conn) error {
			_, err := conn.Exec(ctx, "SET SESSION wsrep_sync_wait = 1")
			return err
		}
		stores = append(stores, open(t, cfg))
	}
	require.NoError(t, stores[0].Migrate(t.Context()))
	opts := &mysqlsession.SetOptions{MaxPerSubject: limit, Metadata: []mysqlsession.Metadata{{Audience: "audience", Subject: "subject"}}}
	done, conflicts := 0, 0
	for round := range rounds {
		errs := make([]error, callers*len(stores))
		var group sync.WaitGroup
		for i := range errs {
			group.Go(func() {
				key := fmt.Sprintf("session-%d-%d", round, i)
				errs[i] = stores[i%len(stores)].Set(t.Context(), "name", key, []byte("value"), time.Minute, opts)
			})
		}
		group.Wait()
		for _, err := range errs {
			var refused *mysqlsession.ServerError
			switch {
			case err == nil:
				done++
			case errors.As(err, &refused) && refused.Code == 1213 && mysqlsession.SafeToRetry(err):
				conflicts++ // more often than it is repeated
			default:
				t.Error(err)
			}
		}
		for number, store := range stores {
			live, err := store.CountSubject(t.Context(), "name", "audience", "subject")
			require.NoError(t, err)
			require.LessOrEqual(t, live, int64(limit), "round %d, node %d", round, number+1)
		}
	}
	assert.Greater(t, done, rounds*len(stores))
	t.Logf("%d done, %d given up as conflicts", done, conflicts)
}
