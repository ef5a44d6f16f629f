package conformance

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/mysqlsession/mysqlsession"
)

// crowd is how many callers a test has at a time.
const crowd = 40

func crowdTests() []test {
	return []test{
		{"many callers at once each get what is theirs", crowdOfSessions},
		{"many callers at once replace each their own session", crowdOfRotations},
		{"many callers at once with one session see one of their values", crowdOnOneSession},
		{"many callers at once delete and touch each their own session", crowdOfDeletes},
	}
}

// all runs do for each of a crowd at the same time.
func (f *fixture) all(do func(caller int) error) {
	f.Helper()
	var group sync.WaitGroup
	for caller := range crowd {
		group.Go(func() { assert.NoError(f, do(caller), "caller %d", caller) })
	}
	group.Wait()
}

func crowdOfSessions(f *fixture) {
	f.all(func(caller int) error {
		key, value := id(fmt.Sprint(caller)), fmt.Sprint("value of ", caller)
		if err := f.trySet(key, value, time.Minute); err != nil {
			return err
		}
		got, err := f.store.Get(f.Context(), cookie, key)
		if err == nil && string(got) != value {
			err = fmt.Errorf("read %q", got)
		}
		return err
	})
	f.all(func(caller int) error {
		got, err := f.store.Get(f.Context(), "another", id(fmt.Sprint(caller)))
		if errors.Is(err, mysqlsession.ErrNotFound) {
			return nil
		}
		return fmt.Errorf("read %q under another name: %w", got, err)
	})
	assert.Equal(f, crowd, f.sessions())
}

func crowdOfRotations(f *fixture) {
	f.all(func(caller int) error { return f.trySet(id(fmt.Sprint(caller)), "old", time.Minute) })
	f.all(func(caller int) error {
		options := of("audience", fmt.Sprint("subject", caller%3))
		options.OldKey, options.MustExist = id(fmt.Sprint(caller)), true
		if caller%4 == 0 {
			options.OldKey = id("missing")
		}
		err := f.trySet(id(fmt.Sprint("new", caller)), "new", time.Minute, options)
		if caller%4 == 0 && errors.Is(err, mysqlsession.ErrNotFound) {
			return nil
		}
		return err
	})
	found := 0
	for subject := range 3 {
		found += len(f.metadata("audience", fmt.Sprint("subject", subject)))
	}
	assert.Equal(f, crowd*3/4, found)
	for caller := range crowd {
		if caller%4 == 0 {
			f.holds(id(fmt.Sprint(caller)), "old")
			f.gone(id(fmt.Sprint("new", caller)))
		} else {
			f.gone(id(fmt.Sprint(caller)))
			f.holds(id(fmt.Sprint("new", caller)), "new")
		}
	}
}

func crowdOnOneSession(f *fixture) {
	f.all(func(caller int) error {
		if err := f.trySet(id("a"), fmt.Sprintf("value %02d", caller), time.Minute); err != nil {
			return err
		}
		got, err := f.store.Get(f.Context(), cookie, id("a"))
		if err == nil && len(got) != len("value 00") {
			err = fmt.Errorf("read %q", got)
		}
		return err
	})
	assert.Equal(f, 1, f.sessions())
}

func crowdOfDeletes(f *fixture) {
	f.all(func(caller int) error { return f.trySet(id(fmt.Sprint(caller)), "value", time.Minute) })
	f.all(func(caller int) error {
		switch key := id(fmt.Sprint(caller)); caller % 3 {
		case 0:
			return f.store.Delete(f.Context(), cookie, key)
		case 1:
			return f.store.Touch(f.Context(), cookie, key, time.Hour)
		default:
			err := f.store.Touch(f.Context(), "another", key, time.Hour)
			if errors.Is(err, mysqlsession.ErrNotFound) {
				return nil
			}
			return fmt.Errorf("touched under another name: %w", err)
		}
	})
	f.clock.Advance(30 * time.Minute)
	for caller := range crowd {
		if caller%3 == 1 {
			f.holds(id(fmt.Sprint(caller)), "value")
		} else {
			f.gone(id(fmt.Sprint(caller)))
		}
	}
}

// keepCompany has others call the store all the time, so that what a test calls is served
// together with what they do. It leaves no trace in the tables.
func (f *fixture) keepCompany(store *mysqlsession.Store) {
	ctx, missing := context.Background(), id("of nobody")
	calls := []func() error{
		func() error {
			_, err := store.Get(ctx, cookie, missing)
			return err
		},
		func() error { return store.Touch(ctx, cookie, missing, time.Minute) },
		func() error { return store.Delete(ctx, cookie, missing) },
		func() error {
			return store.Set(ctx, cookie, missing, nil, time.Minute, &mysqlsession.SetOptions{MustExist: true})
		},
	}
	if f.subject.MariaDB || f.subject.Text { // which refuse it
		calls = append(calls, func() error {
			return store.Set(ctx, cookie, missing, []byte("\xff"), 290*365*24*time.Hour, nil)
		})
	}
	stop := make(chan struct{})
	var group sync.WaitGroup
	for _, call := range calls {
		group.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					_ = call() // it is not there, or is refused
				}
			}
		})
	}
	f.Cleanup(func() {
		close(stop)
		group.Wait()
	})
}
