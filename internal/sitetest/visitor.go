package sitetest

import (
	"context"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// visitor is somebody with a browser.
type visitor struct {
	t      *testing.T
	site   *running
	client *http.Client
}

func (r *running) visitor(t *testing.T) *visitor {
	t.Helper()
	jar, err := cookiejar.New(nil)
	require.NoError(t, err)
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	return &visitor{t, r, &http.Client{Jar: jar, Transport: transport}}
}

// answer is what a request came to.
type answer struct {
	status int
	body   string
	err    error
	set    []*http.Cookie
}

// do sends a request. It may be called from any goroutine.
func (v *visitor) do(method, path string) answer {
	request, err := http.NewRequestWithContext(context.Background(), method, v.site.address+path, http.NoBody)
	if err != nil {
		return answer{err: err}
	}
	response, err := v.client.Do(request)
	if err != nil {
		return answer{err: err}
	}
	body, err := io.ReadAll(response.Body)
	_ = response.Body.Close()
	return answer{response.StatusCode, strings.TrimSpace(string(body)), err, response.Cookies()}
}

func (v *visitor) get(path string) answer  { return v.do(http.MethodGet, path) }
func (v *visitor) post(path string) answer { return v.do(http.MethodPost, path) }

// signIn is the start of most journeys.
func (v *visitor) signIn(user string) {
	v.t.Helper()
	v.wants(http.StatusOK, v.post("/login?user="+url.QueryEscape(user)))
	v.is(user)
}

// is asserts who the site takes the visitor for.
func (v *visitor) is(user string) {
	v.t.Helper()
	a := v.get("/whoami")
	v.wants(http.StatusOK, a)
	require.Equal(v.t, user, a.body)
}

// isNobody asserts that the visitor is not signed in.
func (v *visitor) isNobody() {
	v.t.Helper()
	v.wants(http.StatusUnauthorized, v.get("/whoami"))
}

func (v *visitor) wants(status int, a answer) {
	v.t.Helper()
	require.NoError(v.t, a.err)
	require.Equal(v.t, status, a.status, "%s", a.body)
}

// cookie is the session's cookie that the browser would send, "" if it has none.
func (v *visitor) cookie() string {
	v.t.Helper()
	address, err := url.Parse(v.site.address)
	require.NoError(v.t, err)
	for _, c := range v.client.Jar.Cookies(address) {
		if c.Name == v.site.Cookie {
			return c.Value
		}
	}
	return ""
}

// holds has the browser send this cookie from now on.
func (v *visitor) holds(value string) {
	v.t.Helper()
	address, err := url.Parse(v.site.address)
	require.NoError(v.t, err)
	v.client.Jar.SetCookies(address, []*http.Cookie{{Name: v.site.Cookie, Value: value, Path: "/"}})
}
