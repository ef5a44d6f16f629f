package wire

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"
)

const noLimit = 1 << 30

// pattern is n bytes in which each place tells where it is. They are not to be changed.
func pattern(n int) []byte { return longPattern()[:n:n] }

var longPattern = sync.OnceValue(func() []byte {
	b := make([]byte, 2*maxFrame+10)
	for i := range b {
		b[i] = byte(i ^ i>>8 ^ i>>16)
	}
	return b
})

func TestPacketsOfEverySizeArriveWhole(t *testing.T) {
	sizes := []int{
		0, 1, firstBuffer - 5, firstBuffer - 4, firstBuffer - 3, firstBuffer, 3*firstBuffer + 1, KeptBuffer,
		maxFrame - 1, maxFrame, maxFrame + 1, 2*maxFrame - 1, 2 * maxFrame, 2*maxFrame + 5,
	}
	for _, size := range sizes {
		for _, piece := range []int{1, 3, 1 << 20} {
			if size/piece > 1<<20 {
				continue // nothing new, and slow
			}
			t.Run(fmt.Sprintf("%d bytes in pieces of %d", size, piece), func(t *testing.T) {
				payload := pattern(size)
				source := &inPieces{source: bytes.NewReader(join(framed(1, payload), framed(uint8(Frames(size)+1), []byte("next")))), size: piece}
				s := NewStream(source)
				s.Begin(1)
				got, err := s.Next(noLimit)
				if err != nil || !bytes.Equal(got, payload) {
					t.Fatalf("got %d bytes, %v", len(got), err)
				}
				if len(got) != cap(got) {
					t.Error("the payload has room behind it, in which the next packet lies")
				}
				if got, err := s.Next(noLimit); err != nil || string(got) != "next" {
					t.Fatalf("the packet behind it: %q, %v", got, err)
				}
				if _, err := s.Next(noLimit); err != io.EOF {
					t.Errorf("at the end: %v, want io.EOF", err)
				}
			})
		}
	}
}

func TestManyPacketsInOneReadAreTakenOneByOne(t *testing.T) {
	var sent []byte
	sizes := []int{0, 5, 4000, 5000, 1, 8188, 8189, 0, 100_000, 3}
	for i, size := range sizes {
		sent = append(sent, framed(uint8(i+1), pattern(size))...)
	}
	for _, piece := range []int{1, 7, firstBuffer - 1, 1 << 20} {
		s := NewStream(&inPieces{source: bytes.NewReader(sent), size: piece})
		s.Begin(1)
		for i, size := range sizes {
			got, err := s.Next(noLimit)
			if err != nil || !bytes.Equal(got, pattern(size)) {
				t.Fatalf("pieces of %d, packet %d: %d bytes, %v", piece, i, len(got), err)
			}
		}
		if s.Buffered() != 0 {
			t.Errorf("%d bytes are left", s.Buffered())
		}
	}
}

func TestSequenceNumbers(t *testing.T) {
	cases := map[string]struct {
		begin int // frames of the request
		sent  []uint8
		want  error // of the last packet
	}{
		"in order":                      {1, []uint8{1, 2, 3}, nil},
		"after a request of two frames": {2, []uint8{2, 3}, nil},
		"after a request of 256 frames": {256, []uint8{0, 1}, nil},
		"repeated":                      {1, []uint8{1, 1}, ErrSequence},
		"skipped":                       {1, []uint8{1, 3}, ErrSequence},
		"not begun anew":                {1, []uint8{0}, ErrSequence},
		"of an earlier reply":           {1, []uint8{5}, ErrSequence},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			var sent []byte
			for _, sequence := range c.sent {
				sent = append(sent, framed(sequence, []byte("x"))...)
			}
			s := NewStream(bytes.NewReader(sent))
			s.Begin(c.begin)
			for i := range c.sent {
				want := error(nil)
				if i == len(c.sent)-1 {
					want = c.want
				}
				payload, err := s.Next(noLimit)
				if !errors.Is(err, want) || string(payload) != "x" {
					t.Fatalf("packet %d: %q, %v, want %v", i, payload, err, want)
				}
			}
			if last := c.sent[len(c.sent)-1]; s.Sequence() != last+1 {
				t.Errorf("Sequence is %d after %d", s.Sequence(), last)
			}
		})
	}
}

func TestSequenceNumbersWrapAround(t *testing.T) {
	var sent []byte
	for i := range 600 {
		sent = append(sent, framed(uint8(i+1), nil)...)
	}
	s := NewStream(bytes.NewReader(sent))
	s.Begin(1)
	for i := range 600 {
		if _, err := s.Next(noLimit); err != nil {
			t.Fatalf("packet %d: %v", i, err)
		}
	}
}

