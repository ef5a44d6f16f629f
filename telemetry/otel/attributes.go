package mysqlsessionotel

import (
	"errors"
	"net"
	"slices"
	"strconv"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/mysqlsession/mysqlsession"
)

// callKey is what the attributes of a call are made of.
type callKey struct {
	operation, database, table, system, address string
	kind                                        string // of the error; "" if it is none
	code                                        uint16 // the server's; 0: it has not said one
}

// call is what calls of one key have in common.
type call struct {
	spanName string
	start    []trace.SpanStartOption
	record   []metric.RecordOption
}

// keyOf is the key of a call. ErrNotFound is an answer, and no error.
func keyOf(info *mysqlsession.CallInfo) callKey {
	key := callKey{operation: info.Operation, database: info.Database, table: info.Table, system: info.System, address: info.Address}
	if info.Err != nil {
		key.kind, key.code = errorOf(info.Err)
	}
	return key
}

// errorOf is an error's kind and the server's code; neither for an answer.
func errorOf(err error) (kind string, code uint16) {
	kind = mysqlsession.ErrorKind(err)
	if kind == "not_found" {
		return "", 0
	}
	var refused *mysqlsession.ServerError
	if errors.As(err, &refused) {
		code = refused.Code
	}
	return kind, code
}

// newCall makes what calls of a key have in common.
func newCall(key callKey) *call {
	common := append(placeAttributes(key), semconv.DBOperationName(key.operation))
	measured := slices.Concat(common, failureAttributes(key.kind, key.code)) // which NewSet sorts
	return &call{
		spanName: key.operation + " " + key.table,
		start:    []trace.SpanStartOption{trace.WithSpanKind(trace.SpanKindClient), trace.WithAttributes(common...)},
		record:   []metric.RecordOption{metric.WithAttributeSet(attribute.NewSet(measured...))},
	}
}

// placeAttributes say where the sessions are.
func placeAttributes(key callKey) []attribute.KeyValue {
	attributes := []attribute.KeyValue{semconv.DBNamespace(key.database), semconv.DBCollectionName(key.table)}
	if key.system != "" {
		attributes = append(attributes, semconv.DBSystemNameKey.String(key.system))
	}
	if key.address == "" {
		return attributes
	}
	host, port, err := net.SplitHostPort(key.address)
	if err != nil { // the path of a socket
		return append(attributes, semconv.ServerAddress(key.address))
	}
	number, _ := strconv.Atoi(port) // it has been dialled
	return append(attributes, semconv.ServerAddress(host), semconv.ServerPort(number))
}

// failureAttributes say what went wrong.
func failureAttributes(kind string, code uint16) []attribute.KeyValue {
	if kind == "" {
		return nil
	}
	attributes := []attribute.KeyValue{semconv.ErrorTypeKey.String(kind)}
	if code != 0 {
		attributes = append(attributes, semconv.DBResponseStatusCode(strconv.Itoa(int(code))))
	}
	return attributes
}

// pool is what measurements of a pool have in common.
type pool struct {
	record     []metric.RecordOption
	observe    []metric.ObserveOption
	idle, used []metric.ObserveOption
}

func newPool(name string) *pool {
	set := func(more ...attribute.KeyValue) attribute.Set {
		return attribute.NewSet(append(more, semconv.DBClientConnectionPoolName(name))...)
	}
	own := metric.WithAttributeSet(set())
	return &pool{
		record:  []metric.RecordOption{own},
		observe: []metric.ObserveOption{own},
		idle:    []metric.ObserveOption{metric.WithAttributeSet(set(semconv.DBClientConnectionStateIdle))},
		used:    []metric.ObserveOption{metric.WithAttributeSet(set(semconv.DBClientConnectionStateUsed))},
	}
}
