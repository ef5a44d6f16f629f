package mysqlsession_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"strconv"
	"time"

	"github.com/mysqlsession/mysqlsession"
)

// task is one operation of BenchmarkGrowth, in one of its variants.
type task struct {
	name    string // "operation/variant"
	callers int
	calls   int // all callers' together
	rows    int // that one call counts for; 0: one

	stock      int // sessions that the calls use up
	perSubject int // of the stock; 0: without metadata
	expired    bool

	ours   func(ctx context.Context, t turn) error
	server func(ctx context.Context, conn *mysqlsession.Conn, t turn) error
}

func (t *task) expires() time.Time {
	if t.expired {
		return time.Now().Add(-time.Hour)
	}
	return time.Now().Add(benchTTL)
}

// turn is one call of a task.
type turn struct {
	*growth
	stock   stock
	index   int // counts the calls of all callers
	version int // is that of no other write
}

// value is one that was never written before.
func (t turn) value() []byte {
	value := make([]byte, benchValue)
	copy(value, growthContent)
	binary.BigEndian.PutUint64(value, uint64(t.version))
	return value
}

var growthContent = sessionValue(0, benchValue)

// ttl differs from call to call, so that there is an expiry to be changed.
func (t turn) ttl() time.Duration { return growthTTL + time.Duration(t.version%10000)*time.Second }

func (t turn) expires() int64 { return time.Now().Add(t.ttl()).Unix() }

var growthCallers = []int{1, 64}

// tasks are all of them.
func (g *growth) tasks(calls int) []task {
	var all []task
	for _, callers := range growthCallers {
		all = append(all, sessionTasks(callers, calls)...)
	}
	for _, perSubject := range []int{1, 10, 100} {
		all = append(all, subjectTasks(perSubject, max(calls, perSubject))...)
	}
	return all
}

// sessionTasks are those on single sessions.
func sessionTasks(callers, calls int) []task {
	variant := fmt.Sprintf("/callers=%d", callers)
	return []task{
		{
			name: "get" + variant, callers: callers, calls: calls,
			ours: func(ctx context.Context, t turn) error {
				_, err := t.store.Get(ctx, benchName, t.measuredKey(t.index))
				return err
			},
			server: func(ctx context.Context, conn *mysqlsession.Conn, t turn) error {
				return queryRows(ctx, conn, 1, peerGet, t.measuredKey(t.index), time.Now().Unix())
			},
		},
		{
			name: "set" + variant, callers: callers, calls: calls,
			ours: func(ctx context.Context, t turn) error {
				return t.store.Set(ctx, benchName, t.measuredKey(t.index), t.value(), t.ttl(), nil)
			},
			server: func(ctx context.Context, conn *mysqlsession.Conn, t turn) error {
				_, err := conn.Exec(ctx, peerSet, t.measuredKey(t.index), benchName, t.value(), t.expires())
				return err
			},
		},
		{
			name: "touch" + variant, callers: callers, calls: calls,
			ours: func(ctx context.Context, t turn) error {
				return t.store.Touch(ctx, benchName, t.measuredKey(t.index), t.ttl())
			},
			server: func(ctx context.Context, conn *mysqlsession.Conn, t turn) error {
				return changeRows(ctx, conn, 1, "UPDATE sessions SET exp = FROM_UNIXTIME(?) WHERE sid = ?", t.expires(), t.measuredKey(t.index))
			},
		},
		{
			name: "delete" + variant, callers: callers, calls: calls, stock: calls, perSubject: 1,
			ours: func(ctx context.Context, t turn) error {
				return t.store.Delete(ctx, benchName, t.stock.key(t.index))
			},
			server: func(ctx context.Context, conn *mysqlsession.Conn, t turn) error {
				return changeRows(ctx, conn, 1, "DELETE FROM sessions WHERE sid = ?", t.stock.key(t.index))
			},
		},
		{name: "rotate" + variant, callers: callers, calls: calls, stock: calls, ours: rotate, server: rotateOnServer},
	}
}

func rotate(ctx context.Context, t turn) error {
	return t.store.Set(ctx, benchName, t.stock.fresh(t.index), t.value(), benchTTL, &mysqlsession.SetOptions{
		OldKey: t.stock.key(t.index), StaleTTL: 10 * time.Second, Metadata: benchMetadata(t.index),
	})
}

