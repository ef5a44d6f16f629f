package sitetest

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mysqlsession/mysqlsession"
	"github.com/mysqlsession/mysqlsession/internal/dbtest"
	"github.com/mysqlsession/mysqlsession/internal/faultproxy"
)

// Site is a kind of web application.
type Site struct {
	// Name is what its sessions are stored under, Cookie what its cookie is called.
	Name, Cookie string
	// Serve starts the application on a store, ends it with the test, and returns its
	// address. Its sessions live for lifetime. It answers
	//
	//	POST /login?user=ada  the session is ada's from now, under a new id
	//	GET  /whoami          whose the session is
	//	POST /add             a counter in the session after one was added to it, in decimal
	//	POST /rotate          a new id for the session, which the old one does not lead to
	//	POST /logout          the session is over
	//	POST /late            what /add does, with a call of pause between load and save
	//
	// with 200, or with 401 where nobody is signed in but for login and logout, or with 503
	// when the database has failed. What /late answers is not looked at.
	Serve func(t *testing.T, store *mysqlsession.Store, lifetime time.Duration, pause func()) (address string)
	// RowForVisitors says that a visitor gets a row before there is something to store.
	RowForVisitors bool
}

// Server serves a handler until the test ends, and returns its address.
func Server(t *testing.T, handler http.Handler) string {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return server.URL
}

const (
	// dialAgain is the most that a pool may take until it dials again, and dialPoll how often
	// that is looked for.
	dialAgain = 10 * time.Second
	dialPoll  = 20 * time.Millisecond
)

// lifetime is how long sessions live: longer than a test takes.
const lifetime = time.Hour

// running is a site in use by one test.
type running struct {
	Site
	address string
	store   *mysqlsession.Store // the site's own
	proxy   *faultproxy.Proxy   // between the store and the server
	ahead   atomic.Int64        // how far the store's clock is, in nanoseconds

	pausing chan struct{} // tells that a handler pauses
	goOn    chan struct{} // and lets it
}

// start starts a site on a server, in a database of its own.
func start(t *testing.T, site Site, server dbtest.Server) *running {
	t.Helper()
	r := &running{Site: site, pausing: make(chan struct{}), goOn: make(chan struct{})}
	cfg := server.NewDatabase(t)
	proxy, err := faultproxy.New(net.JoinHostPort(cfg.Host, strconv.Itoa(int(cfg.Port))))
	require.NoError(t, err)
	t.Cleanup(proxy.Close)
	r.proxy = proxy
	cfg.Host, cfg.Port, cfg.Socket = proxy.Address().IP.String(), uint16(proxy.Address().Port), ""
	cfg.ConnectTimeout, cfg.CleanupInterval = 2*time.Second, -1
	cfg.Clock = func() time.Time { return time.Now().Add(time.Duration(r.ahead.Load())) }
	r.store, err = mysqlsession.Open(t.Context(), cfg)
	require.NoError(t, err)
	// Last of all: the site may use it until it has ended.
	t.Cleanup(func() { require.NoError(t, r.store.Close()) })
	require.NoError(t, r.store.Migrate(t.Context()))
	r.address = site.Serve(t, r.store, lifetime, r.pause)
	return r
}

// pause is what a handler of /late calls.
func (r *running) pause() {
	r.pausing <- struct{}{}
	<-r.goOn
}

// sessions is how many live sessions the site has.
func (r *running) sessions(t *testing.T) (count int) {
	t.Helper()
	// The test's own context has ended when those that clean up look.
	err := r.store.Each(context.Background(), r.Name, func(string, []byte, time.Time) error {
		count++
		return nil
	})
	require.NoError(t, err)
	return count
}
