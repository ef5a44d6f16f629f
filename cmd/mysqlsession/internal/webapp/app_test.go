package webapp

import (
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/mysqlsession/mysqlsession"
)

const (
	firefox = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
	iPhone  = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Mobile/15E148 Safari/604.1"
)

// site is the application on a store in memory.
type site struct {
	store   *memory
	handler http.Handler
}

func newSite() *site {
	store := newMemory()
	return &site{store, New(store, "a database for tests", slog.New(slog.DiscardHandler))}
}

// browser is a visitor: a cookie jar and a name.
type browser struct {
	t     *testing.T
	site  *site
	agent string
	jar   http.CookieJar
}

func (s *site) browser(t *testing.T, agent string) *browser {
	jar, err := cookiejar.New(nil)
	require.NoError(t, err)
	return &browser{t: t, site: s, agent: agent, jar: jar}
}

var origin = &url.URL{Scheme: "http", Host: "demo.example", Path: "/"}

// answer is a response that has been read.
type answer struct {
	status int
	header http.Header
	body   string
}

// send sends one request and does not follow where it leads.
func (b *browser) send(method, target string, form url.Values, changes ...func(*http.Request)) answer {
	b.t.Helper()
	var body io.Reader
	if form != nil {
		body = strings.NewReader(form.Encode())
	}
	r := httptest.NewRequest(method, "http://demo.example"+target, body)
	r.Header.Set("User-Agent", b.agent)
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Origin", "http://demo.example")
		r.Header.Set("Sec-Fetch-Site", "same-origin")
	}
	for _, cookie := range b.jar.Cookies(origin) {
		r.AddCookie(cookie)
	}
	for _, change := range changes {
		change(r)
	}
	w := httptest.NewRecorder()
	b.site.handler.ServeHTTP(w, r)
	b.jar.SetCookies(origin, w.Result().Cookies())
	a := answer{w.Code, w.Header(), w.Body.String()}
	for _, key := range b.site.store.keys() {
		assert.NotContains(b.t, a.body, key, "a session id is on the page")
	}
	return a
}

func (m *memory) keys() []string {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	var keys []string
	for key := range m.sessions {
		keys = append(keys, key)
	}
	return keys
}

func (b *browser) look() answer { b.t.Helper(); return b.send("GET", "/", nil) }

// post sends a form, expects to be led on, and looks where that leads.
func (b *browser) post(target string, fields ...string) answer {
	b.t.Helper()
	form := url.Values{}
	for i := 0; i < len(fields); i += 2 {
		form.Set(fields[i], fields[i+1])
	}
	a := b.send("POST", target, form)
	require.Equal(b.t, http.StatusSeeOther, a.status, a.body)
	return b.send("GET", a.header.Get("Location"), nil)
}

// key is the session id in the browser's cookie, "" without one.
func (b *browser) key() string {
	for _, cookie := range b.jar.Cookies(origin) {
		if cookie.Name == cookieName {
			return cookie.Value
		}
	}
	return ""
}

func (b *browser) plant(key string) {
	b.jar.SetCookies(origin, []*http.Cookie{{Name: cookieName, Value: key, Path: "/"}})
}

func TestVisitorWhoLeavesNothingGetsNeitherRowNorCookie(t *testing.T) {
	s := newSite()
	b := s.browser(t, firefox)
	for range 3 {
		a := b.look()
		assert.Equal(t, http.StatusOK, a.status)
		assert.Contains(t, a.body, "you have no session and no cookie")
		assert.Empty(t, a.header.Values("Set-Cookie"))
	}
	assert.Zero(t, s.store.rows())
}

func TestEachLookIsCountedOnceCountingHasBegun(t *testing.T) {
	s := newSite()
	b := s.browser(t, firefox)
	assert.Contains(t, b.post("/count").body, "1 time<")
	assert.Contains(t, b.look().body, "2 times")
	b.send("HEAD", "/", nil)
	assert.Contains(t, b.look().body, "3 times")
	assert.Equal(t, 1, s.store.rows())

	b.post("/count") // the form of an old page
	assert.Equal(t, 1, s.store.rows())
}

func TestSignInChangesTheIDKeepsTheVisitsAndEndsTheOldID(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite()
		b := s.browser(t, firefox)
		b.post("/count")
		b.look()
		before := b.key()

		a := b.post("/sign-in", "name", " Ada ")
		assert.Contains(t, a.body, "Hello, Ada")
		assert.Contains(t, a.body, "You are signed in, under a new session id.")
		assert.Contains(t, a.body, "3 times")
		assert.NotEqual(t, before, b.key())

		// Whoever knew the old id is not signed in with it, and soon has nothing at all.
		intruder := s.browser(t, firefox)
		intruder.plant(before)
		time.Sleep(staleLifetime + time.Second)
		a = intruder.look()
		assert.NotContains(t, a.body, "Ada")
		assert.Contains(t, a.body, "Your session has ended")
	})
}

