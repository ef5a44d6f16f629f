package mysqlsession

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/mysqlsession/mysqlsession/internal/wire"
)

const (
	// patience is how long a statement of a migration waits for others' locks before it
	// makes way and tries again. Whoever comes later to the table waits behind it. It is
	// more than the store's own statements take, so that a table that was copied for
	// minutes is not thrown away for one of them.
	patience = 10 * time.Second
	// turnWait is how long the server lets a migration wait for another one's end
	// before it looks whether the client is still there, in seconds.
	turnWait = 10
	// longestPause is the longest wait between two tries.
	longestPause = 30 * time.Second
	// sweepBatch is how many sessions' metadata one statement removes.
	sweepBatch = 500
	// maxPlans is how often a plan may be made: others may change the tables meanwhile,
	// but not for ever.
	maxPlans = 8
)

// migration is a run of Migrate on one connection.
type migration struct {
	conn                         *Conn
	sessionsTable, metadataTable string
	progress                     func(step) // called before each step; nil: nobody wants to know
	state                        *schema    // as of the latest plan
	patience                     time.Duration
}

// migrate makes both tables what the store needs, or leaves them alone if they are. The
// connection must not be used for anything else afterwards: its settings are changed.
//
// Only ctx bounds it. When ctx ends during a statement the server may go on with that
// one; the next migration waits for it and goes on from there.
func migrate(ctx context.Context, c *Conn, sessionsTable, metadataTable string, progress func(step)) error {
	m := &migration{conn: c, sessionsTable: sessionsTable, metadataTable: metadataTable, progress: progress, patience: patience}
	return m.migrate(ctx)
}

func (m *migration) migrate(ctx context.Context) error {
	c := m.conn
	if err := m.prepare(ctx); err != nil {
		return c.call("change the schema", &callError{"set up the session", err})
	}
	steps, err := m.plan(ctx)
	if err != nil || len(steps) == 0 {
		return err
	}
	lock := lockName(&m.state.sessions)
	if err := m.lock(ctx, lock); err != nil {
		return c.call("change the schema", &callError{"wait for another migration", err})
	}
	err = m.run(ctx)
	release := []request{{statement: "SELECT RELEASE_LOCK(" + quoteText(lock) + ")"}}
	if c.roundTrip(ctx, effectNone, release) != nil {
		_ = c.Close() // the lock ends with the connection; always nil
	}
	return err
}

// migrationPlan is what migrate would do now.
func migrationPlan(ctx context.Context, c *Conn, sessionsTable, metadataTable string) ([]step, error) {
	m := &migration{conn: c, sessionsTable: sessionsTable, metadataTable: metadataTable}
	return m.plan(ctx)
}

// migrationScript is the plan for another client, whose session is made what the
// statements rely on. Nothing to do is an empty script.
func migrationScript(ctx context.Context, c *Conn, cfg, session *Config) ([]MigrationStep, error) {
	steps, err := migrationPlan(ctx, c, cfg.TableName, cfg.TableNameMeta)
	if err != nil || len(steps) == 0 {
		return nil, err
	}
	settings := "SET NAMES utf8mb4, SESSION sql_mode = '" + sqlMode + "', " + limits(&c.server, patience)
	if session.TimeZone != "" {
		settings += ", SESSION time_zone = " + quoteText(session.TimeZone)
	}
	script := []MigrationStep{{"set up the session", []string{"USE " + quoteIdentifier(session.Database), settings}}}
	for _, next := range steps {
		script = append(script, next.public())
	}
	return script, nil
}

func (m *migration) plan(ctx context.Context) ([]step, error) {
	s, err := readSchema(ctx, m.conn, m.sessionsTable, m.metadataTable)
	if err != nil {
		return nil, err
	}
	m.state = s
	steps, err := s.plan()
	if err == nil && s.sessions.changing("sid") {
		err = m.checkReferences(ctx, s)
	}
	if err != nil {
		return nil, m.conn.call("change the schema", err)
	}
	return steps, nil
}

// checkReferences looks for foreign keys by which other tables of the database refer to
// sessions: under them the type of the ids cannot change. It is asked before anything has
// been done, and not each time a schema is read, as MariaDB opens every table for it.
func (m *migration) checkReferences(ctx context.Context, s *schema) error {
	_, name := s.sessions.split()
	_, metadata := s.metadata.split()
	database := quoteText(s.sessions.database)
	var found error
	requests := []request{{columns: 3, statement: "SELECT TABLE_SCHEMA, TABLE_NAME, CONSTRAINT_NAME FROM information_schema.KEY_COLUMN_USAGE" +
		" WHERE TABLE_SCHEMA = " + database + " AND REFERENCED_TABLE_SCHEMA = " + database +
		" AND REFERENCED_TABLE_NAME = " + quoteText(name) + " ORDER BY TABLE_NAME, CONSTRAINT_NAME",
		row: func(values []wire.Value) error {
			own := strings.EqualFold(text(values[0]), s.metadata.database) && strings.EqualFold(text(values[1]), metadata)
			if found == nil && !own {
				found = detail(ErrSchema, "column %s.sid has to change and foreign key %s of table %s refers to it; drop that key first",
					s.sessions.name, text(values[2]), text(values[1]))
			}
			return nil
		}}}
	if err := m.conn.roundTrip(ctx, effectNone, requests); err != nil {
		return err
	}
	return found
}

