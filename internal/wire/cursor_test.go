package wire

import (
	"bytes"
	"encoding/binary"
	"testing"
)

func TestLengthEncodedIntegers(t *testing.T) {
	cases := []struct {
		hex  string
		want uint64
		ok   bool
	}{
		{"00", 0, true},
		{"fa", 250, true},
		{"fb", 0, false}, // NULL of a text row
		{"ff", 0, false}, // an error packet
		{"", 0, false},
		{"fc fb00", 251, true},
		{"fc ffff", 65535, true},
		{"fc 00", 0, false},
		{"fc 0000", 0, true}, // longer than need be
		{"fd 000001", 65536, true},
		{"fd ffffff", 1<<24 - 1, true},
		{"fd ffff", 0, false},
		{"fe 0000000100000000", 1 << 24, true},
		{"fe ffffffffffffffff", 1<<64 - 1, true},
		{"fe ffffffffffffff", 0, false},
	}
	for _, c := range cases {
		t.Run(c.hex, func(t *testing.T) {
			cursor := NewCursor(exactly(unhex(t, c.hex)))
			got := cursor.LengthEncodedInt()
			if got != c.want || cursor.OK() != c.ok || cursor.Len() != 0 {
				t.Errorf("got %d, ok %t, %d bytes left; want %d, ok %t, none left", got, cursor.OK(), cursor.Len(), c.want, c.ok)
			}
		})
	}
}

func TestAppendedLengthEncodedIntegersAreTheShortest(t *testing.T) {
	for _, c := range []struct {
		n    uint64
		size int
	}{
		{0, 1}, {250, 1}, {251, 3}, {65535, 3}, {65536, 4}, {1<<24 - 1, 4}, {1 << 24, 9}, {1<<64 - 1, 9},
	} {
		b := AppendLengthEncodedInt(nil, c.n)
		cursor := NewCursor(b)
		if got := cursor.LengthEncodedInt(); got != c.n || len(b) != c.size || !cursor.OK() {
			t.Errorf("%d became %x, which is %d", c.n, b, got)
		}
	}
}

func TestCursorFailureSticks(t *testing.T) {
	reads := map[string]func(*Cursor) bool{ // reports whether something other than zero came
		"Bytes":              func(c *Cursor) bool { return c.Bytes(1) != nil },
		"Rest":               func(c *Cursor) bool { return len(c.Rest()) > 0 },
		"Uint8":              func(c *Cursor) bool { return c.Uint8() != 0 },
		"Uint16":             func(c *Cursor) bool { return c.Uint16() != 0 },
		"Uint32":             func(c *Cursor) bool { return c.Uint32() != 0 },
		"Uint64":             func(c *Cursor) bool { return c.Uint64() != 0 },
		"LengthEncodedInt":   func(c *Cursor) bool { return c.LengthEncodedInt() != 0 },
		"LengthEncodedBytes": func(c *Cursor) bool { return c.LengthEncodedBytes() != nil },
		"NulTerminated":      func(c *Cursor) bool { return c.NulTerminated() != nil },
	}
	failures := map[string]func(*Cursor){
		"past the end":      func(c *Cursor) { c.Skip(21) },
		"past every end":    func(c *Cursor) { c.Bytes(1<<64 - 1) },
		"no NUL":            func(c *Cursor) { c.NulTerminated() },
		"length of NULL":    func(c *Cursor) { c.Skip(18); c.LengthEncodedInt() },
		"length of 2^64-1":  func(c *Cursor) { c.Skip(9); c.LengthEncodedBytes() },
		"number cut short":  func(c *Cursor) { c.Skip(19); c.Uint16() },
		"number cut short4": func(c *Cursor) { c.Skip(19); c.Uint32() },
		"number cut short8": func(c *Cursor) { c.Skip(19); c.Uint64() },
	}
	payload := unhex(t, "010101010101010101 feffffffffffffffff fb01")
	for failure, fail := range failures {
		for read, again := range reads {
			cursor := NewCursor(payload)
			fail(&cursor)
			if again(&cursor) || cursor.OK() || cursor.Len() != 0 {
				t.Errorf("%s after %s: something was read, or the failure forgotten", read, failure)
			}
		}
	}
}

