package mysqlsession_test

import (
	"bytes"
	"context"
	"errors"
	"net"
	"testing"
	"time"

	"github.com/mysqlsession/mysqlsession"
	"github.com/mysqlsession/mysqlsession/internal/wire"
)

// recording is the client's end of a connection whose server has said all it will say.
type recording struct{ reply *bytes.Reader }

func (r recording) Read(p []byte) (int, error)     { return r.reply.Read(p) }
func (recording) Write(p []byte) (int, error)      { return len(p), nil }
func (recording) Close() error                     { return nil }
func (recording) LocalAddr() net.Addr              { return nil }
func (recording) RemoteAddr() net.Addr             { return nil }
func (recording) SetDeadline(time.Time) error      { return nil }
func (recording) SetReadDeadline(time.Time) error  { return nil }
func (recording) SetWriteDeadline(time.Time) error { return nil }

// Whatever a server answers, a call ends with a result, with the server's own error, or
// with the connection closed, and a write that was not answered is not taken for undone.
func FuzzAReplyEndsACallOrTheConnection(f *testing.F) {
	for _, reply := range [][]byte{
		ok(1, committing, 3), ok(1, committing|wire.StatusMoreResults, 0), ok(2, 0, 0), ok(0, 0, 0),
		failure(1, 1062, "23000", "duplicate"), failure(0, 4031, "HY000", "idle"), failure(1, 1105, "HY000", ""),
		resultSet(textRow, "one", "two"), append(resultSet(textRow, "one"), ok(1, 0, 0)...),
		append(prepared(7, 0, 1), ok(1, committing, 1)...), append(prepared(7, 1, 1), resultSet(binaryRow, "one")...),
		append(prepared(7, 0, 2), ok(1, committing, 1)...), failure(1, 1461, "HY000", ""),
		append(failure(1, 1461, "HY000", ""), ok(1, committing, 1)...),
		packet(1, []byte("\xfb/etc/passwd")), packet(1, nil), {0xff, 0xff, 0xff, 1}, oldEnd(1, 0),
	} {
		f.Add(reply, true, true)
		f.Add(reply, false, false)
	}
	f.Fuzz(func(t *testing.T, reply []byte, prepare, deprecateEOF bool) {
		var capabilities wire.Capability
		if deprecateEOF {
			capabilities = wire.CapabilityDeprecateEOF
		}
		conn := mysqlsession.NewConn(recording{bytes.NewReader(reply)}, recording{bytes.NewReader(nil)}, capabilities, "8.4.0", scriptedConfig())
		var arguments []any
		if prepare {
			arguments = []any{1}
		}
		err := conn.Query(context.Background(), "SELECT something", func(row mysqlsession.Row) error {
			for i := range row.Len() {
				_ = row.String(i)
				_, _ = row.Int64(i)
			}
			return nil
		}, arguments...)
		closed := errors.Is(conn.Ping(context.Background()), mysqlsession.ErrClosed)
		var refused *mysqlsession.ServerError
		switch {
		case err == nil:
		case errors.As(err, &refused):
		case mysqlsession.OutcomeUnknown(err) == mysqlsession.SafeToRetry(err):
			t.Errorf("both or neither of unknown and not applied: %v", err)
		case !closed && !isArgumentCount(err):
			t.Errorf("the connection lives on after %v", err)
		}
	})
}

// isArgumentCount reports whether the server counted other placeholders than we did, which
// is known before anything is executed.
func isArgumentCount(err error) bool {
	return err != nil && bytes.Contains([]byte(err.Error()), []byte("number of arguments"))
}
