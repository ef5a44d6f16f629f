package wire

// OK is what an OK packet says.
type OK struct {
	AffectedRows uint64
	LastInsertID uint64
	Status       Status
	Warnings     uint16
}

// Failure is what an ERR packet says. Message aliases the packet.
type Failure struct {
	Code    uint16
	State   string // five digits or upper-case letters; "HY000" when the packet has none
	Message []byte
}

// Kind is what a packet in a reply is.
type Kind uint8

// The kinds of packets that begin a reply or stand where a row may.
const (
	KindData  Kind = iota // a row, a column count, a definition: whatever the place has
	KindOK                // ends a reply without rows
	KindEnd               // ends a list of definitions or rows
	KindError             // ends a reply
)

// ReplyKind tells what the first packet of a reply is. A request for a local file is
// malformed: this package never offers to send one.
func ReplyKind(payload []byte) (Kind, error) {
	if len(payload) == 0 {
		return 0, ErrMalformed
	}
	switch payload[0] {
	case headerOK:
		return KindOK, nil
	case headerErr:
		return KindError, nil
	case headerLocalFile, headerEOF:
		return 0, ErrMalformed
	default:
		return KindData, nil
	}
}

// ItemKind tells what a packet is where definitions or rows are listed: the next one,
// the end of the list, or an error.
func ItemKind(payload []byte, capabilities Capability) (Kind, error) {
	if len(payload) == 0 {
		return 0, ErrMalformed
	}
	switch payload[0] {
	case headerErr:
		return KindError, nil
	case headerEOF:
		// A row may begin with 0xfe as well: its first column is then longer than a frame.
		if capabilities&CapabilityDeprecateEOF == 0 && len(payload) < 9 ||
			capabilities&CapabilityDeprecateEOF != 0 && len(payload) < maxFrame {
			return KindEnd, nil
		}
	}
	return KindData, nil
}

// ParseOK reads an OK packet, also the one that ends a list of rows when
// CapabilityDeprecateEOF was agreed on
// (https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_basic_ok_packet.html).
func ParseOK(payload []byte) (OK, error) {
	c := NewCursor(payload)
	header := c.Uint8()
	ok := OK{AffectedRows: c.LengthEncodedInt(), LastInsertID: c.LengthEncodedInt()}
	ok.Status = Status(c.Uint16())
	ok.Warnings = c.Uint16()
	if !c.OK() || header != headerOK && header != headerEOF {
		return OK{}, ErrMalformed
	}
	return ok, nil
}

// ParseEnd reads the packet that ends a list.
func ParseEnd(payload []byte, capabilities Capability) (OK, error) {
	c := NewCursor(payload)
	if c.Uint8() != headerEOF {
		return OK{}, ErrMalformed
	}
	if capabilities&CapabilityDeprecateEOF != 0 {
		return ParseOK(payload)
	}
	end := OK{Warnings: c.Uint16()}
	end.Status = Status(c.Uint16())
	if !c.OK() {
		return OK{}, ErrMalformed
	}
	return end, nil
}

// ParseFailure reads an ERR packet
// (https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_basic_err_packet.html).
// One sent before the login has no SQLSTATE; its place is told by '#'.
func ParseFailure(payload []byte) (Failure, error) {
	c := NewCursor(payload)
	header := c.Uint8()
	f := Failure{Code: c.Uint16(), State: "HY000"}
	if !c.OK() || header != headerErr {
		return Failure{}, ErrMalformed
	}
	if c.Len() >= 6 && payload[3] == '#' {
		c.Skip(1)
		if state := c.Bytes(5); isState(state) {
			f.State = string(state)
		}
	}
	f.Message = c.Rest()
	return f, nil
}

// isState reports whether the bytes are an SQLSTATE, which may be printed: digits and
// upper-case letters.
func isState(state []byte) bool {
	for _, b := range state {
		if (b < '0' || b > '9') && (b < 'A' || b > 'Z') {
			return false
		}
	}
	return true
}

// Prepared is what a server says of a prepared statement.
type Prepared struct {
	ID         uint32
	Columns    int
	Parameters int
}

// ParsePrepared reads the first packet of the reply to a prepare
// (https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_com_stmt_prepare.html).
func ParsePrepared(payload []byte) (Prepared, error) {
	c := NewCursor(payload)
	header := c.Uint8()
	p := Prepared{ID: c.Uint32()}
	p.Columns = int(c.Uint16())
	p.Parameters = int(c.Uint16())
	if !c.OK() || header != headerOK {
		return Prepared{}, ErrMalformed
	}
	return p, nil
}
