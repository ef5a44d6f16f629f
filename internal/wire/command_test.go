package wire

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

func TestShortCommands(t *testing.T) {
	cases := map[string]struct {
		got  []byte
		want string
	}{
		"quit":                  {AppendQuit(nil), "01000000 01"},
		"ping":                  {AppendPing(nil), "01000000 0e"},
		"close statement":       {AppendCloseStatement(nil, 0x01020304), "05000000 19 04030201"},
		"query":                 {AppendQuery(nil, "DO 1"), "05000000 03 444f2031"},
		"empty query":           {AppendQuery(nil, ""), "01000000 03"},
		"prepare":               {AppendPrepare(nil, "DO ?"), "05000000 16 444f203f"},
		"execute":               {AppendExecute(nil, 7, nil), "0a000000 17 07000000 00 01000000"},
		"execute with a string": {AppendExecute(nil, 1, []Parameter{Text("foo")}), "12000000 17 01000000 00 01000000 00 01 fc00 03666f6f"},
		"execute with NULL":     {AppendExecute(nil, 1, []Parameter{{}}), "0e000000 17 01000000 00 01000000 01 01 0600"},
		"execute with -1":       {AppendExecute(nil, 1, []Parameter{Int(-1)}), "16000000 17 01000000 00 01000000 00 01 0800 ffffffffffffffff"},
		"execute with 2^64-1":   {AppendExecute(nil, 1, []Parameter{Uint(math.MaxUint64)}), "16000000 17 01000000 00 01000000 00 01 0880 ffffffffffffffff"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if want := unhex(t, c.want); !bytes.Equal(c.got, want) {
				t.Errorf("got  %x\nwant %x", c.got, want)
			}
		})
	}
}

func TestCommandsAreAppended(t *testing.T) {
	encoders := map[string]func([]byte) []byte{
		"quit":    AppendQuit,
		"ping":    AppendPing,
		"close":   func(b []byte) []byte { return AppendCloseStatement(b, 1) },
		"query":   func(b []byte) []byte { return AppendQuery(b, "DO 1") },
		"prepare": func(b []byte) []byte { return AppendPrepare(b, "DO ?") },
		"execute": func(b []byte) []byte { return AppendExecute(b, 1, someParameters(9)) },
		"literal": func(b []byte) []byte {
			b, _ = AppendLiteralQuery(b, "DO ?, ?", []Parameter{Int(1), Text("a")})
			return b
		},
		"long query": func(b []byte) []byte { return AppendQuery(b, strings.Repeat("x", 2*maxFrame)) },
	}
	for name, encode := range encoders {
		t.Run(name, func(t *testing.T) {
			alone := encode(nil)
			before := []byte("what is there already")
			if got := encode(before); !bytes.Equal(got, join(before, alone)) {
				t.Error("something else than an addition was made")
			}
			// Room that holds other bytes must not show through.
			dirty := bytes.Repeat([]byte{0xaa}, len(alone)+100)[:3]
			if got := encode(dirty); !bytes.Equal(got[3:], alone) {
				t.Error("what was in the buffer shows through")
			}
		})
	}
}

// execute is a COM_STMT_EXECUTE as a server reads it.
type execute struct {
	id         uint32
	parameters []Parameter
}

