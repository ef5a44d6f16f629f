package gorillastore_test

import (
	"context"
	"encoding/gob"
	"math"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/sessions"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/mysqlsession/mysqlsession"
	gorillastore "github.com/mysqlsession/mysqlsession/adapters/gorilla"
)

func TestCookiesAreSafeUnlessTold(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		cookie := f.saved(t, nil)
		assert.Equal(t, "/", cookie.Path)
		assert.Equal(t, 30*24*60*60, cookie.MaxAge)
		assert.WithinDuration(t, time.Now().Add(30*24*time.Hour), cookie.Expires, time.Minute)
		assert.True(t, cookie.HttpOnly && cookie.Secure)
		assert.Equal(t, http.SameSiteLaxMode, cookie.SameSite)
		assert.Empty(t, cookie.Domain)

		f.Options = nil
		same := f.saved(t, nil)
		same.Value, same.Raw, same.Expires = cookie.Value, cookie.Raw, cookie.Expires
		assert.Equal(t, cookie, same)

		f.Options = &sessions.Options{Path: "/shop", Domain: "example.org", MaxAge: 7, SameSite: http.SameSiteStrictMode, Partitioned: true}
		cookie = f.saved(t, nil)
		assert.Equal(t, "/shop", cookie.Path)
		assert.Equal(t, "example.org", cookie.Domain)
		assert.Equal(t, 7, cookie.MaxAge)
		assert.False(t, cookie.HttpOnly || cookie.Secure)
		assert.True(t, cookie.Partitioned)
		assert.Equal(t, http.SameSiteStrictMode, cookie.SameSite)
	})
}

func TestOneSessionsOptionsAreItsOwn(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		session, r := f.session(t)
		session.Options.MaxAge = 90 * 24 * 60 * 60
		cookie := f.save(t, r, session)
		require.Equal(t, 90*24*60*60, cookie.MaxAge)
		f.lives(t, session.ID, 90*24*time.Hour)
		require.NotEqual(t, session.Options.MaxAge, f.Options.MaxAge)

		session.Options = nil
		require.Equal(t, f.Options.MaxAge, f.save(t, r, session).MaxAge)
	})
}

func TestEverySaveLetsTheSessionLiveForItsMaxAge(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		f.MaxAge(3600)
		cookie := f.saved(t, map[any]any{"user": "ada"})
		f.ahead.Store(int64(50 * time.Minute))
		cookie = f.saved(t, nil, cookie)
		f.ahead.Store(int64(100 * time.Minute))
		require.Equal(t, map[any]any{"user": "ada"}, f.values(t, cookie))
		f.ahead.Store(int64(120 * time.Minute))
		f.isNew(t, cookie)
	})
}

func TestMaxAge0IsACookieThatEndsWithTheBrowserAndARowThatEndsADayAfterTheLastSave(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		f.MaxAge(0)
		session, r := f.session(t)
		cookie := f.save(t, r, session)
		assert.Zero(t, cookie.MaxAge)
		assert.Zero(t, cookie.Expires)
		f.lives(t, session.ID, 24*time.Hour)
		f.BrowserTTL = 20 * time.Minute
		f.save(t, r, session)
		f.lives(t, session.ID, 20*time.Minute)
	})
}

func TestAMaxAgeBeyondTheServersDatesIsAnErrorOrTheLongestThatThereIs(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		f.MaxAge(math.MaxInt64/1_000_000_000*2 + 2) // in nanoseconds it would be less than a second again
		session, r := f.session(t)
		if err := session.Save(r, httptest.NewRecorder()); err != nil {
			require.ErrorIs(t, err, mysqlsession.ErrInvalidTTL)
			return
		}
		info, err := f.sessions.Inspect(t.Context(), session.ID)
		require.NoError(t, err)
		require.Greater(t, info.Expires.Year(), 2300)
	})
}

func TestANegativeMaxAgeEndsRowAndCookie(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		cookie := f.saved(t, map[any]any{"user": "ada"})
		session, r := f.session(t, cookie)
		session.Options.MaxAge = -1
		gone := f.save(t, r, session)
		assert.Negative(t, gone.MaxAge)
		assert.Empty(t, gone.Value)
		assert.Equal(t, "/", gone.Path)
		require.Zero(t, f.live(t))
		f.isNew(t, cookie)

		// Once more is no error, and what is saved then is another session.
		require.Empty(t, f.save(t, r, session).Value)
		session.Options.MaxAge = 60
		again := f.save(t, r, session)
		require.Equal(t, map[any]any{"user": "ada"}, f.values(t, again))
		f.isNew(t, cookie)
	})
}

