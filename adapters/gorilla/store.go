package gorillastore

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/gorilla/securecookie"
	"github.com/gorilla/sessions"

	"github.com/mysqlsession/mysqlsession"
)

const (
	// defaultMaxAge is the lifetime that gorilla's own stores have, in seconds: 30 days.
	defaultMaxAge = 30 * 24 * 60 * 60
	// defaultBrowserTTL is Store.BrowserTTL's default.
	defaultBrowserTTL = 24 * time.Hour
)

// Store is a sessions.Store on a mysqlsession.Store. A session is stored under its cookie's
// name, and read, changed and ended under it by operations of the mysqlsession.Store as well.
//
// It is safe for concurrent use once its fields are set, which must be done before the
// first request. Calls end with the request's context, but for those that end a session.
// Closing it is not needed; whoever opened the mysqlsession.Store closes that one.
type Store struct {
	// Codecs sign the id that the cookie holds, and encrypt it where they have a key for that.
	// The first one writes, all of them read. Those that New makes read a cookie however old
	// it is: a session's end is its row's. In place of them come codecs of one's own whose
	// MaxAge is 0, or follow them with a call of MaxAge.
	Codecs []securecookie.Codec
	// Options is what new sessions begin with, each with a copy. New sets Path "/", MaxAge
	// 30 days, HttpOnly, SameSite Lax and Secure, without which a site over plain http would
	// work and be overheard: set it to false for one. nil is the same as what New sets.
	Options *sessions.Options
	// Serializer says how Values are stored. nil: GobSerializer.
	Serializer Serializer
	// BrowserTTL is how long the row of a session with Options.MaxAge 0 lives after each Save.
	// Its cookie ends with the browser, of which a server never hears. 0: 24 h.
	BrowserTTL time.Duration
	// StaleTTL is how long after Rotate the old id can be used by requests that are under way
	// with it. Until then a sign-out ends the new id alone, and who saves under the old one
	// makes it live on: it is for sites whose requests seldom save. 0: the old id ends at once.
	StaleTTL time.Duration
	// Metadata says whose a session is, from its Values. It is stored by the first Save, by
	// Rotate, and by a Save after which it would say more than when the session was loaded; what
	// it says no more stays with the id until Rotate. Then DeleteSubject ends all of somebody's
	// sessions, and ReadMetadata lists them. It must change nothing and be safe for
	// concurrent use. nil: sessions are nobody's.
	Metadata func(session *sessions.Session) []mysqlsession.Metadata
	// MaxPerSubject is how many live sessions each subject of Metadata may have: a save that
	// adds to one ends those beyond it that would expire first. 0: any number. Without Metadata
	// it does nothing; negative, such saves fail with mysqlsession.ErrInvalidOptions.
	MaxPerSubject int

	sessions *mysqlsession.Store
	known    ledger
}

var _ sessions.Store = (*Store)(nil)

// New makes a store. keyPairs are keys to sign with, of 32 or 64 bytes, each followed by one
// to encrypt with, of 16, 24 or 32 bytes, or nil; the very last may be left out. The first
// pair is for new cookies, those after it are for cookies that are out there. Without a key
// that can be used, Save fails.
func New(store *mysqlsession.Store, keyPairs ...[]byte) *Store {
	s := &Store{sessions: store, Codecs: securecookie.CodecsFromPairs(keyPairs...), Options: defaultOptions()}
	s.MaxAge(defaultMaxAge)
	return s
}

func defaultOptions() *sessions.Options {
	return &sessions.Options{Path: "/", MaxAge: defaultMaxAge, Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode}
}

// MaxAge sets how long new sessions live after each Save, in seconds: the same as setting
// Options.MaxAge, and takes the age limit off the Codecs, so that the two never disagree,
// whatever single sessions set for themselves. Rows that are stored keep their ends.
func (s *Store) MaxAge(age int) {
	if s.Options == nil {
		s.Options = defaultOptions()
	}
	s.Options.MaxAge = age
	for _, codec := range s.Codecs {
		if c, ok := codec.(*securecookie.SecureCookie); ok {
			c.MaxAge(0)
		}
	}
}

// Get returns the request's session of that name, the same one for the whole request, with
// the error of its New. It is never nil, but for a name that cannot be a cookie's.
func (s *Store) Get(r *http.Request, name string) (*sessions.Session, error) {
	return sessions.GetRegistry(r).Get(s, name)
}

// New returns the session that the request's cookie leads to, or a new one when there is
// none, when it has expired, or when it was ended. It is never nil, and with an error it is
// a new one: ErrCookie, with which it can be used; ErrValues, and all errors of
// mysqlsession.Store.Get but ErrNotFound, with which it cannot be saved.
func (s *Store) New(r *http.Request, name string) (*sessions.Session, error) {
	session := s.fresh(name)
	cookie, err := r.Cookie(name)
	if err != nil {
		return session, nil
	}
	var id string
	if err := securecookie.DecodeMulti(name, cookie.Value, &id, s.Codecs...); err != nil {
		return session, decodeError(err)
	}
	if !isID(id) {
		return session, nil
	}
	switch loaded, err := s.load(r, name, id); {
	case err == nil:
		return loaded, nil
	case errors.Is(err, mysqlsession.ErrNotFound):
		return session, nil // and its id is never used again
	default:
		s.known.note(session, entry{id: id, failed: err})
		return session, err
	}
}

// fresh is a session that nothing is known of.
func (s *Store) fresh(name string) *sessions.Session {
	session := sessions.NewSession(s, name)
	session.Options = s.options()
	session.IsNew = true
	return session
}

// options is a copy of what sessions begin with.
func (s *Store) options() *sessions.Options {
	if s.Options == nil {
		return defaultOptions()
	}
	options := *s.Options
	return &options
}

// load is the session as the database has it.
func (s *Store) load(r *http.Request, name, id string) (*sessions.Session, error) {
	value, err := s.sessions.Get(r.Context(), name, id)
	if err != nil {
		return nil, err
	}
	session := s.fresh(name)
	if err := s.serializer().Deserialize(value, session); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrValues, err)
	}
	session.ID, session.IsNew = id, false
	s.known.note(session, entry{id: id, metadata: s.metadata(session)})
	return session, nil
}

func (s *Store) serializer() Serializer {
	if s.Serializer == nil {
		return GobSerializer{}
	}
	return s.Serializer
}

func (s *Store) metadata(session *sessions.Session) []mysqlsession.Metadata {
	if s.Metadata == nil {
		return nil
	}
	return s.Metadata(session)
}

// added is what the second list has and the first one has not.
func added(before, now []mysqlsession.Metadata) []mysqlsession.Metadata {
	return slices.DeleteFunc(slices.Clone(now), func(m mysqlsession.Metadata) bool { return slices.Contains(before, m) })
}
