package wire

import (
	"bytes"
	"math"
	"strconv"
	"testing"
)

func TestColumnCounts(t *testing.T) {
	cases := map[string]struct {
		hex  string
		want int // 0: malformed
	}{
		"one":                {"01", 1},
		"the most there are": {"fc 0010", 4096},
		"one more":           {"fc 0110", 0},
		"none":               {"00", 0},
		"2^32":               {"fe 0000000001000000", 0},
		"2^64-1":             {"fe ffffffffffffffff", 0},
		"NULL":               {"fb", 0},
		"an error":           {"ff", 0},
		"something behind":   {"01 00", 0},
		"nothing":            {"", 0},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := ParseColumnCount(exactly(unhex(t, c.hex)))
			if got != c.want || (err != nil) != (c.want == 0) {
				t.Errorf("got %d, %v", got, err)
			}
		})
	}
}

// definition is a column's, as MySQL sends it.
func definition(kind byte, flags uint16) []byte {
	var b []byte
	for _, text := range []string{"def", "db", "t", "table", "c", "column"} {
		b = append(b, lengthEncoded(text)...)
	}
	return append(b, 0x0c, 0x3f, 0, 0xff, 0, 0, 0, kind, byte(flags), byte(flags>>8), 0, 0, 0)
}

func TestColumnDefinitions(t *testing.T) {
	for _, c := range []struct {
		flags    uint16
		unsigned bool
	}{{0, false}, {1 << 5, true}, {1<<5 | 1<<7, true}, {1<<4 | 1<<6, false}} {
		got, err := ParseColumn(exactly(definition(typeLongLong, c.flags)))
		if want := (Column{kind: typeLongLong, unsigned: c.unsigned}); got != want || err != nil {
			t.Errorf("flags %#x: %+v, %v", c.flags, got, err)
		}
	}
	// A server may say more than this package knows of.
	if _, err := ParseColumn(append(definition(typeBlob, 0), 1, 2, 3)); err != nil {
		t.Errorf("with more behind it: %v", err)
	}
}

func TestTextRows(t *testing.T) {
	cases := map[string]struct {
		hex  string
		want []any // nil: NULL; no list: malformed
	}{
		"of values":               {"0161 00 03313233", []any{"a", "", "123"}},
		"with NULL":               {"fb fb 0161", []any{nil, nil, "a"}},
		"of one value":            {"fc010061", []any{"a"}},
		"of nothing":              {"", []any{}},
		"too few":                 {"0161", nil},
		"too many":                {"0161 0161 0161 0161", nil},
		"one byte too many":       {"0161 0161 0161 00", nil},
		"longer than the row":     {"0161 0161 ff", nil},
		"a length of 2^64-1":      {"0161 0161 feffffffffffffffff61", nil},
		"a length of 2^63":        {"fe0000000000000080 61", nil},
		"an error among the data": {"0161 ff150423 00", nil},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			values := make([]Value, 3)
			if c.want != nil {
				values = make([]Value, len(c.want))
			}
			err := DecodeTextRow(exactly(unhex(t, c.hex)), values)
			if (err == nil) != (c.want != nil) || err != nil && err != ErrMalformed {
				t.Fatal(err)
			}
			for i, want := range c.want {
				if want == nil {
					if !values[i].IsNull() || values[i].Raw() != nil {
						t.Errorf("value %d is not NULL", i)
					}
				} else if string(values[i].Raw()) != want || values[i].IsNull() || values[i].Raw() == nil {
					t.Errorf("value %d is %q", i, values[i].Raw())
				}
			}
		})
	}
}

// allColumns are columns of every kind that is decoded in a way of its own, and binaryRow
// is a row of them without NULL.
var allColumns = []Column{
	{typeTiny, false}, {typeTiny, true}, {typeShort, false}, {typeShort, true}, {typeYear, true},
	{typeLong, false}, {typeLong, true}, {typeInt24, false}, {typeLongLong, false}, {typeLongLong, true},
	{typeFloat, false}, {typeDouble, false}, {typeDate, false}, {typeDatetime, false}, {typeTimestamp, false},
	{typeTime, false}, {typeTime, false}, {typeBlob, false}, {typeNull, false},
}

const binaryRow = "00 00 00 00" + // header, and a bit for each column, two bits later
	"ff ff ffff ffff ea07" + // -1, 255, -1, 65535, 2026
	"ffffffff ffffffff ffffffff ffffffffffffffff ffffffffffffffff" +
	"0000c03f 000000000000f8bf" + // 1.5, -1.5
	"04 ea07 02 1c" + // 2026-02-28
	"07 ea07 02 1c 17 3b 3a" + // 2026-02-28 23:59:58
	"0b ea07 02 1c 17 3b 3a 3f420f00" + // and 999,999 microseconds
	"08 01 02000000 01 02 03" + // -49:02:03
	"0c 00 00000000 01 02 03 01000000" + // 01:02:03.000001
	"02 6162"

