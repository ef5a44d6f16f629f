package mysqlsession_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/mysqlsession/mysqlsession"
	"github.com/mysqlsession/mysqlsession/internal/dbtest"
)

// exampleClock is what the examples' stores take for the time.
func exampleClock() time.Time { return time.Date(2026, time.May, 4, 10, 30, 0, 0, time.UTC) }

// exampleStore is a store on a database of its own, with its tables, and what removes both.
func exampleStore() (ctx context.Context, store *mysqlsession.Store, done func()) {
	cfg, drop := dbtest.Example()
	cfg.Clock = exampleClock
	ctx = context.Background()
	store, err := mysqlsession.Open(ctx, cfg)
	if err == nil {
		err = store.Migrate(ctx)
	}
	if err != nil {
		drop()
		panic(err)
	}
	return ctx, store, func() {
		_ = store.Close() // always nil
		drop()
	}
}

// A store of one's own: with a pool, which is closed with it.
func ExampleOpen() {
	cfg, drop := dbtest.Example() // or mysqlsession.ParseConfig(os.Getenv("MYSQLSESSION_DSN"))
	defer drop()
	ctx := context.Background()

	store, err := mysqlsession.Open(ctx, cfg)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer store.Close()
	if err := store.Migrate(ctx); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("ready, with at most", store.Pool().Stat().MaxConns, "connections")
	// Output: ready, with at most 16 connections
}

// Two stores, with tables of their own, that share the connections of one pool.
func ExampleNewStore() {
	cfg, drop := dbtest.Example()
	defer drop()
	pool, err := mysqlsession.NewPool(context.Background(), cfg)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer pool.Close()
	for _, table := range []string{"customers", "staff"} {
		cfg.TableName = table
		store, err := mysqlsession.NewStore(pool, cfg)
		if err != nil {
			fmt.Println(err)
			return
		}
		defer store.Close()
		fmt.Println("sessions in", table, "on one pool:", store.Pool() == pool)
	}
	// Output:
	// sessions in customers on one pool: true
	// sessions in staff on one pool: true
}

// What a store's pool does can be asked for at any time.
func ExampleStore_Pool() {
	_, store, done := exampleStore()
	defer done()

	stat := store.Pool().Stat()
	fmt.Println(stat.MaxConns, "connections at most,", stat.Waiting, "callers waiting")
	// Output: 16 connections at most, 0 callers waiting
}

// A store that has been closed says so.
func ExampleStore_Close() {
	ctx, store, done := exampleStore()
	defer done()

	if err := store.Close(); err != nil {
		fmt.Println(err)
	}
	_, err := store.Get(ctx, "session", "an id")
	fmt.Println(errors.Is(err, mysqlsession.ErrInvalidKey), "a space is in no id")
	_, err = store.Get(ctx, "session", "an-id")
	fmt.Println(errors.Is(err, mysqlsession.ErrClosed))
	// Output:
	// true a space is in no id
	// true
}

