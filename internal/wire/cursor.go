package wire

import "encoding/binary"

// Cursor reads values off a packet's payload. The first failure sticks: what is read
// after it is zero, so a decoder reads straight through and asks OK once, at the end.
type Cursor struct {
	rest   []byte
	failed bool
}

// NewCursor returns a cursor at the start of payload, which it does not copy.
func NewCursor(payload []byte) Cursor { return Cursor{rest: payload} }

// OK reports whether everything read so far was there.
func (c *Cursor) OK() bool { return !c.failed }

// Len is the number of bytes left.
func (c *Cursor) Len() int { return len(c.rest) }

// Bytes takes the next n bytes. They alias the payload.
func (c *Cursor) Bytes(n uint64) []byte {
	if n > uint64(len(c.rest)) {
		c.fail()
		return nil
	}
	b := c.rest[:n:n]
	c.rest = c.rest[n:]
	return b
}

// fail makes this and all later reads fail.
func (c *Cursor) fail() { c.rest, c.failed = nil, true }

// Rest takes what is left.
func (c *Cursor) Rest() []byte { return c.Bytes(uint64(len(c.rest))) }

// Skip passes over n bytes.
func (c *Cursor) Skip(n uint64) { c.Bytes(n) }

// Uint8 takes one byte.
func (c *Cursor) Uint8() uint8 {
	if b := c.Bytes(1); b != nil {
		return b[0]
	}
	return 0
}

// Uint16 takes a little-endian number of two bytes.
func (c *Cursor) Uint16() uint16 {
	if b := c.Bytes(2); b != nil {
		return binary.LittleEndian.Uint16(b)
	}
	return 0
}

// Uint32 takes a little-endian number of four bytes.
func (c *Cursor) Uint32() uint32 {
	if b := c.Bytes(4); b != nil {
		return binary.LittleEndian.Uint32(b)
	}
	return 0
}

// Uint64 takes a little-endian number of eight bytes.
func (c *Cursor) Uint64() uint64 {
	if b := c.Bytes(8); b != nil {
		return binary.LittleEndian.Uint64(b)
	}
	return 0
}

// LengthEncodedInt takes a length-encoded integer
// (https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_basic_dt_integers.html).
// 0xfb, NULL in a text row, and 0xff, an error packet's first byte, are failures.
func (c *Cursor) LengthEncodedInt() uint64 {
	switch first := c.Uint8(); first {
	case 0xfc:
		return uint64(c.Uint16())
	case 0xfd:
		b := c.Bytes(3)
		if b == nil {
			return 0
		}
		return uint64(b[0]) | uint64(b[1])<<8 | uint64(b[2])<<16
	case 0xfe:
		return c.Uint64()
	case 0xfb, 0xff:
		c.fail()
		return 0
	default:
		return uint64(first)
	}
}

// LengthEncodedBytes takes a length-encoded string. It aliases the payload.
func (c *Cursor) LengthEncodedBytes() []byte { return c.Bytes(c.LengthEncodedInt()) }

// NulTerminated takes the bytes up to a NUL, and the NUL.
func (c *Cursor) NulTerminated() []byte {
	for i, b := range c.rest {
		if b == 0 {
			text := c.Bytes(uint64(i))
			c.Skip(1)
			return text
		}
	}
	c.fail()
	return nil
}