func TestBinaryRowsOfEveryKindOfColumn(t *testing.T) {
	want := []string{
		"-1", "255", "-1", "65535", "2026", "-1", "4294967295", "-1", "-1", "18446744073709551615",
		"1.5", "-1.5", "2026-02-28", "2026-02-28 23:59:58", "2026-02-28 23:59:58.999999",
		"-49:02:03", "01:02:03.000001", "ab", "",
	}
	values := make([]Value, len(allColumns))
	if err := DecodeBinaryRow(exactly(unhex(t, binaryRow)), allColumns, values); err != nil {
		t.Fatal(err)
	}
	for i := range want {
		if got := string(values[i].AppendText([]byte("x"))); got != "x"+want[i] {
			t.Errorf("column %d, of type %#x: got %s, want %s", i, allColumns[i].kind, got, want[i])
		}
		n, ok := values[i].Int()
		if wanted, err := strconv.ParseInt(want[i], 10, 64); ok && (n != wanted || err != nil) {
			t.Errorf("column %d: Int is %d", i, n)
		}
		if isBytes := allColumns[i].kind == typeBlob; (values[i].Raw() != nil) != isBytes {
			t.Errorf("column %d: Raw is %q", i, values[i].Raw())
		}
	}
	if n, ok := values[9].Int(); ok {
		t.Errorf("2^64-1 is %d", n)
	}
}

func TestDatesAndTimesOfEveryLength(t *testing.T) {
	cases := []struct {
		kind byte
		hex  string
		want string // "": malformed
	}{
		{typeDate, "00", "0000-00-00"},
		{typeDate, "04 ea07 01 02", "2026-01-02"},
		{typeDate, "07 ea07 01 02 00 00 00", "2026-01-02"},
		{typeDatetime, "00", "0000-00-00 00:00:00"},
		{typeDatetime, "04 ea07 01 02", "2026-01-02 00:00:00"},
		{typeDatetime, "0b 0f27 0c 1f 17 3b 3b 3f420f00", "9999-12-31 23:59:59.999999"},
		{typeTime, "00", "00:00:00"},
		{typeTime, "08 01 22000000 16 3b 3b", "-838:59:59"},
		{typeTime, "0c 00 22000000 16 3b 3b 01000000", "838:59:59.000001"},
		{typeTime, "08 00 ffffffff ff ff ff", "103079215335:255:255"}, // nonsense stays finite
		{typeDate, "01 ea", ""}, {typeDate, "05 ea07 01 02 00", ""}, {typeDatetime, "0c ea07 0102 000000 00000000 00", ""},
		{typeTimestamp, "0a ea07 0102 000000 000000", ""}, {typeTime, "04 00000000", ""}, {typeTime, "0b 00 00000000 000000 000000", ""},
		{typeTime, "ff", ""}, {typeDate, "fb", ""},
	}
	for _, c := range cases {
		values := make([]Value, 1)
		err := DecodeBinaryRow(append([]byte{0, 0}, unhex(t, c.hex)...), []Column{{kind: c.kind}}, values)
		if (err == nil) != (c.want != "") || err != nil && err != ErrMalformed {
			t.Errorf("%s: %v", c.hex, err)
		} else if got := string(values[0].AppendText(nil)); err == nil && got != c.want {
			t.Errorf("%s: got %s, want %s", c.hex, got, c.want)
		}
	}
}

// TestBinaryRowsWithNullAtEachPlace has as many columns as make the NULL bitmap, which
// begins at its third bit, one to ten bytes long.
func TestBinaryRowsWithNullAtEachPlace(t *testing.T) {
	for n := range 75 {
		for null := -1; null < n; null++ {
			columns, values := make([]Column, n), make([]Value, n)
			bitmap := make([]byte, (n+9)/8)
			var body []byte
			for i := range columns {
				columns[i].kind = typeTiny
				if i == null {
					bitmap[(i+2)/8] |= 1 << ((i + 2) % 8)
				} else {
					body = append(body, byte(i))
				}
			}
			if err := DecodeBinaryRow(join([]byte{0}, bitmap, body), columns, values); err != nil {
				t.Fatalf("%d columns, NULL at %d: %v", n, null, err)
			}
			for i := range values {
				if got, ok := values[i].Int(); ok == (i == null) || ok && got != int64(i) || values[i].IsNull() != (i == null) {
					t.Fatalf("%d columns, NULL at %d: value %d is %d, %t", n, null, i, got, ok)
				}
			}
		}
	}
}

