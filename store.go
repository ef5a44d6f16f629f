package mysqlsession

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mysqlsession/mysqlsession/internal/coalesce"
)

// Store keeps sessions in two tables: one of ids, names, values and expiries, one of the
// audiences and subjects that sessions belong to. It is safe for concurrent use, and
// whoever made it closes it.
//
// Every operation sees only the sessions stored under the name that it is given, the
// cookie's. A session can be read while its expiry is not before the store's clock, in
// whole seconds. Every operation is all or nothing, unless its comment says otherwise.
//
// Errors that any operation may return, besides its own: ErrInvalidKey and ErrInvalidName
// for its input, those of Pool.Acquire, *ServerError, ErrUnavailable, ErrProtocol,
// ErrNotWritable, ErrSchema, ErrClosed, and the context's. OutcomeUnknown tells whether a
// write may have been applied. Reads, and writes that the server is known not to have
// applied, are tried again a few times within the context.
type Store struct {
	pool    *Pool
	owned   bool    // Close closes the pool too
	config  *Config // behind a pointer, where fmt does not print its password
	place   place
	tables  tables
	texts   texts
	shape   atomic.Pointer[schema] // nil: to be read
	checked atomic.Bool            // findings were logged
	looked  atomic.Int64           // when lookAgain last said yes, in Unix seconds

	// group combines calls; nil if they are not to be combined.
	group *coalesce.Group[task]
	calls sync.Pool // of *coalesce.Call[task], to be used again

	closed   atomic.Bool
	closing  sync.Once
	stop     context.CancelFunc // ends the background work
	finished sync.WaitGroup     // of the background work
}

// Metadata is one audience and subject that a session belongs to. Both are at most 255
// bytes, stored as given.
type Metadata struct{ Audience, Subject string }

// SetOptions is what Set can do besides storing one session. The zero value is nothing.
type SetOptions struct {
	// OldKey is the session id that this one replaces, of the same name. Its expiry is
	// brought forward to now + StaleTTL. "", or the key itself: none.
	OldKey string
	// StaleTTL is how much longer OldKey may be read, for requests that are under way
	// with it. It never lengthens its life. 0 or less: OldKey ends at once.
	StaleTTL time.Duration
	// Metadata is added to what the session has. Duplicates are no error.
	Metadata []Metadata
	// MaxPerSubject is how many live sessions of this name each subject of Metadata may
	// have under its audience, this one included. While there are more, the one that
	// expires first goes, of those that expire in the same second the one with the
	// smallest stored id, with all its metadata and in the same transaction; never this
	// one. 0: no limit. Negative, or without Metadata, it is ErrInvalidOptions.
	//
	// OldKey, for as long as StaleTTL lets it live, does not count and is not evicted: it is
	// this session's own past. What was replaced earlier and lives on does count.
	//
	// Sets of one subject that have a limit take turns, on all servers of a cluster too, so
	// that the limit holds however many come at a time; each waits at most LockWaitTimeout
	// for its turn. A Set without it limits nothing: have it in each that adds to a subject.
	// One Set evicts at most 1024 of a subject's sessions. Of a subject that has more
	// than that to lose, as when the limit is new, the next Sets evict the rest; and as all
	// its sessions are looked at, each costs time in proportion to their number.
	MaxPerSubject int
	// Remember marks a persistent session. It is accepted for parity with
	// lua-resty-session and, as there, stored nowhere: it is the cookie's affair.
	Remember bool
	// MustExist stores only what is still live: the session, or, with OldKey, the one
	// that it replaces. ErrNotFound otherwise, and nothing is stored: a session that was
	// revoked meanwhile does not come back.
	MustExist bool
}

// Open makes a store with a pool of its own. It fails for a bad login, an unknown database
// or a server that cannot be reached, never because of the schema, so that Migrate can
// follow. Errors are those of NewPool and NewStore. ctx bounds the call only.
func Open(ctx context.Context, cfg Config) (*Store, error) {
	if err := cfg.validateStore(); err != nil {
		return nil, err
	}
	pool, err := NewPool(ctx, cfg)
	if err != nil {
		return nil, err
	}
	s, err := NewStore(pool, cfg)
	if err != nil {
		_ = pool.Close() // always nil
		return nil, err
	}
	s.owned = true
	return s, nil
}

