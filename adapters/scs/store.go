package scsstore

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/alexedwards/scs/v2"

	"github.com/mysqlsession/mysqlsession"
	"github.com/mysqlsession/mysqlsession/internal/remember"
)

// Store is a session store for scs. It is safe for concurrent use, and need not be closed:
// the mysqlsession.Store that it works on is, by whoever made it.
//
// Errors of its methods, besides those in their comments, are those of the mysqlsession.Store's:
// a database that fails is an error, and never looks like a session that is not there.
type Store struct {
	store  *mysqlsession.Store
	opts   Options
	hashed bool // the table holds hashes in place of ids
	// seen are ids that are not new: they were found, saved or deleted here. They are saved
	// only as long as they are live.
	seen *remember.Set
}

var _ interface {
	scs.Store
	scs.CtxStore
	scs.IterableStore
	scs.IterableCtxStore
} = (*Store)(nil)

// Options are what a Store can be told. The zero value is what New uses.
type Options struct {
	// Name is what the sessions are stored under. Managers that share a mysqlsession.Store
	// need a name each; the cookie's name is a good one. "": "session", as scs calls its
	// cookie. Over 255 bytes every call fails with ErrInvalidName.
	Name string
	// Remember is how many session ids are kept in mind, those used last, to tell a
	// session that was revoked from a new one. It takes at most 80 bytes for each. Have more
	// than there are requests under way at a time. 0: 65,536; negative: none, and then
	// late saves bring sessions back.
	Remember int
	// Timeout bounds the methods without a context, which scs uses only through a Store
	// that hides the others. 0: 15 s; negative: only the mysqlsession.Store's own limits
	// hold.
	Timeout time.Duration
	// Metadata tells from the data to be saved whose session it is, so that DeleteSubject and
	// ReadMetadata of mysqlsession.Store find it: a user is signed out everywhere without
	// walking through all sessions. What it returns is added to what the session has, in
	// one transaction with the save, which then takes two round trips. It must not call the
	// manager for the session that is being saved, which is locked. Its error ends the save
	// and is returned as it is. nil: none.
	Metadata func(data []byte) ([]mysqlsession.Metadata, error)
	// MaxPerSubject is how many live sessions each subject of Metadata may have: the first save
	// under a token, as after RenewToken, ends those beyond it that would expire first. 0: any
	// number. Without Metadata it does nothing; negative, saves fail with ErrInvalidOptions.
	MaxPerSubject int
}

const (
	defaultName     = "session"
	defaultRemember = 1 << 16
	// defaultTimeout is what waiting for a connection, sending and reading may take by
	// default, together.
	defaultTimeout = 15 * time.Second
)

// New returns a store for a manager of scs, with default options. It does no I/O.
func New(store *mysqlsession.Store) *Store { return NewWithOptions(store, Options{}) }

// NewWithOptions is New with options.
func NewWithOptions(store *mysqlsession.Store, opts Options) *Store {
	if opts.Name == "" {
		opts.Name = defaultName
	}
	if opts.Remember == 0 {
		opts.Remember = defaultRemember
	}
	if opts.Timeout == 0 {
		opts.Timeout = defaultTimeout
	}
	return &Store{store: store, opts: opts, hashed: store.HashKeys(), seen: remember.New(opts.Remember)}
}

// FindCtx returns a session's data. A token that is unknown, has expired or cannot be one
// is not found, and no error.
func (s *Store) FindCtx(ctx context.Context, token string) (data []byte, found bool, err error) {
	if _, listed := s.listed(token); listed {
		return nil, false, nil
	}
	data, err = s.store.Get(ctx, s.opts.Name, token)
	if errors.Is(err, mysqlsession.ErrNotFound) || errors.Is(err, mysqlsession.ErrInvalidKey) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, err
	}
	s.seen.Add(token)
	return data, true, nil
}

// CommitCtx stores a session until expiry, and up to two seconds longer, since expiries are
// in whole seconds. With an expiry that is past it deletes it.
//
// A session that was found, saved or deleted before is stored only if it is live still, and
// else the error is an ErrNotFound to errors.Is: it was revoked, renewed or has expired while
// a request ran. It is an error so that scs sets no cookie: that would replace the cookie
// of the session which has taken its place.
func (s *Store) CommitCtx(ctx context.Context, token string, data []byte, expiry time.Time) error {
	ttl := time.Until(expiry)
	if ttl <= 0 {
		return s.DeleteCtx(ctx, token)
	}
	if _, listed := s.listed(token); listed {
		return errListed
	}
	opts := mysqlsession.SetOptions{MustExist: s.seen.Has(token)}
	var err error
	if s.opts.Metadata != nil {
		if opts.Metadata, err = s.opts.Metadata(data); err != nil {
			return err
		}
	}
	if !opts.MustExist && len(opts.Metadata) > 0 {
		opts.MaxPerSubject = s.opts.MaxPerSubject
	}
	err = s.store.Set(ctx, s.opts.Name, token, data, ttl, &opts)
	switch {
	case err == nil:
		s.seen.Add(token)
	case errors.Is(err, mysqlsession.ErrNotFound):
		return fmt.Errorf("scsstore: a session that has ended is not saved: %w", err)
	}
	return err
}

// DeleteCtx removes a session. One that is not there, or a token that cannot be one, is no
// error.
func (s *Store) DeleteCtx(ctx context.Context, token string) error {
	if id, listed := s.listed(token); listed {
		return s.deleted(s.store.DeleteStored(ctx, s.opts.Name, id))
	}
	// First, so that a save which begins from now on cannot come after it.
	s.seen.Add(token)
	return s.deleted(s.store.Delete(ctx, s.opts.Name, token))
}

func (s *Store) deleted(err error) error {
	if errors.Is(err, mysqlsession.ErrInvalidKey) {
		return nil
	}
	return err
}

// AllCtx returns the data of all live sessions by token, all of them in memory at once;
// Each of mysqlsession.Store does without that. With HashKeys nobody knows the tokens: the
// keys are then "stored:" and the hash. DeleteCtx takes such a key, so that a manager's
// Destroy works within its Iterate; FindCtx does not find it, and CommitCtx refuses it.
//
// Sessions whose value is too large to read, which other programs can store, are left
// out, and the error is an ErrPacketTooLarge; the map holds all others. With any other error
// it holds those that had been read.
func (s *Store) AllCtx(ctx context.Context) (map[string][]byte, error) {
	all := map[string][]byte{}
	err := s.store.Each(ctx, s.opts.Name, func(id string, data []byte, _ time.Time) error {
		if s.hashed {
			id = listedPrefix + id
		}
		all[id] = data
		return nil
	})
	return all, err
}

// listedPrefix is before a hash that stands for a session, as AllCtx returns it. No token
// of scs has a colon.
const listedPrefix = "stored:"

var errListed = errors.New("scsstore: a session of All is not saved where HashKeys hides its token")

// listed is the hash in a key of AllCtx's. It is no token: who reads the table must not get
// in with what is there.
func (s *Store) listed(token string) (id string, ok bool) {
	if !s.hashed {
		return "", false
	}
	return strings.CutPrefix(token, listedPrefix)
}
