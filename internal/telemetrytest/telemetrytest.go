// Package telemetrytest makes the traffic that tests of telemetry look at: calls of every
// outcome, calls that are combined, and a database that is gone for a while.
package telemetrytest

import (
	"context"
	"errors"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mysqlsession/mysqlsession"
	"github.com/mysqlsession/mysqlsession/internal/dbtest"
	"github.com/mysqlsession/mysqlsession/internal/faultproxy"
)

// secret is in every id, value and metadata of the traffic.
const secret = "NeverToBeToldToAnybody"

// Traffic is a store behind a proxy, with one connection for all.
type Traffic struct {
	Store  *mysqlsession.Store
	Config mysqlsession.Config
	System string // "mysql" or "mariadb"
	proxy  *faultproxy.Proxy
}

// Open opens the store, whose pool is called "telemetry".
func Open(t *testing.T, server dbtest.Server, trace *mysqlsession.Trace) *Traffic {
	t.Helper()
	cfg := server.NewDatabase(t)
	proxy, err := faultproxy.New(net.JoinHostPort(cfg.Host, strconv.Itoa(int(cfg.Port))))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(proxy.Close)
	cfg.Host, cfg.Port = proxy.Address().IP.String(), uint16(proxy.Address().Port)
	cfg.Pool, cfg.PoolSize, cfg.MinIdleConns, cfg.Trace, cfg.CleanupInterval = "telemetry", 1, 1, trace, -1
	store, err := mysqlsession.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() }) // always nil
	if err := store.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	traffic := &Traffic{Store: store, Config: cfg, System: "mysql", proxy: proxy}
	if server.MariaDB() {
		traffic.System = "mariadb"
	}
	return traffic
}

// How many calls of each sort Answers makes. They all go well, but for Invalid.
const (
	Sets     = 3
	Gets     = 2
	NotFound = 2 // gets too
	Updates  = 1
	Invalid  = 1 // a touch
)

// Answers makes one call after the other.
func (r *Traffic) Answers(t *testing.T) {
	t.Helper()
	ctx, s := t.Context(), r.Store
	metadata := &mysqlsession.SetOptions{Metadata: []mysqlsession.Metadata{{Audience: secret, Subject: secret}}}
	for range Sets {
		r.must(t, s.Set(ctx, "cookie", secret, []byte(secret), time.Hour, metadata))
	}
	for range Gets {
		_, err := s.Get(ctx, "cookie", secret)
		r.must(t, err)
	}
	r.must(t, s.Update(ctx, "cookie", secret, time.Hour, func(old []byte) ([]byte, error) { return old, nil }))
	for range NotFound {
		if _, err := s.Get(ctx, "cookie", secret+"-not"); !errors.Is(err, mysqlsession.ErrNotFound) {
			t.Error(err)
		}
	}
	if err := s.Touch(ctx, "cookie", secret, -1); !errors.Is(err, mysqlsession.ErrInvalidTTL) {
		t.Error(err)
	}
}

// Batches has many callers call at the same time, and returns how many calls they made.
func (r *Traffic) Batches(t *testing.T) (calls int) {
	t.Helper()
	const callers, rounds = 32, 10
	var done sync.WaitGroup
	for i := range callers {
		done.Go(func() {
			for range rounds {
				if err := r.Store.Set(t.Context(), "cookie", secret+strconv.Itoa(i), []byte(secret), time.Hour, nil); err != nil {
					t.Error(err)
				}
			}
		})
	}
	done.Wait()
	if r.Store.Pool().Stat().BatchedCallCount == 0 {
		t.Error("no calls were combined")
	}
	return callers * rounds
}

// Outage takes the database away for so many calls, and returns when it is back.
func (r *Traffic) Outage(t *testing.T, calls int) {
	t.Helper()
	r.proxy.Refuse()
	r.proxy.Cut()
	for range calls {
		if _, err := r.Store.Get(t.Context(), "cookie", secret); !errors.Is(err, mysqlsession.ErrUnavailable) {
			t.Error(err)
		}
	}
	r.must(t, r.proxy.Admit())
	r.must(t, r.answersAgain(t.Context()))
}

// answersAgain returns when the pool has found out that the server is back.
func (r *Traffic) answersAgain(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := r.Store.Pool().Do(ctx, func(conn *mysqlsession.Conn) error { return conn.Ping(ctx) })
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return err
		case <-tick.C:
		}
	}
}

func (r *Traffic) must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Error(err)
	}
}

// KeepsItsSecrets fails the test if what was exported has anything of a session in it.
func KeepsItsSecrets(t *testing.T, exported string) {
	t.Helper()
	if strings.Contains(exported, secret) {
		t.Errorf("a session's id, value or metadata is in what is exported:\n%s", exported)
	}
}
