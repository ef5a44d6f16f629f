package mysqlsession_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/mysqlsession/mysqlsession"
	"github.com/mysqlsession/mysqlsession/internal/dbtest"
)

// exampleConn is a connection to a database of its own, and what removes both.
func exampleConn() (ctx context.Context, conn *mysqlsession.Conn, done func()) {
	cfg, drop := dbtest.Example()
	ctx = context.Background()
	conn, err := mysqlsession.Connect(ctx, cfg)
	if err != nil {
		drop()
		panic(err)
	}
	return ctx, conn, func() {
		_ = conn.Close() // always nil
		drop()
	}
}

// One connection, without a pool. It is for one call at a time.
func ExampleConnect() {
	cfg, drop := dbtest.Example()
	defer drop()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()

	conn, err := mysqlsession.Connect(ctx, cfg)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer conn.Close()
	fmt.Println(conn.Ping(ctx))
	// Output: <nil>
}

// Values are parameters, and never a part of the statement's text.
func ExampleConn_Exec() {
	ctx, conn, done := exampleConn()
	defer done()

	_, err := conn.Exec(ctx, "CREATE TABLE notes (id INT AUTO_INCREMENT PRIMARY KEY, text VARBINARY(255), at DATETIME(6))")
	if err != nil {
		fmt.Println(err)
		return
	}
	result, err := conn.Exec(ctx, "INSERT INTO notes (text, at) VALUES (?, ?), (?, ?)", "it's", time.Now(), []byte{0, 255}, nil)
	fmt.Println(result.RowsAffected, "rows, the first is number", result.LastInsertID, err)
	// Output: 2 rows, the first is number 1 <nil>
}

// Rows come one by one. An error of the function ends the query.
func ExampleConn_Query() {
	ctx, conn, done := exampleConn()
	defer done()

	err := conn.Query(ctx, "SELECT 'ada', ? UNION ALL SELECT 'grace', ?", func(row mysqlsession.Row) error {
		born, err := row.Int64(1)
		fmt.Println(row.String(0), born)
		return err
	}, 1815, 1906)
	fmt.Println(err)
	// Output:
	// ada 1815
	// grace 1906
	// <nil>
}

// A sign of life, in one round trip.
func ExampleConn_Ping() {
	ctx, conn, done := exampleConn()
	defer done()

	fmt.Println(conn.Ping(ctx))
	// Output: <nil>
}

// A connection that has been closed says so, and that nothing was sent.
func ExampleConn_Close() {
	ctx, conn, done := exampleConn()
	defer done()

	if err := conn.Close(); err != nil {
		fmt.Println(err)
	}
	err := conn.Ping(ctx)
	fmt.Println(errors.Is(err, mysqlsession.ErrClosed), mysqlsession.SafeToRetry(err))
	// Output: true true
}

// With several hosts it is one of them: the first that serves.
func ExampleConn_Address() {
	_, conn, done := exampleConn()
	defer done()

	slog.Debug("connected", "address", conn.Address(), "server", conn.ServerVersion(), "connection", conn.ConnectionID())
	fmt.Println(conn.Address() != "")
	// Output: true
}

// The number that SHOW PROCESSLIST and KILL know the connection by.
func ExampleConn_ConnectionID() {
	ctx, conn, done := exampleConn()
	defer done()

	err := conn.Query(ctx, "SELECT CONNECTION_ID()", func(row mysqlsession.Row) error {
		id, err := row.Int64(0)
		fmt.Println(uint32(id) == conn.ConnectionID())
		return err
	})
	fmt.Println(err)
	// Output:
	// true
	// <nil>
}

// As the server's greeting has it: "10.11.18-MariaDB-0+deb12u1", "9.7.4".
func ExampleConn_ServerVersion() {
	_, conn, done := exampleConn()
	defer done()

	fmt.Println(conn.ServerVersion() != "")
	// Output: true
}

// Bytes are the row's own: copy what is kept.
func ExampleRow_Bytes() {
	ctx, conn, done := exampleConn()
	defer done()

	var kept []byte
	err := conn.Query(ctx, "SELECT X'00FF'", func(row mysqlsession.Row) error {
		kept = bytes.Clone(row.Bytes(0))
		return nil
	})
	fmt.Println(kept, err)
	// Output: [0 255] <nil>
}

// What is no integer is an error, and not zero.
func ExampleRow_Int64() {
	ctx, conn, done := exampleConn()
	defer done()

	err := conn.Query(ctx, "SELECT 42, 'x'", func(row mysqlsession.Row) error {
		n, err := row.Int64(0)
		fmt.Println(n, err)
		_, err = row.Int64(1)
		fmt.Println(err != nil)
		return nil
	})
	if err != nil {
		fmt.Println(err)
	}
	// Output:
	// 42 <nil>
	// true
}

// NULL is told from the empty string.
func ExampleRow_IsNull() {
	ctx, conn, done := exampleConn()
	defer done()

	err := conn.Query(ctx, "SELECT NULL, ''", func(row mysqlsession.Row) error {
		fmt.Println(row.IsNull(0), row.IsNull(1))
		return nil
	})
	if err != nil {
		fmt.Println(err)
	}
	// Output: true false
}

// For statements that one has not written oneself.
func ExampleRow_Len() {
	ctx, conn, done := exampleConn()
	defer done()

	err := conn.Query(ctx, "SELECT 'a', 'b', 'c'", func(row mysqlsession.Row) error {
		for i := range row.Len() {
			fmt.Print(row.String(i), " ")
		}
		return nil
	})
	if err != nil {
		fmt.Println(err)
	}
	// Output: a b c
}

// A string is a copy, which may be kept. Numbers come as the text protocol shows them.
func ExampleRow_String() {
	ctx, conn, done := exampleConn()
	defer done()

	err := conn.Query(ctx, "SELECT 'text', 42, DATE '2026-05-04'", func(row mysqlsession.Row) error {
		fmt.Println(row.String(0), row.String(1), row.String(2))
		return nil
	})
	if err != nil {
		fmt.Println(err)
	}
	// Output: text 42 2026-05-04
}
