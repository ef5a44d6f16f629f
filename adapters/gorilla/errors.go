package gorillastore

import (
	"errors"
	"fmt"

	"github.com/gorilla/securecookie"
)

// prefix opens the text of every error of this package's own.
const prefix = "gorillastore: "

var (
	// ErrCookie is what Get and New return for a cookie that cannot be read: malformed, forged,
	// or signed with a key that is not in use any more. The session that comes with it is a
	// new one that can be used and saved, as with gorilla's own stores. Such an error is also
	// a securecookie.Error whose IsDecode is true. What it says comes from the visitor's side: it is
	// no reason for an answer of 500.
	ErrCookie = errors.New(prefix + "cookie cannot be read")
	// ErrValues is what Get and New return for a session whose stored values the Serializer
	// cannot read: a type that is not registered with gob any more, another serializer's
	// values. Save refuses the session that comes with it, unless it is to end it.
	ErrValues = errors.New(prefix + "values cannot be read")
	// ErrNotLoaded is what Save and Rotate return for a session that Get or New returned
	// together with an error other than ErrCookie, which is in the chain too. Nothing was
	// stored and no cookie was set: the browser's leads to the session still.
	ErrNotLoaded = errors.New(prefix + "session is not saved because it could not be loaded")
)

// cookieError is ErrCookie with its cause. It is a securecookie.Error, which programs ask for
// by a type assertion.
type cookieError struct{ err error }

var _ securecookie.Error = (*cookieError)(nil)

func (e *cookieError) Error() string   { return fmt.Sprintf("%v: %v", ErrCookie, e.err) }
func (e *cookieError) Unwrap() []error { return []error{ErrCookie, e.err} }

// IsUsage is false: the program is not to blame.
func (e *cookieError) IsUsage() bool { return false }

// IsDecode is true: the cookie could not be decoded.
func (e *cookieError) IsDecode() bool { return true }

// IsInternal is false: securecookie is not to blame.
func (e *cookieError) IsInternal() bool { return false }

// Cause is what securecookie said, with each of the key pairs.
func (e *cookieError) Cause() error { return e.err }

// decodeError is what becomes of an error of the codecs: ErrCookie, or, where no codec can be
// used at all, the error itself.
func decodeError(err error) error {
	// Of a cookie that is too long securecookie says neither.
	if e, ok := err.(securecookie.Error); ok && e.IsUsage() && !e.IsDecode() {
		return fmt.Errorf("%scodecs cannot be used: %w", prefix, err)
	}
	return &cookieError{err}
}
