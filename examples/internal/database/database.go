// Package database gives each example a database: the one that it is told, or a throw-away
// one.
package database

import (
	"context"
	"fmt"

	"github.com/mysqlsession/mysqlsession"
	"github.com/mysqlsession/mysqlsession/internal/localserver"
)

// Watchdog must be the first call in main: in the copy of the program that looks after a
// throw-away server it does not return.
func Watchdog() { localserver.Watchdog() }

// Open opens a store on the server that dsn names, and creates its tables. With an empty dsn it
// starts a server of its own first, which goes when close is called. What it is like is
// said in a sentence for people.
func Open(ctx context.Context, dsn string) (store *mysqlsession.Store, about string, closeAll func() error, err error) {
	closeAll = func() error { return nil }
	var cfg mysqlsession.Config
	if dsn != "" {
		if cfg, err = mysqlsession.ParseConfig(dsn); err != nil {
			return nil, "", nil, err
		}
		about = "sessions are in the database that was named"
	} else {
		server, err := localserver.Start(ctx, localserver.Options{})
		if err != nil {
			return nil, "", nil, fmt.Errorf("%w; name a server with -dsn mysql://user:password@host/database", err)
		}
		closeAll = server.Stop
		cfg = mysqlsession.Config{
			Host: server.Host, Port: server.Port, Socket: server.Socket,
			Username: server.Username, Password: server.Password, Database: server.Database,
		}
		about = "sessions are in a throw-away database, gone with this program"
	}
	store, err = mysqlsession.Open(ctx, cfg)
	if err == nil {
		err = store.Migrate(ctx)
	}
	if err != nil {
		if store != nil {
			_ = store.Close()
		}
		_ = closeAll()
		return nil, "", nil, err
	}
	stop := closeAll
	return store, about, func() error {
		_ = store.Close() // always nil
		return stop()
	}, nil
}
