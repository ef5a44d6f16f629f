package webapp

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/mysqlsession/mysqlsession"
)

// recorder passes calls on to a store and notes what was asked and how long that took,
// for the page to show. It serves one request.
type recorder struct {
	store Store
	clock func() time.Time
	calls []call
}

// call is one call of the store.
type call struct{ Name, Note, Took string }

// note returns a function that notes the end of a call that begins now.
func (r *recorder) note(name, note string) func() {
	begin := r.clock()
	return func() {
		took := fmt.Sprintf("%.2f ms", float64(r.clock().Sub(begin))/float64(time.Millisecond))
		r.calls = append(r.calls, call{Name: name, Note: note, Took: took})
	}
}

func (r *recorder) Set(ctx context.Context, name, key string, value []byte, ttl time.Duration, opts *mysqlsession.SetOptions) error {
	defer r.note("Set", "stores the session under a new id")()
	return r.store.Set(ctx, name, key, value, ttl, opts)
}

func (r *recorder) Update(ctx context.Context, name, key string, ttl time.Duration, fn func(old []byte) ([]byte, error)) error {
	defer r.note("Update", "reads the session and changes it, unless it is revoked meanwhile")()
	return r.store.Update(ctx, name, key, ttl, fn)
}

func (r *recorder) GetMany(ctx context.Context, name string, keys []string) (map[string][]byte, error) {
	defer r.note("GetMany", "reads what they hold, "+strconv.Itoa(len(keys))+" in one statement")()
	return r.store.GetMany(ctx, name, keys)
}

func (r *recorder) Delete(ctx context.Context, name, key string) error {
	defer r.note("Delete", "ends one session")()
	return r.store.Delete(ctx, name, key)
}

func (r *recorder) ReadMetadata(ctx context.Context, name, audience, subject string) (map[string]time.Time, error) {
	defer r.note("ReadMetadata", "finds all sessions of this user")()
	return r.store.ReadMetadata(ctx, name, audience, subject)
}

func (r *recorder) DeleteSubject(ctx context.Context, name, audience, subject string) (int64, error) {
	defer r.note("DeleteSubject", "ends all sessions of this user")()
	return r.store.DeleteSubject(ctx, name, audience, subject)
}
