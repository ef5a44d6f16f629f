package mysqlsession

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
)

// prefix opens the text of every error of this package, once.
const prefix = "mysqlsession: "

// Errors of a call's input: nothing was sent.
var (
	// ErrInvalidConfig is a configuration or connection string that cannot be used.
	// The text names field, value and bound.
	ErrInvalidConfig = errors.New(prefix + "invalid configuration")
	// ErrInvalidKey is a session id that is empty, longer than 43 bytes, or holds a
	// byte outside 0x21 to 0x7e.
	ErrInvalidKey = errors.New(prefix + "invalid session id")
	// ErrInvalidName is a name, audience or subject longer than 255 bytes.
	ErrInvalidName = errors.New(prefix + "invalid name")
	// ErrInvalidTTL is a time to live that is not positive, or that ends after what the
	// server's date functions can hold.
	ErrInvalidTTL = errors.New(prefix + "invalid time to live")
	// ErrInvalidOptions is a SetOptions whose fields cannot do what they say: a negative
	// MaxPerSubject, or one without Metadata.
	ErrInvalidOptions = errors.New(prefix + "invalid options")
	// ErrValueTooLarge is a value over MaxPacketSize - 4 bytes, over its column's
	// length, or over the server's max_allowed_packet.
	ErrValueTooLarge = errors.New(prefix + "value too large")
	// ErrTextColumn is a value, name, audience or subject that a text column of an old
	// table would damage. Migrate makes the columns binary.
	ErrTextColumn = errors.New(prefix + "value does not fit a text column")
)

// Errors of waiting for a connection: nothing was sent, and a later try may succeed.
var (
	// ErrBacklogFull is returned at once to a caller that would have to wait while
	// Backlog callers already do. Shed the load, or raise PoolSize or Backlog.
	ErrBacklogFull = errors.New(prefix + "too many waiting connect operations")
	// ErrAcquireTimeout is returned to a caller that waited ConnectTimeout for a
	// connection, or without that to one whose context would end before it is served. It
	// is also a context.DeadlineExceeded to errors.Is.
	ErrAcquireTimeout error = acquireTimeoutError{}
	// ErrClosed is returned by a store, pool or connection that has been closed.
	ErrClosed = errors.New(prefix + "closed")
)

// Errors of connecting.
var (
	// ErrUnavailable is returned when no server could be reached, or none would serve.
	// While that lasts, callers fail fast with the last attempt's cause.
	ErrUnavailable = errors.New(prefix + "server unavailable")
	// ErrTLSUnavailable is returned when TLS is asked for and the server has none. No
	// credential was sent.
	ErrTLSUnavailable = errors.New(prefix + "ssl disabled on server")
	// ErrKeyRetrieval is returned when the login needs the server's RSA key, and asking
	// for it could hand the password to an impostor. Use TLS, a Unix socket,
	// ServerPublicKey, or AllowPublicKeyRetrieval.
	ErrKeyRetrieval = errors.New(prefix + "refusing to ask an unprotected connection for the server's public key")
)

// Errors of a call's work.
var (
	// ErrNotFound is returned when there is no live session of that id and name.
	ErrNotFound = errors.New(prefix + "session not found")
	// ErrConflict is returned by Update when other writers were quicker too often.
	ErrConflict = errors.New(prefix + "session changed by others")
	// ErrPacketTooLarge is returned when a reply is larger than MaxPacketSize allows.
	ErrPacketTooLarge = errors.New(prefix + "packet size too big")
	// ErrProtocol is returned when the server, or something in its place, breaks the
	// protocol. The connection has been closed.
	ErrProtocol = errors.New(prefix + "protocol violation")
	// ErrNotWritable is returned when the server is read-only: a replica, or a primary
	// that was demoted. Nothing was applied. With several hosts it is also an
	// ErrUnavailable when none of them takes writes, and then reads fail with it too.
	ErrNotWritable = errors.New(prefix + "server is not writable")
	// ErrSchema is returned when a table or column that the operation needs is missing.
	// Run Migrate.
	ErrSchema = errors.New(prefix + "schema lacks what the operation needs")
)

type acquireTimeoutError struct{}

func (acquireTimeoutError) Error() string        { return prefix + "timeout waiting for a connection" }
func (acquireTimeoutError) Is(target error) bool { return target == context.DeadlineExceeded }
func (acquireTimeoutError) Timeout() bool        { return true }

// ServerError is an error that the server reported. Get at it with errors.As and
// tell errors apart by Code
// (https://dev.mysql.com/doc/mysql-errors/en/server-error-reference.html,
// https://mariadb.com/kb/en/mariadb-error-codes/).
//
// Error does not print Message, which may hold keys and data.
type ServerError struct {
	Code     uint16 // the server's error number
	SQLState string // five characters
	Message  string // the server's words; they may quote keys and data
}

