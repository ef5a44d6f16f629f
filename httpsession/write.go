package httpsession

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"
	"unicode/utf8"

	"github.com/mysqlsession/mysqlsession"
)

// commit stores the session.
func (s *Session[T]) commit() error {
	err := s.save()
	s.sent = err == nil
	return err
}

// tell puts into the header what commit has come to. Where it has failed that is the cookie of
// an id that Save has stored before: the browser's own one is over.
func (s *Session[T]) tell(header http.Header) {
	if s.used && s.sent {
		addVary(header)
	}
	switch cfg := &s.manager.config; {
	case s.pending == cookieIsSet:
		// With a second id under way that could not be stored, the first one lives still.
		addCookie(header, cfg.cookie(cmp.Or(s.id, s.replaced), s.cookieAge(cfg.Clock())))
	case s.pending == cookieGoes && s.sent && len(s.request.CookiesNamed(cfg.CookieName)) > 0:
		addCookie(header, cfg.cookie("", -1))
	}
}

// finish stores what has changed since the response began. Nobody can be told of an error.
func (s *Session[T]) finish() {
	if !s.sent {
		return // it has failed, and the response said so
	}
	if err := s.save(); err != nil {
		s.log(slog.LevelError, "a session was not saved after its response", err)
	}
}

// save is write for what is done by itself, where a session that was revoked is no error.
// Its cookie stays: a response that takes it away could meet one that has just set a new one.
func (s *Session[T]) save() error {
	if !s.loaded {
		return nil
	}
	// A visitor who has gone has signed out all the same. The store bounds each call.
	err := s.write(context.WithoutCancel(s.request.Context()))
	if errors.Is(err, mysqlsession.ErrNotFound) {
		s.log(slog.LevelDebug, "a session was revoked meanwhile, and what has changed is dropped", err)
		return nil
	}
	return err
}

func (s *Session[T]) log(level slog.Level, text string, err error) {
	s.manager.config.Logger.LogAttrs(s.request.Context(), level, "httpsession: "+text, slog.Any("error", err))
}

// write makes the database what the session is.
func (s *Session[T]) write(ctx context.Context) error {
	now := s.manager.config.Clock()
	if !s.used { // nobody can have changed it
		if s.id == "" {
			return nil
		}
		return s.touch(ctx, now)
	}
	if subject := s.content.Subject; s.signedIn && (subject == "" || !utf8.ValidString(subject)) {
		return fmt.Errorf("httpsession: sign-in: %w: a subject must be at least a byte, in UTF-8", mysqlsession.ErrInvalidName)
	}
	if s.id == "" && s.content.Began == 0 {
		s.content.Began = now.Unix()
	}
	encoded, err := s.content.encode()
	switch {
	case err != nil:
		return err
	case s.id == "" && !s.carried && s.content.isEmpty(encoded):
		return s.remove(ctx)
	case s.id == "":
		return s.create(ctx, now, encoded)
	case s.content.isIn(s.row, encoded):
		return s.touch(ctx, now)
	default:
		return s.replaceRow(ctx, now, encoded)
	}
}

// remove ends what a session that holds nothing has replaced.
func (s *Session[T]) remove(ctx context.Context) error {
	if s.replaced == "" {
		return nil
	}
	if err := s.manager.store.Delete(ctx, s.manager.config.Name, s.replaced); err != nil {
		return err
	}
	s.replaced, s.oldRow = "", nil
	return nil
}

