package measure

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/mysqlsession/mysqlsession"
)

// Server is what a server says of itself.
type Server struct {
	Version        string `json:"version"`
	MaxConnections int    `json:"max_connections"`
	Connected      int    `json:"connected"` // connections of others
	// ReadOnly is the variable that makes the server read-only. "": it takes writes.
	ReadOnly string `json:"-"`
	// Flush is innodb_flush_log_at_trx_commit: 1 when a commit is safe on disk.
	Flush string `json:"flush_log_at_commit"`
}

// look asks the server.
func look(ctx context.Context, cfg mysqlsession.Config) (server *Server, err error) {
	conn, err := mysqlsession.Connect(ctx, cfg)
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close() }()
	// An old prefix that MariaDB's greeting has for replicas says nothing.
	server = &Server{Version: strings.TrimPrefix(conn.ServerVersion(), "5.5.5-")}
	one := func(statement string, column int, take func(text string)) {
		if err == nil {
			err = conn.Query(ctx, statement, func(row mysqlsession.Row) error {
				take(row.String(column))
				return nil
			})
		}
	}
	number := func(to *int) func(string) {
		return func(text string) { _, _ = fmt.Sscan(text, to) }
	}
	one("SELECT @@GLOBAL.max_connections", 0, number(&server.MaxConnections))
	one("SHOW GLOBAL STATUS LIKE 'Threads_connected'", 1, number(&server.Connected))
	one("SELECT @@GLOBAL.innodb_flush_log_at_trx_commit", 0, func(text string) { server.Flush = text })
	for _, variable := range []string{"read_only", "innodb_read_only"} {
		one("SELECT @@GLOBAL."+variable, 0, func(text string) {
			if text != "0" && !strings.EqualFold(text, "OFF") { // newer MariaDBs have words
				server.ReadOnly = variable
			}
		})
	}
	if !strings.Contains(server.Version, "MariaDB") {
		server.Version += " MySQL"
	}
	if err != nil {
		return nil, fmt.Errorf("look at the server: %w", err)
	}
	server.Connected = max(0, server.Connected-1) // we are one
	return server, nil
}

const (
	// settleLimit is how long a server may take to let go of connections that were closed.
	settleLimit = 5 * time.Second
	settlePoll  = 10 * time.Millisecond
)

// Settle waits until the server has room for so many connections: it lets go of those that
// were closed a little later. After some seconds it goes on all the same.
func Settle(ctx context.Context, s *Scratch, connections int) error {
	within, cancel := context.WithTimeout(ctx, settleLimit)
	defer cancel()
	ticker := time.NewTicker(settlePoll)
	defer ticker.Stop()
	for {
		server, err := look(within, s.Config)
		if err == nil && server.MaxConnections-server.Connected > connections {
			return nil
		}
		select {
		case <-ticker.C:
		case <-within.Done():
			return ctx.Err()
		}
	}
}
