package mysqlsession_test

import (
	"context"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mysqlsession/mysqlsession"
	"github.com/mysqlsession/mysqlsession/internal/wire"
)

// limit is the longest reply packet that scriptedConfig takes.
const limit = 64<<10 + 1<<10

// query asks for something and keeps the first column of what comes.
func query(ctx context.Context, conn *mysqlsession.Conn, arguments ...any) ([]string, error) {
	var values []string
	err := conn.Query(ctx, "SELECT something", func(row mysqlsession.Row) error {
		values = append(values, row.String(0))
		return nil
	}, arguments...)
	return values, err
}

// requireClosed sees that the connection is closed, and that its user is told so.
func requireClosed(t *testing.T, conn *mysqlsession.Conn, closed <-chan int64) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	err := conn.Ping(ctx)
	require.ErrorIs(t, err, mysqlsession.ErrClosed)
	require.Zero(t, <-closed, "nothing may be sent on a connection that is given up")
	require.True(t, mysqlsession.SafeToRetry(err))
	require.False(t, mysqlsession.OutcomeUnknown(err))
}

// answering returns a connection to a peer that answers a prepare, if there is to be one,
// as it should, and then one request with reply; and what tells of the connection's end.
func answering(t *testing.T, cfg mysqlsession.Config, prepare bool, reply ...[]byte) (*mysqlsession.Conn, <-chan int64) {
	t.Helper()
	closed := make(chan int64, 1)
	conn := converse(t, cfg, func(p *serverEnd) {
		if prepare && p.take(1) == nil {
			p.reply(prepared(1, 1, 1))
		}
		if p.take(1) == nil {
			p.reply(reply...)
		}
		closed <- p.ended()
	})
	return conn, closed
}

func TestMalformedRepliesAreProtocolErrorsAndCloseTheConnection(t *testing.T) {
	one := packet(1, []byte{1}) // one column
	blob := definition(2, columnBlob)
	tests := []struct {
		name  string
		reply [][]byte
	}{
		{"an empty packet", [][]byte{packet(1, nil)}},
		{"a request for a local file", [][]byte{packet(1, []byte("\xfb/etc/passwd"))}},
		{"an end where a reply begins", [][]byte{oldEnd(1, committing)}},
		{"no columns", [][]byte{packet(1, []byte{0xfc, 0, 0})}},
		{"2^62 columns", [][]byte{packet(1, []byte{0xfe, 0, 0, 0, 0, 0, 0, 0, 0x40})}},
		{"more columns than a table can have", [][]byte{packet(1, []byte{0xfc, 0x01, 0x10})}},
		{"a column count with more behind it", [][]byte{packet(1, []byte{1, 1})}},
		{"a column count cut short", [][]byte{packet(1, []byte{0xfc, 1})}},
		{"an OK cut short", [][]byte{packet(1, []byte{0, 0, 0, 2, 0, 0})}},
		{"an error cut short", [][]byte{packet(1, []byte{0xff, 1})}},
		{"a reply out of sequence", [][]byte{ok(2, committing, 0)}},
		{"an OK before the request was read", [][]byte{ok(0, committing, 0)}},
		{"an OK that announces another result", [][]byte{ok(1, committing|wire.StatusMoreResults, 0)}},
		{"a definition cut short", [][]byte{one, packet(2, definitionPayload(columnBlob)[:20])}},
		{"a definition out of sequence", [][]byte{one, definition(3, columnBlob)}},
		{"an end in a definition's place", [][]byte{one, end(2, committing)}},
		{"an error in a definition's place", [][]byte{one, failure(2, 1317, "70100", "secret")}},
		{"an empty row", [][]byte{one, blob, packet(3, nil)}},
		{"a row cut short", [][]byte{one, blob, packet(3, []byte("\x07secret"))}},
		{"a row of 2^64 bytes", [][]byte{one, blob, packet(3, []byte("\xfc\xff\xff\xff\xff\xff\xff\xff\xff"))}},
		{"a row with more behind it", [][]byte{one, blob, packet(3, []byte("\x06secrets"))}},
		{"a row out of sequence", [][]byte{one, blob, textRow(4, "secret")}},
		{"a row with a sequence number of 0", [][]byte{one, blob, textRow(0, "secret")}},
		{"an end cut short", [][]byte{one, blob, packet(3, []byte{0xfe, 0, 0})}},
		{"an end that announces another result", [][]byte{one, blob, end(3, committing|wire.StatusMoreResults)}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			conn, closed := answering(t, scriptedConfig(), false, test.reply...)
			_, err := query(t.Context(), conn)
			requireProtocolError(t, err)
			requireClosed(t, conn, closed)
		})
	}
}

