package gorillastore

import (
	"runtime"
	"sync"
	"weak"

	"github.com/gorilla/sessions"

	"github.com/mysqlsession/mysqlsession"
)

// ledger is what a store knows of sessions besides what is in them, for as long as somebody
// holds them. A session has no room for it that is safe from the program, which may set its
// ID, its Options and its Values.
type ledger struct {
	entries sync.Map // from weak.Pointer[sessions.Session] to entry
}

// entry is what is known of one session.
type entry struct {
	// id is the id under which the database has it. "": it has none, as far as is known.
	id string
	// metadata is what has been stored of whose it is.
	metadata []mysqlsession.Metadata
	// failed is why it could not be loaded.
	failed error
}

// of returns what is known of a session. One that did not come from the store, such as a
// copy, is known by what it says of itself.
func (l *ledger) of(session *sessions.Session) entry {
	if e, ok := l.entries.Load(weak.Make(session)); ok {
		return e.(entry)
	}
	if !session.IsNew {
		return entry{id: session.ID}
	}
	return entry{}
}

// note replaces what is known of a session.
func (l *ledger) note(session *sessions.Session, e entry) {
	key := weak.Make(session)
	if _, known := l.entries.Swap(key, e); !known {
		runtime.AddCleanup(session, func(key weak.Pointer[sessions.Session]) { l.entries.Delete(key) }, key)
	}
}