func TestNulTerminatedTakesTheNul(t *testing.T) {
	cursor := NewCursor([]byte("ab\x00\x00c"))
	first, second := cursor.NulTerminated(), cursor.NulTerminated()
	if string(first) != "ab" || len(second) != 0 || !cursor.OK() || string(cursor.Rest()) != "c" {
		t.Errorf("got %q and %q", first, second)
	}
}

func TestTakenBytesHaveNoRoomToOverwriteTheNext(t *testing.T) {
	payload := []byte("\x02abcd")
	cursor := NewCursor(payload)
	text := cursor.LengthEncodedBytes()
	_ = append(text, 'X')
	if string(cursor.Rest()) != "cd" {
		t.Error("appending to what was taken changed what follows")
	}
}

// FuzzCursor reads with each method in an order that the input says, and compares with
// slices that are taken by hand.
func FuzzCursor(f *testing.F) {
	f.Add([]byte{6, 6, 6}, unhex(f, "fcfb00 fbff"))                // lengths that are none
	f.Add([]byte{7}, unhex(f, "feffffffffffffffff00"))             // a length of 2^64-1
	f.Add([]byte{7, 7}, unhex(f, "fdffffff00"))                    // a length of 16 MiB
	f.Add([]byte{8, 8, 8}, unhex(f, "00 6100 62"))                 // the last one without NUL
	f.Add([]byte{0, 1, 2, 3, 4, 5}, bytes.Repeat([]byte{200}, 30)) // all in order
	f.Fuzz(func(t *testing.T, reads, payload []byte) {
		payload = exactly(payload)
		cursor := NewCursor(payload)
		for _, read := range reads {
			before := cursor.Len()
			at := len(payload) - before
			var took []byte
			switch read % 9 {
			case 0:
				took = cursor.Bytes(uint64(read / 9))
			case 1:
				took = cursor.Rest()
			case 2:
				if n := cursor.Uint8(); cursor.OK() && n != payload[at] {
					t.Fatalf("Uint8: %d", n)
				}
			case 3:
				if n := cursor.Uint16(); cursor.OK() && n != binary.LittleEndian.Uint16(payload[at:]) {
					t.Fatalf("Uint16: %d", n)
				}
			case 4:
				if n := cursor.Uint32(); cursor.OK() && n != binary.LittleEndian.Uint32(payload[at:]) {
					t.Fatalf("Uint32: %d", n)
				}
			case 5:
				if n := cursor.Uint64(); cursor.OK() && n != binary.LittleEndian.Uint64(payload[at:]) {
					t.Fatalf("Uint64: %d", n)
				}
			case 6:
				n := cursor.LengthEncodedInt()
				if size := before - cursor.Len(); cursor.OK() && len(AppendLengthEncodedInt(nil, n)) > size {
					t.Fatalf("LengthEncodedInt: %d in %d bytes", n, size)
				}
			case 7:
				took = cursor.LengthEncodedBytes()
			case 8:
				if text := cursor.NulTerminated(); cursor.OK() && (bytes.IndexByte(payload[at:], 0) != len(text) || !bytes.HasPrefix(payload[at:], text)) {
					t.Fatalf("NulTerminated: %q", text)
				}
			}
			if len(took) != cap(took) || len(took) > before || !bytes.HasSuffix(payload[:len(payload)-cursor.Len()], took) && cursor.OK() {
				t.Fatalf("took %q", took)
			}
			if cursor.Len() > before || !cursor.OK() && (cursor.Len() != 0 || len(took) != 0) {
				t.Fatal("a failure left something, or the cursor went back")
			}
		}
	})
}