func TestRequestUnderWayWithTheOldIDIsNotSignedOut(t *testing.T) {
	s := newSite()
	b := s.browser(t, firefox)
	b.post("/count")
	before := b.key()
	b.post("/sign-in", "name", "Ada")

	late := s.browser(t, firefox)
	late.plant(before)
	a := late.look()
	assert.Equal(t, http.StatusOK, a.status)
	assert.Empty(t, a.header.Values("Set-Cookie"), "the answer would take the new cookie away")
}

func TestPlantedIDIsNeverTakenUp(t *testing.T) {
	for _, target := range []string{"/count", "/sign-in"} {
		s := newSite()
		b := s.browser(t, firefox)
		planted := newKey()
		b.plant(planted)
		b.post(target, "name", "Ada")
		assert.NotEmpty(t, b.key())
		assert.NotEqual(t, planted, b.key())
		assert.NotContains(t, s.store.keys(), planted)
	}
}

func TestCookieThatIsNoIDOfOursIsNotLookedUp(t *testing.T) {
	s := newSite()
	s.store.before = func(verb string) { t.Errorf("the store was asked to %s", verb) }
	for _, value := range []string{"x", strings.Repeat("a", 42), strings.Repeat("a", 44), strings.Repeat("!", 43), "' OR 1=1 --"} {
		b := s.browser(t, firefox)
		a := b.send("GET", "/", nil, func(r *http.Request) { r.Header.Set("Cookie", cookieName+"="+value) })
		assert.Equal(t, http.StatusOK, a.status)
	}
}

func TestSignInAsSomebodyElseStartsAfresh(t *testing.T) {
	s := newSite()
	b := s.browser(t, firefox)
	b.post("/sign-in", "name", "Ada")
	for range 5 {
		b.look()
	}
	a := b.post("/sign-in", "name", "Grace")
	assert.Contains(t, a.body, "Hello, Grace")
	assert.Contains(t, a.body, "1 time<")
	assert.Equal(t, 1, s.store.rows(), "Ada's session is still there")
}

func TestSignInAgainUnderTheSameNameChangesTheIDAndListsOneSession(t *testing.T) {
	s := newSite()
	b := s.browser(t, firefox)
	b.post("/sign-in", "name", "Ada")
	first := b.key()
	a := b.post("/sign-in", "name", "Ada")
	assert.NotEqual(t, first, b.key())
	assert.Equal(t, 1, strings.Count(a.body, `<th scope="row">`))
}

func TestSignInAfterTheOldSessionEndedMeanwhileStillWorks(t *testing.T) {
	s := newSite()
	b := s.browser(t, firefox)
	b.post("/count")
	s.store.before = func(verb string) {
		if verb == "Set" {
			s.store.mutex.Lock()
			clear(s.store.sessions)
			s.store.mutex.Unlock()
			s.store.before = func(string) {}
		}
	}
	assert.Contains(t, b.post("/sign-in", "name", "Ada").body, "Hello, Ada")
}

func TestNamesThatCannotBeUsedAreSaidToBeSo(t *testing.T) {
	s := newSite()
	for name, problem := range map[string]string{
		"":                      "type a name",
		" \t ":                  "type a name",
		"a\x00b":                "letters only",
		"a\xffb":                "letters only",
		strings.Repeat("a", 65): "at most 64",
		strings.Repeat("🦆", 64): "at most 64",
	} {
		a := s.browser(t, firefox).send("POST", "/sign-in", url.Values{"name": {name}})
		assert.Equal(t, http.StatusUnprocessableEntity, a.status)
		assert.Contains(t, a.body, problem)
		assert.Contains(t, a.body, `aria-invalid="true"`)
	}
	assert.Zero(t, s.store.rows())
	assert.Contains(t, s.browser(t, firefox).post("/sign-in", "name", `<b>"Zoë" & 愛</b>`).body,
		"Hello, &lt;b&gt;&#34;Zoë&#34; &amp; 愛&lt;/b&gt;")
}

func TestSessionsOnOtherBrowsersAreListedAndEndOneByOne(t *testing.T) {
	s := newSite()
	laptop, phone := s.browser(t, firefox), s.browser(t, iPhone)
	laptop.post("/sign-in", "name", "Ada")
	phone.post("/sign-in", "name", "Ada")
	s.browser(t, firefox).post("/sign-in", "name", "ada") // somebody else

	a := laptop.look()
	assert.Equal(t, 2, strings.Count(a.body, `<th scope="row">`))
	assert.Contains(t, a.body, `Firefox on Linux <span class="tag">this one</span>`)
	assert.Contains(t, a.body, "Safari on iPhone")
	assert.Contains(t, a.body, "30 min")

	a = laptop.post("/sign-out-other", "session", fingerprint(phone.key()))
	assert.NotContains(t, a.body, "Safari on iPhone")
	a = phone.look()
	assert.Contains(t, a.body, "Your session has ended")
	assert.Empty(t, phone.key(), "the cookie of an ended session stays")
	assert.Contains(t, laptop.look().body, "Hello, Ada")
}

