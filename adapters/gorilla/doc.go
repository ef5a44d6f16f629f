// Package gorillastore keeps the sessions of github.com/gorilla/sessions in MySQL or MariaDB.
//
//	store := gorillastore.New(sessions, signingKey, encryptionKey)
//	...
//	session, err := store.Get(r, "session")
//
// The browser's cookie holds the session's id, signed and, with a second key, encrypted;
// everything else is in the database. What differs from other stores of this kind:
//
//   - A database error is an error of Get, and such a session is not saved afterwards: an
//     outage logs nobody out.
//   - A session that was signed out or revoked stays so: a request that had loaded it before
//     gets mysqlsession.ErrNotFound from Save.
//   - Rotate gives a session a new id and ends the old one, in one transaction.
//   - Metadata says whose sessions are whose, so that all of a user's can be ended.
package gorillastore
