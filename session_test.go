package mysqlsession_test

import (
	"fmt"
	"math"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/mysqlsession/mysqlsession"
	"github.com/mysqlsession/mysqlsession/internal/dbtest"
	"github.com/mysqlsession/mysqlsession/internal/wire"
)

// connect opens a connection that is closed at the test's end.
func connect(t *testing.T, cfg mysqlsession.Config) *mysqlsession.Conn {
	t.Helper()
	conn, err := mysqlsession.Connect(t.Context(), cfg)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, conn.Close()) })
	return conn
}

// value is the one value that a query gives; "NULL" for NULL.
func value(t *testing.T, conn *mysqlsession.Conn, query string, arguments ...any) string {
	t.Helper()
	var values []string
	err := conn.Query(t.Context(), query, func(row mysqlsession.Row) error {
		require.Equal(t, 1, row.Len())
		if row.IsNull(0) {
			values = append(values, "NULL")
		} else {
			values = append(values, row.String(0))
		}
		return nil
	}, arguments...)
	require.NoError(t, err)
	require.Len(t, values, 1)
	return values[0]
}

func TestASessionIsSetUpAsItsStatementsNeedItWhateverTheServersDefaults(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		cfg := server.NewDatabase(t)
		cfg.ReadTimeout, cfg.LockWaitTimeout = 1500*time.Millisecond, 3*time.Second
		isolation, timeout, limit := "transaction_isolation", "max_execution_time", "1500"
		if server.MariaDB() {
			isolation, timeout, limit = "tx_isolation", "max_statement_time", "1.500000"
		}
		server.SetGlobal(t, "sql_mode", "")
		server.SetGlobal(t, isolation, "SERIALIZABLE")
		server.SetGlobal(t, "innodb_lock_wait_timeout", 77)
		server.SetGlobal(t, "lock_wait_timeout", 77)
		server.SetGlobal(t, "time_zone", "-11:00")
		server.SetGlobal(t, "autocommit", 0)

		conn := connect(t, cfg)
		assert.True(t, conn.Reusable())
		assert.Equal(t, "1", value(t, conn, "SELECT @@autocommit"))
		assert.Equal(t, "READ-COMMITTED", value(t, conn, "SELECT @@"+isolation))
		assert.Equal(t, limit, value(t, conn, "SELECT @@"+timeout))
		assert.Equal(t, "3", value(t, conn, "SELECT @@innodb_lock_wait_timeout"))
		assert.Equal(t, "3", value(t, conn, "SELECT @@lock_wait_timeout"))
		assert.Equal(t, "-11:00", value(t, conn, "SELECT @@time_zone"), "it is the server's unless configured")
		assert.Equal(t, "NULL", value(t, conn, "SELECT @@character_set_results"))
		assert.Equal(t, "ascii", value(t, conn, "SELECT @@character_set_client"))
		assert.Equal(t, []string{"ERROR_FOR_DIVISION_BY_ZERO", "NO_ENGINE_SUBSTITUTION", "STRICT_ALL_TABLES"},
			sorted(strings.Split(value(t, conn, "SELECT @@sql_mode"), ",")))

		cfg.TimeZone, cfg.Charset, cfg.ReadTimeout = "+05:45", "utf8mb4", -1
		conn = connect(t, cfg)
		assert.Equal(t, "+05:45", value(t, conn, "SELECT @@time_zone"))
		assert.Equal(t, "utf8mb4", value(t, conn, "SELECT @@character_set_client"))
		assert.Zero(t, strings.Trim(value(t, conn, "SELECT @@"+timeout), "0."))
	})
}

// A server that runs init_connect may leave a transaction open, in which everything that
// is written would be lost with the connection.
func TestWhatTheServerOpensAtConnectIsNotWrittenInto(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		cfg := server.NewDatabase(t)
		admin := server.AdminIn(t, cfg.Database)
		execute(t, admin, "CREATE TABLE notes (id INT PRIMARY KEY)")
		cfg = server.NewUser(t, cfg, "ALL") // whom init_connect does not spare
		for i, init := range []string{"START TRANSACTION", "SET autocommit = 0", "SET autocommit = 0; START TRANSACTION"} {
			server.SetGlobal(t, "init_connect", init)
			conn := connect(t, cfg)
			exec(t, conn, "INSERT INTO notes VALUES (?)", i)
			require.True(t, conn.Reusable(), init)
			require.Equal(t, i+1, count(t, admin, "SELECT COUNT(*) FROM notes"), init)
		}
	})
}

