package mysqlsession

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"time"
)

// LogOptions says what LogTrace logs. The zero value is usable.
type LogOptions struct {
	// SlowCall is the duration from which on a call that went well is logged. 0: 1 s;
	// negative: none is.
	SlowCall time.Duration
	// Lines is how many lines of each sort may be logged within Interval: a message, and the
	// kind of its error. What is more is counted, and the count is logged when Interval is
	// over: a database that is down fails calls by the ten thousand in a second. 0: 10.
	Lines int
	// Interval is what Lines counts for. 0: 10 s.
	Interval time.Duration
}

// LogTrace is a Trace that logs what an operator may want to know: calls that have failed or
// were slow, connections that were opened, that could not be opened, or were closed, and
// batches that fell apart. It never logs an id, a value or metadata, and of errors that are
// not this package's, such as those of a function given to Update, or the cause of a
// context's end, only that there was one. But what BeforeConnect and AfterConnect say is logged.
//
// Leaks, migrations and findings about the schema are not among it: Config.Logger gets
// them. Set both to the same logger and everything is there once.
//
// The levels are those of what should be done: Error for what only a person can mend, Warn
// for what went wrong, Info for what happens, and for errors that are the caller's own;
// Debug for connections that come and go as they should. ErrNotFound is no failure.
//
// It is safe for concurrent use and may serve several stores and pools, which then share its
// bounds.
func LogTrace(logger *slog.Logger, options LogOptions) *Trace {
	l := &traceLog{logger: logger, options: options, sorts: make(map[sort]*tally)}
	if l.options.SlowCall == 0 {
		l.options.SlowCall = time.Second
	}
	if l.options.Lines <= 0 {
		l.options.Lines = 10
	}
	if l.options.Interval <= 0 {
		l.options.Interval = 10 * time.Second
	}
	return &Trace{Call: l.call, Batch: l.batch, Connect: l.connect, Disconnect: l.disconnect}
}

// traceLog is what is behind LogTrace.
type traceLog struct {
	logger  *slog.Logger
	options LogOptions

	mu    sync.Mutex      // guards what follows; nothing is logged under it
	sorts map[sort]*tally // as many as there are messages and kinds
}

// sort is what lines have in common of which there may be too many.
type sort struct {
	message string
	kind    string // of the error
}

// tally counts the lines of a sort since an interval began.
type tally struct {
	began   time.Time
	logged  int
	left    int // not logged
	reports bool
}

func (l *traceLog) call(ctx context.Context, info CallInfo) {
	switch kind := ErrorKind(info.Err); {
	case kind == "" || kind == "not_found":
		if l.options.SlowCall > 0 && info.Duration >= l.options.SlowCall {
			l.log(ctx, slog.LevelWarn, sort{"mysqlsession: a call was slow", ""},
				slog.String("pool", info.Pool), slog.String("operation", info.Operation), slog.Duration("duration", info.Duration))
		}
	default:
		l.log(ctx, levelOf(kind), sort{"mysqlsession: a call failed", kind},
			slog.String("pool", info.Pool), slog.String("operation", info.Operation), slog.Duration("duration", info.Duration),
			slog.String("kind", kind), slog.String("error", loggedError(info.Err)))
	}
}

func (l *traceLog) batch(info BatchInfo) {
	if info.Err == nil || info.Calls == 1 { // then it is that call's error, of which there will be a line
		return
	}
	kind := ErrorKind(info.Err)
	l.log(context.Background(), min(levelOf(kind), slog.LevelWarn), sort{"mysqlsession: a batch fell apart", kind},
		slog.String("pool", info.Pool), slog.String("operation", info.Operation), slog.Int("calls", info.Calls),
		slog.Duration("duration", info.Duration), slog.String("kind", kind), slog.String("error", loggedError(info.Err)))
}

func (l *traceLog) connect(info ConnectInfo) {
	if info.Err == nil {
		l.log(context.Background(), slog.LevelDebug, sort{"mysqlsession: a connection was opened", ""},
			slog.String("pool", info.Pool), slog.String("address", info.Address), slog.Duration("duration", info.Duration))
		return
	}
	kind := ErrorKind(info.Err)
	level := max(levelOf(kind), slog.LevelWarn)
	if info.Err == ErrClosed {
		level = slog.LevelDebug
	}
	l.log(context.Background(), level, sort{"mysqlsession: a connection could not be opened", kind},
		slog.String("pool", info.Pool), slog.String("address", info.Address), slog.Duration("duration", info.Duration),
		slog.String("kind", kind), slog.String("error", loggedError(info.Err)))
}

func (l *traceLog) disconnect(info DisconnectInfo) {
	level := slog.LevelDebug
	switch info.Reason {
	case DisconnectDead:
		level = slog.LevelInfo
	case DisconnectBroken:
		level = slog.LevelWarn
	}
	l.log(context.Background(), level, sort{"mysqlsession: a connection was closed", string(info.Reason)},
		slog.String("pool", info.Pool), slog.String("reason", string(info.Reason)), slog.Duration("age", info.Age))
}

// levelOf is the level of an error of that kind.
func levelOf(kind string) slog.Level {
	switch kind {
	case "schema", "protocol", "tls_unavailable", "key_retrieval", "invalid_config":
		return slog.LevelError // no retry and no waiting helps
	case "canceled", "closed", "conflict", "value_too_large", "text_column", "invalid_key", "invalid_name", "invalid_ttl", "invalid_options", "other":
		return slog.LevelInfo // the caller's own, who is told
	default:
		return slog.LevelWarn
	}
}

// loggedError is the text of an error of this package. What others' errors quote nobody
// knows, nor what somebody has given a context as the cause of its end.
func loggedError(err error) string {
	var ended *givenCauseError
	if errors.As(err, &ended) {
		return prefix + ended.err.Error() + ", its cause is of the kind " + ErrorKind(ended.cause)
	}
	if text := err.Error(); strings.HasPrefix(text, prefix) {
		return text
	}
	return "not of this package"
}

// log logs a line, or counts it as left out.
func (l *traceLog) log(ctx context.Context, level slog.Level, s sort, attributes ...slog.Attr) {
	if l.logger.Enabled(ctx, level) && l.admit(level, s) {
		l.logger.LogAttrs(ctx, level, s.message, attributes...)
	}
}

// admit reports whether a line of that sort may be logged now.
func (l *traceLog) admit(level slog.Level, s sort) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	t, now := l.sorts[s], time.Now()
	if t == nil {
		t = &tally{}
		l.sorts[s] = t
	}
	if !t.reports && now.Sub(t.began) >= l.options.Interval {
		*t = tally{began: now}
	}
	if t.logged < l.options.Lines {
		t.logged++
		return true
	}
	t.left++
	if !t.reports {
		t.reports = true
		time.AfterFunc(l.options.Interval-now.Sub(t.began), func() { l.report(level, s) })
	}
	return false
}

// report logs how many lines of a sort were left out.
func (l *traceLog) report(level slog.Level, s sort) {
	l.mu.Lock()
	left := l.sorts[s].left
	*l.sorts[s] = tally{began: time.Now()}
	l.mu.Unlock()
	l.logger.LogAttrs(context.Background(), level, s.message+", more than are logged",
		slog.Int("left_out", left), slog.Duration("interval", l.options.Interval), slog.String("kind", s.kind))
}
