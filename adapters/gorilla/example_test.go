package gorillastore_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net/http"
	"os"

	"github.com/gorilla/sessions"

	"github.com/mysqlsession/mysqlsession"
	gorillastore "github.com/mysqlsession/mysqlsession/adapters/gorilla"
)

// The README shows what is between the braces of these functions. readme_test.go sees
// that it does, and runs them.

func openAStore(ctx context.Context) error {
	cfg, err := mysqlsession.ParseConfig(os.Getenv("MYSQLSESSION_DSN")) // mysql://user:password@host/database
	if err != nil {
		return err
	}
	db, err := mysqlsession.Open(ctx, cfg)
	if err != nil {
		return err
	}
	defer db.Close()
	if err := db.Migrate(ctx); err != nil { // creates the tables
		return err
	}
	store := gorillastore.New(db, []byte(os.Getenv("SIGNING_KEY")), []byte(os.Getenv("ENCRYPTION_KEY")))
	store.MaxAge(2 * 60 * 60) // seconds; every Save counts from anew

	// Whose a session is, so that all of somebody's can be found.
	store.Metadata = func(session *sessions.Session) []mysqlsession.Metadata {
		if user, ok := session.Values["user"].(string); ok {
			return []mysqlsession.Metadata{{Audience: "web", Subject: user}}
		}
		return nil
	}
	return serve(ctx, store, db)
}

func getASession(store *gorillastore.Store, w http.ResponseWriter, r *http.Request) {
	session, err := store.Get(r, "session")
	if err != nil && !errors.Is(err, gorillastore.ErrCookie) {
		http.Error(w, "try again in a moment", http.StatusServiceUnavailable) // the database; nobody is signed out
		return
	}
	user, ok := session.Values["user"].(string)
	if !ok {
		http.Error(w, "sign in first", http.StatusUnauthorized)
		return
	}
	fmt.Fprintln(w, "hello,", user)
}

func saveASession(session *sessions.Session, w http.ResponseWriter, r *http.Request) {
	session.Values["theme"] = "dark"
	switch err := session.Save(r, w); {
	case errors.Is(err, mysqlsession.ErrNotFound): // signed out meanwhile, and stays so
		http.Error(w, "sign in again", http.StatusUnauthorized)
	case err != nil:
		http.Error(w, "try again in a moment", http.StatusServiceUnavailable)
	}
}

func signIn(store *gorillastore.Store, session *sessions.Session, w http.ResponseWriter, r *http.Request) error {
	session.Values["user"] = "ada"
	return store.Rotate(r, w, session) // saves under a new id, and ends the old one
}

func signOut(session *sessions.Session, w http.ResponseWriter, r *http.Request) error {
	session.Options.MaxAge = -1
	return session.Save(r, w)
}

func signOutEverywhere(ctx context.Context, db *mysqlsession.Store) error {
	_, err := db.DeleteSubject(ctx, "session", "web", "ada")
	return err
}

func ExampleNew() {
	ctx := context.Background()
	cfg, err := mysqlsession.ParseConfig(os.Getenv("MYSQLSESSION_DSN")) // mysql://user:password@host/database
	if err != nil {
		log.Fatal(err)
	}
	db, err := mysqlsession.Open(ctx, cfg)
	if err != nil {
		log.Fatal(err)
	}
	defer db.Close()
	if err := db.Migrate(ctx); err != nil {
		log.Fatal(err)
	}
	store := gorillastore.New(db, []byte(os.Getenv("SIGNING_KEY")), []byte(os.Getenv("ENCRYPTION_KEY")))
	http.HandleFunc("GET /", func(w http.ResponseWriter, r *http.Request) {
		session, err := store.Get(r, "session")
		if err == nil || errors.Is(err, gorillastore.ErrCookie) {
			visits, _ := session.Values["visits"].(int)
			session.Values["visits"] = visits + 1
			err = session.Save(r, w)
		}
		if err != nil {
			http.Error(w, "try again in a moment", http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "visit", session.Values["visits"])
	})
	log.Print(http.ListenAndServe("127.0.0.1:8080", nil))
}

func ExampleStore_Rotate() {
	var store *gorillastore.Store // from New
	http.HandleFunc("POST /login", func(w http.ResponseWriter, r *http.Request) {
		session, err := store.Get(r, "session")
		if err == nil || errors.Is(err, gorillastore.ErrCookie) {
			session.Values["user"] = "ada" // who has shown her password
			err = store.Rotate(r, w, session)
		}
		if err != nil {
			http.Error(w, "try again in a moment", http.StatusServiceUnavailable)
		}
	})
}

func ExampleStore_Save() {
	var store *gorillastore.Store // from New
	http.HandleFunc("POST /logout", func(w http.ResponseWriter, r *http.Request) {
		session, err := store.Get(r, "session")
		if err == nil || errors.Is(err, gorillastore.ErrCookie) {
			session.Options.MaxAge = -1
			err = session.Save(r, w)
		}
		if err != nil {
			http.Error(w, "you are signed in still, try again in a moment", http.StatusServiceUnavailable)
		}
	})
}
