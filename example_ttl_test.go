package mysqlsession_test

import (
	"fmt"
	"time"
)

// As long as the server's dates go, for what is to stay until it is deleted.
func ExampleStore_LongestTTL() {
	ctx, store, done := exampleStore()
	defer done()

	longest, err := store.LongestTTL(ctx)
	if err != nil {
		fmt.Println(err)
		return
	}
	err = store.Set(ctx, "session", "an-id", []byte("value"), longest-time.Minute, nil)
	fmt.Println(err)
	// Output: <nil>
}