func TestSequenceNumbersCountInsideALongPacket(t *testing.T) {
	sent := framed(1, pattern(maxFrame+1))
	sent[headerSize+maxFrame+3] = 1 // the second frame's
	s := NewStream(bytes.NewReader(sent))
	s.Begin(1)
	if payload, err := s.Next(noLimit); err != ErrSequence || len(payload) != maxFrame+1 {
		t.Errorf("got %d bytes, %v", len(payload), err)
	}
}

func TestPacketsOverTheLimitAreKnownByTheirHeader(t *testing.T) {
	cases := map[string]struct {
		limit, size int
		want        error
	}{
		"at the limit":                     {100, 100, nil},
		"one more":                         {100, 101, ErrTooLarge},
		"nothing allowed, nothing sent":    {0, 0, nil},
		"nothing allowed":                  {0, 1, ErrTooLarge},
		"a full frame at the limit":        {maxFrame, maxFrame, nil},
		"a full frame and one":             {maxFrame, maxFrame + 1, ErrTooLarge},
		"a full frame where none fits":     {maxFrame - 1, maxFrame, ErrTooLarge},
		"two frames at the limit":          {2*maxFrame - 1, 2*maxFrame - 1, nil},
		"two frames and one":               {2*maxFrame - 1, 2 * maxFrame, ErrTooLarge},
		"the largest configured, and more": {16<<20 + 1<<10, 16<<20 + 1<<10 + 1, ErrTooLarge},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			source := &inPieces{source: bytes.NewReader(framed(1, pattern(c.size))), size: 1 << 20}
			s := NewStream(source)
			s.Begin(1)
			payload, err := s.Next(c.limit)
			if err != c.want || err == nil && len(payload) != c.size {
				t.Fatalf("got %d bytes, %v, want %v", len(payload), err, c.want)
			}
			if c.want != nil && len(s.buffer) > max(firstBuffer, c.limit+2*headerSize) {
				t.Errorf("a buffer of %d bytes was made for a limit of %d", len(s.buffer), c.limit)
			}
		})
	}
}

func TestNoLengthThatAHeaderCanHoldEscapesASmallLimit(t *testing.T) {
	for _, size := range []int{1025, 0x7fff, 0x8000, 0xffff, 0x7fffff, 0x800000, 0xfffffe, 0xffffff} {
		source := &inPieces{source: bytes.NewReader([]byte{byte(size), byte(size >> 8), byte(size >> 16), 1}), size: 4}
		s := NewStream(source)
		s.Begin(1)
		if _, err := s.Next(1024); err != ErrTooLarge {
			t.Errorf("%d: %v", size, err)
		}
		if source.served != headerSize {
			t.Errorf("%d: %d bytes were read", size, source.served)
		}
	}
}

func TestStreamEndsAreToldApart(t *testing.T) {
	sent := framed(1, []byte("abc"))
	for n := range len(sent) {
		s := NewStream(bytes.NewReader(sent[:n]))
		s.Begin(1)
		want := io.ErrUnexpectedEOF
		if n == 0 {
			want = io.EOF
		}
		if payload, err := s.Next(noLimit); err != want || payload != nil {
			t.Errorf("after %d bytes: %q, %v, want %v", n, payload, err, want)
		}
	}
}

func TestStreamEndBetweenTheFramesOfAPacketIsUnexpected(t *testing.T) {
	sent := framed(1, pattern(maxFrame+10))
	for _, behind := range []int{0, 1, 3, 4, 5, 13} { // bytes of the second frame
		s := NewStream(bytes.NewReader(sent[:headerSize+maxFrame+behind]))
		s.Begin(1)
		if _, err := s.Next(noLimit); err != io.ErrUnexpectedEOF {
			t.Errorf("%d bytes of the second frame: %v", behind, err)
		}
	}
}

func TestErrorsOfTheSourceComeAsTheyAre(t *testing.T) {
	broken := errors.New("broken")
	for _, n := range []int{0, 2, headerSize, headerSize + 1} {
		s := NewStream(io.MultiReader(bytes.NewReader(framed(1, []byte("abc"))[:n]), failing{broken}))
		s.Begin(1)
		if _, err := s.Next(noLimit); err != broken {
			t.Errorf("after %d bytes: %v", n, err)
		}
	}
}