func TestASignOutThatTheDatabaseDoesNotDoIsAnErrorAndLeavesTheCookie(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		cookie := f.saved(t, map[any]any{"user": "ada"})
		loaded, r := f.session(t, cookie)
		f.cutOff()
		notLoaded, err := f.New(r, name)
		require.ErrorIs(t, err, mysqlsession.ErrUnavailable)
		for _, session := range []*sessions.Session{loaded, notLoaded} {
			session.Options.MaxAge = -1
			w := httptest.NewRecorder()
			require.ErrorIs(t, session.Save(r, w), mysqlsession.ErrUnavailable)
			require.Empty(t, w.Result().Cookies())
		}
		f.mend(t)
		// Also one that could not be loaded can be ended.
		require.Empty(t, f.save(t, r, notLoaded).Value)
		f.isNew(t, cookie)
	})
}

func TestASessionThatCouldNotBeLoadedIsNotSaved(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		cookie := f.saved(t, map[any]any{"user": "ada"})
		f.cutOff()
		r := request(t, cookie)
		session, _ := f.Get(r, name) // as many programs do
		f.mend(t)
		session.Values["basket"] = 7
		w := httptest.NewRecorder()
		for _, err := range []error{session.Save(r, w), f.Rotate(r, w, session)} {
			require.ErrorIs(t, err, gorillastore.ErrNotLoaded)
			require.ErrorIs(t, err, mysqlsession.ErrUnavailable)
		}
		require.Empty(t, w.Result().Cookies())
		require.Equal(t, map[any]any{"user": "ada"}, f.values(t, cookie))
		require.Equal(t, 1, f.live(t))
	})
}

func TestASaveDoesNotBringBackASessionThatHasEnded(t *testing.T) {
	ends := map[string]func(t *testing.T, f *fixture, session *sessions.Session){
		"signed out": func(t *testing.T, f *fixture, session *sessions.Session) {
			require.NoError(t, f.sessions.Delete(t.Context(), name, session.ID))
		},
		"expired": func(_ *testing.T, f *fixture, _ *sessions.Session) { f.ahead.Add(int64(31 * 24 * time.Hour)) },
	}
	each(t, func(t *testing.T, f *fixture) {
		for how, end := range ends {
			cookie := f.saved(t, map[any]any{"user": "ada"})
			loaded, r := f.session(t, cookie)
			copied := *loaded
			emptied, _ := f.New(r, name)
			emptied.ID = ""
			made, savedBefore := f.session(t) // by a request that saves twice
			f.save(t, savedBefore, made)
			end(t, f, loaded)
			end(t, f, made)
			for _, session := range []*sessions.Session{loaded, &copied, emptied, made} {
				w := httptest.NewRecorder()
				id := session.ID
				require.ErrorIs(t, session.Save(r, w), mysqlsession.ErrNotFound, how)
				require.ErrorIs(t, f.Rotate(r, w, session), mysqlsession.ErrNotFound, how)
				require.Empty(t, w.Result().Cookies())
				require.Equal(t, id, session.ID)
			}
			require.Zero(t, f.live(t))
			f.isNew(t, cookie)
		}
	})
}

func TestRotateGivesANewIDAndEndsTheOldOne(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		// With an ID that the program has emptied, Save does the same.
		for _, rotate := range []func(r *http.Request, w http.ResponseWriter, session *sessions.Session) error{
			f.Rotate,
			func(r *http.Request, w http.ResponseWriter, session *sessions.Session) error {
				session.ID = ""
				return session.Save(r, w)
			},
		} {
			cookie := f.saved(t, map[any]any{"basket": 7})
			before := f.live(t)
			session, r := f.session(t, cookie)
			old := session.ID
			session.Values["user"] = "ada"
			w := httptest.NewRecorder()
			require.NoError(t, rotate(r, w, session))
			require.NotEqual(t, old, session.ID)
			require.Len(t, session.ID, 43)
			require.Equal(t, before, f.live(t))
			f.isNew(t, cookie)
			rotated := onlyCookie(t, w)
			require.Equal(t, map[any]any{"basket": 7, "user": "ada"}, f.values(t, rotated))

			// Later saves in the same request are of the new one, and so is the sign-out.
			session.Values["seen"] = true
			require.NoError(t, session.Save(r, httptest.NewRecorder()))
			require.Equal(t, map[any]any{"basket": 7, "user": "ada", "seen": true}, f.values(t, rotated))
			session.Options.MaxAge = -1
			require.NoError(t, f.Rotate(r, httptest.NewRecorder(), session))
			f.isNew(t, rotated)
		}
	})
}