// decodeExecute reads COM_STMT_EXECUTE, strictly, with n parameters.
func decodeExecute(t testing.TB, packet []byte, n int) execute {
	t.Helper()
	payload, _ := unframed(t, packet)
	c := NewCursor(payload)
	if command := c.Uint8(); command != 0x17 {
		t.Fatalf("command %#x", command)
	}
	e := execute{id: c.Uint32()}
	if cursor, iterations := c.Uint8(), c.Uint32(); cursor != 0 || iterations != 1 {
		t.Fatalf("cursor %d, %d iterations", cursor, iterations)
	}
	if n > 0 {
		nulls := c.Bytes(uint64(n+7) / 8)
		if bound := c.Uint8(); bound != 1 {
			t.Fatalf("types bound %d", bound)
		}
		types := c.Bytes(uint64(2 * n))
		if !c.OK() {
			t.Fatal("cut short")
		}
		for i := range 8 * len(nulls) {
			isNull := nulls[i/8]>>(i%8)&1 == 1
			switch {
			case i >= n:
				if isNull {
					t.Fatalf("bit %d of %d parameters is set", i, n)
				}
				continue
			case isNull != (types[2*i] == 0x06):
				t.Fatalf("parameter %d: NULL %t, type %#x", i, isNull, types[2*i])
			}
			switch kind := [2]byte(types[2*i:]); kind {
			case [2]byte{0x06, 0}:
				e.parameters = append(e.parameters, Parameter{})
			case [2]byte{0x08, 0}:
				e.parameters = append(e.parameters, Int(int64(c.Uint64())))
			case [2]byte{0x08, 0x80}:
				e.parameters = append(e.parameters, Uint(c.Uint64()))
			case [2]byte{0xfc, 0}:
				e.parameters = append(e.parameters, Bytes(c.LengthEncodedBytes()))
			default:
				t.Fatalf("parameter %d is of type %x", i, kind)
			}
		}
	}
	if !c.OK() || c.Len() != 0 {
		t.Fatalf("cut short %t, %d bytes too many", !c.OK(), c.Len())
	}
	return e
}

// same reports whether two parameters are the same to a server.
func same(a, b Parameter) bool {
	text := func(p Parameter) string { return string(p.bytes) + p.text }
	isText := func(p Parameter) bool { return p.kind == parameterBytes || p.kind == parameterText }
	return (a.kind == b.kind || isText(a) && isText(b)) && a.number == b.number && text(a) == text(b)
}

// someParameters are n of all kinds, NULL at irregular places.
func someParameters(n int) []Parameter {
	var parameters []Parameter
	for i := range n {
		switch i * i % 11 {
		case 0, 3:
			parameters = append(parameters, Parameter{})
		case 1:
			parameters = append(parameters, Int(int64(-i)))
		case 4:
			parameters = append(parameters, Uint(math.MaxUint64-uint64(i)))
		case 5:
			parameters = append(parameters, Text(strings.Repeat("t", i)))
		default:
			parameters = append(parameters, Bytes(bytes.Repeat([]byte{byte(i)}, 50*i)))
		}
	}
	return parameters
}

func checkExecute(t testing.TB, id uint32, parameters []Parameter) {
	t.Helper()
	got := decodeExecute(t, AppendExecute(nil, id, parameters), len(parameters))
	if got.id != id || len(got.parameters) != len(parameters) {
		t.Fatalf("statement %d with %d parameters became %d with %d", id, len(parameters), got.id, len(got.parameters))
	}
	for i := range parameters {
		if !same(got.parameters[i], parameters[i]) {
			t.Fatalf("parameter %d of %d became another", i, len(parameters))
		}
	}
}

func TestExecuteCarriesEveryNumberOfParameters(t *testing.T) {
	for n := range 71 {
		checkExecute(t, uint32(n)<<24|7, someParameters(n))
		checkExecute(t, 1, make([]Parameter, n)) // all NULL
		for at := range n {                      // one NULL, at each place
			parameters := make([]Parameter, n)
			for i := range parameters {
				parameters[i] = Int(int64(i))
			}
			parameters[at] = Parameter{}
			checkExecute(t, 1, parameters)
		}
	}
}

func TestExecuteCarriesStringsOfEveryLengthEncoding(t *testing.T) {
	for _, size := range []int{0, 1, 250, 251, 252, 65535, 65536, 1<<24 - 1, 1 << 24} {
		checkExecute(t, 1, []Parameter{Bytes(pattern(size)), Text(string(pattern(size))), Int(1)})
	}
	checkExecute(t, 1, []Parameter{Bytes(nil), Text("")})
}

