package wire

import (
	"bytes"
	"errors"
	"strings"
	"testing"
)

const deprecateEOF = CapabilityDeprecateEOF

// attacks are packets of a hostile or broken server. Each is a seed of every fuzz target
// of a decoder.
var attacks = map[string]string{
	"nothing":                        "",
	"only a header byte of OK":       "00",
	"only a header byte of EOF":      "fe",
	"only a header byte of ERR":      "ff",
	"request for a local file":       "fb 2f6574632f706173737764",
	"OK with a length of NULL":       "00 fb 00 0200 0000",
	"OK with a length of an error":   "00 ff 00 0200 0000",
	"OK with 2^64-1 rows":            "00 feffffffffffffffff 00 0200 0000",
	"OK with a cut length":           "00 feffffff",
	"EOF of nine bytes":              "fe 0000000000000000",
	"ERR with a cut SQLSTATE":        "ff 1504 23 3238",
	"ERR with an escape in SQLSTATE": "ff 1504 23 1b5b324a0a 6d",
	"65535 columns and parameters":   "00 01000000 ffff ffff 00 0000",
	"column count of 2^64-1":         "feffffffffffffffff",
	"column count of 2^24":           "fe0000000100000000",
	"column count of none":           "fb",
	"definition of endless strings":  "feffffffffffffffff 00",
	"definition without its types":   "03646566 00 00 00 00 00 00",
	"definition of short types":      "03646566 00 00 00 00 00 01 21",
	"value longer than the row":      "fa 6161",
	"value of 2^63 bytes":            "fe0000000000000080 61",
	"value of an error":              "ff 61",
	"binary row of NULLs":            "00 ff ff ff ff",
	"date of 255 bytes":              "00 00 ff 01",
}

func seed(f *testing.F, add func(payload []byte)) {
	for _, text := range attacks {
		add(unhex(f, text))
	}
}

func TestReplyKinds(t *testing.T) {
	cases := map[string]struct {
		hex  string
		want Kind
		err  error
	}{
		"OK":             {"00 00 00 0200 0000", KindOK, nil},
		"error":          {"ff 1504", KindError, nil},
		"one column":     {"01", KindData, nil},
		"252 columns":    {"fc fc00", KindData, nil},
		"nothing":        {"", 0, ErrMalformed},
		"a local file":   {"fb 61", 0, ErrMalformed},
		"end of nothing": {"fe 0000 0200", 0, ErrMalformed},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if got, err := ReplyKind(unhex(t, c.hex)); got != c.want || err != c.err {
				t.Errorf("got %d, %v", got, err)
			}
		})
	}
}

func TestItemKinds(t *testing.T) {
	long := make([]byte, maxFrame) // a row that begins with a value of 16 MiB
	long[0] = headerEOF
	cases := map[string]struct {
		payload   []byte
		withEOF   Kind // without CapabilityDeprecateEOF
		withoutIt Kind
	}{
		"a row":                       {unhex(t, "0161"), KindData, KindData},
		"a binary row":                {unhex(t, "00 00 0161"), KindData, KindData},
		"a row that begins with NULL": {unhex(t, "fb 0161"), KindData, KindData},
		"an error":                    {unhex(t, "ff 1504"), KindError, KindError},
		"an end":                      {unhex(t, "fe 0000 0200"), KindEnd, KindEnd},
		"an end of eight bytes":       {unhex(t, "fe 00000000000000"), KindEnd, KindEnd},
		"an end with a message":       {unhex(t, "fe 0000 0200 0000 0161 61"), KindData, KindEnd},
		"a row of nearly a frame":     {long[:maxFrame-1], KindData, KindEnd},
		"a row of a full frame":       {long, KindData, KindData},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if got, err := ItemKind(c.payload, 0); got != c.withEOF || err != nil {
				t.Errorf("with EOF packets: %d, %v", got, err)
			}
			if got, err := ItemKind(c.payload, deprecateEOF); got != c.withoutIt || err != nil {
				t.Errorf("without: %d, %v", got, err)
			}
		})
	}
	if _, err := ItemKind(nil, 0); err != ErrMalformed {
		t.Errorf("an empty packet: %v", err)
	}
}

func TestOKPackets(t *testing.T) {
	cases := map[string]struct {
		hex  string
		want OK
	}{
		"plain":                          {"00 00 00 0200 0000", OK{Status: StatusAutocommit}},
		"rows, id and warnings":          {"00 fc2c01 fd000001 0300 0500", OK{AffectedRows: 300, LastInsertID: 65536, Status: StatusAutocommit | StatusInTransaction, Warnings: 5}},
		"with a message":                 {"00 01 00 0a00 0000 0361626300", OK{AffectedRows: 1, Status: StatusMoreResults | StatusAutocommit}},
		"as the end of rows":             {"fe 00 00 0200 0100", OK{Status: StatusAutocommit, Warnings: 1}},
		"the most rows there are":        {"00 feffffffffffffffff 00 0200 0000", OK{AffectedRows: 1<<64 - 1, Status: StatusAutocommit}},
		"with a change of session state": {"00 00 00 0240 0000 00 04 00020161", OK{Status: 0x4002}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if got, err := ParseOK(exactly(unhex(t, c.hex))); got != c.want || err != nil {
				t.Errorf("got %+v, %v", got, err)
			}
		})
	}
	if _, err := ParseOK(unhex(t, "01 00 00 0200 0000")); err != ErrMalformed {
		t.Errorf("another header: %v", err)
	}
}

