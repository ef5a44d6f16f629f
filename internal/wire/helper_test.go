package wire

import (
	"bytes"
	"encoding/hex"
	"io"
	"strings"
	"testing"
)

// unhex reads bytes as they are written in protocol documents, "03 64 65 66".
func unhex(t testing.TB, text string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(text, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// join is the parts in one slice without spare room, so that reading behind the end is caught.
func join(parts ...[]byte) []byte { return bytes.Clone(bytes.Join(parts, nil)) }

// lengthEncoded is a length-encoded string.
func lengthEncoded(text string) []byte {
	return append(AppendLengthEncodedInt(nil, uint64(len(text))), text...)
}

// exactly is b with not one byte of room behind it.
func exactly(b []byte) []byte {
	c := make([]byte, len(b))
	copy(c, b)
	return c[:len(c):len(c)]
}

// inPieces delivers at most size bytes at each read.
type inPieces struct {
	source io.Reader
	size   int
	served int
}

func (r *inPieces) Read(p []byte) (int, error) {
	n, err := r.source.Read(p[:min(len(p), max(r.size, 1))])
	r.served += n
	return n, err
}

// framed is payload as the peer sends it, from that sequence number on. It is written
// without the package's own code.
func framed(sequence uint8, payload []byte) []byte {
	var out []byte
	for {
		n := min(len(payload), 0xffffff)
		out = append(out, byte(n), byte(n>>8), byte(n>>16), sequence)
		out = append(out, payload[:n]...)
		payload = payload[n:]
		sequence++
		if n < 0xffffff {
			return out
		}
	}
}

// unframed takes a request apart: payload and number of frames. It is the test's own too.
func unframed(t testing.TB, packet []byte) (payload []byte, frames int) {
	t.Helper()
	for {
		if len(packet) < 4 {
			t.Fatalf("frame %d has no header", frames)
		}
		n := int(packet[0]) | int(packet[1])<<8 | int(packet[2])<<16
		if packet[3] != uint8(frames) {
			t.Fatalf("frame %d has sequence number %d", frames, packet[3])
		}
		if len(packet)-4 < n {
			t.Fatalf("frame %d announces %d bytes, and has %d", frames, n, len(packet)-4)
		}
		payload = append(payload, packet[4:4+n]...)
		packet = packet[4+n:]
		frames++
		if n < 0xffffff {
			if len(packet) != 0 {
				t.Fatalf("%d bytes behind the packet", len(packet))
			}
			return payload, frames
		}
	}
}
