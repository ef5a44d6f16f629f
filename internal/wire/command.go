package wire

import (
	"encoding/binary"
	"strconv"
)

// The commands
// (https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_command_phase.html).
const (
	commandQuit           = 0x01
	commandQuery          = 0x03
	commandPing           = 0x0e
	commandPrepare        = 0x16
	commandExecute        = 0x17
	commandCloseStatement = 0x19
)

// The column and parameter types
// (https://dev.mysql.com/doc/dev/mysql-server/latest/field__types_8h.html).
const (
	typeTiny      = 0x01
	typeShort     = 0x02
	typeLong      = 0x03
	typeFloat     = 0x04
	typeDouble    = 0x05
	typeNull      = 0x06
	typeTimestamp = 0x07
	typeLongLong  = 0x08
	typeInt24     = 0x09
	typeDate      = 0x0a
	typeTime      = 0x0b
	typeDatetime  = 0x0c
	typeYear      = 0x0d
	typeBlob      = 0xfc
)

const unsignedFlag = 0x80

// Parameter is a statement parameter: NULL, an integer, or bytes. Its zero value is
// NULL. It refers to the caller's memory and must be used before that changes.
type Parameter struct {
	kind   parameterKind
	number uint64
	bytes  []byte
	text   string
}

type parameterKind uint8

const (
	parameterNull parameterKind = iota
	parameterInt
	parameterUint
	parameterBytes
	parameterText // bytes too, held as a string
)

// Int is a signed integer.
func Int(n int64) Parameter { return Parameter{kind: parameterInt, number: uint64(n)} }

// Uint is an unsigned integer.
func Uint(n uint64) Parameter { return Parameter{kind: parameterUint, number: n} }

// Bytes is a string of bytes without a character set; nil is an empty one.
func Bytes(b []byte) Parameter { return Parameter{kind: parameterBytes, bytes: b} }

// Text is Bytes, given as a string: it has no character set either.
func Text(s string) Parameter { return Parameter{kind: parameterText, text: s} }

// AppendQuit appends COM_QUIT.
func AppendQuit(dst []byte) []byte { return append(dst, 1, 0, 0, 0, commandQuit) }

// AppendPing appends COM_PING.
func AppendPing(dst []byte) []byte { return append(dst, 1, 0, 0, 0, commandPing) }

// AppendQuery appends COM_QUERY of a statement without parameters.
func AppendQuery(dst []byte, statement string) []byte {
	start := len(dst)
	dst = append(dst, 0, 0, 0, 0, commandQuery)
	return finish(append(dst, statement...), start)
}

// AppendPrepare appends COM_STMT_PREPARE.
func AppendPrepare(dst []byte, statement string) []byte {
	start := len(dst)
	dst = append(dst, 0, 0, 0, 0, commandPrepare)
	return finish(append(dst, statement...), start)
}

// AppendCloseStatement appends COM_STMT_CLOSE, which has no reply.
func AppendCloseStatement(dst []byte, id uint32) []byte {
	dst = append(dst, 5, 0, 0, 0, commandCloseStatement)
	return binary.LittleEndian.AppendUint32(dst, id)
}

// AppendExecute appends COM_STMT_EXECUTE without a cursor and without query
// attributes. The number of parameters must be the statement's
// (https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_com_stmt_execute.html).
func AppendExecute(dst []byte, id uint32, parameters []Parameter) []byte {
	start := len(dst)
	dst = append(dst, 0, 0, 0, 0, commandExecute)
	dst = binary.LittleEndian.AppendUint32(dst, id)
	dst = append(dst, 0, 1, 0, 0, 0) // no cursor; one iteration
	if len(parameters) == 0 {
		return finish(dst, start)
	}
	nulls := len(dst)
	for range (len(parameters) + 7) / 8 {
		dst = append(dst, 0)
	}
	dst = append(dst, 1) // types follow: a proxy may have lost those of an earlier execute
	for i := range parameters {
		switch parameters[i].kind {
		case parameterNull:
			dst[nulls+i/8] |= 1 << (i % 8)
			dst = append(dst, typeNull, 0)
		case parameterInt:
			dst = append(dst, typeLongLong, 0)
		case parameterUint:
			dst = append(dst, typeLongLong, unsignedFlag)
		case parameterBytes, parameterText:
			dst = append(dst, typeBlob, 0)
		}
	}
	for i := range parameters {
		p := &parameters[i]
		switch p.kind {
		case parameterNull:
		case parameterInt, parameterUint:
			dst = binary.LittleEndian.AppendUint64(dst, p.number)
		case parameterBytes:
			dst = append(AppendLengthEncodedInt(dst, uint64(len(p.bytes))), p.bytes...)
		case parameterText:
			dst = append(AppendLengthEncodedInt(dst, uint64(len(p.text))), p.text...)
		}
	}
	return finish(dst, start)
}