func TestEndPackets(t *testing.T) {
	got, err := ParseEnd(unhex(t, "fe 0500 0a00"), 0)
	if want := (OK{Status: StatusAutocommit | StatusMoreResults, Warnings: 5}); got != want || err != nil {
		t.Errorf("EOF: %+v, %v", got, err)
	}
	got, err = ParseEnd(unhex(t, "fe 00 00 0a00 0500"), deprecateEOF)
	if want := (OK{Status: StatusAutocommit | StatusMoreResults, Warnings: 5}); got != want || err != nil {
		t.Errorf("OK in its place: %+v, %v", got, err)
	}
	for _, capabilities := range []Capability{0, deprecateEOF} {
		if _, err := ParseEnd(unhex(t, "00 00 00 0200 0000"), capabilities); err != ErrMalformed {
			t.Errorf("a packet that ends nothing: %v", err)
		}
	}
}

func TestErrorPackets(t *testing.T) {
	cases := map[string]struct {
		hex   string
		code  uint16
		state string
		text  string
	}{
		"with SQLSTATE":                   {"ff 1504 23 3238303030 6e6f", 1045, "28000", "no"},
		"before the login":                {"ff 1004 546f6f", 1040, "HY000", "Too"},
		"without a message":               {"ff 1504 23 3238303030", 1045, "28000", ""},
		"without anything":                {"ff 1504", 1045, "HY000", ""},
		"a message that begins with #":    {"ff 1504 2361", 1045, "HY000", "#a"},
		"a SQLSTATE of four characters":   {"ff 1504 23 32383030", 1045, "HY000", "#2800"},
		"an escape sequence for SQLSTATE": {"ff 1504 23 1b5b324a0a 6d", 1045, "HY000", "m"},
		"lower case for SQLSTATE":         {"ff 1504 23 6879303030 6d", 1045, "HY000", "m"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := ParseFailure(exactly(unhex(t, c.hex)))
			if got.Code != c.code || got.State != c.state || string(got.Message) != c.text || err != nil {
				t.Errorf("got %+v (%q), %v", got, got.Message, err)
			}
		})
	}
	if _, err := ParseFailure(unhex(t, "00 1504")); err != ErrMalformed {
		t.Errorf("another header: %v", err)
	}
}

func TestPreparedPackets(t *testing.T) {
	got, err := ParsePrepared(unhex(t, "00 04030201 0500 0c00 00 0000"))
	if want := (Prepared{ID: 0x01020304, Columns: 5, Parameters: 12}); got != want || err != nil {
		t.Errorf("got %+v, %v", got, err)
	}
	if _, err := ParsePrepared(unhex(t, "ff 04030201 0500 0c00 00 0000")); err != ErrMalformed {
		t.Errorf("another header: %v", err)
	}
}

// decoders are all decoders of one packet.
var decoders = map[string]func(payload []byte) error{
	"ReplyKind":        func(b []byte) error { _, err := ReplyKind(b); return err },
	"ItemKind":         func(b []byte) error { _, err := ItemKind(b, 0); return err },
	"ParseOK":          func(b []byte) error { _, err := ParseOK(b); return err },
	"ParseEnd":         func(b []byte) error { _, err := ParseEnd(b, 0); return err },
	"ParseEnd, OK":     func(b []byte) error { _, err := ParseEnd(b, deprecateEOF); return err },
	"ParseFailure":     func(b []byte) error { _, err := ParseFailure(b); return err },
	"ParsePrepared":    func(b []byte) error { _, err := ParsePrepared(b); return err },
	"ParseColumnCount": func(b []byte) error { _, err := ParseColumnCount(b); return err },
	"ParseColumn":      func(b []byte) error { _, err := ParseColumn(b); return err },
	"DecodeTextRow":    func(b []byte) error { return DecodeTextRow(b, make([]Value, 3)) },
	"DecodeBinaryRow":  func(b []byte) error { return DecodeBinaryRow(b, allColumns, make([]Value, len(allColumns))) },
}

func TestAttacksAreMalformedOrHarmless(t *testing.T) {
	for name, text := range attacks {
		for decoder, decode := range decoders {
			if err := decode(exactly(unhex(t, text))); err != nil && !errors.Is(err, ErrMalformed) {
				t.Errorf("%s, %s: %v", name, decoder, err)
			}
		}
	}
}