// create stores the session under a new id.
func (s *Session[T]) create(ctx context.Context, now time.Time, encoded []byte) error {
	if s.sent {
		return ErrResponseBegun
	}
	cfg := &s.manager.config
	// Who signs in has just proved who he is, whatever became of the session before. A
	// rotation must not bring back what was revoked.
	opts := mysqlsession.SetOptions{OldKey: s.replaced, MustExist: s.carried, Remember: s.content.Remembered}
	if s.carried {
		opts.StaleTTL = cfg.StaleTTL
	}
	// The metadata of the old id does not go along by itself.
	if s.content.Subject != "" {
		opts.Metadata = []mysqlsession.Metadata{{Audience: cfg.Audience, Subject: s.content.Subject}}
	}
	if s.signedIn {
		opts.MaxPerSubject = cfg.MaxPerSubject
	}
	id, ttl, err := newID(), s.ttl(now), mysqlsession.ErrNotFound
	if ttl > 0 {
		err = s.manager.store.Set(ctx, cfg.Name, id, encoded, ttl, &opts)
	}
	if errors.Is(err, mysqlsession.ErrNotFound) {
		s.id, s.row, s.lost = s.replaced, s.oldRow, true
		s.replaced, s.oldRow, s.carried = "", nil, false
	}
	if err != nil {
		return err
	}
	if s.carried && cfg.StaleTTL > 0 {
		s.keepStale(ctx, id)
	}
	s.id, s.row, s.pending = id, encoded, cookieIsSet
	s.replaced, s.oldRow, s.carried = "", nil, false
	s.manager.recent.done(id, now)
	return nil
}

// keepStale moves what was replaced to another name. Under its own a request that is under
// way with the old id could touch or save it, which would give it a whole life again. id is
// the new one.
func (s *Session[T]) keepStale(ctx context.Context, id string) {
	cfg := &s.manager.config
	err := s.manager.store.Set(ctx, cfg.Name+staleSuffix, s.replaced, s.oldRow, cfg.StaleTTL, nil)
	if err != nil {
		s.log(slog.LevelWarn, "a replaced session could not be kept apart", err)
		return
	}
	// What was revoked since the rotation has just been stored anew, and who revoked it may
	// have looked for it already. If so, the session itself is gone by now.
	if _, err = s.manager.store.Get(ctx, cfg.Name, id); err != nil {
		err = s.manager.store.Delete(ctx, cfg.Name+staleSuffix, s.replaced)
	}
	if err != nil {
		s.log(slog.LevelWarn, "a replaced session can be read although it was revoked", err)
	}
}

// replaceRow stores what has changed. What was revoked does not come back.
func (s *Session[T]) replaceRow(ctx context.Context, now time.Time, encoded []byte) error {
	ttl := s.ttl(now)
	if s.lost || ttl <= 0 {
		return mysqlsession.ErrNotFound
	}
	cfg := &s.manager.config
	err := s.manager.store.Set(ctx, cfg.Name, s.id, encoded, ttl, &mysqlsession.SetOptions{MustExist: true})
	if err != nil {
		s.lost = errors.Is(err, mysqlsession.ErrNotFound)
		return err
	}
	s.row = encoded
	s.manager.recent.done(s.id, now)
	return nil
}

// touch extends the life of a session that was only read, if that is due. That it fails is
// no reason to fail the request: the session has most of its life left, and the next
// request tries again.
func (s *Session[T]) touch(ctx context.Context, now time.Time) error {
	ttl := s.ttl(now)
	// The life of one that is remembered does not depend on use.
	if s.lost || ttl <= 0 || s.content.Remembered || !s.manager.recent.due(s.id, now) {
		return nil
	}
	err := s.manager.store.Touch(ctx, s.manager.config.Name, s.id, ttl)
	switch {
	case errors.Is(err, mysqlsession.ErrNotFound):
		s.lost = true
		return err
	case err != nil:
		s.manager.recent.failed(s.id)
		s.log(slog.LevelWarn, "a session's life was not extended", err)
	}
	return nil
}

// cookieAge is how long the browser keeps the cookie; 0: until it is closed. It is said once,
// with the id: to send the cookie again with each touch could overwrite one that a sign-in
// has just set.
func (s *Session[T]) cookieAge(now time.Time) time.Duration {
	if !s.content.Remembered {
		return 0
	}
	return max(s.ttl(now), time.Second)
}
