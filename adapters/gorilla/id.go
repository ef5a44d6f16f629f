package gorillastore

import (
	"crypto/rand"
	"encoding/base64"
)

// idBytes is how many random bytes are in an id.
const idBytes = 32

// newID is an id that nobody can guess, 43 characters of base64url.
func newID() string {
	var id [idBytes]byte
	_, _ = rand.Read(id[:]) // never fails
	return base64.RawURLEncoding.EncodeToString(id[:])
}

// isID reports whether an id is of the form that newID makes. The signed cookies of other
// stores hold other ids, some of which could be guessed.
func isID(id string) bool {
	raw, err := base64.RawURLEncoding.Strict().DecodeString(id)
	return err == nil && len(raw) == idBytes
}
