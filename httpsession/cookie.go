package httpsession

import (
	"crypto/rand"
	"encoding/base64"
	"net/http"
	"slices"
	"strings"
	"time"
)

const (
	idSize = 32 // bytes; 43 characters
	// mostCookies is how many of a request's ids are looked up, at most.
	mostCookies = 4
)

func newID() string {
	var random [idSize]byte
	_, _ = rand.Read(random[:]) // never fails
	return base64.RawURLEncoding.EncodeToString(random[:])
}

// isID reports whether newID can have made text.
func isID(text string) bool {
	if len(text) != base64.RawURLEncoding.EncodedLen(idSize) {
		return false
	}
	// A line end is no error to the decoder, but then there are too few bytes.
	raw, err := base64.RawURLEncoding.Strict().DecodeString(text)
	return err == nil && len(raw) == idSize
}

// ids are the ids that a request brings. There is one, unless another host of the domain, or
// a script on another path, has planted more. Which is whose cannot be told; the prefix
// "__Host-" keeps them out.
func ids(r *http.Request, name string) []string {
	var list []string
	for _, cookie := range r.CookiesNamed(name) {
		if isID(cookie.Value) && !slices.Contains(list, cookie.Value) && len(list) < mostCookies {
			// The value is a part of the whole header, which is not to be kept for it.
			list = append(list, strings.Clone(cookie.Value))
		}
	}
	return list
}

// cookie is the cookie that a response sets. A negative maxAge takes it away; with 0 it goes
// with the browser.
func (cfg *Config) cookie(value string, maxAge time.Duration) *http.Cookie {
	seconds := int(maxAge / time.Second)
	if maxAge < 0 {
		seconds = -1
	}
	return &http.Cookie{
		Name: cfg.CookieName, Value: value, Path: "/", Domain: cfg.Domain, MaxAge: seconds,
		Secure: !cfg.Insecure, HttpOnly: true, SameSite: cfg.SameSite,
	}
}

// addCookie sets the cookie, and keeps the response to the browser that asked: from a shared
// cache everybody would get this one's session.
func addCookie(header http.Header, cookie *http.Cookie) {
	header.Add("Set-Cookie", cookie.String())
	if control := header["Cache-Control"]; !hasToken(control, "no-store") && !hasToken(control, "private") {
		header.Set("Cache-Control", "no-store")
	}
}

// addVary says that the response depends on the cookie.
func addVary(header http.Header) {
	if vary := header["Vary"]; !hasToken(vary, "Cookie") && !hasToken(vary, "*") {
		header.Add("Vary", "Cookie")
	}
}

// hasToken reports whether a header's lists have a token.
func hasToken(lists []string, token string) bool {
	for _, list := range lists {
		for element := range strings.SplitSeq(list, ",") {
			if strings.EqualFold(strings.TrimSpace(element), token) {
				return true
			}
		}
	}
	return false
}
