package sitetest

import (
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/mysqlsession/mysqlsession/internal/dbtest"
)

// journeys are what happens to sessions, each on a site of its own.
var journeys = []struct {
	name string
	take func(t *testing.T, r *running)
}{
	{"a visitor who stores nothing is nobody", visit},
	{"a sign-in is of its own browser alone and under a new id", signIn},
	{"what a session holds is there in the next request", keep},
	{"a rotation keeps the session and ends the old id", rotate},
	{"requests of one session at the same time are all served", together},
	{"a sign-out ends the session for whoever has its cookie", signOut},
	{"a save that comes late does not bring back what was signed out", late},
	{"a session that was revoked elsewhere is over, and stays so", revoke},
	{"a session ends with its time", expire},
	{"a cookie that was made up is nobody's", forge},
	{"an outage is an error and no sign-out", outage},
}

// Run takes a site through all journeys, on every server.
func Run(t *testing.T, site Site) {
	t.Helper()
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		for _, journey := range journeys {
			t.Run(journey.name, func(t *testing.T) { journey.take(t, start(t, site, server)) })
		}
	})
}

func visit(t *testing.T, r *running) {
	v := r.visitor(t)
	v.isNobody()
	v.isNobody()
	v.wants(http.StatusUnauthorized, v.post("/add"))
	if !r.RowForVisitors {
		assert.Zero(t, r.sessions(t))
		assert.Empty(t, v.cookie())
	}
	v.wants(http.StatusOK, v.post("/logout"))
}

func signIn(t *testing.T, r *running) {
	ada, other := r.visitor(t), r.visitor(t)
	ada.signIn("ada")
	first := ada.cookie()
	require.NotEmpty(t, first)
	other.isNobody()

	// Whoever has planted an id, or looked over a shoulder before, has nothing after it.
	ada.signIn("grace")
	require.NotEqual(t, first, ada.cookie())
	other.holds(first)
	other.isNobody()
	ada.is("grace")
}

func keep(t *testing.T, r *running) {
	ada, grace := r.visitor(t), r.visitor(t)
	ada.signIn("ada")
	grace.signIn("grace")
	for n := range 3 {
		for _, v := range []*visitor{ada, grace} {
			a := v.post("/add")
			v.wants(http.StatusOK, a)
			assert.Equal(t, strconv.Itoa(n+1), a.body)
		}
	}
	ada.is("ada")
	grace.is("grace")
	if !r.RowForVisitors {
		assert.Equal(t, 2, r.sessions(t))
	}
}

func rotate(t *testing.T, r *running) {
	v, thief := r.visitor(t), r.visitor(t)
	v.signIn("ada")
	v.wants(http.StatusOK, v.post("/add"))
	old := v.cookie()
	v.wants(http.StatusOK, v.post("/rotate"))
	require.NotEqual(t, old, v.cookie())
	v.is("ada")
	a := v.post("/add")
	v.wants(http.StatusOK, a)
	assert.Equal(t, "2", a.body)
	thief.holds(old)
	thief.isNobody()
}

func together(t *testing.T, r *running) {
	v := r.visitor(t)
	v.signIn("ada")
	const requests = 24
	answers := make([]answer, requests)
	var group sync.WaitGroup
	for i := range answers {
		group.Go(func() {
			if i%2 == 0 {
				answers[i] = v.get("/whoami")
			} else {
				answers[i] = v.post("/add")
			}
		})
	}
	group.Wait()
	for i, a := range answers {
		v.wants(http.StatusOK, a)
		if i%2 == 0 {
			assert.Equal(t, "ada", a.body)
			continue
		}
		n, err := strconv.Atoi(a.body)
		require.NoError(t, err)
		assert.True(t, 1 <= n && n <= requests/2, "%d", n)
	}
	v.is("ada")
	if !r.RowForVisitors {
		assert.Equal(t, 1, r.sessions(t))
	}
}

func signOut(t *testing.T, r *running) {
	v, thief := r.visitor(t), r.visitor(t)
	v.signIn("ada")
	thief.holds(v.cookie())
	thief.is("ada")
	v.wants(http.StatusOK, v.post("/logout"))
	v.isNobody()
	thief.isNobody()
	if !r.RowForVisitors {
		assert.Zero(t, r.sessions(t))
	}
	v.signIn("ada")
}

func late(t *testing.T, r *running) {
	v, same := r.visitor(t), r.visitor(t)
	v.signIn("ada")
	cookie := v.cookie()
	same.holds(cookie)
	ended := make(chan answer)
	go func() { ended <- v.post("/late") }()
	<-r.pausing
	same.wants(http.StatusOK, same.post("/logout"))
	r.goOn <- struct{}{}
	require.NoError(t, (<-ended).err)
	same.holds(cookie)
	same.isNobody()
	v.isNobody()
}

func revoke(t *testing.T, r *running) {
	v := r.visitor(t)
	v.signIn("ada")
	ended := make(chan answer)
	go func() { ended <- v.post("/late") }()
	<-r.pausing
	_, err := r.store.DeleteAll(t.Context(), r.Name)
	require.NoError(t, err)
	r.goOn <- struct{}{}
	require.NoError(t, (<-ended).err)
	v.isNobody()
	v.signIn("ada")
}

func expire(t *testing.T, r *running) {
	v := r.visitor(t)
	v.signIn("ada")
	r.ahead.Store(int64(lifetime / 2))
	v.is("ada")
	r.ahead.Store(int64(3 * lifetime))
	v.isNobody()
	v.signIn("ada")
}

func forge(t *testing.T, r *running) {
	v := r.visitor(t)
	v.signIn("ada")
	own := v.cookie()
	for _, value := range []string{
		"x", strings.Repeat("A", 43), strings.Repeat("A", 5000), own + "A", own[1:], "%00", "'; DROP TABLE sessions; --",
	} {
		v.holds(value)
		v.isNobody()
	}
	// An id that nobody gave out is not taken up.
	unknown := strings.Repeat("B", 43)
	v.holds(unknown)
	v.signIn("grace")
	require.NotEqual(t, unknown, v.cookie())
}

func outage(t *testing.T, r *running) {
	v := r.visitor(t)
	v.signIn("ada")
	v.wants(http.StatusOK, v.post("/add"))
	cookie := v.cookie()
	r.proxy.Refuse()
	r.proxy.Reset()
	for _, a := range []answer{v.get("/whoami"), v.post("/add"), v.post("/rotate"), v.get("/whoami")} {
		v.wants(http.StatusServiceUnavailable, a)
	}
	require.Equal(t, cookie, v.cookie())
	require.NoError(t, r.proxy.Admit())
	// The pool may pause before it dials again, and says so until then.
	require.Eventually(t, func() bool { return v.get("/whoami").status == http.StatusOK }, dialAgain, dialPoll)
	v.is("ada")
	require.Equal(t, cookie, v.cookie())
	a := v.post("/add")
	v.wants(http.StatusOK, a)
	assert.Equal(t, "2", a.body)
}