func TestPacketThatComesTogetherWithTheEndIsDelivered(t *testing.T) {
	s := NewStream(withEnd{bytes.NewReader(framed(1, []byte("abc")))})
	s.Begin(1)
	if payload, err := s.Next(noLimit); err != nil || string(payload) != "abc" {
		t.Fatalf("got %q, %v", payload, err)
	}
	if _, err := s.Next(noLimit); err != io.EOF {
		t.Errorf("then %v", err)
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

// withEnd returns io.EOF together with the last bytes.
type withEnd struct{ source *bytes.Reader }

func (r withEnd) Read(p []byte) (int, error) {
	n, err := r.source.Read(p)
	if err == nil && r.source.Len() == 0 {
		err = io.EOF
	}
	return n, err
}

// A peer that promises 16 MiB on many connections, and sends little, must not cost 16 MiB
// for each of them.
func TestBufferGrowsWithWhatArrivesNotWithWhatIsPromised(t *testing.T) {
	for _, arrives := range []int{0, 1, 1000, firstBuffer, 20_000, 100_000, 1 << 20, 5 << 20} {
		for _, piece := range []int{1000, 1 << 20} {
			sent := append([]byte{0xff, 0xff, 0xff, 1}, pattern(arrives)...)
			source := &inPieces{source: bytes.NewReader(sent), size: piece}
			s := NewStream(source)
			s.Begin(1)
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_, err := s.Next(noLimit)
			runtime.ReadMemStats(&after)
			if err != io.ErrUnexpectedEOF {
				t.Fatal(err)
			}
			if limit := max(firstBuffer, 2*len(sent)); cap(s.buffer) > limit {
				t.Errorf("%d bytes arrived: the buffer has %d", len(sent), cap(s.buffer))
			}
			// Each doubling leaves the old buffer behind.
			if total, limit := after.TotalAlloc-before.TotalAlloc, uint64(4*len(sent)+2*firstBuffer); total > limit {
				t.Errorf("%d bytes arrived: %d were allocated", len(sent), total)
			}
		}
	}
}

func TestTrimGivesOnlyAnOutsizedAndEmptyBufferBack(t *testing.T) {
	small, large := framed(1, pattern(100)), framed(1, pattern(KeptBuffer+1))
	cases := map[string]struct {
		sent []byte
		kept bool
		left int
	}{
		"small":               {small, true, 0},
		"large":               {large, false, 0},
		"something behind it": {join(small, []byte{1}), true, 1},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			s := NewStream(bytes.NewReader(c.sent))
			s.Begin(1)
			if _, err := s.Next(noLimit); err != nil {
				t.Fatal(err)
			}
			s.Trim()
			if kept := s.buffer != nil; kept != c.kept || s.Buffered() != c.left {
				t.Errorf("kept %t, %d bytes left; want %t, %d", kept, s.Buffered(), c.kept, c.left)
			}
		})
	}
}

func TestReadingSmallPacketsAllocatesNothing(t *testing.T) {
	packet := framed(1, pattern(1000))
	source := bytes.NewReader(packet)
	s := NewStream(source)
	allocations := testing.AllocsPerRun(100, func() {
		source.Reset(packet)
		s.Begin(1)
		if _, err := s.Next(noLimit); err != nil {
			t.Fatal(err)
		}
		s.Trim()
	})
	if allocations != 0 {
		t.Errorf("%v allocations", allocations)
	}
}

// reference takes the first packet off sent, slowly and plainly.
func reference(sent []byte, sequence uint8, limit int) (payload, rest []byte, next uint8, err error) {
	for first := true; ; first = false {
		if len(sent) == 0 && first {
			return nil, nil, sequence, io.EOF
		}
		if len(sent) < 4 {
			return nil, nil, sequence, io.ErrUnexpectedEOF
		}
		n := int(sent[0]) | int(sent[1])<<8 | int(sent[2])<<16
		if sent[3] != sequence {
			err = ErrSequence
		}
		sequence = sent[3] + 1
		if len(payload)+n > limit {
			return nil, nil, sequence, ErrTooLarge
		}
		if len(sent) < 4+n {
			return nil, nil, sequence, io.ErrUnexpectedEOF
		}
		payload = append(payload, sent[4:4+n]...)
		sent = sent[4+n:]
		if n < 0xffffff {
			return payload, sent, sequence, err
		}
	}
}

