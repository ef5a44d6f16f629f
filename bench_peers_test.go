package mysqlsession_test

import (
	"bytes"
	"context"
	"database/sql"
	"log/slog"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-mysql-org/go-mysql/client"
	sqldriver "github.com/go-sql-driver/mysql"
	"github.com/stretchr/testify/require"

	"github.com/mysqlsession/mysqlsession"
)

// peer is one way to keep sessions in MySQL.
type peer struct {
	name  string
	conns int // that it may open
	open  func(b *testing.B) map[string]operation
}

// peersAt are those that are compared, ours first.
func peersAt(b *testing.B, cfg mysqlsession.Config, at link) []peer {
	cfg.DialFunc = at.dial
	peers := []peer{
		{"mysqlsession", benchConns, func(b *testing.B) map[string]operation { return openOurs(b, cfg) }},
		{"sql-prepared", benchConns, func(b *testing.B) map[string]operation { return openSQL(b, cfg, benchConns, false) }},
		{"sql-interpolated", benchConns, func(b *testing.B) map[string]operation { return openSQL(b, cfg, benchConns, true) }},
		{"go-mysql", benchConns, func(b *testing.B) map[string]operation { return openGoMySQL(b, cfg) }},
	}
	if single, ok := withoutCoalescing(cfg); ok {
		peers = append(peers, peer{"coalescing-off", benchConns, func(b *testing.B) map[string]operation { return openOurs(b, single) }})
	} else {
		b.Log("no peer coalescing-off: there is no parameter coalesce")
	}
	if at.delay > 0 {
		// What one would do about a server that is far away. The name does not end in the
		// number, which would be taken for that of processors.
		const conns = 64
		peers = append(peers, peer{"sql-prepared-64conns", conns, func(b *testing.B) map[string]operation { return openSQL(b, cfg, conns, false) }})
	}
	return peers
}

// withoutCoalescing is the configuration with every call a statement of its own. It goes
// through a connection string, so that versions without coalescing can be measured too.
func withoutCoalescing(cfg mysqlsession.Config) (mysqlsession.Config, bool) {
	text, separator := cfg.ConnString(), "?"
	if strings.Contains(text, separator) {
		separator = "&"
	}
	single, err := mysqlsession.ParseConfig(text + separator + "coalesce=off")
	single.DialFunc = cfg.DialFunc
	return single, err == nil
}

// mixed is one set among ten calls. Callers take turns with it.
func mixed(get, set operation) operation {
	return func(ctx context.Context, caller, n int) error {
		if (caller+n)%10 == 0 {
			return set(ctx, caller, n)
		}
		return get(ctx, caller, n)
	}
}

func openOurs(b *testing.B, cfg mysqlsession.Config) map[string]operation {
	store := benchStore(b, cfg)
	content, ids := newValues(mostCallers), newChain()
	get := func(ctx context.Context, caller, n int) error {
		_, err := store.Get(ctx, benchName, anyKey(caller, n))
		return err
	}
	set := func(ctx context.Context, caller, n int) error {
		return store.Set(ctx, benchName, anyKey(caller, n), content.next(caller), benchTTL, nil)
	}
	return map[string]operation{
		"get": get, "set": set, "mixed": mixed(get, set),
		"rotate": func(ctx context.Context, caller, _ int) error {
			old, key := ids.next(caller)
			return store.Set(ctx, benchName, key, content.next(caller), benchTTL, &mysqlsession.SetOptions{
				OldKey: old, StaleTTL: 10 * time.Second, Metadata: benchMetadata(caller),
			})
		},
	}
}

