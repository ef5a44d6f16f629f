package mysqlsession_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/mysqlsession/mysqlsession"
	"github.com/mysqlsession/mysqlsession/internal/dbtest"
)

// signIn stores sessions of Ada's, one for each id.
func signIn(ctx context.Context, store *mysqlsession.Store, ids ...string) error {
	var failures []error
	for _, id := range ids {
		failures = append(failures, store.Set(ctx, "session", id, []byte("value"), time.Hour, &mysqlsession.SetOptions{
			Metadata: []mysqlsession.Metadata{{Audience: "web", Subject: "ada"}},
		}))
	}
	return errors.Join(failures...)
}

// Where somebody is signed in, and until when.
func ExampleStore_ReadMetadata() {
	ctx, store, done := exampleStore()
	defer done()

	if err := signIn(ctx, store, "laptop-id", "phone-id"); err != nil {
		fmt.Println(err)
		return
	}
	sessions, err := store.ReadMetadata(ctx, "session", "web", "ada")
	fmt.Println(len(sessions), "sessions, one until", sessions["phone-id"].UTC().Format(time.DateTime), err)
	// Output: 2 sessions, one until 2026-05-04 11:30:00 <nil>
}

// Signing out everywhere, after a password was changed.
func ExampleStore_DeleteSubject() {
	ctx, store, done := exampleStore()
	defer done()

	if err := signIn(ctx, store, "laptop-id", "phone-id"); err != nil {
		fmt.Println(err)
		return
	}
	n, err := store.DeleteSubject(ctx, "session", "web", "ada")
	fmt.Println(n, "sessions ended", err)
	// Output: 2 sessions ended <nil>
}

// With HashKeys, lists have what the table has: hashes. Of those, too, one can be revoked.
func ExampleStore_DeleteStored() {
	cfg, drop := dbtest.Example()
	defer drop()
	cfg.HashKeys = true
	ctx := context.Background()
	store, err := mysqlsession.Open(ctx, cfg)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer store.Close()
	if err := errors.Join(store.Migrate(ctx), signIn(ctx, store, "laptop-id")); err != nil {
		fmt.Println(err)
		return
	}
	sessions, err := store.ReadMetadata(ctx, "session", "web", "ada")
	if err != nil {
		fmt.Println(err)
		return
	}
	for stored := range sessions {
		fmt.Println(stored == "laptop-id", store.DeleteStored(ctx, "session", stored))
	}
	_, err = store.Get(ctx, "session", "laptop-id")
	fmt.Println(errors.Is(err, mysqlsession.ErrNotFound))
	// Output:
	// false <nil>
	// true
}

// Whether what lists return opens a session, or is only good for DeleteStored.
func ExampleStore_HashKeys() {
	_, store, done := exampleStore()
	defer done()

	fmt.Println(store.HashKeys())
	// Output: false
}

// For those who look after a site: all of a person's sessions, under every cookie's name, and
// those too that have expired and await the clean-up.
func ExampleStore_InspectSubject() {
	ctx, store, done := exampleStore()
	defer done()

	if err := signIn(ctx, store, "laptop-id", "phone-id"); err != nil {
		fmt.Println(err)
		return
	}
	sessions, err := store.InspectSubject(ctx, "web", "ada")
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, session := range sessions {
		fmt.Println(session.StoredID, session.Name, session.Size, "bytes, live:", session.Live)
	}
	// Output:
	// laptop-id session 5 bytes, live: true
	// phone-id session 5 bytes, live: true
}

// What is known of one session besides its value.
func ExampleStore_Inspect() {
	ctx, store, done := exampleStore()
	defer done()

	if err := signIn(ctx, store, "laptop-id"); err != nil {
		fmt.Println(err)
		return
	}
	info, err := store.Inspect(ctx, "laptop-id")
	fmt.Println(info.Name, info.Size, "bytes, of", info.Metadata, err)
	fmt.Println(slices.Contains(info.Metadata, mysqlsession.Metadata{Audience: "web", Subject: "ada"}))
	// Output:
	// session 5 bytes, of [{web ada}] <nil>
	// true
}