// A session is saved under the cookie's name and its id, for as long as it is to live.
func ExampleStore_Set() {
	ctx, store, done := exampleStore()
	defer done()

	err := store.Set(ctx, "session", "anonymous-id", []byte(`{"basket":[7]}`), 30*time.Minute, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	value, err := store.Get(ctx, "session", "anonymous-id")
	fmt.Println(string(value), err)
	// Output: {"basket":[7]} <nil>
}

// At sign-in a session gets a new id, and belongs to somebody. The old id can be read for some
// seconds more, for requests that are under way with it. All of it happens, or nothing.
func ExampleStore_Set_rotate() {
	ctx, store, done := exampleStore()
	defer done()

	err := store.Set(ctx, "session", "anonymous-id", []byte(`{}`), time.Hour, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	err = store.Set(ctx, "session", "signed-in-id", []byte(`{"user":"ada"}`), time.Hour, &mysqlsession.SetOptions{
		OldKey:   "anonymous-id",
		StaleTTL: 10 * time.Second,
		Metadata: []mysqlsession.Metadata{{Audience: "web", Subject: "ada"}},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	old, err := store.Inspect(ctx, "anonymous-id")
	fmt.Println("the old id ends at", old.Expires.UTC().Format(time.TimeOnly), err)
	// Output: the old id ends at 10:30:10 <nil>
}

// A save that must not bring back a session that was revoked while the request was under way.
func ExampleStore_Set_mustExist() {
	ctx, store, done := exampleStore()
	defer done()

	err := store.Set(ctx, "session", "revoked-id", []byte("late"), time.Hour, &mysqlsession.SetOptions{MustExist: true})
	fmt.Println(errors.Is(err, mysqlsession.ErrNotFound))
	// Output: true
}

// Not found is an answer. Anything else is not, and must sign nobody out.
func ExampleStore_Get() {
	ctx, store, done := exampleStore()
	defer done()

	value, err := store.Get(ctx, "session", "an-id")
	switch {
	case err == nil:
		fmt.Println("signed in:", string(value))
	case errors.Is(err, mysqlsession.ErrNotFound):
		fmt.Println("please sign in")
	default:
		fmt.Println("please try again:", err)
	}
	// Output: please sign in
}

// Many sessions in a few round trips: those that are live.
func ExampleStore_GetMany() {
	ctx, store, done := exampleStore()
	defer done()

	for _, id := range []string{"first", "second"} {
		if err := store.Set(ctx, "session", id, []byte("value of "+id), time.Hour, nil); err != nil {
			fmt.Println(err)
			return
		}
	}
	values, err := store.GetMany(ctx, "session", []string{"first", "second", "third"})
	fmt.Println(len(values), "of 3:", string(values["first"]), "and", string(values["second"]), err)
	// Output: 2 of 3: value of first and value of second <nil>
}

// Each walks through the sessions of a name. It holds no connection while the function runs,
// which may use the store.
func ExampleStore_Each() {
	ctx, store, done := exampleStore()
	defer done()

	for _, id := range []string{"a", "b", "c"} {
		if err := store.Set(ctx, "session", id, []byte("value of "+id), time.Hour, nil); err != nil {
			fmt.Println(err)
			return
		}
	}
	errEnough := errors.New("enough")
	err := store.Each(ctx, "session", func(key string, value []byte, expires time.Time) error {
		fmt.Println(key, string(value), expires.UTC().Format(time.DateTime))
		if key == "b" {
			return errEnough
		}
		return nil
	})
	fmt.Println(err)
	// Output:
	// a value of a 2026-05-04 11:30:00
	// b value of b 2026-05-04 11:30:00
	// enough
}

// An active session lives on without being written as a whole.
func ExampleStore_Touch() {
	ctx, store, done := exampleStore()
	defer done()

	if err := store.Set(ctx, "session", "an-id", []byte("value"), time.Minute, nil); err != nil {
		fmt.Println(err)
		return
	}
	if err := store.Touch(ctx, "session", "an-id", time.Hour); err != nil {
		fmt.Println(err)
		return
	}
	info, err := store.Inspect(ctx, "an-id")
	fmt.Println("lives until", info.Expires.UTC().Format(time.TimeOnly), err)
	// Output: lives until 11:30:00 <nil>
}

// A change that depends on what is there. Where two of them meet, the function is called again
// with what the other one has stored.
func ExampleStore_Update() {
	ctx, store, done := exampleStore()
	defer done()

	if err := store.Set(ctx, "session", "an-id", []byte("1"), time.Hour, nil); err != nil {
		fmt.Println(err)
		return
	}
	err := store.Update(ctx, "session", "an-id", time.Hour, func(old []byte) ([]byte, error) {
		return append(old, '+', '1'), nil
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	value, err := store.Get(ctx, "session", "an-id")
	fmt.Println(string(value), err)
	// Output: 1+1 <nil>
}

// Signing out is deleting. What is not there can be deleted as well.
func ExampleStore_Delete() {
	ctx, store, done := exampleStore()
	defer done()

	if err := store.Set(ctx, "session", "an-id", []byte("value"), time.Hour, nil); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(store.Delete(ctx, "session", "an-id"), store.Delete(ctx, "session", "an-id"))
	_, err := store.Get(ctx, "session", "an-id")
	fmt.Println(errors.Is(err, mysqlsession.ErrNotFound))
	// Output:
	// <nil> <nil>
	// true
}

// All sessions of one name, when a format changes for good, say.
func ExampleStore_DeleteAll() {
	ctx, store, done := exampleStore()
	defer done()

	for _, id := range []string{"a", "b"} {
		if err := store.Set(ctx, "session", id, nil, time.Hour, nil); err != nil {
			fmt.Println(err)
			return
		}
	}
	n, err := store.DeleteAll(ctx, "session")
	fmt.Println(n, err)
	// Output: 2 <nil>
}