// prepare makes the session one for statements that take as long as they take. Names that
// the server gave may hold any character, and so the statements with them.
func (m *migration) prepare(ctx context.Context) error {
	m.conn.readTimeout = 0
	settings := "SET NAMES utf8mb4, SESSION character_set_results = NULL, " + limits(&m.conn.server, m.patience)
	return m.conn.roundTrip(ctx, effectNone, []request{{statement: settings}})
}

// limits are the settings that say how long a statement of a migration may take.
func limits(s *server, patience time.Duration) string {
	seconds := int(patience / time.Second)
	return fmt.Sprintf("SESSION lock_wait_timeout = %d, SESSION innodb_lock_wait_timeout = %d, %s", seconds, seconds, s.statementTimeout(0))
}

// lockName is the name of the lock for migrations of a table. It has 64 characters at most.
func lockName(sessions *table) string {
	return fmt.Sprintf("mysqlsession.migrate.%x", sha256.Sum256([]byte(strings.ToLower(sessions.qualified()))))[:53]
}

// lock waits for its turn. Some clusters refuse such locks; there, as between the servers
// of any cluster, two migrations at a time cost double work and no row.
func (m *migration) lock(ctx context.Context, name string) error {
	for {
		got := int64(-1)
		requests := []request{{
			columns:   1,
			statement: fmt.Sprintf("SELECT GET_LOCK(%s, %d)", quoteText(name), turnWait),
			row: func(values []wire.Value) error {
				if n, ok := values[0].Int(); ok {
					got = n
				}
				return nil
			},
		}}
		err := m.conn.roundTrip(ctx, effectNone, requests)
		switch {
		case asServerError(err) != nil && !m.conn.closed():
			return nil
		case err != nil:
			return err
		}
		switch got {
		case 1:
			return nil
		case 0: // still another's
		default:
			return errors.New(prefix + "the server could not give the lock")
		}
	}
}

// run carries plans out until there is nothing left to do. A step that fails because
// somebody else has done it meanwhile, on another server of a cluster or by hand, is not
// in the next plan any more.
func (m *migration) run(ctx context.Context) error {
	var failure error
	var failed step
	var last []step
	for range maxPlans {
		steps, err := m.plan(ctx)
		switch {
		case failure != nil && (err != nil || slices.Contains(steps, failed)):
			return failure
		case err != nil:
			return err
		case len(steps) == 0:
			return nil
		case failure == nil && slices.Equal(steps, last):
			return m.conn.call("change the schema", detail(ErrSchema, "the server has accepted without effect: %s", steps[0].reason))
		}
		last, failure = steps, nil
		for _, next := range steps {
			if err := m.do(ctx, next); err != nil {
				failure, failed = m.conn.call("change the schema", &callError{next.reason, err}), next
				break
			}
		}
		if failure != nil && m.conn.closed() {
			return failure
		}
	}
	if failure != nil {
		return failure
	}
	return m.conn.call("change the schema", detail(ErrSchema, "somebody else keeps changing the tables"))
}

// do carries one step out. A statement that waited too long for a lock, or lost a
// deadlock, has changed nothing; it makes way for a while and is tried again.
func (m *migration) do(ctx context.Context, next step) error {
	if m.progress != nil {
		m.progress(next)
	}
	for wait := time.Second; ; wait = min(2*wait, longestPause) {
		err := m.attempt(ctx, next)
		refused := asServerError(err)
		if refused == nil || !fateOf(refused, m.conn.server.mariadb).mayPass() {
			return err
		}
		if !pause(ctx, wait) {
			return contextError(ctx, ctx.Err())
		}
	}
}

func (m *migration) attempt(ctx context.Context, next step) error {
	if next.sweep {
		return m.sweep(ctx)
	}
	var requests []request
	for _, statement := range next.statements() {
		requests = append(requests, request{statement: statement})
	}
	return m.conn.roundTrip(ctx, effectWrite, requests)
}

// sweep removes the metadata of sessions that are gone, a batch of ids at a time, and
// walks the index on the ids once.
func (m *migration) sweep(ctx context.Context) error {
	metadata := m.state.metadata.quoted()
	page := "SELECT DISTINCT m.sid FROM " + metadata + " m LEFT JOIN " + m.state.sessions.quoted() +
		" s ON s.sid = m.sid WHERE m.sid >= ? AND s.sid IS NULL ORDER BY m.sid LIMIT ?"
	after := wire.Bytes(nil)
	for {
		var orphans []wire.Parameter
		requests := []request{{
			columns:    1,
			statement:  page,
			parameters: []wire.Parameter{after, wire.Int(sweepBatch)},
			row: func(values []wire.Value) error {
				orphans = append(orphans, wire.Text(text(values[0])))
				return nil
			},
		}}
		if err := m.conn.roundTrip(ctx, effectNone, requests); err != nil || len(orphans) == 0 {
			return err
		}
		requests = []request{{
			statement:  "DELETE FROM " + metadata + " WHERE " + among(len(orphans)) + " AND " + m.state.orphaned(),
			parameters: orphans,
		}}
		if err := m.conn.roundTrip(ctx, effectWrite, requests); err != nil || len(orphans) < sweepBatch {
			return err
		}
		after = orphans[len(orphans)-1]
	}
}