// The statements of the peers do what ours do.
const (
	peerGet    = "SELECT sid, name, data FROM sessions WHERE sid = ? AND exp >= FROM_UNIXTIME(?) AND data IS NOT NULL"
	peerSet    = "INSERT INTO sessions (sid, name, data, exp) VALUES (?, ?, ?, FROM_UNIXTIME(?)) ON DUPLICATE KEY UPDATE name = VALUES(name), data = VALUES(data), exp = VALUES(exp)"
	peerEnd    = "UPDATE sessions SET exp = LEAST(exp, FROM_UNIXTIME(?)) WHERE sid = ? AND name = ?"
	peerAddTwo = "INSERT IGNORE INTO sessions_meta (aud, sub, sid) VALUES (?, ?, ?), (?, ?, ?)"
)

func openSQL(b *testing.B, cfg mysqlsession.Config, conns int, interpolate bool) map[string]operation {
	db := openDB(b, cfg, conns, interpolate)
	var get, set, end, add sqlStatement
	for text, statement := range map[string]*sqlStatement{peerGet: &get, peerSet: &set, peerEnd: &end, peerAddTwo: &add} {
		*statement = sqlStatement{db: db, text: text}
		if !interpolate {
			var err error
			statement.prepared, err = db.PrepareContext(b.Context(), text)
			require.NoError(b, err)
		}
	}
	content, ids := newValues(mostCallers), newChain()
	read := func(ctx context.Context, caller, n int) error {
		var sid, name string
		var data []byte
		return get.row(ctx, anyKey(caller, n), time.Now().Unix()).Scan(&sid, &name, &data)
	}
	write := func(ctx context.Context, caller, n int) error {
		return set.exec(ctx, nil, anyKey(caller, n), benchName, content.next(caller), time.Now().Add(benchTTL).Unix())
	}
	return map[string]operation{
		"get": read, "set": write, "mixed": mixed(read, write),
		"rotate": func(ctx context.Context, caller, _ int) error {
			old, key := ids.next(caller)
			tx, err := db.BeginTx(ctx, nil)
			if err != nil {
				return err
			}
			defer func() { _ = tx.Rollback() }() // after a commit it does nothing
			m := benchMetadata(caller)
			if err := set.exec(ctx, tx, key, benchName, content.next(caller), time.Now().Add(benchTTL).Unix()); err != nil {
				return err
			}
			if err := end.exec(ctx, tx, time.Now().Unix()+10, old, benchName); err != nil {
				return err
			}
			if err := add.exec(ctx, tx, m[0].Audience, m[0].Subject, key, m[1].Audience, m[1].Subject, key); err != nil {
				return err
			}
			return tx.Commit()
		},
	}
}

func openDB(b *testing.B, cfg mysqlsession.Config, conns int, interpolate bool) *sql.DB {
	driver := sqldriver.NewConfig()
	driver.User, driver.Passwd, driver.DBName = cfg.Username, cfg.Password, cfg.Database
	driver.Net, driver.Addr = "tcp", net.JoinHostPort(cfg.Host, strconv.Itoa(int(cfg.Port)))
	driver.DialFunc, driver.InterpolateParams = cfg.DialFunc, interpolate
	connector, err := sqldriver.NewConnector(driver)
	require.NoError(b, err)
	db := sql.OpenDB(connector)
	b.Cleanup(func() { require.NoError(b, db.Close()) })
	db.SetMaxOpenConns(conns)
	db.SetMaxIdleConns(conns)
	return db
}

// sqlStatement is a statement of database/sql, prepared or interpolated.
type sqlStatement struct {
	db       *sql.DB
	text     string
	prepared *sql.Stmt
}

func (s *sqlStatement) row(ctx context.Context, arguments ...any) *sql.Row {
	if s.prepared != nil {
		return s.prepared.QueryRowContext(ctx, arguments...)
	}
	return s.db.QueryRowContext(ctx, s.text, arguments...)
}

func (s *sqlStatement) exec(ctx context.Context, tx *sql.Tx, arguments ...any) error {
	var err error
	switch {
	case tx != nil && s.prepared != nil:
		_, err = tx.StmtContext(ctx, s.prepared).ExecContext(ctx, arguments...)
	case tx != nil:
		_, err = tx.ExecContext(ctx, s.text, arguments...)
	case s.prepared != nil:
		_, err = s.prepared.ExecContext(ctx, arguments...)
	default:
		_, err = s.db.ExecContext(ctx, s.text, arguments...)
	}
	return err
}

