// Package scsstore keeps the sessions of scs (github.com/alexedwards/scs) in MySQL or MariaDB:
//
//	manager := scs.New()
//	manager.Store = scsstore.New(store)
//
// A session that was revoked stays revoked: a request that still runs does not bring it back
// when it saves. The README says how far that goes, and which errors a manager's ErrorFunc
// gets to see.
package scsstore
