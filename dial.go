package mysqlsession

import (
	"context"
	"net"

	_ "github.com/go-mysql-org/go-mysql/client"

	"github.com/mysqlsession/mysqlsession/internal/wire"
)

// transport is what a login leaves behind: a connection of which not one byte has been
// read beyond the login's last packet.
type transport struct {
	net.Conn                      // the TLS connection, or the socket
	socket        net.Conn        // the bare socket under it, for looking and for closing without a word
	capabilities  wire.Capability // what both sides agreed on
	serverVersion string          // as the greeting has it
	connectionID  uint32
	address       string // what was dialled, for errors
}

// dial connects and logs in.
func dial(ctx context.Context, cfg *Config) (*transport, error) { panic("scaffold") }
