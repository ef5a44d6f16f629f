package scsstore_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/alexedwards/scs/v2"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/mysqlsession/mysqlsession"
	scsstore "github.com/mysqlsession/mysqlsession/adapters/scs"
	"github.com/mysqlsession/mysqlsession/internal/dbtest"
)

// form is a way of calling a store: with a context, or without.
type form struct {
	name    string
	find    func(token string) ([]byte, bool, error)
	commit  func(token string, data []byte, expiry time.Time) error
	discard func(token string) error
	all     func() (map[string][]byte, error)
}

func forms(ctx context.Context, s interface {
	scs.CtxStore
	scs.IterableStore
	scs.IterableCtxStore
}) []form {
	return []form{
		{"without context", s.Find, s.Commit, s.Delete, s.All},
		{
			"with context",
			func(token string) ([]byte, bool, error) { return s.FindCtx(ctx, token) },
			func(token string, data []byte, expiry time.Time) error { return s.CommitCtx(ctx, token, data, expiry) },
			func(token string) error { return s.DeleteCtx(ctx, token) },
			func() (map[string][]byte, error) { return s.AllCtx(ctx) },
		},
	}
}

// eachForm runs body on every server, for stores with and without HashKeys, in both forms,
// each on tables of its own.
func eachForm(t *testing.T, opts scsstore.Options, body func(t *testing.T, f form, store *mysqlsession.Store)) {
	t.Helper()
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		for _, hashed := range []bool{false, true} {
			for i, name := range []string{"without context", "with context"} {
				if hashed {
					name += ", hashed"
				}
				t.Run(name, func(t *testing.T) {
					cfg := server.NewDatabase(t)
					cfg.HashKeys = hashed
					store := open(t, cfg)
					body(t, forms(t.Context(), scsstore.NewWithOptions(store, opts))[i], store)
				})
			}
		}
	})
}

func (f form) holds(t *testing.T, token, data string) {
	t.Helper()
	got, found, err := f.find(token)
	require.NoError(t, err)
	require.True(t, found)
	require.Equal(t, data, string(got))
}

func (f form) lacks(t *testing.T, token string) {
	t.Helper()
	got, found, err := f.find(token)
	require.NoError(t, err)
	require.False(t, found)
	require.Nil(t, got)
}

func soon() time.Time { return time.Now().Add(time.Minute) }

func TestACommittedSessionIsFoundUntilItIsDeleted(t *testing.T) {
	eachForm(t, scsstore.Options{}, func(t *testing.T, f form, _ *mysqlsession.Store) {
		one, other := token(), token()
		require.NoError(t, f.commit(one, []byte("one"), soon()))
		require.NoError(t, f.commit(other, []byte{0, 0xff, '\''}, soon()))
		f.holds(t, one, "one")
		f.holds(t, other, "\x00\xff'")
		require.NoError(t, f.discard(one))
		f.lacks(t, one)
		f.holds(t, other, "\x00\xff'")
	})
}

func TestACommitOverwritesDataAndExpiry(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		cfg := server.NewDatabase(t)
		ahead := clockAhead(&cfg)
		for _, f := range forms(t.Context(), scsstore.New(open(t, cfg))) {
			id := token()
			ahead.Store(0)
			require.NoError(t, f.commit(id, []byte("first"), time.Now().Add(time.Hour)))
			require.NoError(t, f.commit(id, []byte("second"), time.Now().Add(time.Minute)), f.name)
			f.holds(t, id, "second")
			ahead.Store(int64(2 * time.Minute))
			f.lacks(t, id)
		}
	})
}

// clockAhead has the store's clock go ahead of the real one by what is stored.
func clockAhead(cfg *mysqlsession.Config) *atomic.Int64 {
	ahead := new(atomic.Int64)
	cfg.Clock = func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
	return ahead
}