// Error names the code, what it means where that is known, and the SQLSTATE.
func (e *ServerError) Error() string {
	meaning := serverErrorMeaning(e.Code)
	if meaning == "" {
		return fmt.Sprintf("server error %d (SQLSTATE %s)", e.Code, e.SQLState)
	}
	return fmt.Sprintf("%s (server error %d, SQLSTATE %s)", meaning, e.Code, e.SQLState)
}

// Is makes codes match the errors of this package that say the same: ErrNotWritable,
// ErrUnavailable for a server that serves nobody now, has lost the connection, or has ended
// a statement at the limit that ReadTimeout sets it (an os.ErrDeadlineExceeded too, as when
// the time ends on this side), and ErrValueTooLarge for a request over max_allowed_packet.
func (e *ServerError) Is(target error) bool {
	switch target {
	case ErrNotWritable:
		return notWritable(e.Code)
	case ErrUnavailable:
		return notServing(e.Code) || connectionLost(e.Code) || overStatementTime(e.Code)
	case os.ErrDeadlineExceeded:
		return overStatementTime(e.Code)
	case ErrValueTooLarge:
		return e.Code == errOverAllowedPacket
	default:
		return false
	}
}

// OutcomeUnknown reports whether err comes from a write that was sent and whose
// reply never came: the server may or may not have applied it. Such a write is never
// repeated by this package.
func OutcomeUnknown(err error) bool {
	var u *unknownOutcomeError
	return errors.As(err, &u)
}

// unknownOutcomeError marks a write that was sent and never answered.
type unknownOutcomeError struct{ err error }

func (e *unknownOutcomeError) Error() string { return "outcome unknown: " + trimPrefix(e.err) }
func (e *unknownOutcomeError) Unwrap() error { return e.err }

// notAppliedError marks a failure after which the server is known not to have
// applied the work.
type notAppliedError struct{ err error }

func (e *notAppliedError) Error() string { return e.err.Error() }
func (e *notAppliedError) Unwrap() error { return e.err }

// SafeToRetry reports whether the work that err ended is known not to have been applied and
// may succeed another time: nothing reached the server, or it refused, or rolled back.
// Statements of one's own that do more than one thing, such as CALL, or that write to tables
// without transactions, may have done a part.
func SafeToRetry(err error) bool {
	return isNotApplied(err) || errors.Is(err, ErrBacklogFull) || errors.Is(err, ErrAcquireTimeout)
}

func isNotApplied(err error) bool {
	if err == nil || OutcomeUnknown(err) { // of a part of the work, perhaps
		return false
	}
	var n *notAppliedError
	return errors.As(err, &n)
}

// asServerError is the server's error in err's chain, or nil.
func asServerError(err error) *ServerError {
	if err == nil {
		return nil
	}
	if e, ok := err.(*ServerError); ok {
		return e
	}
	var e *ServerError
	errors.As(err, &e)
	return e
}

// callError puts the operation, and where it went, before an error's text.
type callError struct {
	operation string
	err       error
}

func (e *callError) Error() string { return prefix + e.operation + ": " + trimPrefix(e.err) }
func (e *callError) Unwrap() error { return e.err }

func trimPrefix(err error) string { return strings.TrimPrefix(err.Error(), prefix) }

// detail is a sentinel with the particulars of this case behind its text.
func detail(sentinel error, format string, arguments ...any) error {
	return &detailError{sentinel: sentinel, text: fmt.Sprintf(format, arguments...)}
}

type detailError struct {
	sentinel error
	text     string
}

func (e *detailError) Error() string { return e.sentinel.Error() + ": " + e.text }
func (e *detailError) Unwrap() error { return e.sentinel }

// contextError is the context's error, and the cause it was given, if another.
func contextError(ctx context.Context, err error) error {
	cause := context.Cause(ctx)
	if cause == ErrClosed { // the context was our own
		return ErrClosed
	}
	if cause != nil && !errors.Is(cause, err) {
		return &givenCauseError{causeError{err, cause}}
	}
	return err
}

// givenCauseError is a context's error with the cause that its owner gave it, in the owner's
// words.
type givenCauseError struct{ causeError }

// causeError is an error and what has led to it.
type causeError struct{ err, cause error }

func (e *causeError) Error() string   { return e.err.Error() + ": " + trimPrefix(e.cause) }
func (e *causeError) Unwrap() []error { return []error{e.err, e.cause} }