func FuzzStream(f *testing.F) {
	f.Add([]byte{}, 1, 1, 100)                                        // no greeting at all
	f.Add([]byte{0xff, 0xff, 0xff, 1}, 1, 1, noLimit)                 // 16 MiB promised, nothing sent
	f.Add([]byte{0xff, 0xff, 0xff, 1, 0, 0, 0, 2}, 1, 4, 1024)        // over the limit
	f.Add([]byte{1, 0, 0, 0, 0xff}, 1, 1, 100)                        // a word out of turn
	f.Add([]byte{0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3}, 1, 3, 0)        // empty packets
	f.Add(join(framed(1, pattern(9000)), framed(2, nil)), 1, 1, 9000) // past the first buffer
	f.Add(framed(1, pattern(300))[:200], 1, 7, 300)                   // cut off
	f.Fuzz(func(t *testing.T, sent []byte, begin, piece, limit int) {
		if len(sent) > 1<<20 {
			return
		}
		source := &inPieces{source: bytes.NewReader(sent), size: piece&0xffff + 1}
		s := NewStream(source)
		s.Begin(begin)
		rest, sequence := sent, uint8(begin)
		for {
			var want []byte
			var wantErr error
			want, rest, sequence, wantErr = reference(rest, sequence, limit)
			got, err := s.Next(limit)
			if err != wantErr || !bytes.Equal(got, want) {
				t.Fatalf("got %d bytes, %v; want %d, %v", len(got), err, len(want), wantErr)
			}
			if len(s.buffer) > max(firstBuffer, 2*source.served) {
				t.Fatalf("a buffer of %d bytes after %d arrived", len(s.buffer), source.served)
			}
			if err != nil && err != ErrSequence {
				return
			}
			if s.Sequence() != sequence || s.Buffered() > len(rest) {
				t.Fatalf("sequence %d, %d buffered; want %d, at most %d", s.Sequence(), s.Buffered(), sequence, len(rest))
			}
			s.Trim()
		}
	})
}

// The fuzzer's inputs are short. Long packets among short ones, in pieces of any size,
// are tried with a fixed seed.
func TestLongPacketsAmongShortOnesInPiecesOfAnySize(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 2 {
		var sent []byte
		var sizes []int
		sequence := uint8(1)
		for range 4 {
			size := []int{random.IntN(100), random.IntN(100_000), maxFrame - 2 + random.IntN(5)}[random.IntN(3)]
			sizes = append(sizes, size)
			sent = append(sent, framed(sequence, pattern(size))...)
			sequence += uint8(Frames(size))
		}
		s := NewStream(&anyPieces{bytes.NewReader(sent), random})
		s.Begin(1)
		for i, size := range sizes {
			got, err := s.Next(maxFrame + 2)
			if err != nil || !bytes.Equal(got, pattern(size)) {
				t.Fatalf("sizes %v, packet %d: %d bytes, %v", sizes, i, len(got), err)
			}
			s.Trim()
		}
	}
}

type anyPieces struct {
	source io.Reader
	random *rand.Rand
}

func (r *anyPieces) Read(p []byte) (int, error) {
	return r.source.Read(p[:min(len(p), 1+r.random.IntN(1<<r.random.IntN(21)))])
}

// impatient is a source that gives up before every piece, as a socket does whose deadline
// has passed.
type impatient struct {
	source io.Reader
	gaveUp bool
}

var errImpatient = errors.New("not yet")

func (r *impatient) Read(p []byte) (int, error) {
	if r.gaveUp = !r.gaveUp; r.gaveUp {
		return 0, errImpatient
	}
	return r.source.Read(p[:1])
}

func TestAPacketThatWasNotThereYetCanBeAskedForAgain(t *testing.T) {
	s := NewStream(&impatient{source: bytes.NewReader(join(framed(1, []byte("first")), framed(2, nil), framed(3, []byte("third"))))})
	s.Begin(1)
	for _, want := range []string{"first", "", "third"} {
		var payload []byte
		err := errImpatient
		for tries := 0; err == errImpatient && tries < 100; tries++ {
			payload, err = s.Next(noLimit)
		}
		if err != nil || string(payload) != want {
			t.Fatalf("got %q, %v, want %q", payload, err, want)
		}
	}
}

func TestALongPacketThatWasLeftInTheMiddleEndsTheStream(t *testing.T) {
	sent := framed(1, pattern(maxFrame+1))
	whole := bytes.NewReader(sent)
	s := NewStream(io.MultiReader(io.LimitReader(whole, maxFrame+2*headerSize), &impatient{source: whole}))
	s.Begin(1)
	if _, err := s.Next(noLimit); err != errImpatient {
		t.Fatalf("got %v", err)
	}
	for range 3 {
		if _, err := s.Next(noLimit); err != ErrMalformed {
			t.Fatalf("got %v: the rest must not be taken for packets", err)
		}
	}
}