// rotateOnServer is no single statement: it is the least of them that does the same.
func rotateOnServer(ctx context.Context, conn *mysqlsession.Conn, t turn) error {
	if _, err := conn.Exec(ctx, "START TRANSACTION"); err != nil {
		return err
	}
	key, m := t.stock.fresh(t.index), benchMetadata(t.index)
	if _, err := conn.Exec(ctx, peerSet, key, benchName, t.value(), t.expires()); err != nil {
		return err
	}
	if err := changeRows(ctx, conn, 1, peerEnd, time.Now().Unix()+10, t.stock.key(t.index), benchName); err != nil {
		return err
	}
	if err := changeRows(ctx, conn, 2, peerAddTwo, m[0].Audience, m[0].Subject, key, m[1].Audience, m[1].Subject, key); err != nil {
		return err
	}
	_, err := conn.Exec(ctx, "COMMIT")
	return err
}

// subjectTasks are those on all sessions of a subject, and the clean-up of sessions that
// have such subjects. The stock has that many sessions, whatever a subject has.
func subjectTasks(perSubject, sessions int) []task {
	variant := "/subject=" + strconv.Itoa(perSubject)
	subjects := sessions / perSubject
	sessions = subjects * perSubject
	return []task{
		{
			name: "read-metadata" + variant, callers: 1, calls: subjects, stock: sessions, perSubject: perSubject,
			ours: func(ctx context.Context, t turn) error {
				found, err := t.store.ReadMetadata(ctx, benchName, "web", t.stock.subject(t.index))
				return wanted(perSubject, len(found), err)
			},
			server: func(ctx context.Context, conn *mysqlsession.Conn, t turn) error {
				return queryRows(ctx, conn, perSubject, "SELECT s.sid, s.name, UNIX_TIMESTAMP(s.exp) FROM sessions_meta m JOIN sessions s ON s.sid = m.sid "+
					"WHERE m.aud = 'web' AND m.sub = ? AND s.exp >= FROM_UNIXTIME(?)", t.stock.subject(t.index), time.Now().Unix())
			},
		},
		{
			name: "delete-subject" + variant, callers: 1, calls: subjects, stock: sessions, perSubject: perSubject,
			ours: func(ctx context.Context, t turn) error {
				deleted, err := t.store.DeleteSubject(ctx, benchName, "web", t.stock.subject(t.index))
				return wanted(perSubject, int(deleted), err)
			},
			server: func(ctx context.Context, conn *mysqlsession.Conn, t turn) error {
				return changeRows(ctx, conn, perSubject, "DELETE s FROM sessions s JOIN sessions_meta m ON m.sid = s.sid "+
					"WHERE m.aud = 'web' AND m.sub = ?", t.stock.subject(t.index))
			},
		},
		{
			name: "cleanup" + variant, callers: 1, calls: 1, rows: sessions, stock: sessions, perSubject: perSubject, expired: true,
			ours: func(ctx context.Context, t turn) error {
				deleted, err := t.store.Cleanup(ctx)
				return wanted(sessions, int(deleted), err)
			},
			server: func(ctx context.Context, conn *mysqlsession.Conn, _ turn) error {
				return changeRows(ctx, conn, sessions, "DELETE FROM sessions WHERE exp < FROM_UNIXTIME(?)", time.Now().Unix())
			},
		},
	}
}

// queryRows runs a statement that must find so many rows.
func queryRows(ctx context.Context, conn *mysqlsession.Conn, want int, statement string, arguments ...any) error {
	rows := 0
	err := conn.Query(ctx, statement, func(mysqlsession.Row) error { rows++; return nil }, arguments...)
	return wanted(want, rows, err)
}

// changeRows runs a statement that must change so many rows.
func changeRows(ctx context.Context, conn *mysqlsession.Conn, want int, statement string, arguments ...any) error {
	result, err := conn.Exec(ctx, statement, arguments...)
	return wanted(want, int(result.RowsAffected), err)
}

// wanted is an error if the work was not what is measured.
func wanted(want, got int, err error) error {
	if err == nil && want != got {
		return fmt.Errorf("%d rows, not %d", got, want)
	}
	return err
}
