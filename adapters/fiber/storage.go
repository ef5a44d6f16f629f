// Package fiberstorage is the storage of fiber's middleware, sessions first of all, in MySQL
// or MariaDB.
//
// NewSessions is for the session middleware: what was revoked stays so. NewGeneral is for
// what keeps anything else: limiter, csrf, cache, idempotency.
package fiberstorage

import (
	"bytes"
	"cmp"
	"context"
	"encoding/gob"
	"errors"
	"fmt"
	"time"

	"github.com/gofiber/fiber/v3"

	"github.com/mysqlsession/mysqlsession"
	"github.com/mysqlsession/mysqlsession/internal/remember"
)

const (
	// forever is what an expiry of 0 stands for, if the server's dates go that far.
	forever = 10 * 365 * 24 * time.Hour
	// margin is what is left of the server's dates where they do not: longer than a call takes.
	margin = time.Minute
	// remembered is how many ids of sessions are kept in mind, in about 5 MiB.
	remembered = 1 << 16
)

// Storage is a fiber.Storage. Everything in it is kept in a store's table under one name, and
// to other names it does not exist. It is safe for concurrent use, and keeps nothing of the
// keys and values that it is given, which fiber uses again.
//
// A call that is given fiber's own context runs under what its Context returns: the deadline
// that was set there bounds it, and a trace goes on. The plain forms run under
// context.Background; the store's own timeouts bound them all. Errors are the store's. None of
// them means that a key is not there.
type Storage struct {
	store *mysqlsession.Store
	name  string
	// known are ids of sessions that are or were in the table; nil: it keeps no sessions.
	known   *remember.Set
	options SessionOptions
}

var _ fiber.Storage = (*Storage)(nil)

// NewSessions makes a storage for the session middleware. The sessions are those of the store
// under this name, by their own ids: a session.Session's ID is what the store's operations
// take. It does no I/O.
//
// It saves no session that was deleted, by whomever, between load and save: Set is
// mysqlsession.ErrNotFound then. So it is for an id that was deleted before, or has expired,
// which makes it a storage for sessions alone: others set again what was there.
func NewSessions(store *mysqlsession.Store, name string) *Storage {
	return NewSessionsWithOptions(store, name, SessionOptions{})
}

// SessionOptions is what a storage of sessions can do besides. The zero value is nothing.
type SessionOptions struct {
	// Metadata tells from a session's values whose it is, so that DeleteSubject and
	// ReadMetadata of mysqlsession.Store find it: a user is signed out everywhere by one
	// statement. What it returns is added to what the session has, in one transaction with
	// each save, which then takes two round trips. It must not change the values, and may be
	// called by many at once. nil: none.
	Metadata func(values map[any]any) []mysqlsession.Metadata
	// MaxPerSubject is how many live sessions each subject of Metadata may have: the first save
	// under an id, as after Regenerate, ends those beyond it that would expire first. 0: any
	// number. Without Metadata it does nothing; negative, saves fail with ErrInvalidOptions.
	MaxPerSubject int
}

// NewSessionsWithOptions is NewSessions with options. With Metadata, Set takes only what
// fiber's sessions are encoded to; an error of decoding it is returned.
func NewSessionsWithOptions(store *mysqlsession.Store, name string, options SessionOptions) *Storage {
	return &Storage{store: store, name: name, known: remember.New(remembered), options: options}
}

// NewGeneral makes a storage for anything that is no session. Keys are stored as hashes of
// themselves and the name, so that no key, whoever chose it, meets one of another storage in
// the same table. It does no I/O.
func NewGeneral(store *mysqlsession.Store, name string) *Storage {
	return &Storage{store: store, name: name}
}

// Get is GetWithContext without a context.
func (s *Storage) Get(key string) ([]byte, error) {
	return s.GetWithContext(context.Background(), key)
}

