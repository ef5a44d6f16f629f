package mysqlsession_test

import (
	"bufio"
	"encoding/binary"
	"io"
	"net"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/mysqlsession/mysqlsession"
	"github.com/mysqlsession/mysqlsession/internal/wire"
)

// The commands that a peer may get.
const (
	commandQuit           = 0x01
	commandQuery          = 0x03
	commandPing           = 0x0e
	commandPrepare        = 0x16
	commandExecute        = 0x17
	commandCloseStatement = 0x19
)

// The column types that a peer sends.
const (
	columnLongLong = 0x08
	columnBlob     = 0xfc
)

// scriptedConfig is a configuration for connections to a scripted peer, complete without the
// library's defaults.
func scriptedConfig() mysqlsession.Config {
	return mysqlsession.Config{
		SendTimeout:            5 * time.Second,
		ReadTimeout:            5 * time.Second,
		MaxPacketSize:          64 << 10,
		StatementCacheCapacity: 64,
	}
}

// serverEnd plays the server's part at the other end of a connection that is logged in.
type serverEnd struct {
	net.Conn
	reader *bufio.Reader
}

func newServerEnd(conn net.Conn) *serverEnd {
	// A pipe has no buffer: requests that come in one write are taken with one read, so
	// that the first of them can be answered before the last has been looked at.
	return &serverEnd{Conn: conn, reader: bufio.NewReaderSize(conn, 1<<20)}
}

// command reads one request: the command's byte and what follows it.
func (p *serverEnd) command() (byte, []byte, error) {
	var payload []byte
	for {
		var header [4]byte
		if _, err := io.ReadFull(p.reader, header[:]); err != nil {
			return 0, nil, err
		}
		size := int(header[0]) | int(header[1])<<8 | int(header[2])<<16
		frame := make([]byte, size)
		if _, err := io.ReadFull(p.reader, frame); err != nil {
			return 0, nil, err
		}
		payload = append(payload, frame...)
		if size < 1<<24-1 {
			return payload[0], payload[1:], nil
		}
	}
}

// take reads requests without a look at them.
func (p *serverEnd) take(requests int) error {
	for range requests {
		if _, _, err := p.command(); err != nil {
			return err
		}
	}
	return nil
}

// reply writes packets in one piece. A client that is gone is no fault of the peer's.
func (p *serverEnd) reply(packets ...[]byte) { _, _ = p.Write(slices.Concat(packets...)) }

// ended waits until the other side has closed, and reports how many bytes came before.
func (p *serverEnd) ended() int64 {
	n, _ := io.Copy(io.Discard, p.reader)
	return n
}

// converse returns a connection to a peer that runs script. The test ends when the
// script has.
func converse(t *testing.T, cfg mysqlsession.Config, script func(p *serverEnd)) *mysqlsession.Conn {
	t.Helper()
	return converseAs(t, cfg, wire.CapabilityDeprecateEOF, "8.4.0", script)
}

func converseAs(t *testing.T, cfg mysqlsession.Config, capabilities wire.Capability, version string, script func(p *serverEnd)) *mysqlsession.Conn {
	t.Helper()
	near, far := net.Pipe()
	conn := mysqlsession.NewConn(near, near, capabilities, version, cfg)
	serve(t, conn, far, script)
	return conn
}

// serve runs script at the far end. At the test's end the connection is closed first.
func serve(t *testing.T, conn *mysqlsession.Conn, far net.Conn, script func(p *serverEnd)) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer func() { _ = far.Close() }()
		script(newServerEnd(far))
	}()
	t.Cleanup(func() {
		assert.NoError(t, conn.Close())
		<-done
	})
}

// packet is a payload with its header.
func packet(sequence int, payload []byte) []byte {
	n := len(payload)
	return append([]byte{byte(n), byte(n >> 8), byte(n >> 16), byte(sequence)}, payload...)
}

// committing is the status of a connection on which nothing is open.
const committing = wire.StatusAutocommit

func ok(sequence int, status wire.Status, affected uint64) []byte {
	return packet(sequence, wire.AppendOK(nil, wire.OK{AffectedRows: affected, Status: status}))
}

// end ends a list of rows where both sides know CapabilityDeprecateEOF.
func end(sequence int, status wire.Status) []byte {
	payload := wire.AppendOK(nil, wire.OK{Status: status})
	payload[0] = 0xfe
	return packet(sequence, payload)
}

// oldEnd ends a list where they do not.
func oldEnd(sequence int, status wire.Status) []byte {
	return packet(sequence, []byte{0xfe, 0, 0, byte(status), byte(status >> 8)})
}

func failure(sequence int, code uint16, state, message string) []byte {
	payload := binary.LittleEndian.AppendUint16([]byte{0xff}, code)
	return packet(sequence, append(payload, "#"+state+message...))
}

// definition describes a column.
func definition(sequence int, kind byte) []byte { return packet(sequence, definitionPayload(kind)) }

func definitionPayload(kind byte) []byte {
	var payload []byte
	for _, text := range []string{"def", "", "", "", "c", "c"} {
		payload = lengthEncoded(payload, text)
	}
	payload = append(payload, 12, 63, 0, 0, 0, 0, 0, kind, 0, 0, 0, 0, 0)
	return payload
}

func lengthEncoded(dst []byte, text string) []byte {
	return append(wire.AppendLengthEncodedInt(dst, uint64(len(text))), text...)
}

func textRow(sequence int, values ...string) []byte {
	var payload []byte
	for _, value := range values {
		payload = lengthEncoded(payload, value)
	}
	return packet(sequence, payload)
}

// binaryRow is a row of blobs, none of them NULL.
func binaryRow(sequence int, values ...string) []byte {
	payload := make([]byte, 1+(len(values)+9)/8)
	for _, value := range values {
		payload = lengthEncoded(payload, value)
	}
	return packet(sequence, payload)
}

// resultSet is a whole reply of one column of blobs. row makes its rows: textRow or
// binaryRow.
func resultSet(row func(sequence int, values ...string) []byte, values ...string) []byte {
	reply := slices.Concat(packet(1, []byte{1}), definition(2, columnBlob))
	for i, value := range values {
		reply = append(reply, row(3+i, value)...)
	}
	return append(reply, end(3+len(values), committing)...)
}

// resultRow is the whole reply of one row, of as many columns as there are values.
func resultRow(values ...string) []byte {
	reply := packet(1, []byte{byte(len(values))})
	for i := range values {
		reply = append(reply, definition(2+i, columnBlob)...)
	}
	reply = append(reply, textRow(2+len(values), values...)...)
	return append(reply, end(3+len(values), committing)...)
}

// prepared is the whole reply to a prepare.
func prepared(id uint32, columns, parameters int) []byte {
	payload := binary.LittleEndian.AppendUint32([]byte{0}, id)
	payload = binary.LittleEndian.AppendUint16(payload, uint16(columns))
	payload = binary.LittleEndian.AppendUint16(payload, uint16(parameters))
	reply := packet(1, append(payload, 0, 0, 0))
	for i := range parameters + columns {
		reply = append(reply, definition(2+i, columnBlob)...)
	}
	return reply
}