func TestExecuteCarriesTheMostParametersThereCanBe(t *testing.T) {
	checkExecute(t, 1, someParametersShort(65535))
}

func someParametersShort(n int) []Parameter {
	parameters := make([]Parameter, n)
	for i := range parameters {
		if i%3 != 0 {
			parameters[i] = Int(int64(i))
		}
	}
	return parameters
}

func TestCommandsOver16MiBAreSplit(t *testing.T) {
	for _, size := range []int{maxFrame - 2, maxFrame - 1, maxFrame, 2*maxFrame - 2, 2*maxFrame - 1, 2 * maxFrame} {
		t.Run(strconv.Itoa(size), func(t *testing.T) {
			packet := AppendQuery(nil, string(pattern(size)))
			payload, frames := unframed(t, packet)
			if payload[0] != commandQuery || !bytes.Equal(payload[1:], pattern(size)) {
				t.Error("the statement changed")
			}
			if frames != Frames(size+1) {
				t.Errorf("%d frames, Frames says %d", frames, Frames(size+1))
			}
			if measured, count := Measure(len(packet)); measured != size+1 || count != frames {
				t.Errorf("Measure says %d bytes in %d frames", measured, count)
			}
			s := NewStream(bytes.NewReader(packet))
			s.Begin(0)
			if again, err := s.Next(noLimit); err != nil || !bytes.Equal(again, payload) {
				t.Errorf("our own reader: %d bytes, %v", len(again), err)
			}
		})
	}
}

func TestLiterals(t *testing.T) {
	cases := map[string]struct {
		parameter Parameter
		want      string
	}{
		"NULL":             {Parameter{}, "NULL"},
		"zero":             {Int(0), "0"},
		"smallest":         {Int(math.MinInt64), "-9223372036854775808"},
		"largest":          {Uint(math.MaxUint64), "18446744073709551615"},
		"nothing":          {Bytes(nil), "X''"},
		"empty":            {Text(""), "X''"},
		"every high digit": {Bytes([]byte{0x00, 0x1f, 0x9a, 0xff}), "X'001F9AFF'"},
		"quote":            {Text("'"), "X'27'"},
		"question mark":    {Text("?"), "X'3F'"},
		"an attack":        {Text("'; DROP TABLE sessions; -- "), "X'273B2044524F50205441424C452073657373696F6E733B202D2D20'"},
		"gbk's half quote": {Bytes([]byte{0xbf, '\''}), "X'BF27'"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			packet, ok := AppendLiteralQuery(nil, "DO ?", []Parameter{c.parameter})
			payload, _ := unframed(t, packet)
			if got := string(payload[1:]); !ok || got != "DO "+c.want {
				t.Errorf("got %s, want DO %s", got, c.want)
			}
		})
	}
}

func TestLiteralsMustBeAsManyAsTheStatementHasPlaces(t *testing.T) {
	before := []byte("before")
	for _, c := range []struct {
		statement  string
		parameters int
		ok         bool
	}{
		{"", 0, true}, {"DO 1", 0, true}, {"?", 1, true}, {"??", 2, true}, {"a ? b ? c", 2, true},
		{"", 1, false}, {"DO 1", 1, false}, {"?", 0, false}, {"?", 2, false}, {"? ?", 1, false}, {"? ? ?", 2, false},
	} {
		got, ok := AppendLiteralQuery(before, c.statement, make([]Parameter, c.parameters))
		if ok != c.ok || !ok && string(got) != "before" {
			t.Errorf("%q with %d: %t, %q", c.statement, c.parameters, ok, got)
		}
	}
}

var (
	literal  = regexp.MustCompile(`^(NULL|-?[0-9]+|X'(?:[0-9A-F]{2})*')`)
	template = "INSERT INTO t (a, b) VALUES (?, ?), (?, ?) -- ?"
)

