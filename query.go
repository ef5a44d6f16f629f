package mysqlsession

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"time"

	"github.com/mysqlsession/mysqlsession/internal/wire"
)

// Result is what a statement without rows did.
type Result struct {
	// RowsAffected counts the rows that matched, changed or not; an upsert counts 1 for
	// a row that is new and 2 for one that changed.
	RowsAffected int64
	// LastInsertID is the first AUTO_INCREMENT value made, or 0.
	LastInsertID uint64
	// Warnings is how many the server has (SHOW WARNINGS).
	Warnings int
}

// Row is one row of a query. It and what its methods return by reference are valid until
// the callback that got it returns.
type Row struct{ values []wire.Value }

// Len is the number of columns.
func (r Row) Len() int { return len(r.values) }

// IsNull reports whether column i, counted from 0, is NULL.
func (r Row) IsNull(i int) bool { return r.values[i].IsNull() }

// Bytes is column i as bytes: as stored for strings, as the text protocol shows it for
// numbers and dates, nil for NULL. Copy what is kept.
func (r Row) Bytes(i int) []byte {
	if raw := r.values[i].Raw(); raw != nil || r.values[i].IsNull() {
		return raw
	}
	return r.values[i].AppendText(nil)
}

// String is column i as a string of its own; "" for NULL.
func (r Row) String(i int) string { return string(r.Bytes(i)) }

// Int64 is column i as an integer. NULL and what is no integer of 64 bits are errors.
func (r Row) Int64(i int) (int64, error) {
	n, ok := r.values[i].Int()
	if !ok {
		return 0, fmt.Errorf(prefix+"column %d is no 64-bit integer", i)
	}
	return n, nil
}

// Exec runs one statement that returns no rows. With arguments it is prepared, once for
// the connection, and each "?" in it stands for one: nil, bool, any integer, string,
// []byte, or time.Time (in UTC, with microseconds). The values travel as binary strings
// and integers and are never part of the text. One round trip, two the first time.
//
// Errors: one for an argument of another type, ErrValueTooLarge for a
// request over max_allowed_packet, *ServerError, ErrUnavailable, ErrProtocol, ErrClosed,
// the context's. OutcomeUnknown tells whether the statement may have run.
func (c *Conn) Exec(ctx context.Context, statement string, arguments ...any) (Result, error) {
	result, err := c.exec(ctx, statement, arguments)
	return result, c.call("exec", err)
}

// exec keeps the connection until it has the result.
func (c *Conn) exec(ctx context.Context, statement string, arguments []any) (result Result, err error) {
	requests := []request{{statement: statement}}
	if requests[0].parameters, err = parameters(arguments); err != nil {
		return Result{}, err
	}
	if err := c.enter(); err != nil {
		return Result{}, err
	}
	usable, err := c.exchange(ctx, effectWrite, requests)
	if err == nil {
		result = c.outcomes[0].result
	}
	c.leave(usable)
	return result, err
}

// Query runs one statement and calls each with every row. Arguments are as for Exec. An
// error of each is returned once the rest of the rows has been read and dropped; each
// must not use the connection. No row may be larger than MaxPacketSize + 1 KiB
// (ErrPacketTooLarge).
func (c *Conn) Query(ctx context.Context, statement string, each func(row Row) error, arguments ...any) error {
	requests := []request{{statement: statement, row: func(values []wire.Value) error {
		return each(Row{values})
	}}}
	var err error
	if requests[0].parameters, err = parameters(arguments); err == nil {
		err = c.roundTrip(ctx, effectWrite, requests)
	}
	return c.call("query", err)
}

// errArgumentType is an argument that no parameter can be made of.
var errArgumentType = errors.New(prefix + "argument of a type that cannot be a parameter")

func parameters(arguments []any) ([]wire.Parameter, error) {
	if len(arguments) == 0 {
		return nil, nil
	}
	out := make([]wire.Parameter, len(arguments))
	for i, argument := range arguments {
		switch v := argument.(type) {
		case nil:
		case bool:
			if v {
				out[i] = wire.Int(1)
			} else {
				out[i] = wire.Int(0)
			}
		case string:
			out[i] = wire.Text(v)
		case []byte:
			if v != nil {
				out[i] = wire.Bytes(v)
			}
		case time.Time:
			out[i] = wire.Text(v.UTC().Format("2006-01-02 15:04:05.000000"))
		default:
			switch number := reflect.ValueOf(argument); {
			case number.CanInt():
				out[i] = wire.Int(number.Int())
			case number.CanUint():
				out[i] = wire.Uint(number.Uint())
			default:
				return nil, fmt.Errorf("%w: argument %d is a %T", errArgumentType, i, argument)
			}
		}
	}
	return out, nil
}
