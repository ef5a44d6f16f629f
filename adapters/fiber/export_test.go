package fiberstorage

import (
	"github.com/mysqlsession/mysqlsession"
	"github.com/mysqlsession/mysqlsession/internal/remember"
)

// Remembered is how many ids NewSessions keeps in mind.
const Remembered = remembered

// NewSessionsOf is NewSessions with so many ids kept in mind.
func NewSessionsOf(store *mysqlsession.Store, name string, size int) *Storage {
	return &Storage{store: store, name: name, known: remember.New(size)}
}
