package wire

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"strconv"
)

// Column is what decoding a value needs of a column's definition.
type Column struct {
	kind     byte // a type constant
	unsigned bool
}

// maxColumns is the most columns a table, and so a reply, can have
// (https://dev.mysql.com/doc/refman/en/column-count-limit.html).
const maxColumns = 4096

// ParseColumnCount reads the packet that opens a reply with rows.
func ParseColumnCount(payload []byte) (int, error) {
	c := NewCursor(payload)
	n := c.LengthEncodedInt()
	if !c.OK() || c.Len() != 0 || n == 0 || n > maxColumns {
		return 0, ErrMalformed
	}
	return int(n), nil
}

// ParseColumn reads a column definition
// (https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_com_query_response_text_resultset_column_definition.html).
func ParseColumn(payload []byte) (Column, error) {
	c := NewCursor(payload)
	for range 6 { // catalog, schema, table and its original name, name and its original name
		c.LengthEncodedBytes()
	}
	fixed := NewCursor(c.LengthEncodedBytes())
	fixed.Skip(2 + 4) // character set, display length
	column := Column{kind: fixed.Uint8()}
	column.unsigned = fixed.Uint16()&unsignedColumn != 0
	if !c.OK() || !fixed.OK() {
		return Column{}, ErrMalformed
	}
	return column, nil
}

// unsignedColumn is UNSIGNED_FLAG of a column definition.
const unsignedColumn = 1 << 5

// Value is one column of a row: NULL, a number, a date or time, or bytes. Its zero value
// is NULL. It is valid as long as the row is.
type Value struct {
	kind   valueKind
	number uint64
	bytes  []byte
}

type valueKind uint8

const (
	valueNull valueKind = iota
	valueInt
	valueUint
	valueFloat    // the bits of a float64
	valueFloat32  // the bits of a float32
	valueDatetime // bytes hold the binary form
	valueDate
	valueTime
	valueBytes
)

// IsNull reports whether the value is NULL.
func (v Value) IsNull() bool { return v.kind == valueNull }

// Raw is the value's bytes as they came, which alias the packet; nil for what came as a
// number or date.
func (v Value) Raw() []byte {
	if v.kind == valueBytes {
		return v.bytes
	}
	return nil
}

// Int is the value as an integer; not ok when it is none or does not fit.
func (v Value) Int() (n int64, ok bool) {
	switch v.kind {
	case valueInt:
		return int64(v.number), true
	case valueUint:
		return int64(v.number), v.number <= math.MaxInt64
	case valueBytes:
		n, err := strconv.ParseInt(string(v.bytes), 10, 64)
		return n, err == nil
	default:
		return 0, false
	}
}

// AppendText appends the value as the text protocol shows it; nothing for NULL.
func (v Value) AppendText(dst []byte) []byte {
	switch v.kind {
	case valueInt:
		return strconv.AppendInt(dst, int64(v.number), 10)
	case valueUint:
		return strconv.AppendUint(dst, v.number, 10)
	case valueFloat:
		return strconv.AppendFloat(dst, math.Float64frombits(v.number), 'g', -1, 64)
	case valueFloat32:
		return strconv.AppendFloat(dst, float64(math.Float32frombits(uint32(v.number))), 'g', -1, 32)
	case valueDate, valueDatetime:
		return appendDatetime(dst, v.bytes, v.kind == valueDate)
	case valueTime:
		return appendTime(dst, v.bytes)
	default:
		return append(dst, v.bytes...)
	}
}

// DecodeTextRow reads a row of the text protocol into values, one for each column
// (https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_com_query_response_text_resultset_row.html).
func DecodeTextRow(payload []byte, values []Value) error {
	c := NewCursor(payload)
	for i := range values {
		if len(c.rest) > 0 && c.rest[0] == headerNull {
			c.Skip(1)
			values[i] = Value{}
			continue
		}
		values[i] = Value{kind: valueBytes, bytes: c.LengthEncodedBytes()}
	}
	if !c.OK() || c.Len() != 0 {
		return ErrMalformed
	}
	return nil
}

