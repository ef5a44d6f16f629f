package measure

import (
	"context"
	"fmt"

	"github.com/mysqlsession/mysqlsession"
)

// Peer is one way to get at the sessions of a scratch table. Its methods may be called
// concurrently.
type Peer interface {
	// Name tells it from others.
	Name() string
	// Get reads a session.
	Get(ctx context.Context, key string) error
	// Set stores a session.
	Set(ctx context.Context, key string, value []byte) error
	// Close ends its connections.
	Close() error
}

// The peers' names.
const (
	Ours   = "mysqlsession"
	Theirs = "database/sql"
)

type storePeer struct{ store *mysqlsession.Store }

// OpenOurs is the library with a pool of that size.
func OpenOurs(ctx context.Context, s *Scratch, connections int) (Peer, error) {
	cfg := s.Config
	cfg.PoolSize = connections
	store, err := mysqlsession.Open(ctx, cfg)
	if err != nil {
		return nil, err
	}
	return &storePeer{store}, nil
}

func (p *storePeer) Name() string { return Ours }

func (p *storePeer) Get(ctx context.Context, key string) error {
	_, err := p.store.Get(ctx, cookie, key)
	return err
}

func (p *storePeer) Set(ctx context.Context, key string, value []byte) error {
	return p.store.Set(ctx, cookie, key, value, lifetime, nil)
}

func (p *storePeer) Close() error { return p.store.Close() }

// call is an operation of a peer on the scratch tables, for so many callers.
func (s *Scratch) call(p Peer, operation string, callers int) (Call, error) {
	content := newValues(callers, s.Workload.ValueSize)
	get := func(ctx context.Context, caller, n int) error { return p.Get(ctx, s.key(caller, n)) }
	set := func(ctx context.Context, caller, n int) error {
		return p.Set(ctx, s.key(caller, n), content.next(caller, n))
	}
	switch operation {
	case Get:
		return get, nil
	case Set:
		return set, nil
	case Mixed:
		return func(ctx context.Context, caller, n int) error {
			if s.Workload.reads(caller, n) {
				return get(ctx, caller, n)
			}
			return set(ctx, caller, n)
		}, nil
	default:
		return nil, fmt.Errorf("operation is %.50q, must be one of %s, %s and %s", operation, Get, Set, Mixed)
	}
}