// NewStore makes a store on a pool that may serve others as well, and that stays open
// when the store is closed. It uses cfg's tables, clean-up, clock and logger; what
// concerns connections, MaxPacketSize included, is the pool's. It does no I/O. Errors:
// ErrInvalidConfig.
func NewStore(pool *Pool, cfg Config) (*Store, error) {
	if err := cfg.validateStore(); err != nil {
		return nil, err
	}
	cfg = cfg.copy().withDefaults()
	s := &Store{pool: pool, config: &cfg, place: placeOf(&cfg)}
	s.tables = tables{sessions: quoteTable(cfg.TableName), metadata: quoteTable(cfg.TableNameMeta)}
	s.texts = newTexts(s.tables, s.largestValue())
	// Where nobody may wait there is nothing to combine, and lanes would grow no more.
	if cfg.Coalesce == CoalesceOn && pool.config.Backlog > 0 {
		s.group = s.newGroup()
		pool.groups.add(s.group)
	}
	ctx, stop := context.WithCancel(context.Background())
	s.stop = stop
	if cfg.CleanupInterval > 0 {
		s.finished.Go(func() { s.cleanInBackground(ctx) })
	}
	return s, nil
}

// place is where the sessions are, for hooks.
type place struct{ database, table string }

func placeOf(cfg *Config) place {
	if database, table, qualified := strings.Cut(cfg.TableName, "."); qualified {
		return place{database, table}
	}
	return place{cfg.Database, cfg.TableName}
}

// Pool is the store's pool.
func (s *Store) Pool() *Pool { return s.pool }

// HashKeys reports whether the table holds hashes in place of ids, as Config.HashKeys says:
// then what Each and ReadMetadata return is for DeleteStored, and opens no session.
func (s *Store) HashKeys() bool { return s.config.HashKeys }

// Close ends the background work, waits for it, and closes the pool if Open made it. Calls
// that wait to be combined get ErrClosed at once; batches that are being run have 5 s to
// end. Closing again waits for the same and returns nil.
func (s *Store) Close() error {
	s.closed.Store(true)
	s.closing.Do(func() {
		s.stop()
		if s.group != nil {
			s.finished.Go(s.group.Close)
		}
		if s.owned {
			_ = s.pool.Close() // always nil
		}
		s.finished.Wait()
		if s.group != nil {
			s.pool.groups.remove(s.group)
		}
	})
	return nil
}

// now is the store's time in whole seconds since 1970.
func (s *Store) now() int64 { return s.config.Clock().Unix() }

// stored is the id under which the table has a session.
func (s *Store) stored(name, key string) (string, error) {
	return storedKey(name, key, s.config.HashKeys)
}

// largestValue is the most bytes that can be stored: what MaxPacketSize lets
// lua-resty-session read back.
func (s *Store) largestValue() int { return s.pool.config.MaxPacketSize - valueOverhead }

// Attempts at one operation, the first included.
const (
	conflictAttempts = 4 // for a deadlock's victim
	refusedAttempts  = 2 // for what a server has refused and another one may do
	lostAttempts     = 3 // on another connection; the second may be one that died with the first
)

// do runs one operation's work on a connection, and again where the server is known not
// to have applied it. The work of a read may always run again.
func (s *Store) do(ctx context.Context, operation string, work func(c *Conn, shape *schema) error) error {
	return s.run(ctx, operation, true, work)
}

func (s *Store) run(ctx context.Context, operation string, counted bool, work func(c *Conn, shape *schema) error) error {
	err := persist(ctx, func() (error, bool) { return s.attempt(ctx, counted, work) })
	if err == nil || err == ErrNotFound {
		return err
	}
	return s.failure(operation, err)
}