func TestSessionsLastOnAServerThatDoesNotCommitByItself(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		cfg := server.NewDatabase(t)
		createNewTables(t, cfg, nil)
		admin := server.AdminIn(t, cfg.Database)
		require.NoError(t, admin.Ping())
		server.SetGlobal(t, "autocommit", 0)
		store := openStore(t, cfg)
		options := &mysqlsession.SetOptions{Metadata: []mysqlsession.Metadata{{Audience: "audience", Subject: "subject"}}}
		require.NoError(t, store.Set(t.Context(), "name", "alone", nil, time.Minute, nil))
		require.NoError(t, store.Set(t.Context(), "name", "with-metadata", nil, time.Minute, options))
		require.NoError(t, store.Close())
		require.Equal(t, 2, count(t, admin, "SELECT COUNT(*) FROM sessions"))
		require.Equal(t, 1, count(t, admin, "SELECT COUNT(*) FROM sessions_meta"))
	})
}

func TestParametersOfEveryTypeArriveAsTheyAreInBothModes(t *testing.T) {
	moment := time.Date(2031, time.February, 3, 4, 5, 6, 789000, time.FixedZone("", 3600))
	every := make([]byte, 256)
	for i := range every {
		every[i] = byte(i)
	}
	tests := []struct {
		argument any
		want     string
	}{
		{nil, "NULL"}, {[]byte(nil), "NULL"},
		{true, "1"}, {false, "0"},
		{int(-1), "-1"}, {int8(-128), "-128"}, {int16(-32768), "-32768"}, {int32(math.MinInt32), "-2147483648"},
		{int64(math.MinInt64), "-9223372036854775808"}, {int64(math.MaxInt64), "9223372036854775807"},
		{uint(1), "1"}, {uint8(255), "255"}, {uint16(65535), "65535"}, {uint32(math.MaxUint32), "4294967295"},
		{uint64(math.MaxUint64), "18446744073709551615"},
		{"", ""}, {[]byte{}, ""}, {"it's a \\ ? \x00", "it's a \\ ? \x00"}, {every, string(every)},
		{moment, "2031-02-03 03:05:06.000789"},
	}
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		for _, mode := range []mysqlsession.StatementMode{mysqlsession.StatementModePrepared, mysqlsession.StatementModeText} {
			cfg := server.NewDatabase(t)
			cfg.StatementMode = mode
			conn := connect(t, cfg)
			for i, test := range tests {
				// MySQL gives a parameter without a context the type of its first value, for good.
				query := fmt.Sprintf("SELECT ? AS column%d", i)
				assert.Equal(t, test.want, value(t, conn, query, test.argument), "%T %v, %s", test.argument, test.argument, mode)
			}
		}
	})
}

func TestColumnsOfEveryTypeAreReadAlikeInBothProtocols(t *testing.T) {
	const query = `SELECT CAST(-5 AS SIGNED), CAST(18446744073709551615 AS UNSIGNED), CAST('2031-02-03' AS DATE),
		CAST('2031-02-03 04:05:06.000789' AS DATETIME(6)), CAST('-26:00:07' AS TIME), CAST(12.50 AS DECIMAL(5,2)), 1.5e0, NULL, X'00ff' `
	want := []string{"-5", "18446744073709551615", "2031-02-03", "2031-02-03 04:05:06.000789", "-26:00:07", "12.50", "1.5", "", "\x00\xff"}
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		conn := connect(t, server.NewDatabase(t))
		for _, arguments := range [][]any{nil, {1}} {
			text := query + "WHERE 1 = 1"
			if arguments != nil {
				text = query + "WHERE 1 = ?"
			}
			rows := 0
			require.NoError(t, conn.Query(t.Context(), "SELECT * FROM ("+text+") AS all_types", func(row mysqlsession.Row) error {
				rows++
				for i, text := range want {
					assert.Equal(t, text, row.String(i), i)
					assert.Equal(t, i == 7, row.IsNull(i))
				}
				n, err := row.Int64(0)
				require.NoError(t, err)
				assert.Equal(t, int64(-5), n)
				for _, none := range []int{1, 2, 7, 8} {
					_, err := row.Int64(none)
					assert.ErrorContains(t, err, "no 64-bit integer")
				}
				return nil
			}, arguments...))
			require.Equal(t, 1, rows)
		}
	})
}

func TestARequestOfExactlyMaxAllowedPacketIsRefusedAndOneByteLessIsSent(t *testing.T) {
	const limit = 64 << 10
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		cfg := server.NewDatabase(t)
		server.SetGlobal(t, "max_allowed_packet", limit)
		conn := connect(t, cfg)
		const statement, command = "DO ''", 1
		fits := "DO '" + strings.Repeat("x", limit-1-command-len(statement)) + "'"
		exec(t, conn, fits)
		_, err := conn.Exec(t.Context(), fits+" ")
		require.ErrorIs(t, err, mysqlsession.ErrValueTooLarge)
		require.True(t, mysqlsession.SafeToRetry(err))
		exec(t, conn, fits)

		_, err = conn.Exec(t.Context(), "DO LENGTH(?)", make([]byte, limit))
		require.ErrorIs(t, err, mysqlsession.ErrValueTooLarge)
		require.NoError(t, conn.Ping(t.Context()))
	})
}

