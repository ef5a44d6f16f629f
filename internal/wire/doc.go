// Package wire is the packet codec of the MySQL client/server protocol, as far as a
// logged-in connection needs it: bytes in, bytes out. It opens no connection, knows no
// deadline and nothing of sessions.
//
// Everything that decodes is safe with bytes from a hostile peer: it never panics,
// reads nothing behind the packet's end, and allocates no more than a small multiple of
// the bytes that have arrived.
//
// The protocol is described in
// https://dev.mysql.com/doc/dev/mysql-server/latest/PAGE_PROTOCOL.html and
// https://mariadb.com/kb/en/clientserver-protocol/.
package wire

import "errors"

// Errors of decoding. Whoever gets one has lost the stream's rhythm, and must close it.
var (
	// ErrMalformed is a packet that is not what the protocol has in its place.
	ErrMalformed = errors.New("malformed packet")
	// ErrTooLarge is a packet whose header announces more than the limit. Nothing of
	// it has been read.
	ErrTooLarge = errors.New("packet size too big")
	// ErrSequence is a packet with the wrong sequence number.
	ErrSequence = errors.New("packet out of sequence")
)

// Capability is a set of the capability flags that client and server agree on at login
// (https://dev.mysql.com/doc/dev/mysql-server/latest/group__group__cs__capabilities__flags.html).
type Capability uint32

// The flags that this package or a login looks at.
const (
	CapabilityMySQL          Capability = 1 << 0 // CLIENT_LONG_PASSWORD; MariaDB leaves it out to say that it is not MySQL
	CapabilityFoundRows      Capability = 1 << 1
	CapabilityConnectWithDB  Capability = 1 << 3
	CapabilityLocalFiles     Capability = 1 << 7
	CapabilityProtocol41     Capability = 1 << 9
	CapabilitySSL            Capability = 1 << 11
	CapabilitySecureConn     Capability = 1 << 15
	CapabilityMultiStatement Capability = 1 << 16
	CapabilityPluginAuth     Capability = 1 << 19
	CapabilityConnectAttrs   Capability = 1 << 20
	CapabilityLenencAuth     Capability = 1 << 21
	CapabilitySessionTrack   Capability = 1 << 23
	CapabilityDeprecateEOF   Capability = 1 << 24
	CapabilityQueryAttrs     Capability = 1 << 27
)

// Status is a set of the server's status flags
// (https://dev.mysql.com/doc/dev/mysql-server/latest/mysql__com_8h.html, SERVER_STATUS_).
type Status uint16

// The flags that matter between statements.
const (
	StatusInTransaction Status = 1 << 0
	StatusAutocommit    Status = 1 << 1
	StatusMoreResults   Status = 1 << 3
)

// The first byte of a reply packet.
const (
	headerOK        = 0x00
	headerNull      = 0xfb // in a text row
	headerLocalFile = 0xfb // as a reply
	headerEOF       = 0xfe
	headerErr       = 0xff
)
