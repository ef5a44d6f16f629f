package mysqlsession_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/mysqlsession/mysqlsession"
)

// Whether a write may have been applied. Of a read, or of a write that was refused, that is
// never so.
func ExampleOutcomeUnknown() {
	ctx, store, done := exampleStore()
	defer done()

	err := store.Set(ctx, "session", "an-id", []byte("value"), -time.Second, nil) // refused
	switch {
	case err == nil:
		fmt.Println("saved")
	case mysqlsession.OutcomeUnknown(err):
		fmt.Println("it may have been saved: look before you do it again")
	default:
		fmt.Println("not saved")
	}
	// Output: not saved
}

// Whether doing it again does it once. A store has tried again already, a few times.
func ExampleSafeToRetry() {
	ctx, store, done := exampleStore()
	defer done()

	ended, cancel := context.WithCancel(ctx)
	cancel()
	err := store.Delete(ended, "session", "an-id") // nothing was sent
	fmt.Println(errors.Is(err, context.Canceled), mysqlsession.SafeToRetry(err))
	// Output: true true
}

// The server's own errors are told apart by their numbers.
func ExampleServerError() {
	ctx, conn, done := exampleConn()
	defer done()

	_, err := conn.Exec(ctx, "INSERT INTO nowhere VALUES (1)")
	var refused *mysqlsession.ServerError
	if errors.As(err, &refused) {
		fmt.Println(refused.Code, refused.SQLState)
	}
	// Output: 1146 42S02
}
