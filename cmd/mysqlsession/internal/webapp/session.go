package webapp

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"github.com/mysqlsession/mysqlsession"
)

const (
	// cookieName is the cookie's name, and the name that sessions are stored under. Cookies
	// know no ports, so it must not be that of any other program on this machine.
	cookieName = "mysqlsession_demo"
	// audience is what the subjects of the sessions belong to: this application.
	audience = "demo"
	// lifetime is how long a session lives after its last visit.
	lifetime = 30 * time.Minute
	// staleLifetime is how long a replaced id is good for, so that requests that were
	// under way with it do not find that their session is gone.
	staleLifetime = 10 * time.Second
	// keySize is 256 bits of randomness: 43 characters, the most that a key may have.
	keySize = 32
)

// session is what is stored: everything the application knows of a visitor.
type session struct {
	User   string    `json:"user,omitempty"` // "": not signed in
	Visits int       `json:"visits"`
	Device string    `json:"device"`
	Began  time.Time `json:"began"`
	Seen   time.Time `json:"seen"`
}

func (s session) metadata() []mysqlsession.Metadata {
	if s.User == "" {
		return nil
	}
	return []mysqlsession.Metadata{{Audience: audience, Subject: s.User}}
}

func newKey() string {
	random := make([]byte, keySize)
	_, _ = rand.Read(random) // never fails
	return base64.RawURLEncoding.EncodeToString(random)
}

// fingerprint stands for a key where people can see it. A key is a password: whoever
// reads it over a shoulder, or in a log, is signed in.
func fingerprint(key string) string {
	sum := sha256.Sum256([]byte(key))
	return hex.EncodeToString(sum[:4])
}

// key is the id in the request's cookie; "" when there is none that we could have made.
func (e *exchange) key() string {
	cookie, err := e.r.Cookie(cookieName)
	if err != nil {
		return ""
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(cookie.Value)
	if err != nil || len(raw) != keySize {
		return ""
	}
	return cookie.Value
}

func (e *exchange) giveCookie(key string) { e.setCookie(key, 0) }
func (e *exchange) takeCookie()           { e.setCookie("", -1) }

func (e *exchange) setCookie(value string, maxAge int) {
	http.SetCookie(e.w, &http.Cookie{
		Name: cookieName, Value: value, Path: "/", MaxAge: maxAge,
		HttpOnly: true, SameSite: http.SameSiteLaxMode, Secure: e.r.TLS != nil,
	})
}

// visit finds the cookie's session, counts counted visits to it, and lets it live on.
// Without a live session it returns mysqlsession.ErrNotFound. Update keeps a session
// that is signed out at this moment from coming back.
func (e *exchange) visit(key string, counted int) (session, error) {
	if key == "" {
		return session{}, mysqlsession.ErrNotFound
	}
	var current session
	err := e.calls.Update(e.r.Context(), cookieName, key, lifetime, func(old []byte) ([]byte, error) {
		current = session{} // this may not be the first attempt
		if err := json.Unmarshal(old, &current); err != nil {
			return nil, errUnreadable
		}
		current.Visits += counted
		current.Device = deviceName(e.r.UserAgent())
		current.Seen = e.clock().UTC()
		return json.Marshal(current)
	})
	if errors.Is(err, errUnreadable) {
		return session{}, mysqlsession.ErrNotFound
	}
	return current, err
}

// errUnreadable is a session that something else than this application has stored.
var errUnreadable = errors.New("session of an unknown format")

// begin stores a session under a new id, which replaces the old one if that is still
// live, and gives it to the browser. An id that the browser brought is never taken up.
func (e *exchange) begin(s session, oldKey string) error {
	value, err := json.Marshal(s)
	if err != nil {
		return err
	}
	key := newKey()
	options := &mysqlsession.SetOptions{Metadata: s.metadata()}
	if oldKey != "" {
		options.OldKey, options.StaleTTL, options.MustExist = oldKey, staleLifetime, true
	}
	err = e.calls.Set(e.r.Context(), cookieName, key, value, lifetime, options)
	if errors.Is(err, mysqlsession.ErrNotFound) {
		// It has ended since we looked.
		options = &mysqlsession.SetOptions{Metadata: s.metadata()}
		err = e.calls.Set(e.r.Context(), cookieName, key, value, lifetime, options)
	}
	if err == nil {
		e.giveCookie(key)
	}
	return err
}