// persist attempts something until it is done, or another attempt cannot help. An attempt
// says, too, whether the server is a MariaDB, whose codes mean other things.
func persist(ctx context.Context, attempt func() (err error, mariadb bool)) error {
	var conflicts, fresh int
	for {
		err, mariadb := attempt()
		if err == nil || err == ErrNotFound {
			return err
		}
		switch retry := remedyFor(err, mariadb); {
		case retry == remedyAgain && conflicts < conflictAttempts-1:
			conflicts++
			if !pause(ctx, rand.N(time.Millisecond<<(2*conflicts))) {
				return &causeError{ctx.Err(), err}
			}
		case (retry == remedyElsewhere || retry == remedyPrepare) && fresh < freshAttempts(err)-1:
			fresh++
		default:
			return err
		}
		if ctx.Err() != nil {
			return &causeError{ctx.Err(), err}
		}
	}
}

// freshAttempts is how many attempts, each on another connection, an error like this allows.
func freshAttempts(err error) int {
	if asServerError(err) != nil {
		return refusedAttempts
	}
	return lostAttempts
}

// attempt runs the work once, on a connection of the pool's.
func (s *Store) attempt(ctx context.Context, counted bool, work func(c *Conn, shape *schema) error) (err error, mariadb bool) {
	if s.closed.Load() {
		return ErrClosed, false
	}
	m, hold, err := s.pool.acquire(ctx, counted)
	if err != nil {
		return &finalError{err}, false
	}
	done := false
	defer func() {
		if !done {
			m.conn.abort() // a panic in the work: nobody knows what state it left
		}
		s.pool.release(m, hold)
	}()
	err = s.workOn(ctx, m, work)
	done = true
	return err, m.conn.server.mariadb
}

// workOn runs the work on a connection that is held.
func (s *Store) workOn(ctx context.Context, m *pooled, work func(c *Conn, shape *schema) error) error {
	shape, err := s.schemaOn(ctx, m.conn)
	if err == nil {
		err = work(m.conn, shape)
	}
	return err
}

// finalError is an error that another attempt would only repeat.
type finalError struct{ err error }

func (e *finalError) Error() string { return e.err.Error() }
func (e *finalError) Unwrap() error { return e.err }

// remedyFor says what may be done about an error of an attempt.
func remedyFor(err error, mariadb bool) remedy {
	var final *finalError
	switch {
	case errors.As(err, &final), !isNotApplied(err):
		return remedyNone
	case errors.Is(err, ErrUnavailable) && !errors.Is(err, os.ErrDeadlineExceeded):
		// The connection was lost. Not so when the server was silent for ReadTimeout: it
		// would be silent once more.
		return remedyElsewhere
	}
	if refused := asServerError(err); refused != nil {
		return fateOf(refused, mariadb).repeat
	}
	return remedyNone
}

// failure is what the caller gets.
func (s *Store) failure(operation string, err error) error {
	if errors.Is(err, ErrBacklogFull) || err == ErrClosed {
		return err
	}
	if refused := asServerError(err); refused != nil && (refused.Code == errNoSuchTable || refused.Code == errNoSuchColumn || refused.Code == errNoSuchKey) {
		s.shape.Store(nil)
		err = &schemaError{err}
	}
	return &callError{operation, err}
}

const (
	errNoSuchColumn = 1054
	errNoSuchTable  = 1146
	errNoSuchKey    = 1176
)

// schemaError is a table, column or key that went missing behind the store's back.
type schemaError struct{ err error }

func (e *schemaError) Error() string   { return trimPrefix(e.err) + "; run Migrate" }
func (e *schemaError) Unwrap() []error { return []error{ErrSchema, e.err} }

// schemaOn is what is known of the tables, read with the store's first call.
func (s *Store) schemaOn(ctx context.Context, c *Conn) (*schema, error) {
	if shape := s.shape.Load(); shape != nil && shape.needSessions() == nil {
		return shape, nil
	}
	shape, err := s.readSchema(ctx, c)
	if err != nil {
		return nil, err
	}
	return shape, shape.needSessions()
}

// keying is the index of the texts for the sessions' table as far as it is known.
func (s *Store) keying() int {
	shape := s.shape.Load()
	return keying(shape != nil && shape.primary)
}

