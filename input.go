package mysqlsession

import (
	"crypto/sha256"
	"encoding/base64"
	"time"
)

// The bounds of the document's columns.
const (
	maxKey  = 43  // bytes of a session id: 32 bytes in base64url
	maxName = 255 // bytes of a name, audience or subject
	// valueOverhead is the length prefix of a value of up to 16 MiB in a reply packet.
	valueOverhead = 4
)

// longestHashedKey is the longest session id, in bytes, that is stored by its hash.
const longestHashedKey = 4096

// storedKey is the id under which a session is kept: the key itself, or, hashed, its hash.
// Of a key that is 32 bytes in base64url those bytes are hashed, as lua-resty-session
// does; of any other its own.
func storedKey(name, key string, hashed bool) (string, error) {
	if !hashed {
		return key, checkSession(name, key)
	}
	if err := checkKey(key, longestHashedKey); err != nil {
		return "", err
	}
	raw := []byte(key)
	if len(key) == maxKey {
		if bytes, err := base64.RawURLEncoding.Strict().DecodeString(key); err == nil {
			raw = bytes
		}
	}
	sum := sha256.Sum256(raw)
	return base64.RawURLEncoding.EncodeToString(sum[:]), checkName("name", name)
}

// checkSession refuses an id that could not be a cookie's value, and a name that is too long.
func checkSession(name, key string) error {
	if err := checkKey(key, maxKey); err != nil {
		return err
	}
	return checkName("name", name)
}

func checkKey(key string, longest int) error {
	if len(key) == 0 || len(key) > longest {
		return detail(ErrInvalidKey, "%d bytes, must be 1 to %d", len(key), longest)
	}
	for i := range len(key) {
		if key[i] < 0x21 || key[i] > 0x7e {
			return detail(ErrInvalidKey, "byte %d is outside 0x21 to 0x7e", i)
		}
	}
	return nil
}

func checkName(what, name string) error {
	if len(name) > maxName {
		return detail(ErrInvalidName, "%s of %d bytes, must be at most %d", what, len(name), maxName)
	}
	return nil
}

func checkMetadata(audience, subject string) error {
	if err := checkName("audience", audience); err != nil {
		return err
	}
	return checkName("subject", subject)
}

// seconds is ttl in whole seconds, rounded up.
func seconds(ttl time.Duration) int64 {
	n := int64(ttl / time.Second)
	if ttl%time.Second > 0 {
		n++
	}
	return n
}

// expiry is when something that lives for ttl from now ends. A session lives at least ttl
// and at most a second more.
func expiry(now int64, ttl time.Duration) (int64, error) {
	if ttl <= 0 {
		return 0, detail(ErrInvalidTTL, "%v, must be positive", ttl)
	}
	return now + seconds(ttl), nil
}

// checkExpiry refuses what the server's date functions would turn into NULL or an error.
func checkExpiry(c *Conn, expires int64) error {
	if expires < 0 {
		return detail(ErrInvalidTTL, "ends before 1970")
	}
	if last := c.server.lastMoment(); expires > last.Unix() {
		return detail(ErrInvalidTTL, "ends at %s, the server's dates end at %s",
			time.Unix(expires, 0).UTC().Format(time.DateTime), last.UTC().Format(time.DateTime))
	}
	return nil
}
