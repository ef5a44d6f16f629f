package fiberstorage_test

import (
	"context"
	"io"
	"net/http"
	"net/http/cookiejar"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gofiber/fiber/v3"
	"github.com/gofiber/fiber/v3/middleware/cache"
	"github.com/gofiber/fiber/v3/middleware/csrf"
	"github.com/gofiber/fiber/v3/middleware/idempotency"
	"github.com/gofiber/fiber/v3/middleware/limiter"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/mysqlsession/mysqlsession"
	fiberstorage "github.com/mysqlsession/mysqlsession/adapters/fiber"
	"github.com/mysqlsession/mysqlsession/internal/dbtest"
)

// browser keeps cookies.
type browser struct {
	t       *testing.T
	address string
	client  *http.Client
}

func newBrowser(t *testing.T, address string) *browser {
	t.Helper()
	jar, err := cookiejar.New(nil)
	require.NoError(t, err)
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	return &browser{t, address, &http.Client{Jar: jar, Transport: transport}}
}

// do sends a request with headers given as "name: value". It may be called by any goroutine.
func (b *browser) do(method, path string, headers ...string) (status int, body string) {
	request, err := http.NewRequestWithContext(context.Background(), method, b.address+path, http.NoBody)
	if !assert.NoError(b.t, err) {
		return 0, ""
	}
	for _, header := range headers {
		name, value, _ := strings.Cut(header, ": ")
		request.Header.Set(name, value)
	}
	response, err := b.client.Do(request)
	if !assert.NoError(b.t, err) {
		return 0, ""
	}
	text, err := io.ReadAll(response.Body)
	assert.NoError(b.t, err)
	assert.NoError(b.t, response.Body.Close())
	return response.StatusCode, string(text)
}

func (b *browser) cookie(name string) string {
	request, err := http.NewRequestWithContext(context.Background(), http.MethodGet, b.address, http.NoBody)
	require.NoError(b.t, err)
	for _, cookie := range b.client.Jar.Cookies(request.URL) {
		if cookie.Name == name {
			return cookie.Value
		}
	}
	return ""
}

func (b *browser) wants(status int, method, path string, headers ...string) string {
	b.t.Helper()
	got, body := b.do(method, path, headers...)
	require.Equal(b.t, status, got, "%s", body)
	return body
}

func ok(c fiber.Ctx) error { return c.SendString("ok") }

func TestTheLimiterCountsEachClientAcrossProcessesUntilItsWindowEnds(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		store, clock := openStore(t, server, nil)
		serve := func(path, name string) *browser {
			app := fiber.New()
			app.Get(path, limiter.New(limiter.Config{
				Max: 3, Expiration: time.Hour, Storage: fiberstorage.NewGeneral(store, name),
				KeyGenerator: func(c fiber.Ctx) string { return c.Get("Client") },
			}), ok)
			return newBrowser(t, listen(t, app))
		}
		here, there, other := serve("/here", "limiter"), serve("/here", "limiter"), serve("/here", "another")
		for _, client := range []string{"ada", "grace", strings.Repeat("long and odd ", 9)} {
			for i := range 3 {
				[]*browser{here, there}[i%2].wants(http.StatusOK, http.MethodGet, "/here", "Client: "+client)
				other.wants(http.StatusOK, http.MethodGet, "/here", "Client: "+client)
			}
		}
		for _, client := range []string{"ada", "grace", strings.Repeat("long and odd ", 9)} {
			here.wants(http.StatusTooManyRequests, http.MethodGet, "/here", "Client: "+client)
			there.wants(http.StatusTooManyRequests, http.MethodGet, "/here", "Client: "+client)
		}
		here.wants(http.StatusOK, http.MethodGet, "/here", "Client: adA")
		clock.advance(2 * time.Hour)
		for range 3 {
			there.wants(http.StatusOK, http.MethodGet, "/here", "Client: ada")
		}
		here.wants(http.StatusTooManyRequests, http.MethodGet, "/here", "Client: ada")
	})
}

func TestTheReadmesLimiterLimits(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		store, _ := openStore(t, server, nil)
		app := fiber.New()
		useALimiter(app, store, 2)
		app.Get("/", ok)
		b := newBrowser(t, listen(t, app))
		b.wants(http.StatusOK, http.MethodGet, "/")
		b.wants(http.StatusOK, http.MethodGet, "/")
		b.wants(http.StatusTooManyRequests, http.MethodGet, "/")
	})
}