// A frame holds 16 MiB - 1. The reply's sequence number says how many there were.
func TestRequestsAndRepliesOfSeveralFramesAreSentAndRead(t *testing.T) {
	const size = 17 << 20
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		cfg := server.NewDatabase(t)
		cfg.MaxPacketSize = 16 << 20
		server.SetGlobal(t, "max_allowed_packet", 64<<20)
		for _, mode := range []mysqlsession.StatementMode{mysqlsession.StatementModePrepared, mysqlsession.StatementModeText} {
			cfg.StatementMode = mode
			conn := connect(t, cfg)
			assert.Equal(t, "17825792", value(t, conn, "SELECT LENGTH(?)", make([]byte, size)))
			assert.Equal(t, "3", value(t, conn, "SELECT LENGTH(?)", "one"))
			assert.Len(t, value(t, conn, "SELECT REPEAT('x', ?)", 16<<20), 16<<20)

			err := conn.Query(t.Context(), "SELECT REPEAT('x', ?)", func(mysqlsession.Row) error { return nil }, size)
			require.ErrorIs(t, err, mysqlsession.ErrPacketTooLarge)
			require.ErrorIs(t, conn.Ping(t.Context()), mysqlsession.ErrClosed)
		}
	})
}

func TestAServerWithoutRoomForPreparedStatementsServesText(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		cfg := server.NewDatabase(t)
		createNewTables(t, cfg, nil)
		server.SetGlobal(t, "max_prepared_stmt_count", 0)
		store := openStore(t, cfg)
		metadata := []mysqlsession.Metadata{{Audience: "audience", Subject: "subject"}}
		require.NoError(t, store.Set(t.Context(), "name", "key", []byte("it's\x00"), time.Minute, &mysqlsession.SetOptions{Metadata: metadata}))
		got, err := store.Get(t.Context(), "name", "key")
		require.NoError(t, err)
		assert.Equal(t, "it's\x00", string(got))
		sessions, err := store.ReadMetadata(t.Context(), "name", "audience", "subject")
		require.NoError(t, err)
		assert.Len(t, sessions, 1)
		assert.Equal(t, int64(1), store.Pool().Stat().NewConnsCount, "the connection is kept")
	})
}

func sorted(values []string) []string {
	slices.Sort(values)
	return values
}

func TestASessionThatCannotBeSetUpIsAnErrorAndItsConnectionIsClosed(t *testing.T) {
	done := ok(1, committing, 0)
	rows := func(values ...string) []byte {
		reply := slices.Concat(packet(1, []byte{byte(len(values))}))
		for i := range values {
			reply = append(reply, definition(2+i, columnBlob)...)
		}
		n := 2 + len(values)
		return slices.Concat(reply, oldEnd(n, committing), textRow(n+1, values...), oldEnd(n+2, committing))
	}
	tests := []struct {
		name  string
		reply [][]byte
		want  string
	}{
		{"a setting is refused", [][]byte{done, failure(1, 1115, "42000", "secret"), done, rows("1048576")}, "unknown character set (server error 1115"},
		{"the packet limit is no number", [][]byte{done, done, done, rows("secret")}, "max_allowed_packet is no number of bytes"},
		{"the packet limit is too small for anything", [][]byte{done, done, done, rows("7")}, "max_allowed_packet is no number of bytes"},
		{"there is a column too many", [][]byte{done, done, done, rows("1048576", "secret")}, "reply of 2 columns where 1 were asked for"},
		{"a transaction stays open", [][]byte{done, done, done, packet(1, []byte{1}), definition(2, columnBlob), oldEnd(3, committing),
			textRow(4, "1048576"), oldEnd(5, committing|wire.StatusInTransaction)}, "in a transaction"},
		{"it hangs up", [][]byte{done}, "server closed the connection"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			closed := make(chan struct{})
			world := network{"a:3306": func(conn net.Conn) {
				defer close(closed)
				greet(conn)
				p := newServerEnd(conn)
				p.reply(ok(2, committing, 0))
				_ = p.take(4)
				p.reply(test.reply...)
				if len(test.reply) > 1 {
					p.ended()
				}
			}}
			_, err := mysqlsession.Connect(t.Context(), mysqlsession.Config{Host: "a", DialFunc: world.dial})
			require.ErrorContains(t, err, "connect to a:3306: set up the session: ")
			require.ErrorContains(t, err, test.want)
			require.NotContains(t, err.Error(), "secret")
			<-closed
		})
	}
}

func TestAServersRefusalOfASettingIsTold(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		cfg := server.NewDatabase(t)
		cfg.TimeZone = "Nowhere/Land"
		_, err := mysqlsession.Connect(t.Context(), cfg)
		requireServerError(t, err, 1298)
		cfg.TimeZone, cfg.Charset = "", "nonesuch"
		_, err = mysqlsession.Connect(t.Context(), cfg)
		requireServerError(t, err, 1115)
	})
}