// decodeLiterals reads the values of the template's places back.
func decodeLiterals(t testing.TB, packet []byte) []string {
	t.Helper()
	payload, _ := unframed(t, packet)
	text := string(payload[1:])
	var values []string
	parts := strings.Split(template, "?")
	for i, part := range parts {
		rest, ok := strings.CutPrefix(text, part)
		if !ok {
			t.Fatalf("behind %d values there is %.60q, not %q", len(values), text, part)
		}
		if text = rest; i == len(parts)-1 {
			break
		}
		value := literal.FindString(text)
		values = append(values, value)
		text = text[len(value):]
	}
	if text != "" {
		t.Fatalf("%q is left", text)
	}
	return values
}

func FuzzLiterals(f *testing.F) {
	f.Add([]byte("'; DROP TABLE sessions; -- "), "\\' OR 1=1", int64(-1))
	f.Add([]byte{0xbf, '\''}, "?", int64(math.MinInt64)) // half a character of gbk before the quote
	f.Add([]byte{0, '\n', '\r', 26}, "\x00", int64(0))   // what quoting has to escape
	f.Add([]byte("X'00"), "NULL", int64(5))              // literals in a literal
	f.Fuzz(func(t *testing.T, first []byte, second string, third int64) {
		parameters := []Parameter{Bytes(first), Text(second), Int(third), Uint(uint64(third)), {}}
		packet, ok := AppendLiteralQuery(nil, template, parameters)
		if !ok {
			t.Fatal("refused")
		}
		got := decodeLiterals(t, packet)
		want := []string{
			fmt.Sprintf("X'%X'", first), fmt.Sprintf("X'%X'", second),
			strconv.FormatInt(third, 10), strconv.FormatUint(uint64(third), 10), "NULL",
		}
		size := 0
		for i := range want {
			if got[i] != want[i] {
				t.Errorf("value %d: got %s, want %s", i, got[i], want[i])
			}
			size += len(want[i])
		}
		// Nothing of a value is outside of its literal: the text is the template's and theirs.
		if longest := headerSize + 1 + len(template) + size; len(packet) > longest {
			t.Errorf("%d bytes, the template and its literals have %d", len(packet), longest)
		}
	})
}

func FuzzExecute(f *testing.F) {
	f.Add(uint32(1), []byte{0, 1, 2, 3, 4, 5, 6, 7, 8}, []byte("abc"))
	f.Add(uint32(math.MaxUint32), bytes.Repeat([]byte{0}, 64), []byte{}) // NULL in every bit
	f.Add(uint32(0), bytes.Repeat([]byte{0, 3}, 35), pattern(300))
	f.Fuzz(func(t *testing.T, id uint32, kinds, content []byte) {
		var parameters []Parameter
		for i, kind := range kinds {
			number := binary.LittleEndian.Uint64(append(bytes.Clone(content[min(i, len(content)):]), make([]byte, 8)...))
			switch value := content[min(i, len(content)):]; kind % 5 {
			case 0:
				parameters = append(parameters, Parameter{})
			case 1:
				parameters = append(parameters, Int(int64(number)))
			case 2:
				parameters = append(parameters, Uint(number))
			case 3:
				parameters = append(parameters, Bytes(value))
			case 4:
				parameters = append(parameters, Text(string(value)))
			}
		}
		if len(parameters) <= math.MaxUint16 {
			checkExecute(t, id, parameters)
		}
	})
}

func TestEncodingIntoABufferWithRoomAllocatesNothing(t *testing.T) {
	parameters := someParameters(12)
	buffer := make([]byte, 0, 64<<10)
	places := strings.Repeat("?", len(parameters))
	allocations := testing.AllocsPerRun(100, func() {
		buffer = AppendExecute(buffer[:0], 1, parameters)
		buffer, _ = AppendLiteralQuery(buffer, places, parameters)
	})
	if allocations != 0 {
		t.Errorf("%v allocations", allocations)
	}
}
