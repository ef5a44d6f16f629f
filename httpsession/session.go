package httpsession

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"github.com/mysqlsession/mysqlsession"
)

// ErrResponseBegun is returned when a session cannot be stored because its cookie would have
// to change and the response has begun.
var ErrResponseBegun = errors.New("httpsession: the response has begun, and its cookie cannot change any more")

// Session is the session of a request. It belongs to the request's goroutine: it is not safe
// for concurrent use, nor to be kept when the handler has returned.
//
// Everything takes effect when the response begins, that is with the handler's first write,
// or when it returns without one; Save and Update take effect at once. What changes later is
// stored when the handler returns, as far as the cookie stays as it is.
type Session[T any] struct {
	manager *Manager[T]
	request *http.Request
	loaded  bool // the database was asked, if there was anything to ask
	used    bool // the handler has it

	content content[T] // as the handler has it
	id      string     // "": none yet
	row     []byte     // what is stored under id
	lost    bool       // id must not be written to: it was revoked, or Rotate's StaleTTL runs

	// What ends when the session is stored, or is over.
	replaced string // "": nothing
	oldRow   []byte // what was stored under it
	carried  bool   // by Rotate: replaced must be live still
	signedIn bool   // by SignIn: there must be a subject

	pending cookieChange
	sent    bool // the header is on its way
}

// cookieChange is what the response is to do to the cookie.
type cookieChange int

const (
	cookieStays cookieChange = iota
	cookieIsSet
	cookieGoes
)

// Value is what the session holds, to be read and changed. A visitor without a session has
// the zero value, of which nothing is stored until it changes. What is stored is compared
// with what was read, so what only looks is free.
func (s *Session[T]) Value() *T { return &s.content.Value }

// Subject is who has signed in, "" if nobody has.
func (s *Session[T]) Subject() string { return s.content.Subject }

// ID is the id under which the session is stored, "" if it is not. It is a password: whoever
// knows it has the session. After SignIn and Rotate it is "" until the response begins, or
// Save.
func (s *Session[T]) ID() string { return s.id }

// SignIn makes the session the subject's, under a new id; the old one is over. Lifetime
// counts from now. The value stays, unless somebody else was signed in: then it is zero
// again. Call it when the subject's password, or what stands for it, was checked.
//
// A subject is 1 to 255 bytes of UTF-8, else the request ends with ErrInvalidName.
func (s *Session[T]) SignIn(subject string) {
	if s.content.Subject != "" && s.content.Subject != subject {
		s.Destroy()
	}
	s.replace()
	s.carried = false
	s.content.Subject, s.content.Began = subject, s.manager.config.Clock().Unix()
	s.signedIn = true
}

// Rotate gives the session a new id; the old one is over after Config.StaleTTL. Call it when
// the session is allowed more than before. SignIn does it too.
func (s *Session[T]) Rotate() {
	if s.id != "" {
		s.replace()
		s.carried = true
	}
}

// Remember has the session live for Config.RememberLifetime from its beginning, or from
// SignIn, also when it is not used or the browser is closed: for who asks for it when he
// signs in. Call it after SignIn. The session gets a new id, if it does not anyway.
func (s *Session[T]) Remember() {
	s.Rotate()
	s.content.Remembered = true
}

// Destroy ends the session: its row and its cookie go. The value is zero, and what it is
// changed to afterwards is stored in a new session.
func (s *Session[T]) Destroy() {
	s.replace()
	s.carried, s.signedIn = false, false
	s.content = content[T]{}
	s.pending = cookieGoes
}

// replace has the row end with the next write.
func (s *Session[T]) replace() {
	if s.id != "" {
		s.replaced, s.oldRow = s.id, s.row
	}
	s.id, s.row, s.lost = "", nil, false
}

// Save stores the session now, as far as it has changed, and extends its life if that is
// due. It is for handlers that want to see the error, and for those that go on for long
// after their response has begun. Errors: ErrResponseBegun, ErrNotFound for a session that
// was revoked, those of the store's Set.
func (s *Session[T]) Save(ctx context.Context) error { return s.write(ctx) }

// Update changes the value of a session that other requests may change at the same time, so
// that no change is lost. fn may be called several times, each time with what is stored at
// that moment; its error ends the call and is returned as it is. If it succeeds, what fn
// made is stored, and is the value. What this request had changed in the value before is
// lost. In a session that is about to be stored under a new id, fn changes Value, once.
//
// Errors: ErrNotFound for a session that was revoked, those of the store's Update.
func (s *Session[T]) Update(ctx context.Context, fn func(value *T) error) error {
	if s.id == "" {
		return fn(&s.content.Value)
	}
	now := s.manager.config.Clock()
	ttl := s.ttl(now)
	if s.lost || ttl <= 0 {
		return mysqlsession.ErrNotFound
	}
	var current *content[T]
	var encoded []byte
	var refused error // by fn, whose ErrNotFound is of something else
	err := s.manager.store.Update(ctx, s.manager.config.Name, s.id, ttl, func(old []byte) (_ []byte, err error) {
		if current, err = decode[T](old); err != nil {
			return nil, err
		}
		if refused = fn(&current.Value); refused != nil {
			return nil, refused
		}
		encoded, err = current.encode()
		return encoded, err
	})
	if err != nil {
		s.lost = refused == nil && errors.Is(err, mysqlsession.ErrNotFound)
		return err
	}
	s.content.Value, s.row = current.Value, encoded
	s.manager.recent.done(s.id, now)
	return nil
}

// load reads the session, once. A value that T cannot hold is no session, and stays where it
// is: the next version of a program may know it, or the one before.
func (s *Session[T]) load(ctx context.Context) error {
	if s.loaded {
		return nil
	}
	cfg := &s.manager.config
	for _, id := range ids(s.request, cfg.CookieName) {
		row, stale, err := s.manager.read(ctx, id)
		if errors.Is(err, mysqlsession.ErrNotFound) {
			continue
		}
		if err != nil {
			return err
		}
		stored, err := decode[T](row)
		if err != nil {
			cfg.Logger.LogAttrs(ctx, slog.LevelError, "httpsession: a session cannot be decoded", slog.String("name", cfg.Name), slog.Any("error", err))
			continue
		}
		s.content = *stored
		if s.ttl(cfg.Clock()) > 0 {
			s.id, s.row, s.lost = id, row, stale
			break
		}
		s.content = content[T]{}
	}
	s.loaded = true
	return nil
}

// read is what is stored under an id. If it is what Rotate has left there for StaleTTL, it
// is stale: it can be read, and nothing else.
func (m *Manager[T]) read(ctx context.Context, id string) (row []byte, stale bool, err error) {
	row, err = m.store.Get(ctx, m.config.Name, id)
	if m.config.StaleTTL > 0 && errors.Is(err, mysqlsession.ErrNotFound) {
		row, err = m.store.Get(ctx, m.config.Name+staleSuffix, id)
		stale = err == nil
	}
	return row, stale, err
}

// ttl is how long the session may live from now, if it is used no more.
func (s *Session[T]) ttl(now time.Time) time.Duration {
	cfg, age := &s.manager.config, now.Sub(time.Unix(s.content.Began, 0))
	switch {
	case s.content.Remembered:
		return cfg.RememberLifetime - age
	case cfg.Lifetime < 0:
		return cfg.IdleTimeout
	default:
		return min(cfg.IdleTimeout, cfg.Lifetime-age)
	}
}