func TestMalformedBinaryRepliesAreProtocolErrorsAndCloseTheConnection(t *testing.T) {
	one := packet(1, []byte{1})
	blob, number := definition(2, columnBlob), definition(2, columnLongLong)
	tests := []struct {
		name  string
		reply [][]byte
	}{
		{"a row of the text protocol", [][]byte{one, blob, textRow(3, "secret")}},
		{"a row without its NULL bitmap", [][]byte{one, blob, packet(3, []byte{0})}},
		{"a row cut short", [][]byte{one, blob, packet(3, []byte("\x00\x00\x07secret"))}},
		{"a row with more behind it", [][]byte{one, blob, packet(3, []byte("\x00\x00\x06secrets"))}},
		{"a number cut short", [][]byte{one, number, packet(3, []byte("\x00\x00secret"))}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			conn, closed := answering(t, scriptedConfig(), true, test.reply...)
			_, err := query(t.Context(), conn, 1)
			requireProtocolError(t, err)
			requireClosed(t, conn, closed)
		})
	}
}

func TestMalformedRepliesToAPrepareAreProtocolErrorsAndNothingWasExecuted(t *testing.T) {
	tests := []struct {
		name  string
		reply []byte
	}{
		{"rows", packet(1, []byte{1})},
		{"a request for a local file", packet(1, []byte("\xfb/etc/passwd"))},
		{"an OK cut short", packet(1, []byte{0, 1, 0, 0, 0, 1, 0, 1})},
		{"an error cut short", packet(1, []byte{0xff, 1})},
		{"a definition cut short", slices.Concat(prepared(1, 0, 1)[:16], packet(2, []byte("\x03def")))},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			conn, closed := answering(t, scriptedConfig(), false, test.reply)
			_, err := conn.Exec(t.Context(), "DO ?", 1)
			require.ErrorIs(t, err, mysqlsession.ErrProtocol)
			require.True(t, mysqlsession.SafeToRetry(err))
			require.False(t, mysqlsession.OutcomeUnknown(err))
			requireClosed(t, conn, closed)
		})
	}
}

func requireProtocolError(t *testing.T, err error) {
	t.Helper()
	require.ErrorIs(t, err, mysqlsession.ErrProtocol)
	require.True(t, mysqlsession.OutcomeUnknown(err), "what was asked for may have been done")
	require.False(t, mysqlsession.SafeToRetry(err))
	require.NotContains(t, err.Error(), "secret")
	require.NotContains(t, err.Error(), "passwd")
}

// What stands in the stream behind a reply would be the next call's answer.
func TestAReplyWithMoreBehindItIsTheConnectionsLast(t *testing.T) {
	conn, closed := answering(t, scriptedConfig(), false,
		resultSet(textRow, "mine"), slices.Concat(resultSet(textRow, "somebody else's")))
	values, err := query(t.Context(), conn)
	require.NoError(t, err)
	require.Equal(t, []string{"mine"}, values)
	requireClosed(t, conn, closed)
}

func TestAnErrorAmongRowsIsTheServersAndKeepsTheConnection(t *testing.T) {
	conn := converse(t, scriptedConfig(), func(p *serverEnd) {
		_ = p.take(1)
		p.reply(packet(1, []byte{1}), definition(2, columnBlob), textRow(3, "a"), failure(4, 1317, "70100", "secret"))
		_ = p.take(1)
		p.reply(ok(1, committing, 0))
		p.ended()
	})
	_, err := query(t.Context(), conn)
	var refused *mysqlsession.ServerError
	require.ErrorAs(t, err, &refused)
	require.Equal(t, mysqlsession.ServerError{Code: 1317, SQLState: "70100", Message: "secret"}, *refused)
	require.NotContains(t, err.Error(), "secret")
	require.True(t, mysqlsession.SafeToRetry(err))
	require.NoError(t, conn.Ping(t.Context()))
}

func TestReplyPacketsOverTheLimitAreRefusedByTheirHeader(t *testing.T) {
	tooLong := []byte{(limit + 1) & 0xff, (limit + 1) >> 8 & 0xff, (limit + 1) >> 16}
	tests := []struct {
		name   string
		before []byte // the header
	}{
		{"a reply's first packet", append(tooLong, 1)},
		{"a definition", slices.Concat(packet(1, []byte{1}), append(tooLong, 2))},
		{"a row", slices.Concat(packet(1, []byte{1}), definition(2, columnBlob), append(tooLong, 3))},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			conn, closed := answering(t, scriptedConfig(), false, test.before) // and nothing of the packet
			_, err := query(t.Context(), conn)
			require.ErrorIs(t, err, mysqlsession.ErrPacketTooLarge)
			requireClosed(t, conn, closed)
		})
	}
}