// GetWithContext returns the value of a key, which is the caller's, or nil and no error if
// there is none or it has expired.
func (s *Storage) GetWithContext(ctx context.Context, key string) ([]byte, error) {
	if key == "" {
		return nil, nil
	}
	ctx, request := requestOf(ctx)
	id := s.id(key)
	value, err := s.store.Get(ctx, s.name, id)
	if errors.Is(err, mysqlsession.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if s.known != nil {
		s.known.Add(id)
		if request != nil {
			request.Locals(found{s, id}, true)
		}
	}
	return value, nil
}

// Set is SetWithContext without a context.
func (s *Storage) Set(key string, value []byte, exp time.Duration) error {
	return s.SetWithContext(context.Background(), key, value, exp)
}

// SetWithContext stores a value, to expire after exp, which counts in whole seconds and is
// rounded up. With 0 that is after ten years, or a minute before the server's dates end, in
// 2038 on older ones, whichever comes first; with less than 0 the key is deleted. An empty
// key or value changes nothing.
func (s *Storage) SetWithContext(ctx context.Context, key string, value []byte, exp time.Duration) error {
	if key == "" || len(value) == 0 {
		return nil
	}
	if exp < 0 {
		return s.DeleteWithContext(ctx, key)
	}
	ctx, request := requestOf(ctx)
	id := s.id(key)
	opts := &mysqlsession.SetOptions{MustExist: s.knows(request, id)}
	var err error
	if opts.Metadata, err = s.metadata(value); err != nil {
		return err
	}
	if !opts.MustExist && len(opts.Metadata) > 0 {
		opts.MaxPerSubject = s.options.MaxPerSubject
	}
	err = s.store.Set(ctx, s.name, id, value, cmp.Or(exp, forever), opts)
	if exp == 0 && errors.Is(err, mysqlsession.ErrInvalidTTL) {
		var longest time.Duration
		if longest, err = s.store.LongestTTL(ctx); err == nil {
			err = s.store.Set(ctx, s.name, id, value, longest-margin, opts)
		}
	}
	if err == nil && s.known != nil {
		s.known.Add(id)
	}
	return err
}

// Delete is DeleteWithContext without a context.
func (s *Storage) Delete(key string) error {
	return s.DeleteWithContext(context.Background(), key)
}

// DeleteWithContext deletes a key. Deleting what is not there is no error.
func (s *Storage) DeleteWithContext(ctx context.Context, key string) error {
	if key == "" {
		return nil
	}
	ctx, _ = requestOf(ctx)
	id := s.id(key)
	if s.known != nil {
		s.known.Add(id) // before it is gone: whoever saves it meanwhile is to find it missing
	}
	return s.store.Delete(ctx, s.name, id)
}

// Reset is ResetWithContext without a context.
func (s *Storage) Reset() error { return s.ResetWithContext(context.Background()) }

// ResetWithContext deletes everything that is stored under the storage's name, in steps. What
// is stored meanwhile may stay.
func (s *Storage) ResetWithContext(ctx context.Context) error {
	ctx, _ = requestOf(ctx)
	_, err := s.store.DeleteAll(ctx, s.name)
	return err
}

// Close does nothing, and returns nil: the store is its maker's, who closes it.
func (s *Storage) Close() error { return nil }

// metadata is whose session a value is.
func (s *Storage) metadata(value []byte) ([]mysqlsession.Metadata, error) {
	if s.options.Metadata == nil {
		return nil, nil
	}
	var values map[any]any // which is how fiber encodes a session
	if err := gob.NewDecoder(bytes.NewReader(value)).Decode(&values); err != nil {
		return nil, fmt.Errorf("fiberstorage: decoding a session for its metadata: %w", err)
	}
	return s.options.Metadata(values), nil
}

// found is the mark, among a request's values, of a session that it has found.
type found struct {
	storage *Storage
	id      string
}

// knows says whether a session was found by this request, or, as far as that is remembered,
// found, set or deleted by this process: one that is not new.
func (s *Storage) knows(request fiber.Ctx, id string) bool {
	if s.known == nil {
		return false
	}
	// Nobody can have a request forget, however many sessions they start meanwhile.
	return request != nil && request.Locals(found{s, id}) != nil || s.known.Has(id)
}

// requestOf returns what a call is to run under, and the request that it is part of, or nil.
// fiber's own context is not handed on: it is used again for other requests, and it never
// ends.
func requestOf(ctx context.Context) (context.Context, fiber.Ctx) {
	request, ok := ctx.(fiber.Ctx)
	switch {
	case !ok:
		return ctx, nil
	case request.IsAbandoned(): // after a timeout, with a handler that goes on using it
		return context.Background(), nil
	default:
		return request.Context(), request
	}
}
