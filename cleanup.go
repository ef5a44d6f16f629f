package mysqlsession

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"log/slog"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/mysqlsession/mysqlsession/internal/wire"
)

// firstCleanup is the soonest that a store begins to clean up: short-lived programs, and
// fleets that restart, leave it to others.
const firstCleanup = 30 * time.Second

// Cleanup removes the sessions that have expired, and rows of old tables without an
// expiry, and returns how many. A row without a value, which reads as not found, goes when
// it expires. It goes in batches of CleanupBatchSize, each by itself;
// after an error the count says how many are gone. Several may run at the same time.
// Closing the store does not end it, ctx does.
func (s *Store) Cleanup(ctx context.Context) (int64, error) {
	var total int64
	for {
		n, more, err := s.cleanBatch(ctx, true, "")
		total += n
		if err != nil || !more {
			return total, err
		}
	}
}

// cleanInBackground cleans up every CleanupInterval, give or take a fifth. One instance at
// a time, as far as the server can tell: GET_LOCK is the server's, so in a cluster there
// may be one on each node, which does no harm.
func (s *Store) cleanInBackground(ctx context.Context) {
	sum := sha256.Sum256([]byte(s.config.Database + "\x00" + s.config.TableName))
	lock := "mysqlsession:" + hex.EncodeToString(sum[:16])
	interval := s.config.CleanupInterval
	for soonest := firstCleanup; pause(ctx, max(interval-interval/5+rand.N(interval/5*2+1), soonest)); soonest = 0 {
		began := time.Now()
		var total int64
		for more := true; more && ctx.Err() == nil; {
			var n int64
			var err error
			batch := time.Now()
			if n, more, err = s.cleanBatch(ctx, false, lock); err != nil && ctx.Err() == nil {
				s.config.Logger.LogAttrs(ctx, slog.LevelWarn, "mysqlsession: clean-up failed", slog.String("error", err.Error()))
				break
			}
			total += n
			// As long a pause as the batch took: live traffic has half of the time at least.
			if more && !pause(ctx, time.Since(batch)) {
				return
			}
		}
		if total > 0 {
			s.config.Logger.LogAttrs(ctx, slog.LevelDebug, "mysqlsession: cleaned up",
				slog.Int64("sessions", total), slog.Duration("took", time.Since(began)))
		}
	}
}

// cleanBatch removes up to CleanupBatchSize expired sessions, and reports whether there
// may be more. With a lock it does so only if nobody else has it.
func (s *Store) cleanBatch(ctx context.Context, counted bool, lock string) (deleted int64, more bool, err error) {
	err = s.run(ctx, "cleanup", counted, func(c *Conn, shape *schema) (err error) {
		var n int64
		n, more, err = s.clean(ctx, c, shape, lock)
		deleted += n
		return err
	})
	return deleted, more, err
}

// clean selects ids and deletes by primary key: a DELETE by the expiry's index locks that
// index's entries first and deadlocks with writers, who come from the primary key.
func (s *Store) clean(ctx context.Context, c *Conn, shape *schema, lock string) (deleted int64, more bool, err error) {
	now := s.now()
	var keys []string
	locked := true
	batch := s.config.CleanupBatchSize
	var requests []request
	if lock != "" {
		requests = append(requests, request{
			statement: "SELECT GET_LOCK(?, 0)", parameters: []wire.Parameter{wire.Text(lock)}, columns: 1,
			row: func(row []wire.Value) error {
				got, _ := row[0].Int()
				locked = got == 1
				return nil
			},
		})
	}
	requests = append(requests, request{
		statement: s.texts.selectExpired, parameters: []wire.Parameter{wire.Int(now), wire.Int(int64(batch))}, columns: 1,
		row: func(row []wire.Value) error {
			keys = append(keys, string(row[0].Raw()))
			return nil
		},
	})
	if err := c.roundTrip(ctx, effectNone, requests); err != nil || !locked {
		if err != nil && lock != "" {
			c.abort() // it may have the lock, which ends with it
		}
		return 0, false, err
	}
	slices.Sort(keys)
	deletes := make([]request, 0, len(keys)/ladderTop+2)
	for chunk := range slices.Chunk(keys, ladderTop) {
		size := coarseUp(len(chunk))
		deletes = append(deletes, request{
			statement:  s.texts.deleteExpired[keying(shape.primary)].of(size),
			parameters: append(keyParameters(chunk, size), wire.Int(now)),
		})
	}
	if lock != "" {
		deletes = append(deletes, request{
			statement: "SELECT RELEASE_LOCK(?)", parameters: []wire.Parameter{wire.Text(lock)}, columns: 1,
		})
	}
	if len(deletes) == 0 {
		return 0, false, nil
	}
	// Each statement commits by itself, and deleting again what is gone does no harm: an
	// unknown outcome is none.
	err = c.roundTrip(ctx, effectNone, deletes)
	if err != nil && lock != "" {
		c.abort() // the lock may not have been released, and ends with it
	}
	return c.affected(), len(keys) == batch, err
}
