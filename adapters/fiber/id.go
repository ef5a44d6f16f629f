package fiberstorage

import (
	"crypto/sha256"
	"encoding/base64"
	"strings"
)

// longestID is the most bytes of a session's id in the store.
const longestID = 43

// id is what a key is stored under. It shares no memory with the key, which may be fiber's
// view of a buffer: a batch may go on with it when its caller has left.
func (s *Storage) id(key string) string {
	if s.known == nil {
		return generalID(s.name, key)
	}
	return sessionID(key)
}

// sessionID is the key itself if it is a valid id, or else its hash. A key that is another
// one's hash finds that one's session, and so does that one itself, which whoever can tell
// its hash either knows or has read from the table, like the ids of all others. Nor can
// anybody have a session stored under a key of their choice: fiber makes the ids of new ones.
func sessionID(key string) string {
	if isID(key) {
		return strings.Clone(key)
	}
	sum := sha256.Sum256([]byte(key))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// generalID is a hash of name and key. Here keys are chosen by clients (addresses, paths,
// header values), the same ones under many names, and the table has each id once.
func generalID(name, key string) string {
	b := make([]byte, 0, 1+len(name)+len(key))
	b = append(b, byte(len(name))) // at most 255, or the store refuses it
	b = append(append(b, name...), key...)
	sum := sha256.Sum256(b)
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// isID reports whether the store takes the key as a session's id.
func isID(key string) bool {
	if len(key) == 0 || len(key) > longestID {
		return false
	}
	for i := range len(key) {
		if key[i] < 0x21 || key[i] > 0x7e {
			return false
		}
	}
	return true
}
