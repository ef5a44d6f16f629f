package gorillastore_test

import (
	"context"
	"encoding/base64"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/gorilla/securecookie"
	"github.com/gorilla/sessions"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/mysqlsession/mysqlsession"
	gorillastore "github.com/mysqlsession/mysqlsession/adapters/gorilla"
)

func TestGetReturnsTheSameSessionForTheWholeRequest(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		r := request(t)
		first, err := f.Get(r, name)
		require.NoError(t, err)
		first.Values["a"] = 1
		again, err := f.Get(r, name)
		require.NoError(t, err)
		require.Same(t, first, again)
		require.Same(t, f.Store, first.Store())
		require.Equal(t, name, first.Name())

		other, err := f.New(r, name)
		require.NoError(t, err)
		require.NotSame(t, first, other)
		require.Empty(t, other.Values)
	})
}

func TestASessionThatWasSavedIsReadByTheNextRequest(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		session, r := f.session(t)
		require.True(t, session.IsNew)
		require.Empty(t, session.ID)
		session.Values["user"], session.Values[7] = "ada", []byte{0, 255}
		cookie := f.save(t, r, session)
		require.Len(t, session.ID, 43)

		again, _ := f.session(t, cookie)
		require.False(t, again.IsNew)
		require.Equal(t, session.ID, again.ID)
		require.Equal(t, map[any]any{"user": "ada", 7: []byte{0, 255}}, again.Values)
	})
}

func TestASessionIsTheCookiesOfItsOwnNameAlone(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		r := request(t)
		for _, name := range []string{"basket", "login"} {
			session, err := f.Get(r, name)
			require.NoError(t, err)
			session.Values["name"] = name
		}
		w := httptest.NewRecorder()
		require.NoError(t, sessions.Save(r, w))
		cookies := w.Result().Cookies()
		require.Len(t, cookies, 2)
		r = request(t, cookies...)
		for _, name := range []string{"basket", "login"} {
			session, err := f.Get(r, name)
			require.NoError(t, err)
			require.Equal(t, map[any]any{"name": name}, session.Values)
		}

		// One cookie's value under the other's name.
		cookies[0].Name, cookies[1].Name = cookies[1].Name, cookies[0].Name
		r = request(t, cookies...)
		for _, cookie := range cookies {
			session, err := f.Get(r, cookie.Name)
			require.ErrorIs(t, err, gorillastore.ErrCookie)
			require.True(t, session.IsNew)
		}
	})
}

func TestACookieThatCannotBeReadComesWithANewSessionThatCanBeSaved(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		good := f.saved(t, map[any]any{"user": "ada"})
		forged := gorillastore.New(f.sessions, []byte(strings.Repeat("x", 32)))
		otherKey, err := securecookie.EncodeMulti(name, strings.Repeat("A", 43), forged.Codecs...)
		require.NoError(t, err)
		values, err := securecookie.EncodeMulti(name, map[any]any{"user": "ada"}, f.Codecs...)
		require.NoError(t, err)
		for what, value := range map[string]string{
			"empty": "", "no base64": "%", "too long": strings.Repeat("A", 5000), "changed": good.Value[:len(good.Value)-4] + "AAAA",
			"cut": good.Value[:20], "another key's": otherKey, "of gorilla's CookieStore": values,
		} {
			t.Run(what, func(t *testing.T) {
				r := request(t, &http.Cookie{Name: name, Value: value})
				session, err := f.Get(r, name)
				require.ErrorIs(t, err, gorillastore.ErrCookie)
				asked, ok := err.(securecookie.Error) // as programs do
				require.True(t, ok)
				assert.True(t, asked.IsDecode())
				assert.False(t, asked.IsUsage() || asked.IsInternal())
				require.Error(t, asked.Cause())
				require.True(t, session.IsNew)
				require.Empty(t, session.ID)
				session.Values["user"] = "grace"
				require.Equal(t, map[any]any{"user": "grace"}, f.values(t, f.save(t, r, session)))
			})
		}
	})
}

func TestACookieIsReadHoweverOldItIs(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		session, r := f.session(t)
		f.save(t, r, session)
		for _, age := range []int{60, 0} {
			f.MaxAge(age)
			var old http.Cookie
			// There it is the year 2000.
			synctest.Test(t, func(t *testing.T) {
				value, err := securecookie.EncodeMulti(name, session.ID, f.Codecs...)
				require.NoError(t, err)
				old = http.Cookie{Name: name, Value: value}
			})
			again, _ := f.session(t, &old)
			require.Equal(t, session.ID, again.ID)
		}
	})
}

