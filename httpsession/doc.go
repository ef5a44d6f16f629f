// Package httpsession gives the handlers of net/http sessions that are kept in a
// [mysqlsession.Store]. What a session holds is a type of the application's own:
//
//	type visitor struct{ Theme string }
//
//	sessions, err := httpsession.New[visitor](store, httpsession.Config{})
//	...
//	mux.HandleFunc("POST /theme", func(w http.ResponseWriter, r *http.Request) {
//		sessions.From(r.Context()).Value().Theme = r.FormValue("theme")
//	})
//	server := http.Server{Handler: sessions.Handler(mux)}
//
// There is no call that saves, and none whose error could be forgotten. A session is read
// before the handler runs, and what has changed is written before the response begins. If
// either fails, the response is a 503: nobody is told that he is signed out, or that
// something was stored, because a database was away. A handler that panics stores nothing.
//
// # What it costs
//
// A request without a cookie costs nothing, and so does a visitor who leaves nothing to
// store: no row, no cookie. A request with one costs one Get; what it changes, one Set;
// and a session that is only read one Touch a minute.
//
// # What it promises
//
// Ids are 256 random bits, and one that the store does not know is never taken up. SignIn
// and Rotate give the session a new one, and the old one is over. A session ends after
// Config.IdleTimeout without a request and after Config.Lifetime in any case; one that is to
// be remembered, after Config.RememberLifetime. One that was revoked stays so: a save that
// comes late is dropped. Of two requests that change one session at the same time the last
// one wins, unless they use [Session.Update].
//
// A response that sets the cookie is not left to shared caches, and one whose handler has
// looked at the session says "Vary: Cookie".
package httpsession