func TestNobodySignsOutSomebodyElse(t *testing.T) {
	s := newSite()
	ada, grace := s.browser(t, firefox), s.browser(t, firefox)
	ada.post("/sign-in", "name", "Ada")
	grace.post("/sign-in", "name", "Grace")
	grace.post("/sign-out-other", "session", fingerprint(ada.key()))
	s.browser(t, firefox).post("/sign-out-other", "session", fingerprint(ada.key()))
	s.browser(t, firefox).post("/sign-out-everywhere")
	assert.Contains(t, ada.look().body, "Hello, Ada")
}

func TestSignOutHereEndsThisSessionOnly(t *testing.T) {
	s := newSite()
	laptop, phone := s.browser(t, firefox), s.browser(t, iPhone)
	laptop.post("/sign-in", "name", "Ada")
	phone.post("/sign-in", "name", "Ada")
	key := laptop.key()

	a := laptop.post("/sign-out")
	assert.Contains(t, a.body, "You are signed out, in this browser.")
	assert.Empty(t, laptop.key())
	assert.NotContains(t, s.store.keys(), key)
	assert.Contains(t, phone.look().body, "Hello, Ada")
}

func TestSignOutEverywhereEndsAllSessionsOfTheUser(t *testing.T) {
	s := newSite()
	laptop, phone, other := s.browser(t, firefox), s.browser(t, iPhone), s.browser(t, firefox)
	laptop.post("/sign-in", "name", "Ada")
	phone.post("/sign-in", "name", "Ada")
	other.post("/sign-in", "name", "Grace")

	a := phone.post("/sign-out-everywhere")
	assert.Contains(t, a.body, "2 sessions ended")
	assert.Contains(t, laptop.look().body, "Your session has ended")
	assert.Contains(t, other.look().body, "Hello, Grace")
}

func TestSessionThatIsRevokedDuringARequestStaysRevoked(t *testing.T) {
	s := newSite()
	b := s.browser(t, firefox)
	b.post("/sign-in", "name", "Ada")
	s.store.before = func(verb string) {
		if verb == "exchange" {
			s.store.before = func(string) {}
			assert.NoError(t, s.store.Delete(t.Context(), cookieName, b.key()))
		}
	}
	assert.Contains(t, b.look().body, "Your session has ended")
	assert.Zero(t, s.store.rows())
}

func TestSessionLivesOnWithEachVisitAndEndsWithoutThem(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite()
		b := s.browser(t, firefox)
		b.post("/sign-in", "name", "Ada")
		for range 3 {
			time.Sleep(lifetime - time.Second)
			assert.Contains(t, b.look().body, "Hello, Ada")
		}
		time.Sleep(lifetime + time.Second)
		assert.Contains(t, b.look().body, "Your session has ended")
	})
}

func TestOutageShowsAPageThatSaysSoAndSignsNobodyOut(t *testing.T) {
	failures := []error{
		mysqlsession.ErrUnavailable, mysqlsession.ErrBacklogFull, mysqlsession.ErrAcquireTimeout,
		mysqlsession.ErrNotWritable, mysqlsession.ErrSchema, fmt.Errorf("wrapped: %w", mysqlsession.ErrProtocol),
	}
	for _, failure := range failures {
		s := newSite()
		b := s.browser(t, firefox)
		b.post("/sign-in", "name", "Ada")
		key := b.key()

		s.store.fail(failure)
		for _, request := range []struct{ method, target string }{
			{"GET", "/"}, {"POST", "/count"}, {"POST", "/sign-in"}, {"POST", "/sign-out"},
			{"POST", "/sign-out-other"}, {"POST", "/sign-out-everywhere"},
		} {
			var form url.Values
			if request.method == "POST" {
				form = url.Values{"name": {"Ada"}, "session": {"00000000"}}
			}
			a := b.send(request.method, request.target, form)
			assert.Equal(t, http.StatusServiceUnavailable, a.status, request.target)
			assert.Contains(t, a.body, "The database does not answer", request.target)
			assert.Equal(t, "5", a.header.Get("Retry-After"))
			assert.Empty(t, a.header.Values("Set-Cookie"), request.target)
		}
		a := s.browser(t, firefox).look()
		assert.Equal(t, http.StatusOK, a.status, "a visitor without a session needs no database")

		s.store.fail(nil)
		assert.Contains(t, b.look().body, "Hello, Ada")
		assert.Equal(t, key, b.key())
	}
}