func TestPacketsCutShortAtEveryLengthAreMalformed(t *testing.T) {
	cases := map[string]struct {
		decoder string
		hex     string
		enough  int // bytes that make a whole packet, when the last ones are optional
	}{
		"OK":           {"ParseOK", "00 fc2c01 fd000001 0300 0500", 0},
		"long OK":      {"ParseOK", "00 feffffffffffffffff feffffffffffffffff 0300 0500", 0},
		"EOF":          {"ParseEnd", "fe 0500 0a00", 0},
		"OK as EOF":    {"ParseEnd, OK", "fe 00 00 0a00 0500", 0},
		"ERR":          {"ParseFailure", "ff 1504 23 3238303030 6e6f", 3},
		"prepared":     {"ParsePrepared", "00 04030201 0500 0c00 00 0000", 9},
		"column count": {"ParseColumnCount", "fc fc00", 0},
		"column":       {"ParseColumn", "03646566 0173 0174 0174 0163 0163 0c 3f00 ff000000 fc 9000 00 0000", 0},
		"text row":     {"DecodeTextRow", "0161 fb fc020061 62", 0},
		"binary row":   {"DecodeBinaryRow", binaryRow, 0},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			whole := unhex(t, c.hex)
			if c.enough == 0 {
				c.enough = len(whole)
			}
			for n := range len(whole) + 1 {
				err := decoders[c.decoder](exactly(whole[:n]))
				if want := n >= c.enough; (err == nil) != want {
					t.Errorf("%d of %d bytes: %v", n, len(whole), err)
				}
			}
		})
	}
}

func TestDecodingAllocatesNothing(t *testing.T) {
	ok, end := unhex(t, "00 00 00 0200 0000"), unhex(t, "fe 0000 0200")
	row, binary := unhex(t, "0161 fb fc02006162"), unhex(t, binaryRow)
	values, binaryValues := make([]Value, 3), make([]Value, len(allColumns))
	allocations := testing.AllocsPerRun(100, func() {
		_, _ = ParseOK(ok)
		_, _ = ParseEnd(end, 0)
		if DecodeTextRow(row, values) != nil || DecodeBinaryRow(binary, allColumns, binaryValues) != nil {
			t.Error("malformed")
		}
	})
	if allocations != 0 {
		t.Errorf("%v allocations", allocations)
	}
}

func FuzzKinds(f *testing.F) {
	seed(f, func(payload []byte) { f.Add(payload) })
	f.Fuzz(func(t *testing.T, payload []byte) {
		first, err := ReplyKind(payload)
		if err == nil && first == KindEnd {
			t.Error("a reply begins with an end")
		}
		for _, capabilities := range []Capability{0, deprecateEOF} {
			item, err := ItemKind(payload, capabilities)
			if (err != nil) != (len(payload) == 0) || item == KindOK {
				t.Errorf("item %d, %v", item, err)
			}
			if item == KindEnd && payload[0] != headerEOF {
				t.Error("an end without its header")
			}
		}
	})
}

func FuzzParseOK(f *testing.F) {
	seed(f, func(payload []byte) { f.Add(payload) })
	f.Fuzz(func(t *testing.T, payload []byte) {
		ok, err := ParseOK(exactly(payload))
		if err != nil {
			if err != ErrMalformed || ok != (OK{}) {
				t.Fatalf("%+v, %v", ok, err)
			}
			return
		}
		// Written again as short as can be, it says the same.
		short := AppendLengthEncodedInt(AppendLengthEncodedInt([]byte{payload[0]}, ok.AffectedRows), ok.LastInsertID)
		short = append(short, byte(ok.Status), byte(ok.Status>>8), byte(ok.Warnings), byte(ok.Warnings>>8))
		if again, err := ParseOK(short); again != ok || err != nil || len(short) > len(payload) {
			t.Errorf("%x is %+v, %x is %+v, %v", payload, ok, short, again, err)
		}
	})
}

func FuzzParseEnd(f *testing.F) {
	seed(f, func(payload []byte) { f.Add(payload, true); f.Add(payload, false) })
	f.Fuzz(func(t *testing.T, payload []byte, deprecated bool) {
		var capabilities Capability
		if deprecated {
			capabilities = deprecateEOF
		}
		end, err := ParseEnd(exactly(payload), capabilities)
		if err != nil && (err != ErrMalformed || end != (OK{})) || err == nil && payload[0] != headerEOF {
			t.Errorf("%+v, %v", end, err)
		}
	})
}

func FuzzParseFailure(f *testing.F) {
	seed(f, func(payload []byte) { f.Add(payload) })
	f.Fuzz(func(t *testing.T, payload []byte) {
		failure, err := ParseFailure(exactly(payload))
		if err != nil {
			if err != ErrMalformed {
				t.Fatal(err)
			}
			return
		}
		if !bytes.HasSuffix(payload, failure.Message) {
			t.Error("the message is not the packet's end")
		}
		if len(failure.State) != 5 || strings.Trim(failure.State, "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ") != "" {
			t.Errorf("SQLSTATE %q", failure.State)
		}
	})
}

func FuzzParsePrepared(f *testing.F) {
	seed(f, func(payload []byte) { f.Add(payload) })
	f.Fuzz(func(t *testing.T, payload []byte) {
		p, err := ParsePrepared(exactly(payload))
		if err != nil && err != ErrMalformed || p.Columns < 0 || p.Columns > 65535 || p.Parameters < 0 || p.Parameters > 65535 {
			t.Errorf("%+v, %v", p, err)
		}
	})
}
