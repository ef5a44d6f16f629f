package webapp

import (
	"context"
	"sync"
	"time"

	"github.com/mysqlsession/mysqlsession"
)

// memory is a Store in memory with the real one's semantics, as far as the application
// can see them, and with its failures on demand.
type memory struct {
	mutex    sync.Mutex
	sessions map[string]*row
	failure  error             // what every call returns, if not nil
	before   func(verb string) // called without the lock, between reading and writing too
}

type row struct {
	name     string
	value    []byte
	expires  time.Time
	metadata map[mysqlsession.Metadata]bool
}

func newMemory() *memory {
	return &memory{sessions: map[string]*row{}, before: func(string) {}}
}

// enter begins a call.
func (m *memory) enter(verb string) error {
	m.before(verb)
	m.mutex.Lock()
	return m.failure
}

func (m *memory) liveLocked(name, key string) *row {
	r := m.sessions[key]
	if r == nil || r.name != name || r.expires.Before(time.Now()) {
		return nil
	}
	return r
}

func (m *memory) Set(_ context.Context, name, key string, value []byte, ttl time.Duration, opts *mysqlsession.SetOptions) error {
	if opts == nil {
		opts = &mysqlsession.SetOptions{}
	}
	defer m.mutex.Unlock()
	if err := m.enter("Set"); err != nil {
		return err
	}
	now := time.Now()
	wanted := key
	if opts.OldKey != "" {
		wanted = opts.OldKey
	}
	if opts.MustExist && m.liveLocked(name, wanted) == nil {
		return mysqlsession.ErrNotFound
	}
	if old := m.liveLocked(name, opts.OldKey); old != nil {
		if end := now.Add(opts.StaleTTL); end.Before(old.expires) {
			old.expires = end
		}
	}
	r := &row{name: name, value: value, expires: now.Add(ttl), metadata: map[mysqlsession.Metadata]bool{}}
	for _, metadata := range opts.Metadata {
		r.metadata[metadata] = true
	}
	m.sessions[key] = r
	return nil
}

func (m *memory) Update(_ context.Context, name, key string, ttl time.Duration, fn func(old []byte) ([]byte, error)) error {
	old, err := m.get(name, key)
	if err != nil {
		return err
	}
	value, err := fn(old)
	if err != nil {
		return err
	}
	defer m.mutex.Unlock()
	if err := m.enter("exchange"); err != nil {
		return err
	}
	r := m.liveLocked(name, key)
	if r == nil {
		return mysqlsession.ErrNotFound
	}
	r.value, r.expires = value, time.Now().Add(ttl)
	return nil
}

func (m *memory) get(name, key string) ([]byte, error) {
	defer m.mutex.Unlock()
	if err := m.enter("Update"); err != nil {
		return nil, err
	}
	if r := m.liveLocked(name, key); r != nil {
		return r.value, nil
	}
	return nil, mysqlsession.ErrNotFound
}

func (m *memory) GetMany(_ context.Context, name string, keys []string) (map[string][]byte, error) {
	defer m.mutex.Unlock()
	if err := m.enter("GetMany"); err != nil {
		return nil, err
	}
	values := map[string][]byte{}
	for _, key := range keys {
		if r := m.liveLocked(name, key); r != nil {
			values[key] = r.value
		}
	}
	return values, nil
}

func (m *memory) Delete(_ context.Context, name, key string) error {
	defer m.mutex.Unlock()
	if err := m.enter("Delete"); err != nil {
		return err
	}
	if m.liveLocked(name, key) != nil {
		delete(m.sessions, key)
	}
	return nil
}

func (m *memory) ReadMetadata(_ context.Context, name, audience, subject string) (map[string]time.Time, error) {
	defer m.mutex.Unlock()
	if err := m.enter("ReadMetadata"); err != nil {
		return nil, err
	}
	expiries := map[string]time.Time{}
	for key, r := range m.sessions {
		if m.liveLocked(name, key) != nil && r.metadata[mysqlsession.Metadata{Audience: audience, Subject: subject}] {
			expiries[key] = r.expires
		}
	}
	return expiries, nil
}

func (m *memory) DeleteSubject(ctx context.Context, name, audience, subject string) (int64, error) {
	keys, err := m.ReadMetadata(ctx, name, audience, subject)
	if err != nil {
		return 0, err
	}
	defer m.mutex.Unlock()
	if err := m.enter("DeleteSubject"); err != nil {
		return 0, err
	}
	for key := range keys {
		delete(m.sessions, key)
	}
	return int64(len(keys)), nil
}

// rows is how many sessions are stored, live or not.
func (m *memory) rows() int {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	return len(m.sessions)
}

func (m *memory) fail(err error) {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	m.failure = err
}
