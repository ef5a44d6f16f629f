package guard_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mysqlsession/mysqlsession/internal/guard"
	"github.com/mysqlsession/mysqlsession/internal/wire"
)

// tape is a connection on which the server's bytes are known in advance.
type tape struct {
	server *bytes.Reader
	client bytes.Buffer
}

func (c *tape) Read(p []byte) (int, error)       { return c.server.Read(p) }
func (c *tape) Write(p []byte) (int, error)      { return c.client.Write(p) }
func (c *tape) Close() error                     { return nil }
func (c *tape) LocalAddr() net.Addr              { return nil }
func (c *tape) RemoteAddr() net.Addr             { return nil }
func (c *tape) SetDeadline(time.Time) error      { return nil }
func (c *tape) SetReadDeadline(time.Time) error  { return nil }
func (c *tape) SetWriteDeadline(time.Time) error { return nil }

// frames are packets as a server sends them; with every one of them the sequence number
// grows by two, as the client's are in between.
func frames(payloads ...[]byte) []byte {
	var b []byte
	for i, payload := range payloads {
		n := len(payload)
		b = append(append(b, byte(n), byte(n>>8), byte(n>>16), byte(2*i)), payload...)
	}
	return b
}

// FuzzLogin has a whole login run over any bytes of a server. Whatever they are, nothing
// panics, the password does not leave in clear, and a login succeeds only if the last
// packet that was read is an OK.
func FuzzLogin(f *testing.F) {
	const open, askForKey, secured = 0, 1, 2
	greeting := greetingPayload(native, wire.CapabilitySSL)
	sha2 := greetingPayload(cachingSHA2, 0)
	data := string(salt[:]) + "\x00"
	key := moreData(pemOf(&testing.T{}, &serverKey().PublicKey)...)
	for _, seed := range []struct {
		mode  uint8
		bytes []byte
	}{
		{open, frames(greeting, ok)},                                                                           // honest
		{open, frames(greeting, switchTo(cachingSHA2, data), moreData(3))},                                     // honest, up to the last OK
		{askForKey, append(frames(sha2, moreData(4), key), "\x07\x00\x00\x06\x00\x00\x00\x02\x00\x00\x00"...)}, // honest, with a key
		{open, frames(greeting, switchTo("mysql_clear_password", ""), ok)},                                     // the password, please
		{open, frames(greetingPayload("sha256_password", 0), key)},                                             // encrypted with a rogue key
		{open, frames(sha2, moreData(4), key, ok)},                                                             // encrypted with a rogue key
		{open, frames(greeting, moreData(3))},                                                                  // success without an OK
		{open, frames(greeting, []byte{0xfe, 0})},                                                              // success without an OK
		{open, frames(greeting, switchTo(native, "short"))},                                                    // random data cut
		{open, frames([]byte{})},                                                                               // empty packet
		{open, []byte{0xff, 0xff, 0xff, 0, 10}},                                                                // memory
		{open, []byte("HTTP/1.1 400 Bad Request\r\n\r\n")},                                                     // not a server of ours
		{secured, frames(greeting, ok)},                                                                        // a handshake that is none
		{secured, frames(greetingPayload(native, 0), ok)},                                                      // a server that has lost its TLS
	} {
		f.Add(seed.mode, seed.bytes)
	}
	f.Fuzz(func(t *testing.T, mode uint8, script []byte) {
		conn := &tape{server: bytes.NewReader(script)}
		options := guard.Options{AskForKey: mode == askForKey}
		if mode == secured {
			options.TLS = &tls.Config{InsecureSkipVerify: true}
		}
		session, err := guard.Login(context.Background(), conn, options, login)
		require.NotContains(t, conn.client.String(), password)
		if err != nil {
			require.Nil(t, session)
			require.False(t, strings.HasPrefix(err.Error(), "panic"), "%v", err)
			require.NotContains(t, err.Error(), password)
			return
		}
		taken := script[:len(script)-conn.server.Len()]
		last, err := lastPacket(taken)
		require.NoError(t, err)
		_, err = wire.ParseOK(last)
		require.NoError(t, err)
		require.Zero(t, last[0])
	})
}

// lastPacket is the payload of the last of the packets that b consists of.
func lastPacket(b []byte) (last []byte, err error) {
	stream := wire.NewStream(bytes.NewReader(b))
	for {
		stream.Begin(0)
		payload, err := stream.Next(1 << 20)
		if err == io.EOF {
			return last, nil
		}
		if err != nil && err != wire.ErrSequence {
			return nil, err
		}
		last = bytes.Clone(payload)
	}
}
