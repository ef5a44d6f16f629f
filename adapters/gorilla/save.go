package gorillastore

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"time"

	"github.com/gorilla/securecookie"
	"github.com/gorilla/sessions"

	"github.com/mysqlsession/mysqlsession"
)

// Save stores the session for another Options.MaxAge seconds and sets its cookie, which must
// be before the response's body. With a negative MaxAge it ends the session: its row, even if
// the request's context has ended, and its cookie. A new session gets its ID, of 43
// characters. One that has been loaded or saved and whose ID the program has emptied since
// gets a new one, as with Rotate.
//
// A session that has been loaded or saved is stored only if it is still live. If it was
// signed out, revoked or has expired meanwhile the error is mysqlsession.ErrNotFound, and it
// stays ended. Other errors are ErrNotLoaded, the Serializer's, the codecs' and those of
// mysqlsession.Store.Set and Delete. With an error no cookie is set.
func (s *Store) Save(r *http.Request, w http.ResponseWriter, session *sessions.Session) error {
	return s.saveOrEnd(r, w, session, session.ID)
}

// Rotate is Save under a new id. The old one ends in the same transaction, at once or after
// StaleTTL, and the metadata that it had stays with it. A site calls it whenever somebody
// signs in or gains rights: whoever knew the id before, or has planted it, is left with
// nothing. A session that was never saved is saved. Errors are those of Save; after one the
// session has the ID that it had. A session to be ended is ended.
func (s *Store) Rotate(r *http.Request, w http.ResponseWriter, session *sessions.Session) error {
	return s.saveOrEnd(r, w, session, "")
}

// saveOrEnd saves a session under an id, "" for a new one, or ends it.
func (s *Store) saveOrEnd(r *http.Request, w http.ResponseWriter, session *sessions.Session, id string) error {
	if session.Options == nil {
		session.Options = s.options()
	}
	if session.Options.MaxAge < 0 {
		return s.end(r, w, session)
	}
	if id == "" {
		id = newID()
	}
	return s.save(r, w, session, id)
}

// save stores the session under an id, which may be another one than it had.
func (s *Store) save(r *http.Request, w http.ResponseWriter, session *sessions.Session, id string) error {
	known := s.known.of(session)
	if known.failed != nil {
		return fmt.Errorf("%w: %w", ErrNotLoaded, known.failed)
	}
	if !isID(id) {
		return fmt.Errorf("%w: a session's ID must be %d bytes in base64url, or empty for a new one", mysqlsession.ErrInvalidKey, idBytes)
	}
	cookie, err := s.cookie(session, id)
	if err != nil {
		return err
	}
	value, err := s.serializer().Serialize(session)
	if err != nil {
		return err
	}
	metadata := s.metadata(session)
	options := mysqlsession.SetOptions{MustExist: known.id != "", Metadata: metadata}
	if known.id == id {
		options.Metadata = added(known.metadata, metadata)
	} else {
		options.OldKey, options.StaleTTL = known.id, s.StaleTTL
	}
	if len(options.Metadata) > 0 {
		options.MaxPerSubject = s.MaxPerSubject
	}
	if err := s.sessions.Set(r.Context(), session.Name(), id, value, s.ttl(session.Options.MaxAge), &options); err != nil {
		return err
	}
	session.ID = id
	s.known.note(session, entry{id: id, metadata: metadata})
	w.Header().Add("Set-Cookie", cookie)
	return nil
}

// cookie is the value of the header that sets the session's cookie.
func (s *Store) cookie(session *sessions.Session, id string) (string, error) {
	value := ""
	if id != "" {
		var err error
		if value, err = securecookie.EncodeMulti(session.Name(), id, s.Codecs...); err != nil {
			return "", fmt.Errorf("%sthe id cannot be signed: %w", prefix, err)
		}
	}
	if header := sessions.NewCookie(session.Name(), value, session.Options).String(); header != "" {
		return header, nil
	}
	return "", fmt.Errorf("%s%q cannot be a cookie's name", prefix, session.Name())
}

// ttl is how long a session's row lives that was saved just now.
func (s *Store) ttl(maxAge int) time.Duration {
	switch {
	case maxAge == 0 && s.BrowserTTL == 0:
		return defaultBrowserTTL
	case maxAge == 0:
		return s.BrowserTTL
	default:
		// Beyond what a Duration holds, centuries from now, it makes no difference.
		return time.Duration(min(int64(maxAge), math.MaxInt64/int64(time.Second))) * time.Second
	}
}

// end removes the session's row and its cookie, also of a session that could not be loaded.
func (s *Store) end(r *http.Request, w http.ResponseWriter, session *sessions.Session) error {
	cookie, err := s.cookie(session, "")
	if err != nil {
		return err
	}
	known := s.known.of(session)
	// Who has closed the page after a click on "sign out" is signed out all the same. The
	// mysqlsession.Store bounds each call.
	ctx := context.WithoutCancel(r.Context())
	var failures []error
	for _, id := range []string{known.id, session.ID} {
		if isID(id) {
			failures = append(failures, s.sessions.Delete(ctx, session.Name(), id))
		}
		if known.id == session.ID {
			break
		}
	}
	if err := errors.Join(failures...); err != nil {
		return err
	}
	session.ID = "" // or a later Save would bring it back
	s.known.note(session, entry{})
	w.Header().Add("Set-Cookie", cookie)
	return nil
}
