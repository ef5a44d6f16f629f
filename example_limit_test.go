package mysqlsession_test

import (
	"fmt"
	"time"

	"github.com/mysqlsession/mysqlsession"
)

// How many devices somebody is signed in on.
func ExampleStore_CountSubject() {
	ctx, store, done := exampleStore()
	defer done()

	if err := signIn(ctx, store, "laptop-id", "phone-id"); err != nil {
		fmt.Println(err)
		return
	}
	n, err := store.CountSubject(ctx, "session", "web", "ada")
	fmt.Println(n, err)
	// Output: 2 <nil>
}

// Signing out on all other devices.
func ExampleStore_DeleteOthers() {
	ctx, store, done := exampleStore()
	defer done()

	if err := signIn(ctx, store, "laptop-id", "phone-id", "tablet-id"); err != nil {
		fmt.Println(err)
		return
	}
	n, err := store.DeleteOthers(ctx, "session", "web", "ada", "laptop-id")
	fmt.Println(n, "sessions ended", err)
	sessions, err := store.ReadMetadata(ctx, "session", "web", "ada")
	for id := range sessions {
		fmt.Println(id, err)
	}
	// Output:
	// 2 sessions ended <nil>
	// laptop-id <nil>
}

// At most so many sessions of somebody: one too many ends the one that would expire first.
func ExampleStore_Set_maxPerSubject() {
	ctx, store, done := exampleStore()
	defer done()

	for i, id := range []string{"laptop-id", "phone-id", "tablet-id"} {
		err := store.Set(ctx, "session", id, []byte("value"), time.Duration(1+i)*time.Hour, &mysqlsession.SetOptions{
			Metadata:      []mysqlsession.Metadata{{Audience: "web", Subject: "ada"}},
			MaxPerSubject: 2,
		})
		if err != nil {
			fmt.Println(err)
			return
		}
	}
	n, err := store.CountSubject(ctx, "session", "web", "ada")
	fmt.Println(n, err)
	_, err = store.Get(ctx, "session", "laptop-id")
	fmt.Println(mysqlsession.ErrorKind(err))
	// Output:
	// 2 <nil>
	// not_found
}