func TestASessionOfNoDataIsFound(t *testing.T) {
	eachForm(t, scsstore.Options{}, func(t *testing.T, f form, _ *mysqlsession.Store) {
		for _, data := range [][]byte{nil, {}} {
			id := token()
			require.NoError(t, f.commit(id, data, soon()))
			got, found, err := f.find(id)
			require.NoError(t, err)
			require.True(t, found)
			require.Empty(t, got)
		}
	})
}

func TestWhatIsMissingOrMalformedIsNotFoundAndNoError(t *testing.T) {
	eachForm(t, scsstore.Options{}, func(t *testing.T, f form, _ *mysqlsession.Store) {
		id := token()
		require.NoError(t, f.commit(id, []byte("data"), soon()))
		for _, other := range []string{
			token(), "", "x", id[1:], id + "A", strings.ToLower(id), id + " ", " " + id, "a b", "é", "\x00", "%", "_",
			strings.Repeat("A", 5000), "stored:", "stored:" + id, "' OR 1=1 -- ",
		} {
			f.lacks(t, other)
			require.NoError(t, f.discard(other), "%q", other)
		}
		f.holds(t, id, "data")
	})
}

func TestASessionLivesAsLongAsItIsToldAndAtMostTwoSecondsLonger(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		cfg := server.NewDatabase(t)
		var now atomic.Pointer[time.Time]
		cfg.Clock = func() time.Time {
			if stopped := now.Load(); stopped != nil {
				return *stopped
			}
			return time.Now()
		}
		s := scsstore.New(open(t, cfg))
		for _, life := range []time.Duration{time.Millisecond * 500, time.Second, 90*time.Second + 1, 2*time.Minute - 1} {
			id, expiry := token(), time.Now().Add(life)
			now.Store(nil)
			require.NoError(t, s.CommitCtx(t.Context(), id, []byte("data"), expiry))
			now.Store(&expiry)
			_, found, err := s.FindCtx(t.Context(), id)
			require.NoError(t, err)
			require.True(t, found, "at its very end, after %v", life)
			after := expiry.Add(2 * time.Second)
			now.Store(&after)
			_, found, err = s.FindCtx(t.Context(), id)
			require.NoError(t, err)
			require.False(t, found, "two seconds after %v", life)
		}
	})
}

func TestACommitWithAnExpiryThatIsPastLeavesNothing(t *testing.T) {
	eachForm(t, scsstore.Options{}, func(t *testing.T, f form, store *mysqlsession.Store) {
		for _, expiry := range []time.Time{{}, time.Unix(0, 0), time.Now().Add(-time.Hour), time.Now()} {
			known, unknown := token(), token()
			require.NoError(t, f.commit(known, []byte("data"), soon()))
			for _, id := range []string{known, unknown} {
				require.NoError(t, f.commit(id, []byte("data"), expiry))
				f.lacks(t, id)
			}
		}
		deleted, err := store.DeleteAll(t.Context(), "session")
		require.NoError(t, err)
		require.Zero(t, deleted, "rows")
	})
}

func TestAnExpiryThatTheServerCannotHoldIsAnError(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		s := scsstore.New(open(t, server.NewDatabase(t)))
		err := s.CommitCtx(t.Context(), token(), []byte("data"), time.Date(2300, 1, 1, 0, 0, 0, 0, time.UTC))
		if server.MariaDB() {
			require.ErrorIs(t, err, mysqlsession.ErrInvalidTTL)
		} else {
			require.NoError(t, err)
		}
	})
}

func TestAllIsWhatIsLiveUnderTheNameAndNeverNil(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		cfg := server.NewDatabase(t)
		ahead := clockAhead(&cfg)
		store := open(t, cfg)
		other := scsstore.NewWithOptions(store, scsstore.Options{Name: "other"})
		require.NoError(t, other.Commit(token(), []byte("another name's"), time.Now().Add(time.Hour)))
		for _, f := range forms(t.Context(), scsstore.New(store)) {
			all, err := f.all()
			require.NoError(t, err)
			require.NotNil(t, all)
			require.Empty(t, all)
		}
		want := map[string][]byte{}
		s := scsstore.New(store)
		require.NoError(t, s.Commit(token(), []byte("short"), soon()))
		for range 20 {
			id := token()
			want[id] = []byte("data of " + id)
			require.NoError(t, s.Commit(id, want[id], time.Now().Add(time.Hour)))
		}
		ahead.Store(int64(5 * time.Minute))
		for _, f := range forms(t.Context(), s) {
			all, err := f.all()
			require.NoError(t, err)
			require.Equal(t, want, all)
			for id, data := range all {
				f.holds(t, id, string(data))
			}
		}
	})
}