// DecodeBinaryRow reads a row of the binary protocol into values, one for each column
// (https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_binary_resultset.html).
func DecodeBinaryRow(payload []byte, columns []Column, values []Value) error {
	c := NewCursor(payload)
	header := c.Uint8()
	nulls := c.Bytes(uint64(len(columns)+7+2) / 8)
	if !c.OK() || header != headerOK || len(columns) != len(values) {
		return ErrMalformed
	}
	for i, column := range columns {
		if bit := i + 2; nulls[bit/8]&(1<<(bit%8)) != 0 {
			values[i] = Value{}
			continue
		}
		values[i] = binaryValue(&c, column)
	}
	if !c.OK() || c.Len() != 0 {
		return ErrMalformed
	}
	return nil
}

func binaryValue(c *Cursor, column Column) Value {
	switch column.kind {
	case typeTiny:
		return integer(column, uint64(c.Uint8()), 8)
	case typeShort, typeYear:
		return integer(column, uint64(c.Uint16()), 16)
	case typeLong, typeInt24:
		return integer(column, uint64(c.Uint32()), 32)
	case typeLongLong:
		return integer(column, c.Uint64(), 64)
	case typeFloat:
		return Value{kind: valueFloat32, number: uint64(c.Uint32())}
	case typeDouble:
		return Value{kind: valueFloat, number: c.Uint64()}
	case typeNull:
		return Value{}
	case typeDate:
		return Value{kind: valueDate, bytes: packed(c, 4, 7, 11)}
	case typeDatetime, typeTimestamp:
		return Value{kind: valueDatetime, bytes: packed(c, 4, 7, 11)}
	case typeTime:
		return Value{kind: valueTime, bytes: packed(c, 8, 12)}
	default: // all others are length-encoded strings
		return Value{kind: valueBytes, bytes: c.LengthEncodedBytes()}
	}
}

// packed takes a date or time, whose length is one of lengths, or zero.
func packed(c *Cursor, lengths ...uint8) []byte {
	n := c.Uint8()
	if n != 0 && !slices.Contains(lengths, n) {
		c.fail()
	}
	return c.Bytes(uint64(n))
}

// integer widens n, which has the given number of bits.
func integer(column Column, n uint64, bits uint) Value {
	if column.unsigned {
		return Value{kind: valueUint, number: n}
	}
	return Value{kind: valueInt, number: uint64(int64(n<<(64-bits)) >> (64 - bits))}
}

// appendDatetime writes a date and time; trailing parts that are zero are not sent.
func appendDatetime(dst, packed []byte, dateOnly bool) []byte {
	var b [11]byte
	copy(b[:], packed)
	dst = fmt.Appendf(dst, "%04d-%02d-%02d", binary.LittleEndian.Uint16(b[:]), b[2], b[3])
	if dateOnly {
		return dst
	}
	dst = fmt.Appendf(dst, " %02d:%02d:%02d", b[4], b[5], b[6])
	if len(packed) > 7 {
		dst = fmt.Appendf(dst, ".%06d", binary.LittleEndian.Uint32(b[7:]))
	}
	return dst
}

// appendTime writes a duration; an empty one is zero.
func appendTime(dst, packed []byte) []byte {
	var b [12]byte
	copy(b[:], packed)
	if b[0] == 1 {
		dst = append(dst, '-')
	}
	hours := uint64(binary.LittleEndian.Uint32(b[1:]))*24 + uint64(b[5])
	dst = fmt.Appendf(dst, "%02d:%02d:%02d", hours, b[6], b[7])
	if len(packed) > 8 {
		dst = fmt.Appendf(dst, ".%06d", binary.LittleEndian.Uint32(b[8:]))
	}
	return dst
}