func TestAnIDThatThisStoreDoesNotMakeIsNoSession(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		// As other stores have them; they sign with the same keys.
		for _, id := range []string{"", "17", strings.Repeat("A", 52), strings.Repeat("/", 43), strings.Repeat("A", 42) + "B", "é", "a b"} {
			if id != "" && len(id) <= 43 {
				_ = f.sessions.Set(t.Context(), name, id, []byte("x"), 1e12, nil) // some are refused there too
			}
			value, err := securecookie.EncodeMulti(name, id, f.Codecs...)
			require.NoError(t, err)
			f.isNew(t, &http.Cookie{Name: name, Value: value})
		}
	})
}

func TestCookiesSignedWithAnEarlierKeyAreReadUntilItIsTakenAway(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		earlier := f.saved(t, map[any]any{"user": "ada"})
		key := []byte(strings.Repeat("n", 64))

		f.Store = gorillastore.New(f.sessions, key, nil, signingKey, encryptionKey)
		require.Equal(t, map[any]any{"user": "ada"}, f.values(t, earlier))
		later := f.saved(t, map[any]any{"visits": 2}, earlier)

		f.Store = gorillastore.New(f.sessions, key)
		require.Equal(t, map[any]any{"user": "ada", "visits": 2}, f.values(t, later))
		session, err := f.Get(request(t, earlier), name)
		require.ErrorIs(t, err, gorillastore.ErrCookie)
		require.True(t, session.IsNew)
	})
}

func TestTheCookieHoldsTheIDAloneAndNotReadablyWhereThereIsAKeyForThat(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		read := func(cookie *http.Cookie) string {
			raw, err := base64.URLEncoding.DecodeString(cookie.Value)
			require.NoError(t, err)
			inner, err := base64.URLEncoding.DecodeString(strings.Split(string(raw), "|")[1])
			require.NoError(t, err)
			return string(inner)
		}
		session, r := f.session(t)
		session.Values["secret"] = strings.Repeat("of-the-server", 1000)
		cookie := f.save(t, r, session)
		require.NotContains(t, read(cookie), session.ID)
		require.Less(t, len(cookie.Value), 300)

		f.Store = gorillastore.New(f.sessions, signingKey)
		session, r = f.session(t)
		session.Values["secret"] = "of-the-server"
		cookie = f.save(t, r, session)
		require.Contains(t, read(cookie), session.ID)
		require.NotContains(t, read(cookie), "of-the-server")
	})
}

func TestNewIsNeverNilAndSaysWhatFailed(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		cookie := f.saved(t, map[any]any{"user": "ada"})
		fails := func(ctx context.Context, want error) {
			session, err := f.New(request(t, cookie).WithContext(ctx), name)
			require.ErrorIs(t, err, want)
			require.NotErrorIs(t, err, gorillastore.ErrCookie)
			require.NotNil(t, session)
			require.True(t, session.IsNew)
			require.Empty(t, session.Values)
		}
		done, cancel := context.WithCancel(t.Context())
		cancel()
		fails(done, context.Canceled)
		f.cutOff()
		fails(t.Context(), mysqlsession.ErrUnavailable)
		f.mend(t)
		require.NoError(t, f.sessions.Close())
		fails(t.Context(), mysqlsession.ErrClosed)
	})
}

func TestAStoreWithoutAKeyThatCanBeUsedSaysThatItIsNotTheVisitorsFault(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		cookie := f.saved(t, nil)
		for what, keys := range map[string][][]byte{"none": nil, "an empty one": {{}}, "a bad length": {signingKey, []byte("short")}} {
			f.Store = gorillastore.New(f.sessions, keys...)
			r := request(t, cookie)
			session, err := f.Get(r, name)
			require.Error(t, err, what)
			require.NotErrorIs(t, err, gorillastore.ErrCookie, what)
			w := httptest.NewRecorder()
			require.Error(t, session.Save(r, w), what)
			require.Empty(t, w.Result().Cookies(), what)
		}
		require.Equal(t, 1, f.live(t))

		// One that can be used is enough.
		f.Store = gorillastore.New(f.sessions, signingKey, encryptionKey, signingKey, []byte("short"))
		f.values(t, cookie)
		cookie.Value = "x"
		_, err := f.Get(request(t, cookie), name)
		require.ErrorIs(t, err, gorillastore.ErrCookie)
	})
}

func TestAnIDIsStoredByItsHashWhereTheStoreDoesSo(t *testing.T) {
	eachWith(t, func(cfg *mysqlsession.Config) { cfg.HashKeys = true }, func(t *testing.T, f *fixture) {
		cookie := f.saved(t, map[any]any{"user": "ada"})
		session, r := f.session(t, cookie)
		require.Equal(t, "ada", session.Values["user"])
		w := httptest.NewRecorder()
		require.NoError(t, f.Rotate(r, w, session))
		f.isNew(t, cookie)
		require.Equal(t, map[any]any{"user": "ada"}, f.values(t, onlyCookie(t, w)))
	})
}