func TestBinaryRowsThatAreNone(t *testing.T) {
	columns := []Column{{kind: typeTiny}}
	for name, text := range map[string]string{
		"nothing": "", "no bitmap": "00", "no value": "00 00", "another header": "01 00 05",
		"too long": "00 00 05 06", "an error": "ff 1504", "NULL and a value": "00 04 05",
	} {
		if err := DecodeBinaryRow(exactly(unhex(t, text)), columns, make([]Value, 1)); err != ErrMalformed {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := DecodeBinaryRow(unhex(t, "00 00 05"), columns, nil); err != ErrMalformed {
		t.Errorf("as many values as columns: %v", err)
	}
}

func TestValuesAsIntegers(t *testing.T) {
	cases := map[string]struct {
		value Value
		want  int64
		ok    bool
	}{
		"NULL":                {Value{}, 0, false},
		"digits":              {Value{kind: valueBytes, bytes: []byte("-12")}, -12, true},
		"no digits":           {Value{kind: valueBytes, bytes: []byte("12a")}, 0, false},
		"an empty string":     {Value{kind: valueBytes}, 0, false},
		"smallest":            {Value{kind: valueBytes, bytes: []byte("-9223372036854775808")}, math.MinInt64, true},
		"beyond the smallest": {Value{kind: valueBytes, bytes: []byte("-9223372036854775809")}, 0, false},
		"unsigned that fits":  {Value{kind: valueUint, number: math.MaxInt64}, math.MaxInt64, true},
		"a date":              {Value{kind: valueDate}, 0, false},
		"a fraction":          {Value{kind: valueFloat, number: math.Float64bits(1)}, 0, false},
	}
	for name, c := range cases {
		if got, ok := c.value.Int(); ok != c.ok || ok && got != c.want {
			t.Errorf("%s: %d, %t", name, got, ok)
		}
	}
}

func FuzzParseColumnCount(f *testing.F) {
	seed(f, func(payload []byte) { f.Add(payload) })
	f.Fuzz(func(t *testing.T, payload []byte) {
		n, err := ParseColumnCount(exactly(payload))
		if err == nil && (n < 1 || n > 4096) || err != nil && (n != 0 || err != ErrMalformed) {
			t.Errorf("%d, %v", n, err)
		}
	})
}

func FuzzParseColumn(f *testing.F) {
	seed(f, func(payload []byte) { f.Add(payload) })
	f.Add(definition(typeBlob, 0x90))
	f.Fuzz(func(t *testing.T, payload []byte) {
		column, err := ParseColumn(exactly(payload))
		if err != nil && (err != ErrMalformed || column != Column{}) {
			t.Errorf("%+v, %v", column, err)
		}
		if err == nil && len(payload) < 6+1+9 {
			t.Errorf("a definition in %d bytes", len(payload))
		}
	})
}

func FuzzTextRow(f *testing.F) {
	seed(f, func(payload []byte) { f.Add(payload, 3) })
	f.Add(unhex(f, "0161 fb 0162"), 3)
	f.Fuzz(func(t *testing.T, payload []byte, columns int) {
		values := make([]Value, columns&0xff)
		if DecodeTextRow(exactly(payload), values) != nil {
			return
		}
		// Written again, it is the same row, and no longer than it came.
		var again []byte
		for _, v := range values {
			if v.IsNull() {
				again = append(again, headerNull)
			} else {
				again = append(again, lengthEncoded(string(v.Raw()))...)
			}
		}
		if len(again) > len(payload) {
			t.Fatalf("%d bytes became %d", len(payload), len(again))
		}
		repeated := make([]Value, len(values))
		if err := DecodeTextRow(again, repeated); err != nil {
			t.Fatal(err)
		}
		for i := range values {
			if values[i].IsNull() != repeated[i].IsNull() || !bytes.Equal(values[i].Raw(), repeated[i].Raw()) {
				t.Fatalf("value %d changed", i)
			}
		}
	})
}

func FuzzBinaryRow(f *testing.F) {
	kinds := make([]byte, len(allColumns))
	for i, column := range allColumns {
		kinds[i] = column.kind
	}
	seed(f, func(payload []byte) { f.Add(payload, kinds) })
	f.Add(unhex(f, binaryRow), kinds)
	f.Add(unhex(f, "00 00 ff"), []byte{typeTime})        // a time longer than the row
	f.Add(unhex(f, "00"), bytes.Repeat([]byte{6}, 4096)) // a bitmap that is not there
	f.Fuzz(func(t *testing.T, payload, kinds []byte) {
		columns, values := make([]Column, len(kinds)), make([]Value, len(kinds))
		for i, kind := range kinds {
			columns[i] = Column{kind: kind, unsigned: i%2 == 1}
		}
		if err := DecodeBinaryRow(exactly(payload), columns, values); err != nil {
			if err != ErrMalformed {
				t.Fatal(err)
			}
			return
		}
		size := 1 + (len(columns)+9)/8
		for _, v := range values {
			size += len(v.bytes)
			if text := v.AppendText(nil); len(text) > 400+len(v.bytes) {
				t.Errorf("%d bytes of text from %d", len(text), len(v.bytes))
			}
			if n, ok := v.Int(); ok && string(v.AppendText(nil)) != strconv.FormatInt(n, 10) && v.kind != valueBytes {
				t.Errorf("Int is %d, the text %s", n, v.AppendText(nil))
			}
		}
		if size > len(payload) {
			t.Errorf("values of %d bytes out of a row of %d", size, len(payload))
		}
	})
}
