//go:build !unix

package mysqlsession

import "net"

// livenessCheck cannot look at sockets on this system. A dead connection is found by the
// first call on it.
type livenessCheck struct{}

func newLivenessCheck(net.Conn) livenessCheck { return livenessCheck{} }

func (*livenessCheck) quiet() bool { return true }