func TestRotateOfASessionThatWasNeverSavedSavesIt(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		session, r := f.session(t)
		session.Values["user"], session.Options = "ada", nil
		w := httptest.NewRecorder()
		require.NoError(t, f.Rotate(r, w, session))
		require.Equal(t, map[any]any{"user": "ada"}, f.values(t, onlyCookie(t, w)))
	})
}

func TestARotatedIDCanBeUsedForStaleTTL(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		f.StaleTTL = 10 * time.Second
		cookie := f.saved(t, map[any]any{"basket": 7})
		session, r := f.session(t, cookie)
		require.NoError(t, f.Rotate(r, httptest.NewRecorder(), session))
		require.Equal(t, map[any]any{"basket": 7}, f.values(t, cookie))
		f.ahead.Store(int64(12 * time.Second))
		f.isNew(t, cookie)
	})
}

func TestAnIDOfTheProgramsOwnMustBeOneThatCannotBeGuessed(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		session, r := f.session(t)
		for _, id := range []string{"17", strings.Repeat("A", 44), strings.Repeat("!", 43)} {
			session.ID = id
			w := httptest.NewRecorder()
			require.ErrorIs(t, session.Save(r, w), mysqlsession.ErrInvalidKey)
			require.Empty(t, w.Result().Cookies())
		}
		session.ID = strings.Repeat("A", 43)
		cookie := f.save(t, r, session)
		again, r := f.session(t, cookie)
		again.ID = strings.Repeat("E", 43)
		f.save(t, r, again)
		f.isNew(t, cookie)
		require.Equal(t, 1, f.live(t))

		// A sign-out ends what was loaded, and what the program says it is.
		again.ID = strings.Repeat("I", 43)
		require.NoError(t, f.sessions.Set(t.Context(), name, again.ID, nil, time.Hour, nil))
		again.Options.MaxAge = -1
		f.save(t, r, again)
		require.Zero(t, f.live(t))
	})
}

func TestASaveEndsWithItsRequestsContext(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		session, r := f.session(t)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		w := httptest.NewRecorder()
		require.ErrorIs(t, session.Save(r.WithContext(ctx), w), context.Canceled)
		require.Empty(t, w.Result().Cookies())
		require.Empty(t, session.ID)
		require.Zero(t, f.live(t))
	})
}

// A browser that leaves the page takes its request back: the sign-out was lost with it.
func TestAVisitorWhoHasGoneHasSignedOutAllTheSame(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		session, r := f.session(t, f.saved(t, map[any]any{"user": "ada"}))
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		session.Options.MaxAge = -1
		require.NoError(t, session.Save(r.WithContext(ctx), httptest.NewRecorder()))
		require.Zero(t, f.live(t))
	})
}

func TestANameThatCannotBeACookiesIsRefused(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		r := request(t)
		_, err := f.Get(r, "a b")
		require.Error(t, err)
		session, err := f.New(r, "a b")
		require.NoError(t, err)
		require.Error(t, session.Save(r, httptest.NewRecorder()))
		require.Zero(t, f.live(t))
	})
}

func TestALargeValueIsStoredUpToTheStoresLimit(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		text := strings.Repeat("x", 1_000_000)
		cookie := f.saved(t, map[any]any{"text": text})
		require.Equal(t, map[any]any{"text": text}, f.values(t, cookie))
		session, r := f.session(t, cookie)
		session.Values["more"] = text
		w := httptest.NewRecorder()
		require.ErrorIs(t, session.Save(r, w), mysqlsession.ErrValueTooLarge)
		require.Empty(t, w.Result().Cookies())
		require.Equal(t, map[any]any{"text": text}, f.values(t, cookie))
	})
}

func TestWhatASessionCannotHoldIsAnErrorAndNothingIsStored(t *testing.T) {
	type unregistered struct{ A int }
	each(t, func(t *testing.T, f *fixture) {
		for value, serializer := range map[any]gorillastore.Serializer{
			unregistered{}: nil, 1: gorillastore.JSONSerializer{}, "a": gorillastore.JSONSerializer{},
		} {
			f.Serializer = serializer
			session, r := f.session(t)
			session.Values[value] = value
			if value == "a" {
				session.Values[value] = func() {}
			}
			w := httptest.NewRecorder()
			require.Error(t, session.Save(r, w))
			require.Empty(t, w.Result().Cookies())
			require.Empty(t, session.ID)
		}
		require.Zero(t, f.live(t))
	})
}

type registered struct{ Name string }