func TestAValueThatIsTooLargeToReadIsNotPassedOverInSilence(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		cfg := server.NewDatabase(t)
		large, small := token(), token()
		require.NoError(t, scsstore.New(open(t, cfg)).Commit(large, make([]byte, 5000), soon()))
		cfg.MaxPacketSize = 1 << 10
		for _, f := range forms(t.Context(), scsstore.New(open(t, cfg))) {
			require.NoError(t, f.commit(small, []byte("data"), soon()))
			all, err := f.all()
			require.ErrorIs(t, err, mysqlsession.ErrPacketTooLarge)
			require.Equal(t, map[string][]byte{small: []byte("data")}, all)
			_, _, err = f.find(large)
			require.ErrorIs(t, err, mysqlsession.ErrPacketTooLarge)
			require.ErrorIs(t, f.commit(small, make([]byte, 5000), soon()), mysqlsession.ErrValueTooLarge)
		}
	})
}

func TestEveryErrorOfTheDatabaseIsReturned(t *testing.T) {
	eachForm(t, scsstore.Options{}, func(t *testing.T, f form, store *mysqlsession.Store) {
		id := token()
		require.NoError(t, f.commit(id, []byte("data"), soon()))
		require.NoError(t, store.Close())
		_, found, err := f.find(id)
		require.False(t, found)
		require.ErrorIs(t, err, mysqlsession.ErrClosed)
		require.ErrorIs(t, f.commit(id, []byte("data"), soon()), mysqlsession.ErrClosed)
		require.ErrorIs(t, f.commit(id, []byte("data"), time.Time{}), mysqlsession.ErrClosed)
		require.ErrorIs(t, f.discard(id), mysqlsession.ErrClosed)
		all, err := f.all()
		require.ErrorIs(t, err, mysqlsession.ErrClosed)
		require.NotNil(t, all)
	})
	eachForm(t, scsstore.Options{Name: strings.Repeat("n", 256)}, func(t *testing.T, f form, _ *mysqlsession.Store) {
		_, _, err := f.find(token())
		require.ErrorIs(t, err, mysqlsession.ErrInvalidName)
		require.ErrorIs(t, f.commit(token(), nil, soon()), mysqlsession.ErrInvalidName)
		require.ErrorIs(t, f.discard(token()), mysqlsession.ErrInvalidName)
		_, err = f.all()
		require.ErrorIs(t, err, mysqlsession.ErrInvalidName)
	})
}

func TestAMissingTableIsAnErrorAndNobodyIsSignedOut(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		store, err := mysqlsession.Open(t.Context(), server.NewDatabase(t))
		require.NoError(t, err)
		t.Cleanup(func() { assert.NoError(t, store.Close()) })
		for _, f := range forms(t.Context(), scsstore.New(store)) {
			_, _, err := f.find(token())
			require.ErrorIs(t, err, mysqlsession.ErrSchema)
			require.ErrorIs(t, f.commit(token(), nil, soon()), mysqlsession.ErrSchema)
			require.ErrorIs(t, f.discard(token()), mysqlsession.ErrSchema)
			_, err = f.all()
			require.ErrorIs(t, err, mysqlsession.ErrSchema)
		}
	})
}

