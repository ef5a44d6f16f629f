package mysqlsession

import (
	"context"
	"errors"
)

// errorKinds are what ErrorKind looks for, in this order: what says most comes first.
var errorKinds = []struct {
	sentinel error
	kind     string
}{
	{ErrNotFound, "not_found"},
	{ErrBacklogFull, "backlog_full"},
	{ErrAcquireTimeout, "acquire_timeout"},
	{context.Canceled, "canceled"},
	{ErrClosed, "closed"},
	{ErrNotWritable, "not_writable"},
	{ErrTLSUnavailable, "tls_unavailable"},
	{ErrKeyRetrieval, "key_retrieval"},
	{ErrUnavailable, "unavailable"},
	{ErrProtocol, "protocol"},
	{ErrSchema, "schema"},
	{ErrConflict, "conflict"},
	{ErrPacketTooLarge, "packet_too_large"},
	{ErrValueTooLarge, "value_too_large"},
	{ErrTextColumn, "text_column"},
	{ErrInvalidKey, "invalid_key"},
	{ErrInvalidName, "invalid_name"},
	{ErrInvalidTTL, "invalid_ttl"},
	{ErrInvalidOptions, "invalid_options"},
	{ErrInvalidConfig, "invalid_config"},
	{context.DeadlineExceeded, "deadline_exceeded"},
}

// ErrorKind is a word for what kind of error of this package err is, to count errors by in
// metrics and logs: the sentinel's, such as "not_found", "backlog_full", "unavailable" or
// "canceled", "server_error" for any other *ServerError, "other" for what is not this
// package's, and "" for nil. There are less than thirty, and none has anything variable in
// it. Where an error is several, such as a read-only server that is unavailable too, the
// kind is what says most.
func ErrorKind(err error) string {
	if err == nil {
		return ""
	}
	for i := range errorKinds {
		if errors.Is(err, errorKinds[i].sentinel) {
			return errorKinds[i].kind
		}
	}
	if asServerError(err) != nil {
		return "server_error"
	}
	return "other"
}
