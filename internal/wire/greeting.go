package wire

import "encoding/binary"

// AuthDataSize is the length of the random bytes in a greeting.
const AuthDataSize = 20

const (
	protocolVersion = 10
	headerMoreData  = 0x01
	// firstAuthData is how many of the random bytes come before the capabilities.
	firstAuthData = 8
)

// Greeting is what a server says first
// (https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_connection_phase_packets_protocol_handshake_v10.html).
type Greeting struct {
	ServerVersion string
	ConnectionID  uint32
	AuthData      [AuthDataSize]byte
	Capabilities  Capability
	Collation     uint8
	Status        Status
	Plugin        string // the authentication method of the server's choice
}

// ParseGreeting reads the first packet of a server of protocol 10 that has
// authentication plugins: MySQL from 5.5.7, MariaDB from 5.2. What may follow the
// plugin's name is not looked at.
func ParseGreeting(payload []byte) (Greeting, error) {
	c := NewCursor(payload)
	version := c.Uint8()
	g := Greeting{ServerVersion: string(c.NulTerminated()), ConnectionID: c.Uint32()}
	copy(g.AuthData[:], c.Bytes(firstAuthData))
	filler := c.Uint8()
	low := c.Uint16()
	g.Collation = c.Uint8()
	g.Status = Status(c.Uint16())
	g.Capabilities = Capability(uint32(low) | uint32(c.Uint16())<<16)
	size := c.Uint8()
	c.Skip(10) // reserved; MariaDB's own capabilities are in it
	copy(g.AuthData[firstAuthData:], c.Bytes(AuthDataSize-firstAuthData))
	end := c.Uint8()
	g.Plugin = string(c.NulTerminated())

	const needed = CapabilityProtocol41 | CapabilitySecureConn | CapabilityPluginAuth
	switch {
	case !c.OK(), version != protocolVersion, filler != 0, end != 0:
		return Greeting{}, ErrMalformed
	case size != AuthDataSize && size != AuthDataSize+1: // proxies do not count the NUL at the end
		return Greeting{}, ErrMalformed
	case g.Capabilities&needed != needed:
		return Greeting{}, ErrMalformed
	}
	return g, nil
}

// AppendGreeting appends a greeting's payload: without a header.
func AppendGreeting(dst []byte, g *Greeting) []byte {
	dst = append(dst, protocolVersion)
	dst = append(append(dst, g.ServerVersion...), 0)
	dst = binary.LittleEndian.AppendUint32(dst, g.ConnectionID)
	dst = append(append(dst, g.AuthData[:firstAuthData]...), 0)
	dst = binary.LittleEndian.AppendUint16(dst, uint16(g.Capabilities))
	dst = append(dst, g.Collation)
	dst = binary.LittleEndian.AppendUint16(dst, uint16(g.Status))
	dst = binary.LittleEndian.AppendUint16(dst, uint16(g.Capabilities>>16))
	dst = append(dst, AuthDataSize+1)
	dst = append(dst, make([]byte, 10)...)
	dst = append(append(dst, g.AuthData[firstAuthData:]...), 0)
	return append(append(dst, g.Plugin...), 0)
}

// LoginKind tells what a server's answer in a login is.
func LoginKind(payload []byte) (Login, error) {
	if len(payload) > 0 {
		switch payload[0] {
		case headerOK:
			return LoginOK, nil
		case headerErr:
			return LoginError, nil
		case headerEOF:
			return LoginSwitch, nil
		case headerMoreData:
			return LoginMoreData, nil
		}
	}
	return 0, ErrMalformed
}

// Login is what a server's answer in a login is.
type Login uint8

// The answers.
const (
	LoginOK       Login = iota // logged in
	LoginError                 // refused
	LoginSwitch                // another authentication method is to be used
	LoginMoreData              // whatever the method has in this place
)

// AuthSwitch is a server's wish for another authentication method. Data aliases the
// packet.
type AuthSwitch struct {
	Plugin string
	Data   []byte // the method's own; most servers end it with a NUL
}

// ParseAuthSwitch reads an AuthSwitchRequest
// (https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_connection_phase_packets_protocol_auth_switch_request.html).
// The one of before MySQL 4.1, a single byte, is malformed.
func ParseAuthSwitch(payload []byte) (AuthSwitch, error) {
	c := NewCursor(payload)
	header := c.Uint8()
	s := AuthSwitch{Plugin: string(c.NulTerminated())}
	s.Data = c.Rest()
	if !c.OK() || header != headerEOF || s.Plugin == "" {
		return AuthSwitch{}, ErrMalformed
	}
	return s, nil
}

// AppendAuthSwitch appends an AuthSwitchRequest's payload.
func AppendAuthSwitch(dst []byte, s AuthSwitch) []byte {
	dst = append(append(dst, headerEOF), s.Plugin...)
	return append(append(dst, 0), s.Data...)
}

// ParseMoreData reads an AuthMoreData packet, which is never empty
// (https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_connection_phase_packets_protocol_auth_more_data.html).
// The data alias the packet.
func ParseMoreData(payload []byte) ([]byte, error) {
	c := NewCursor(payload)
	header := c.Uint8()
	data := c.Rest()
	if !c.OK() || header != headerMoreData || len(data) == 0 {
		return nil, ErrMalformed
	}
	return data, nil
}

// AppendMoreData appends an AuthMoreData packet's payload.
func AppendMoreData(dst, data []byte) []byte {
	return append(append(dst, headerMoreData), data...)
}

// AppendOK appends the payload of an OK packet.
func AppendOK(dst []byte, ok OK) []byte {
	dst = append(dst, headerOK)
	dst = AppendLengthEncodedInt(dst, ok.AffectedRows)
	dst = AppendLengthEncodedInt(dst, ok.LastInsertID)
	dst = binary.LittleEndian.AppendUint16(dst, uint16(ok.Status))
	return binary.LittleEndian.AppendUint16(dst, ok.Warnings)
}