// AppendLiteralQuery appends COM_QUERY of a statement in which each "?" stands for a
// parameter, which is written as an integer or a hexadecimal literal. No value is ever
// quoted, so neither the connection's character set nor sql_mode can change what it
// means. The statement must hold no "?" but those, and as many as there are parameters;
// if not, ok is false and dst comes back as it was.
func AppendLiteralQuery(dst []byte, statement string, parameters []Parameter) (_ []byte, ok bool) {
	start := len(dst)
	dst = append(dst, 0, 0, 0, 0, commandQuery)
	used, from := 0, 0
	for i := 0; i < len(statement); i++ {
		if statement[i] != '?' {
			continue
		}
		if used == len(parameters) {
			return dst[:start], false
		}
		dst = append(dst, statement[from:i]...)
		dst = appendLiteral(dst, &parameters[used])
		used++
		from = i + 1
	}
	if used != len(parameters) {
		return dst[:start], false
	}
	return finish(append(dst, statement[from:]...), start), true
}

const hexDigits = "0123456789ABCDEF"

func appendLiteral(dst []byte, p *Parameter) []byte {
	switch p.kind {
	case parameterInt:
		return strconv.AppendInt(dst, int64(p.number), 10)
	case parameterUint:
		return strconv.AppendUint(dst, p.number, 10)
	case parameterBytes:
		dst = append(dst, "X'"...)
		for _, b := range p.bytes {
			dst = append(dst, hexDigits[b>>4], hexDigits[b&15])
		}
		return append(dst, '\'')
	case parameterText:
		dst = append(dst, "X'"...)
		for i := range len(p.text) {
			dst = append(dst, hexDigits[p.text[i]>>4], hexDigits[p.text[i]&15])
		}
		return append(dst, '\'')
	default:
		return append(dst, "NULL"...)
	}
}

// AppendLengthEncodedInt appends a length-encoded integer.
func AppendLengthEncodedInt(dst []byte, n uint64) []byte {
	switch {
	case n < 0xfb:
		return append(dst, byte(n))
	case n <= 0xffff:
		return append(dst, 0xfc, byte(n), byte(n>>8))
	case n <= 0xffffff:
		return append(dst, 0xfd, byte(n), byte(n>>8), byte(n>>16))
	default:
		return binary.LittleEndian.AppendUint64(append(dst, 0xfe), n)
	}
}

// Frames is the number of frames that a payload of size bytes travels in.
func Frames(size int) int { return size/maxFrame + 1 }

// Measure is the size of a payload, and the number of its frames, of which the appended
// packet took written bytes with its headers.
func Measure(written int) (size, frames int) {
	frames = (written-headerSize)/(maxFrame+headerSize) + 1
	return written - frames*headerSize, frames
}

// finish writes the header that was left open at start, and, when the payload is longer
// than a frame, the headers of the further ones.
func finish(dst []byte, start int) []byte {
	size := len(dst) - start - headerSize
	extra := size / maxFrame
	for range extra {
		dst = append(dst, 0, 0, 0, 0)
	}
	// From the back, so that each frame moves once.
	for i := extra; i >= 0; i-- {
		from := start + headerSize + i*maxFrame
		length := min(size-i*maxFrame, maxFrame)
		to := from + i*headerSize
		if i > 0 {
			copy(dst[to:to+length], dst[from:from+length])
		}
		h := dst[to-headerSize:]
		h[0], h[1], h[2], h[3] = byte(length), byte(length>>8), byte(length>>16), byte(i)
	}
	return dst
}