func openGoMySQL(b *testing.B, cfg mysqlsession.Config) map[string]operation {
	pool, err := client.NewPoolWithOptions(net.JoinHostPort(cfg.Host, strconv.Itoa(int(cfg.Port))), cfg.Username, cfg.Password, cfg.Database,
		client.WithPoolLimits(benchConns, benchConns, benchConns), client.WithLogger(slog.New(slog.DiscardHandler)),
		client.WithDialer(func(ctx context.Context, _, address string) (net.Conn, error) { // it leaves "tcp" out
			return cfg.DialFunc(ctx, "tcp", address)
		}))
	require.NoError(b, err)
	b.Cleanup(pool.Close)
	p := &goMySQLPool{pool: pool, prepared: make(map[*client.Conn]map[string]*client.Stmt)}
	content, ids := newValues(mostCallers), newChain()
	get := func(ctx context.Context, caller, n int) error {
		return p.do(ctx, func(conn *client.Conn) error {
			return p.execute(conn, peerGet, anyKey(caller, n), time.Now().Unix())
		})
	}
	set := func(ctx context.Context, caller, n int) error {
		return p.do(ctx, func(conn *client.Conn) error {
			return p.execute(conn, peerSet, anyKey(caller, n), benchName, content.next(caller), time.Now().Add(benchTTL).Unix())
		})
	}
	return map[string]operation{
		"get": get, "set": set, "mixed": mixed(get, set),
		"rotate": func(ctx context.Context, caller, _ int) error {
			old, key := ids.next(caller)
			m := benchMetadata(caller)
			return p.do(ctx, func(conn *client.Conn) error {
				if err := conn.Begin(); err != nil {
					return err
				}
				if err := p.execute(conn, peerSet, key, benchName, content.next(caller), time.Now().Add(benchTTL).Unix()); err != nil {
					return err
				}
				if err := p.execute(conn, peerEnd, time.Now().Unix()+10, old, benchName); err != nil {
					return err
				}
				if err := p.execute(conn, peerAddTwo, m[0].Audience, m[0].Subject, key, m[1].Audience, m[1].Subject, key); err != nil {
					return err
				}
				return conn.Commit()
			})
		},
	}
}

// goMySQLPool is go-mysql's pool with the statements prepared once for each connection,
// which it does not do itself.
type goMySQLPool struct {
	pool     *client.Pool
	mu       sync.Mutex // guards the outer map; each inner one is its connection's holder's
	prepared map[*client.Conn]map[string]*client.Stmt
}

func (p *goMySQLPool) do(ctx context.Context, fn func(conn *client.Conn) error) error {
	conn, err := p.pool.GetConn(ctx)
	if err != nil {
		return err
	}
	if err := fn(conn); err != nil {
		p.pool.DropConn(conn)
		return err
	}
	p.pool.PutConn(conn)
	return nil
}

func (p *goMySQLPool) execute(conn *client.Conn, text string, arguments ...any) error {
	p.mu.Lock()
	statements := p.prepared[conn]
	if statements == nil {
		statements = make(map[string]*client.Stmt)
		p.prepared[conn] = statements
	}
	p.mu.Unlock()
	statement := statements[text]
	if statement == nil {
		var err error
		if statement, err = conn.Prepare(text); err != nil {
			return err
		}
		statements[text] = statement
	}
	result, err := statement.Execute(arguments...)
	if err != nil {
		return err
	}
	if result.HasResultset() && result.RowNumber() == 1 {
		// What a caller is given outlives the result, whose memory is used again.
		_ = bytes.Clone(result.Values[0][2].AsString())
	}
	result.Close()
	return nil
}