func TestASerializerKeepsValuesAndFlashes(t *testing.T) {
	gob.Register(registered{})
	each(t, func(t *testing.T, f *fixture) {
		for serializer, number := range map[gorillastore.Serializer]any{
			nil: 7, gorillastore.GobSerializer{}: 7, gorillastore.JSONSerializer{}: 7.0,
		} {
			f.Serializer = serializer
			session, r := f.session(t)
			session.Values["number"] = 7
			if number == 7 {
				session.Values["struct"] = registered{"ada"}
			}
			session.AddFlash("saved")
			session.AddFlash("twice")
			session.AddFlash("careful", "warnings")
			cookie := f.save(t, r, session)

			session, r = f.session(t, cookie)
			require.Equal(t, number, session.Values["number"])
			if number == 7 {
				require.Equal(t, registered{"ada"}, session.Values["struct"])
			}
			require.Equal(t, []any{"saved", "twice"}, session.Flashes())
			require.Equal(t, []any{"careful"}, session.Flashes("warnings"))
			f.save(t, r, session)
			session, _ = f.session(t, cookie)
			require.Empty(t, session.Flashes())
		}
	})
}

func TestValuesThatCannotBeReadAreAnErrorAndStayUntilTheSessionIsEnded(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		cookie := f.saved(t, map[any]any{"user": "ada"})
		f.Serializer = gorillastore.JSONSerializer{}
		r := request(t, cookie)
		session, err := f.Get(r, name)
		require.ErrorIs(t, err, gorillastore.ErrValues)
		require.True(t, session.IsNew)
		require.Empty(t, session.Values)
		require.ErrorIs(t, session.Save(r, httptest.NewRecorder()), gorillastore.ErrValues)

		f.Serializer = nil
		require.Equal(t, map[any]any{"user": "ada"}, f.values(t, cookie))
		session.Options.MaxAge = -1
		f.save(t, r, session)
		f.isNew(t, cookie)
		session.Options.MaxAge = 60
		f.save(t, r, session)
		require.Equal(t, 1, f.live(t))
	})
}

func TestMetadataSaysWhoseASessionIsAndEndsAllOfSomebodys(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		f.Metadata = whose
		count := func(user string) int {
			found, err := f.sessions.ReadMetadata(t.Context(), name, "web", user)
			require.NoError(t, err)
			return len(found)
		}
		phone, desk := f.saved(t, map[any]any{"user": "ada"}), f.saved(t, nil)
		grace := f.saved(t, map[any]any{"user": "grace"})
		require.Equal(t, 1, count("ada"))
		desk = f.saved(t, map[any]any{"user": "ada"}, desk) // signs in without a new id
		require.Equal(t, 2, count("ada"))

		session, r := f.session(t, phone)
		w := httptest.NewRecorder()
		require.NoError(t, f.Rotate(r, w, session))
		require.Equal(t, 2, count("ada"))
		phone = f.saved(t, map[any]any{"seen": true}, onlyCookie(t, w))
		require.Equal(t, 2, count("ada"))

		late, r := f.session(t, desk)
		ended, err := f.sessions.DeleteSubject(t.Context(), name, "web", "ada")
		require.NoError(t, err)
		require.EqualValues(t, 2, ended)
		require.ErrorIs(t, late.Save(r, httptest.NewRecorder()), mysqlsession.ErrNotFound)
		f.isNew(t, phone)
		f.isNew(t, desk)
		require.Equal(t, map[any]any{"user": "grace"}, f.values(t, grace))
	})
}

func TestTheStoreForgetsSessionsThatNobodyHolds(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		cookie := f.saved(t, nil)
		for range 20 {
			f.saved(t, nil, cookie)
		}
		held, _ := f.session(t, cookie)
		require.Eventually(t, func() bool {
			runtime.GC()
			return f.Known() == 1
		}, 10*time.Second, time.Millisecond)
		runtime.KeepAlive(held)
	})
}

func TestASubjectHasNoMoreSessionsThanItMay(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		f.Metadata, f.MaxPerSubject = whose, 2
		signIn := func(user string, maxAge int) *http.Cookie {
			session, r := f.session(t)
			session.Values["user"], session.Options.MaxAge = user, maxAge
			return f.save(t, r, session)
		}
		grace, nobody := signIn("grace", 50), f.saved(t, nil)
		first, second := signIn("ada", 100), signIn("ada", 200)
		f.saved(t, map[any]any{"seen": true}, second) // is no sign-in
		f.values(t, first)
		third := signIn("ada", 300)
		f.isNew(t, first)

		// A sign-in without a new id counts, and a new id without a sign-in does not.
		fourth := f.saved(t, map[any]any{"user": "ada"}, nobody)
		f.isNew(t, third)
		session, r := f.session(t, fourth)
		require.NoError(t, f.Rotate(r, httptest.NewRecorder(), session))
		for _, cookie := range []*http.Cookie{second, grace} {
			f.values(t, cookie)
		}
	})
}