func TestFormsOfOtherSitesAreRefused(t *testing.T) {
	s := newSite()
	b := s.browser(t, firefox)
	b.post("/sign-in", "name", "Ada")
	for _, header := range []http.Header{
		{"Sec-Fetch-Site": {"cross-site"}},
		{"Sec-Fetch-Site": {"same-site"}}, // another port of this machine
		{"Origin": {"http://evil.example"}},
		{"Origin": {"null"}},
	} {
		a := b.send("POST", "/sign-out-everywhere", url.Values{}, func(r *http.Request) {
			r.Header.Del("Origin")
			r.Header.Del("Sec-Fetch-Site")
			for name, values := range header {
				r.Header[name] = values
			}
		})
		assert.Equal(t, http.StatusForbidden, a.status, header)
		assert.Contains(t, a.body, "another site")
	}
	assert.Contains(t, b.look().body, "Hello, Ada")
}

func TestCookieIsOutOfReachOfScriptsAndOtherSites(t *testing.T) {
	s := newSite()
	a := s.browser(t, firefox).send("POST", "/count", url.Values{})
	cookie := a.header.Get("Set-Cookie")
	assert.Regexp(t, `^mysqlsession_demo=[A-Za-z0-9_-]{43}; Path=/; HttpOnly; SameSite=Lax$`, cookie)

	a = s.browser(t, firefox).send("POST", "/count", url.Values{}, func(r *http.Request) { r.TLS = &tls.ConnectionState{} })
	assert.Contains(t, a.header.Get("Set-Cookie"), "; Secure")
}

func TestSessionOfAnUnknownFormatIsNoSession(t *testing.T) {
	s := newSite()
	b := s.browser(t, firefox)
	key := newKey()
	require.NoError(t, s.store.Set(t.Context(), cookieName, key, []byte{0xff}, lifetime, nil))
	b.plant(key)
	a := b.look()
	assert.Equal(t, http.StatusOK, a.status)
	assert.Contains(t, a.body, "Your session has ended")
}

func TestPagesTakeNothingFromElsewhereAndAreNotKept(t *testing.T) {
	s := newSite()
	a := s.browser(t, firefox).look()
	assert.Contains(t, a.header.Get("Content-Security-Policy"), "default-src 'none'")
	assert.Equal(t, "no-store", a.header.Get("Cache-Control"))
	assert.Equal(t, "nosniff", a.header.Get("X-Content-Type-Options"))
	assert.NotContains(t, a.body, "<script")
	assert.NotContains(t, a.body, "//", "a page names no other site")
}

func TestOnlyStyleSheetAndIconAreServed(t *testing.T) {
	s := newSite()
	b := s.browser(t, firefox)
	for target, status := range map[string]int{
		"/assets/style.css": 200, "/assets/icon.svg": 200,
		"/assets/": 404, "/assets/home.html": 404, "/assets/../app.go": 307, "/nothing": 404,
	} {
		assert.Equal(t, status, b.send("GET", target, nil).status, target)
	}
	assert.Equal(t, http.StatusNotFound, b.send("GET", "/sign-out", nil).status, "a link must not sign anyone out")
}

func TestWordsOfTheAddressAreNotShown(t *testing.T) {
	s := newSite()
	b := s.browser(t, firefox)
	assert.NotContains(t, b.send("GET", "/?said=hello+world", nil).body, "hello")
	assert.Contains(t, b.send("GET", "/?said=signed-out-everywhere&sessions=%3Cb%3E", nil).body, "You are signed out everywhere.")
	assert.Contains(t, b.send("GET", "/?said=signed-out-everywhere&sessions=1", nil).body, "1 session ended")
}

func TestLargeFormsAreCutOff(t *testing.T) {
	s := newSite()
	a := s.browser(t, firefox).send("POST", "/sign-in", url.Values{"name": {strings.Repeat("a", 1<<20)}})
	assert.Equal(t, http.StatusUnprocessableEntity, a.status)
}

func TestDeviceNamesSayBrowserAndSystem(t *testing.T) {
	for agent, name := range map[string]string{
		firefox: "Firefox on Linux",
		iPhone:  "Safari on iPhone",
		"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/138.0.0.0 Safari/537.36 Edg/138.0.0.0": "Edge on Windows",
		"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/138.0.0.0 Safari/537.36":         "Chrome on macOS",
		"Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/138.0.0.0 Mobile Safari/537.36":               "Chrome on Android",
		"curl/8.14.1":        "curl",
		"":                   "A browser",
		"<script>alert(1)//": "A browser",
	} {
		assert.Equal(t, name, deviceName(agent))
	}
}
