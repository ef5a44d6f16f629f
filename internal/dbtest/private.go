package dbtest

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/mysqlsession/mysqlsession/internal/localserver"
)

// Private is a server that is a test's own, to be stopped, killed and restarted.
type Private struct {
	Server
	// Instance is the server's process and data.
	Instance *localserver.Server
}

// private holds the servers that EachPrivate has started. As with the others, Main stops
// them: a MySQL takes seconds to start.
var private struct {
	start   sync.Once
	servers []Private
	err     error
}

// EachPrivate runs body as a subtest for each server program of this machine, with a
// server that nobody else uses, whatever servers the other tests run on. It loses nothing
// when it is killed. body must leave it running. Without a server program the test is
// skipped: other machines have one, and "make test" installs one.
func EachPrivate(t *testing.T, body func(t *testing.T, server Private)) {
	t.Helper()
	private.start.Do(func() { private.servers, private.err = startPrivate() })
	if private.err != nil {
		t.Fatal(private.err)
	}
	if len(private.servers) == 0 {
		t.Skip("no server program on this machine")
	}
	for _, server := range private.servers {
		t.Run(server.Name, func(t *testing.T) {
			body(t, server)
			if err := awaitAnswer(server.Server); err != nil {
				t.Fatalf("the test has left its server unusable: %v", err)
			}
		})
	}
}

func startPrivate() ([]Private, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	var servers []Private
	for _, binary := range localserver.Find() {
		instance, err := localserver.Start(ctx, localserver.Options{Binary: binary, Accounts: true, TLS: true, Durable: true})
		if err != nil {
			return nil, fmt.Errorf("starting %s: %w", binary.Path, err)
		}
		process.stop = append(process.stop, instance.Stop)
		server, err := serverOf(ctx, instance)
		if err != nil {
			return nil, err
		}
		servers = append(servers, Private{Server: server, Instance: instance})
	}
	return servers, nil
}

func awaitAnswer(s Server) error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	db, err := s.open("")
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }()
	return db.PingContext(ctx)
}