// readSchema looks at the tables and remembers what they are.
func (s *Store) readSchema(ctx context.Context, c *Conn) (*schema, error) {
	shape, err := readSchema(ctx, c, s.config.TableName, s.config.TableNameMeta)
	if err != nil {
		return nil, err
	}
	s.shape.Store(shape)
	s.logFindings(ctx, shape)
	return shape, nil
}

// allow asks what is known of the tables whether something may be done. Before it takes
// no for an answer it looks at them again: somebody may have migrated them meanwhile.
func (s *Store) allow(ctx context.Context, c *Conn, shape *schema, may func(shape *schema) error) error {
	no := may(shape)
	if no == nil || errors.Is(no, ErrTextColumn) && !s.lookAgain() {
		return no
	}
	shape, err := s.readSchema(ctx, c)
	if err != nil {
		return err
	}
	return may(shape)
}

// lookAgain reports, once a second, that it is time to look at the tables again: a client
// that can have values refused must not be able to have the schema read each time.
func (s *Store) lookAgain() bool {
	now, last := time.Now().Unix(), s.looked.Load()
	return now > last && s.looked.CompareAndSwap(last, now)
}

// logFindings tells the logger, once, what is wrong with the schema.
func (s *Store) logFindings(ctx context.Context, shape *schema) {
	if s.checked.Swap(true) {
		return
	}
	for _, f := range shape.findings(s.largestValue()) {
		s.config.Logger.LogAttrs(ctx, slog.LevelWarn, "mysqlsession: schema", slog.String("severity", string(f.Severity)),
			slog.String("subject", f.Subject), slog.String("problem", f.Problem), slog.String("fix", f.Fix))
	}
}

// Check reports what in the schema is missing, restricted or unsafe, and the fix of each.
// An empty list is a schema as Migrate makes it.
func (s *Store) Check(ctx context.Context) ([]Finding, error) {
	if s.closed.Load() {
		return nil, ErrClosed
	}
	var list []Finding
	err := s.pool.do(ctx, func(c *Conn) (err error) {
		list, err = findings(ctx, c, s.config.TableName, s.config.TableNameMeta, s.largestValue())
		return err
	})
	if err != nil {
		return nil, s.failure("check", err)
	}
	return list, nil
}

// announce tells the hook and the logger what a migration is about to do.
func (s *Store) announce(next step) {
	if s.config.Trace.Migration != nil {
		s.config.Trace.Migration(next.public())
	}
	s.config.Logger.LogAttrs(context.Background(), slog.LevelInfo, "mysqlsession: migration",
		slog.String("step", next.reason), slog.String("statement", next.statement))
}

// Migrate creates both tables, or makes those that exist what this package wants: binary
// columns, an index on the expiry, a foreign key that takes metadata along. Rows are kept.
// It may be called at every start, by all instances: they wait for one another, and there
// is no DDL when nothing is to do. ReadTimeout does not apply: a large old table may take
// its time, and only ctx ends the wait. After an interruption it goes on where it was.
func (s *Store) Migrate(ctx context.Context) error {
	if s.closed.Load() {
		return ErrClosed
	}
	conn, err := s.pool.acquireConn(ctx) // not Acquire: to hold it for hours is no leak
	if err != nil {
		return s.failure("migrate", err)
	}
	defer conn.Discard() // its limits are lifted
	if err := migrate(ctx, conn.Conn(), s.config.TableName, s.config.TableNameMeta, s.announce); err != nil {
		return s.failure("migrate", err)
	}
	s.shape.Store(nil)
	return nil
}

// MigrationPlan is what Migrate would do now, for those who would rather run it themselves:
// every statement is one for any client, on any connection to the server that may change
// the tables, and the first step makes its session what the others rely on. It changes
// nothing. With nothing to do it is empty.
func (s *Store) MigrationPlan(ctx context.Context) ([]MigrationStep, error) {
	if s.closed.Load() {
		return nil, ErrClosed
	}
	var plan []MigrationStep
	err := s.pool.do(ctx, func(c *Conn) (err error) {
		plan, err = migrationScript(ctx, c, s.config, s.pool.config)
		return err
	})
	if err != nil {
		return nil, s.failure("plan the migration", err)
	}
	return plan, nil
}
