package exampletest

import (
	"io"
	"net/http"
	"net/http/cookiejar"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Visitor is somebody with a browser. It is for one goroutine.
type Visitor struct {
	Address string // of the service
	t       *testing.T
	client  *http.Client
}

// NewVisitor is a browser without cookies.
func NewVisitor(t *testing.T, address string) *Visitor {
	t.Helper()
	jar, err := cookiejar.New(nil)
	require.NoError(t, err)
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	return &Visitor{address, t, &http.Client{Jar: jar, Transport: transport}}
}

// Sees asserts what the first page says.
func (v *Visitor) Sees(want string) {
	v.t.Helper()
	require.Equal(v.t, want, v.Sends(http.MethodGet, "/", http.StatusOK))
}

// Posts asserts that the service does what it is asked to.
func (v *Visitor) Posts(path string) {
	v.t.Helper()
	v.Sends(http.MethodPost, path, http.StatusOK)
}

// Sends asserts the answer's status, and returns its body.
func (v *Visitor) Sends(method, path string, status int) string {
	v.t.Helper()
	request, err := http.NewRequestWithContext(v.t.Context(), method, v.Address+path, http.NoBody)
	require.NoError(v.t, err)
	response, err := v.client.Do(request)
	require.NoError(v.t, err)
	body, err := io.ReadAll(response.Body)
	require.NoError(v.t, err)
	require.NoError(v.t, response.Body.Close())
	require.Equal(v.t, status, response.StatusCode, "%s", body)
	return strings.TrimSpace(string(body))
}
