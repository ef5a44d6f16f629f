package mysqlsession_test

import (
	"context"
	"reflect"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mysqlsession/mysqlsession"
)

// countingTrace has every hook that there is.
func countingTrace(called map[string]int) *mysqlsession.Trace {
	trace := &mysqlsession.Trace{}
	for field, hook := range reflect.ValueOf(trace).Elem().Fields() {
		hook.Set(reflect.MakeFunc(field.Type, func(arguments []reflect.Value) []reflect.Value {
			called[field.Name]++
			return arguments[:field.Type.NumOut()]
		}))
	}
	return trace
}

// A hook that Trace gets one day would be lost on its way.
func TestJoinedTracesPassOnEveryHookThatThereIs(t *testing.T) {
	called := map[string]int{}
	own := countingTrace(called)
	for field, hook := range reflect.ValueOf(mysqlsession.JoinTraces(own, nil, &mysqlsession.Trace{}, own)).Elem().Fields() {
		require.False(t, hook.IsNil(), field.Name)
		var arguments []reflect.Value
		for argument := range field.Type.Ins() {
			arguments = append(arguments, reflect.Zero(argument))
		}
		hook.Call(arguments)
		require.Equal(t, 2, called[field.Name], field.Name)
	}
}

func TestAHookThatNobodyHasStaysNil(t *testing.T) {
	for _, joined := range []*mysqlsession.Trace{
		mysqlsession.JoinTraces(), mysqlsession.JoinTraces(nil), mysqlsession.JoinTraces(&mysqlsession.Trace{}, &mysqlsession.Trace{}),
	} {
		require.True(t, reflect.ValueOf(*joined).IsZero())
	}
}

func TestACallsContextGoesThroughEveryHookInOrder(t *testing.T) {
	type key struct{}
	var ended []string
	named := func(name string) *mysqlsession.Trace {
		return &mysqlsession.Trace{
			CallStart: func(ctx context.Context, _ mysqlsession.CallInfo) context.Context {
				before, _ := ctx.Value(key{}).(string)
				return context.WithValue(ctx, key{}, strings.TrimSpace(before+" "+name))
			},
			Call: func(ctx context.Context, _ mysqlsession.CallInfo) {
				ended = append(ended, name+": "+ctx.Value(key{}).(string))
			},
		}
	}
	joined := mysqlsession.JoinTraces(named("a"), named("b"), named("c"))
	joined.Call(joined.CallStart(t.Context(), mysqlsession.CallInfo{}), mysqlsession.CallInfo{})
	require.Equal(t, []string{"a: a b c", "b: a b c", "c: a b c"}, ended)
}