func TestTheContextEndsACallAndATimeLimitOneWithoutContext(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		cfg := server.NewDatabase(t)
		cfg.PoolSize = 1
		store := open(t, cfg)
		s := scsstore.NewWithOptions(store, scsstore.Options{Timeout: 30 * time.Millisecond})
		require.NoError(t, scsstore.New(store).Commit("warm", nil, soon()))
		held, err := store.Pool().Acquire(t.Context())
		require.NoError(t, err)
		defer held.Release()
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		for _, f := range forms(ctx, s) {
			want := context.Canceled
			if f.name == "without context" {
				want = context.DeadlineExceeded
			}
			_, _, err := f.find(token())
			require.ErrorIs(t, err, want)
			require.ErrorIs(t, f.commit(token(), nil, soon()), want)
			require.ErrorIs(t, f.discard(token()), want)
			_, err = f.all()
			require.ErrorIs(t, err, want)
		}
	})
}

func TestWithoutATimeLimitTheStoresOwnHolds(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		cfg := server.NewDatabase(t)
		cfg.PoolSize, cfg.ConnectTimeout = 1, 300*time.Millisecond
		store := open(t, cfg)
		held, err := store.Pool().Acquire(t.Context())
		require.NoError(t, err)
		defer held.Release()
		_, _, err = scsstore.NewWithOptions(store, scsstore.Options{Timeout: -1}).Find(token())
		require.ErrorIs(t, err, mysqlsession.ErrAcquireTimeout)
	})
}

func TestMetadataComesFromWhatIsSaved(t *testing.T) {
	undecided := errors.New("no")
	opts := scsstore.Options{Metadata: func(data []byte) ([]mysqlsession.Metadata, error) {
		switch string(data) {
		case "":
			return nil, nil
		case "bad":
			return nil, undecided
		}
		return []mysqlsession.Metadata{{Audience: "web", Subject: string(data)}}, nil
	}}
	eachForm(t, opts, func(t *testing.T, f form, store *mysqlsession.Store) {
		ada, grace, nobody := token(), token(), token()
		require.NoError(t, f.commit(ada, []byte("ada"), soon()))
		require.NoError(t, f.commit(ada, []byte("ada"), soon()))
		require.NoError(t, f.commit(grace, []byte("grace"), soon()))
		require.NoError(t, f.commit(nobody, nil, soon()))
		require.ErrorIs(t, f.commit(nobody, []byte("bad"), soon()), undecided)
		sessions, err := store.ReadMetadata(t.Context(), "session", "web", "ada")
		require.NoError(t, err)
		require.Len(t, sessions, 1)

		deleted, err := store.DeleteSubject(t.Context(), "session", "web", "ada")
		require.NoError(t, err)
		require.EqualValues(t, 1, deleted)
		require.ErrorIs(t, f.commit(ada, []byte("ada"), soon()), mysqlsession.ErrNotFound)
		f.lacks(t, ada)
		f.holds(t, grace, "grace")
		f.holds(t, nobody, "")
	})
}

func TestASubjectHasNoMoreSessionsThanItMay(t *testing.T) {
	opts := scsstore.Options{
		Metadata: func(data []byte) ([]mysqlsession.Metadata, error) {
			if len(data) == 0 {
				return nil, nil
			}
			return []mysqlsession.Metadata{{Audience: "web", Subject: string(data)}}, nil
		},
		MaxPerSubject: 2,
	}
	eachForm(t, opts, func(t *testing.T, f form, _ *mysqlsession.Store) {
		first, second, third, grace := token(), token(), token(), token()
		require.NoError(t, f.commit(grace, []byte("grace"), soon()))
		require.NoError(t, f.commit(token(), nil, soon()))
		require.NoError(t, f.commit(second, []byte("ada"), soon().Add(time.Hour)))
		require.NoError(t, f.commit(first, []byte("ada"), soon()))
		require.NoError(t, f.commit(first, []byte("ada"), soon())) // once more is no sign-in
		f.holds(t, second, "ada")
		require.NoError(t, f.commit(third, []byte("ada"), soon().Add(time.Hour)))
		f.lacks(t, first)
		f.holds(t, second, "ada")
		f.holds(t, third, "ada")
		f.holds(t, grace, "grace")
	})
}
