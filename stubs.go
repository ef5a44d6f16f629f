package mysqlsession

import (
	"context"
	"time"
)

// Scaffold: replaced file by file.

type Pool struct{}
type PoolConn struct{}

func NewPool(ctx context.Context, cfg Config) (*Pool, error)       { panic("scaffold") }
func (p *Pool) Acquire(ctx context.Context) (*PoolConn, error)     { panic("scaffold") }
func (p *Pool) Do(ctx context.Context, fn func(*Conn) error) error { panic("scaffold") }
func (p *Pool) Stat() Stat                                         { panic("scaffold") }
func (p *Pool) Close() error                                       { panic("scaffold") }
func (c *PoolConn) Conn() *Conn                                    { panic("scaffold") }
func (c *PoolConn) Release()                                       { panic("scaffold") }

type Stat struct{}

type Store struct{}
type Metadata struct{ Audience, Subject string }
type SetOptions struct {
	OldKey    string
	StaleTTL  time.Duration
	Metadata  []Metadata
	Remember  bool
	MustExist bool
}
type Finding struct {
	Severity string
	Subject  string // what it is about: "sessions.sid"
	Problem  string
	Fix      string
}

func Open(ctx context.Context, cfg Config) (*Store, error) { panic("scaffold") }
func NewStore(pool *Pool, cfg Config) (*Store, error)      { panic("scaffold") }
func (s *Store) Set(ctx context.Context, name, key string, value []byte, ttl time.Duration, opts *SetOptions) error {
	panic("scaffold")
}
func (s *Store) Get(ctx context.Context, name, key string) ([]byte, error) { panic("scaffold") }
func (s *Store) Delete(ctx context.Context, name, key string) error        { panic("scaffold") }
func (s *Store) ReadMetadata(ctx context.Context, name, audience, subject string) (map[string]time.Time, error) {
	panic("scaffold")
}
func (s *Store) Touch(ctx context.Context, name, key string, ttl time.Duration) error {
	panic("scaffold")
}
func (s *Store) DeleteSubject(ctx context.Context, name, audience, subject string) (int64, error) {
	panic("scaffold")
}
func (s *Store) Update(ctx context.Context, name, key string, ttl time.Duration, fn func(old []byte) ([]byte, error)) error {
	panic("scaffold")
}
func (s *Store) GetMany(ctx context.Context, name string, keys []string) (map[string][]byte, error) {
	panic("scaffold")
}
func (s *Store) Each(ctx context.Context, name string, fn func(key string, value []byte, expires time.Time) error) error {
	panic("scaffold")
}
func (s *Store) DeleteAll(ctx context.Context, name string) (int64, error) { panic("scaffold") }
func (s *Store) Cleanup(ctx context.Context) (int64, error)                { panic("scaffold") }
func (s *Store) Migrate(ctx context.Context) error                         { panic("scaffold") }
func (s *Store) Check(ctx context.Context) ([]Finding, error)              { panic("scaffold") }
func (s *Store) Pool() *Pool                                               { panic("scaffold") }
func (s *Store) Close() error                                              { panic("scaffold") }
