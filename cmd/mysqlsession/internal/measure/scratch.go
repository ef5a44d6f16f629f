package measure

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/mysqlsession/mysqlsession"
)

const (
	// tablesLimit is how long the making or the removal of the tables may take. Neither is
	// cut off in the middle: nobody would know what is left.
	tablesLimit = 30 * time.Second
	// fillers is how many callers fill a table: their saves share statements.
	fillers = 128
	// fillerConns is how many connections that takes at most.
	fillerConns = 4
)

// Scratch is a pair of tables of their own, full of sessions. Whoever made it removes it.
type Scratch struct {
	// Config leads to the tables.
	Config   mysqlsession.Config
	Workload Workload
	Server   Server

	keys []string
}

// NewScratch makes the tables in the configuration's database, under a new name. Their names
// are told before they exist. Errors: mysqlsession.ErrNotWritable for a server that is
// read-only, also where the account may write all the same: it may be a replica.
func NewScratch(ctx context.Context, cfg mysqlsession.Config, w Workload, tell func(tables []string)) (*Scratch, error) {
	if err := w.Validate(); err != nil {
		return nil, err
	}
	server, err := look(ctx, cfg)
	if err != nil {
		return nil, err
	}
	if server.ReadOnly != "" {
		return nil, fmt.Errorf("%w: %s is on; name the server that takes writes", mysqlsession.ErrNotWritable, server.ReadOnly)
	}
	name := "mysqlsession_scratch_" + strings.ToLower(rand.Text()[:12])
	cfg.TableName, cfg.TableNameMeta = name, name+"_meta"
	cfg.CleanupInterval = -1 // it would come at some measurement's expense
	s := &Scratch{Config: cfg, Workload: w, Server: *server, keys: newKeys(w.Sessions)}
	tell(s.Tables())
	if err := s.fill(ctx); err != nil {
		return nil, errors.Join(err, s.Remove(ctx))
	}
	return s, nil
}

// Tables are the names of the tables.
func (s *Scratch) Tables() []string { return []string{s.Config.TableName, s.Config.TableNameMeta} }

// fill makes the tables and all their sessions.
func (s *Scratch) fill(ctx context.Context) (err error) {
	cfg := s.Config
	cfg.PoolSize, cfg.MinIdleConns, cfg.MaxConcurrentDials, cfg.CoalesceMaxLanes = fillerConns, 0, 0, 0
	cfg.Backlog, cfg.Coalesce = 0, mysqlsession.CoalesceOn
	store, err := mysqlsession.Open(ctx, cfg)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	whole, cancel := context.WithTimeout(context.WithoutCancel(ctx), tablesLimit)
	defer cancel()
	if err := store.Migrate(whole); err != nil {
		return fmt.Errorf("make scratch tables: %w", err)
	}
	content := newValues(fillers, s.Workload.ValueSize)
	var next atomic.Int64
	_, err = drive(ctx, fillers, 0, func(ctx context.Context, caller, _ int) error {
		for {
			i := int(next.Add(1)) - 1
			if i >= len(s.keys) {
				return nil
			}
			if err := store.Set(ctx, cookie, s.keys[i], content.next(caller, i), lifetime, nil); err != nil {
				return fmt.Errorf("fill a scratch table: %w", err)
			}
		}
	})
	return err
}

// Remove removes the tables, also when the context has ended. An error names what is left.
func (s *Scratch) Remove(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), tablesLimit)
	defer cancel()
	cfg := s.Config
	cfg.ReadTimeout = tablesLimit
	conn, err := mysqlsession.Connect(ctx, cfg)
	if err == nil {
		defer func() { _ = conn.Close() }()
		tables := s.Tables()
		slices.Reverse(tables) // metadata refers to sessions
		_, err = conn.Exec(ctx, "DROP TABLE IF EXISTS `"+strings.Join(tables, "`, `")+"`")
	}
	if err != nil {
		return fmt.Errorf("remove the scratch tables %s of %s: %w", strings.Join(s.Tables(), " and "), s.Config.Database, err)
	}
	return nil
}

// key is one of the table's ids.
func (s *Scratch) key(caller, n int) string {
	return s.keys[scatter(caller, n)%uint64(len(s.keys))]
}