func TestAReplyPacketOfExactlyTheLimitIsRead(t *testing.T) {
	value := strings.Repeat("v", limit-4) // its length is in front
	conn, _ := answering(t, scriptedConfig(), false, resultSet(textRow, value))
	values, err := query(t.Context(), conn)
	require.NoError(t, err)
	require.Equal(t, []string{value}, values)
}

func TestAPacketOfSeveralFramesIsHeldToTheLimitAsAWhole(t *testing.T) {
	const frame = 1<<24 - 1
	cfg := scriptedConfig()
	cfg.MaxPacketSize = 16 << 20
	const size = frame + 100 - 9 // of a value that fills the packet, its own length in front
	full := append([]byte{0xff, 0xff, 0xff, 3}, wire.AppendLengthEncodedInt(nil, size)...)
	full = append(full, make([]byte, frame+4-len(full))...)
	head := slices.Concat(packet(1, []byte{1}), definition(2, columnBlob), full)

	conn, _ := answering(t, cfg, false, head, packet(4, make([]byte, 100)), end(5, committing))
	values, err := query(t.Context(), conn)
	require.NoError(t, err)
	require.Len(t, values[0], size)

	over := cfg.MaxPacketSize + 1<<10 - frame + 1
	conn, closed := answering(t, cfg, false, head, []byte{byte(over), byte(over >> 8), 0, 4})
	_, err = query(t.Context(), conn)
	require.ErrorIs(t, err, mysqlsession.ErrPacketTooLarge)
	requireClosed(t, conn, closed)
}

// A header costs a hostile server four bytes.
func TestMemoryGrowsWithWhatArrivesAndNotWithWhatIsPromised(t *testing.T) {
	cfg := scriptedConfig()
	cfg.MaxPacketSize = 16 << 20
	conn, _ := answering(t, cfg, false, []byte{0xfe, 0xff, 0xff, 1}, []byte("little"))
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err := query(ctx, conn)
	runtime.ReadMemStats(&after)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(4<<20), "of 16 MiB")
}

func TestRepliesInSegmentsOfOneByteAreReadLikeAnyOther(t *testing.T) {
	const times = 3
	conn := converse(t, scriptedConfig(), func(p *serverEnd) {
		slowly := func(reply []byte) {
			for i := range reply {
				p.reply(reply[i : i+1])
			}
		}
		for range times {
			_ = p.take(1)
			slowly(resultSet(textRow, "one", "", "three"))
			_ = p.take(1)
			slowly(ok(1, committing, 7))
			_ = p.take(1)
			slowly(failure(1, 1062, "23000", "duplicate"))
		}
		_ = p.take(1)
		slowly(prepared(1, 1, 1))
		for range times {
			_ = p.take(1)
			slowly(resultSet(binaryRow, "one", "", "three"))
		}
		p.ended()
	})
	for range times {
		values, err := query(t.Context(), conn)
		require.NoError(t, err)
		require.Equal(t, []string{"one", "", "three"}, values)
		result, err := conn.Exec(t.Context(), "DO something")
		require.NoError(t, err)
		require.Equal(t, int64(7), result.RowsAffected)
		_, err = conn.Exec(t.Context(), "DO something")
		require.ErrorContains(t, err, "duplicate key (server error 1062, SQLSTATE 23000)")
	}
	for range times {
		values, err := query(t.Context(), conn, 1)
		require.NoError(t, err)
		require.Equal(t, []string{"one", "", "three"}, values)
	}
}

func TestListsEndedByAnOldServerAreRead(t *testing.T) {
	conn := converseAs(t, scriptedConfig(), 0, "10.11.6-MariaDB", func(p *serverEnd) {
		_ = p.take(1)
		p.reply(packet(1, []byte{1}), definition(2, columnBlob), oldEnd(3, committing), textRow(4, "a"), oldEnd(5, committing))
		_ = p.take(1)
		p.reply(packet(1, []byte{1}), definition(2, columnBlob), textRow(3, "an end is missing"))
		p.ended()
	})
	values, err := query(t.Context(), conn)
	require.NoError(t, err)
	require.Equal(t, []string{"a"}, values)
	_, err = query(t.Context(), conn)
	require.ErrorIs(t, err, mysqlsession.ErrProtocol)
}
