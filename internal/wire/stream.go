package wire

import (
	"io"
)

const (
	// headerSize is a packet header: three bytes of length, one of sequence.
	headerSize = 4
	// maxFrame is the longest payload of one frame; a packet that fills it goes on in
	// the next (https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_basic_packets.html).
	maxFrame = 1<<24 - 1
	// firstBuffer holds the reply to a read of a common session in one piece.
	firstBuffer = 8 << 10
	// KeptBuffer is how large a buffer may be that is kept from one reply to the next.
	KeptBuffer = 64 << 10
)

// Stream takes packets off a byte stream, one at a time. It is for one goroutine.
type Stream struct {
	source   io.Reader
	buffer   []byte // [start:end) is read and not yet taken
	start    int
	end      int
	sequence uint8
	torn     bool // a packet of several frames was left in the middle: what follows has no meaning
}

// NewStream returns a stream of the packets that source delivers.
func NewStream(source io.Reader) *Stream { return &Stream{source: source} }

// Begin says that the next packet is the first one of a reply. Its sequence number
// follows that of the request, which was one packet of less than 16 MiB, or as many as
// frames says.
func (s *Stream) Begin(frames int) { s.sequence = uint8(frames) }

// Sequence is the sequence number that is expected next: one more than the last packet's.
func (s *Stream) Sequence() uint8 { return s.sequence }

// Buffered is the number of bytes that were read from the source and not yet taken.
func (s *Stream) Buffered() int { return s.end - s.start }

// Trim gives an outsized buffer back, once nothing is left in it.
func (s *Stream) Trim() {
	if s.start == s.end {
		s.start, s.end = 0, 0
		if len(s.buffer) > KeptBuffer {
			s.buffer = nil
		}
	}
}

// Next takes the next packet, of at most limit bytes of payload. The payload is valid
// until the next call. A longer packet is ErrTooLarge, known from its header, before
// anything of it is read or allocated. With ErrSequence the payload is returned too: a
// server that closes a connection on its own account says why with sequence number 0.
// An error of the source is returned as it is; io.EOF inside a packet is
// io.ErrUnexpectedEOF. After an error of the source that may pass, such as a deadline, Next
// can be called again, unless it came in the middle of a packet of more than one frame:
// then the answer is ErrMalformed.
func (s *Stream) Next(limit int) ([]byte, error) {
	if s.torn {
		return nil, ErrMalformed
	}
	sequence := s.sequence
	if err := s.fill(headerSize, io.EOF); err != nil {
		return nil, err
	}
	size, inOrder := s.header(0)
	if size > limit {
		return nil, ErrTooLarge
	}
	if err := s.fill(headerSize+size, io.ErrUnexpectedEOF); err != nil {
		s.sequence = sequence // its header is there still
		return nil, err
	}
	for last := size; last == maxFrame; {
		next, follows, err := s.join(size, limit)
		if err != nil {
			s.torn = true
			return nil, err
		}
		inOrder = inOrder && follows
		size += next
		last = next
	}
	begin := s.start + headerSize
	s.start = begin + size
	payload := s.buffer[begin:s.start:s.start]
	if !inOrder {
		return payload, ErrSequence
	}
	return payload, nil
}

// join reads the frame behind a packet whose first size bytes are there, and closes the
// gap that its header makes.
func (s *Stream) join(size, limit int) (int, bool, error) {
	if err := s.fill(headerSize+size+headerSize, io.ErrUnexpectedEOF); err != nil {
		return 0, false, err
	}
	next, inOrder := s.header(headerSize + size)
	if size+next > limit {
		return 0, false, ErrTooLarge
	}
	at := s.start + headerSize + size
	copy(s.buffer[at:], s.buffer[at+headerSize:s.end])
	s.end -= headerSize
	return next, inOrder, s.fill(headerSize+size+next, io.ErrUnexpectedEOF)
}

// header reads the frame header that is offset bytes behind the start.
func (s *Stream) header(offset int) (size int, inOrder bool) {
	h := s.buffer[s.start+offset:]
	inOrder = h[3] == s.sequence
	s.sequence = h[3] + 1
	return int(h[0]) | int(h[1])<<8 | int(h[2])<<16, inOrder
}

// fill reads until n bytes are there. The buffer grows with what arrives, at most
// doubling, and not with what a header promises. What the source ends with before the
// first byte is atStart, after it io.ErrUnexpectedEOF.
func (s *Stream) fill(n int, atStart error) error {
	for s.end-s.start < n {
		if s.start > 0 && (s.start == s.end || s.start+n > len(s.buffer)) {
			s.end = copy(s.buffer, s.buffer[s.start:s.end])
			s.start = 0
		}
		if s.end == len(s.buffer) {
			grown := make([]byte, max(firstBuffer, min(n, 2*len(s.buffer))))
			copy(grown, s.buffer[:s.end])
			s.buffer = grown
		}
		read, err := s.source.Read(s.buffer[s.end:])
		s.end += read
		if err == nil || s.end-s.start >= n {
			continue
		}
		if err == io.EOF {
			if s.end > s.start {
				return io.ErrUnexpectedEOF
			}
			return atStart
		}
		return err
	}
	return nil
}