func TestTokensOfCSRFAreThereForTheNextRequestsAndSingleOnesOnce(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		for _, single := range []bool{false, true} {
			t.Run("single use "+strconv.FormatBool(single), func(t *testing.T) {
				store, clock := openStore(t, server, nil)
				app := fiber.New()
				app.Use(csrf.New(csrf.Config{Storage: fiberstorage.NewGeneral(store, "csrf"), SingleUseToken: single, IdleTimeout: time.Hour}))
				app.Get("/", ok)
				app.Post("/", ok)
				b, stranger := newBrowser(t, listen(t, app)), newBrowser(t, "")
				stranger.address = b.address
				b.wants(http.StatusForbidden, http.MethodPost, "/")
				b.wants(http.StatusOK, http.MethodGet, "/")
				token := b.cookie("csrf_")
				require.NotEmpty(t, token)
				stranger.wants(http.StatusForbidden, http.MethodPost, "/", "X-Csrf-Token: "+token)
				b.wants(http.StatusForbidden, http.MethodPost, "/", "X-Csrf-Token: "+token[1:])
				for range 3 {
					token = b.cookie("csrf_")
					b.wants(http.StatusOK, http.MethodPost, "/", "X-Csrf-Token: "+token)
					require.Equal(t, single, token != b.cookie("csrf_"))
				}
				token = b.cookie("csrf_")
				clock.advance(2 * time.Hour)
				b.wants(http.StatusForbidden, http.MethodPost, "/", "X-Csrf-Token: "+token)
			})
		}
	})
}

func TestTheCacheAnswersFromTheStorage(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		store, _ := openStore(t, server, nil)
		var made atomic.Int64
		serve := func() *browser {
			app := fiber.New()
			app.Use(cache.New(cache.Config{Storage: fiberstorage.NewGeneral(store, "cache"), Expiration: time.Hour}))
			app.Get("/*", func(c fiber.Ctx) error { return c.SendString(c.Path() + strconv.FormatInt(made.Add(1), 10)) })
			return newBrowser(t, listen(t, app))
		}
		here, there := serve(), serve()
		for i, path := range []string{"/a", "/b", "/" + strings.Repeat("long", 30)} {
			want := path + strconv.Itoa(i+1)
			for range 3 {
				require.Equal(t, want, here.wants(http.StatusOK, http.MethodGet, path))
				require.Equal(t, want, there.wants(http.StatusOK, http.MethodGet, path))
			}
		}
		require.EqualValues(t, 3, made.Load())
	})
}

func TestARequestWithAnIdempotencyKeyIsDoneOnce(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		store, _ := openStore(t, server, nil)
		var made atomic.Int64
		serve := func() *browser {
			app := fiber.New()
			app.Use(idempotency.New(idempotency.Config{Storage: fiberstorage.NewGeneral(store, "idempotency")}))
			app.Post("/", func(c fiber.Ctx) error { return c.SendString(strconv.FormatInt(made.Add(1), 10)) })
			return newBrowser(t, listen(t, app))
		}
		here, there := serve(), serve()
		for i, key := range []string{"00000000-0000-0000-0000-000000000001", "00000000-0000-0000-0000-000000000002"} {
			for range 2 {
				require.Equal(t, strconv.Itoa(i+1), here.wants(http.StatusOK, http.MethodPost, "/", "X-Idempotency-Key: "+key))
				require.Equal(t, strconv.Itoa(i+1), there.wants(http.StatusOK, http.MethodPost, "/", "X-Idempotency-Key: "+key))
			}
		}
	})
}

func TestAFailingDatabaseIsNoLimitReached(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		store, _ := openStore(t, server, nil)
		app := fiber.New(fiber.Config{ErrorHandler: func(c fiber.Ctx, err error) error {
			assert.ErrorIs(t, err, mysqlsession.ErrClosed)
			return c.SendStatus(http.StatusServiceUnavailable)
		}})
		useALimiter(app, store, 2)
		app.Get("/", ok)
		b := newBrowser(t, listen(t, app))
		b.wants(http.StatusOK, http.MethodGet, "/")
		require.NoError(t, store.Close())
		b.wants(http.StatusServiceUnavailable, http.MethodGet, "/")
	})
}
