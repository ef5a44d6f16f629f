//go:build unix

package mysqlsession

import (
	"net"
	"syscall"
)

// livenessCheck looks at a socket for free.
type livenessCheck struct {
	raw  syscall.RawConn // nil when the connection is no socket
	look func(descriptor uintptr)
	// idle is look's answer. It is heap memory, as look is made once and outlives a call.
	idle *bool
}

func newLivenessCheck(conn net.Conn) livenessCheck {
	socket, ok := conn.(syscall.Conn)
	if !ok {
		return livenessCheck{}
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return livenessCheck{}
	}
	idle := new(bool)
	buf := make([]byte, 1)
	look := func(descriptor uintptr) {
		// A peek takes nothing off the stream, and MSG_DONTWAIT returns at once.
		_, _, err := syscall.Recvfrom(int(descriptor), buf, syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		*idle = err == syscall.EAGAIN || err == syscall.EWOULDBLOCK
	}
	return livenessCheck{raw: raw, look: look, idle: idle}
}

// quiet reports whether the peer has neither sent anything nor closed. It needs no round
// trip, so it cannot see a peer that vanished without a word.
func (l *livenessCheck) quiet() bool {
	if l.raw == nil {
		return true
	}
	*l.idle = false
	return l.raw.Control(l.look) == nil && *l.idle
}
