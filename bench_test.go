package mysqlsession_test

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/base64"
	"fmt"
	"log/slog"
	mathrand "math/rand/v2"
	"net"
	"os"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/go-mysql-org/go-mysql/client"
	sqldriver "github.com/go-sql-driver/mysql"
	"github.com/stretchr/testify/require"

	"github.com/mysqlsession/mysqlsession"
	"github.com/mysqlsession/mysqlsession/internal/dbtest"
	"github.com/mysqlsession/mysqlsession/internal/localserver"
)

const (
	benchConns    = 16 // connections of every peer
	benchSessions = 4096
	benchValue    = 1 << 10 // bytes
	benchName     = "session"
	benchTTL      = time.Hour
)

// BenchmarkPeers runs the same operations on the same server through this package,
// through database/sql with go-sql-driver/mysql, and through go-mysql's own pool, each
// with 16 connections. It reports operations a second and the latency's median and 99th
// percentile as callers see it. Compare the lines of one run; `make bench` pairs runs and
// takes medians.
func BenchmarkPeers(b *testing.B) {
	cfg := benchServer(b)
	for _, operation := range []string{"get", "set", "rotate"} {
		for _, callers := range []int{1, 16, 64, 256} {
			for _, p := range peers {
				b.Run(fmt.Sprintf("%s/callers=%d/%s", operation, callers, p.name), func(b *testing.B) {
					run := p.open(b, cfg)
					measure(b, callers, run[operation])
				})
			}
		}
	}
}

// BenchmarkAlternating is for one caller on a machine that is not quiet: it takes turns
// between the peers from call to call, so that they share whatever else is going on, and
// reports the medians, and each peer's against ours: over 1 is slower than this package.
func BenchmarkAlternating(b *testing.B) {
	cfg := benchServer(b)
	for _, operation := range []string{"get", "set", "rotate"} {
		b.Run(operation, func(b *testing.B) {
			runs := make([]func(ctx context.Context, caller, n int) error, len(peers))
			latencies := make([][]time.Duration, len(peers))
			for i, p := range peers {
				runs[i] = p.open(b, cfg)[operation]
			}
			for n := 0; b.Loop(); n++ {
				for turn := range runs {
					i := (n + turn) % len(runs) // nobody always follows the same one
					start := time.Now()
					require.NoError(b, runs[i](context.Background(), i, n))
					if n >= 8 { // connections are open and statements prepared
						latencies[i] = append(latencies[i], time.Since(start))
					}
				}
			}
			if len(latencies[0]) == 0 {
				return
			}
			for i, p := range peers {
				slices.Sort(latencies[i])
				median := latencies[i][len(latencies[i])/2]
				b.ReportMetric(float64(median.Nanoseconds())/1e3, p.name+"-p50-us")
				b.ReportMetric(float64(median)/float64(latencies[0][len(latencies[0])/2]), p.name+"-ratio")
			}
		})
	}
}

// BenchmarkGet tells what a context costs: a background one, and one that is made for
// the call and can end.
func BenchmarkGet(b *testing.B) {
	store := benchStore(b, benchServer(b))
	keys := sessionKeys()
	b.Run("background", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			_, err := store.Get(context.Background(), benchName, keys[0])
			require.NoError(b, err)
		}
	})
	b.Run("timeout", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			_, err := store.Get(ctx, benchName, keys[0])
			cancel()
			require.NoError(b, err)
		}
	})
}

// operation is one call of one caller; n counts that caller's calls.
type operation func(ctx context.Context, caller, n int) error

// peer is one way to keep sessions in MySQL.
type peer struct {
	name string
	open func(b *testing.B, cfg mysqlsession.Config) map[string]operation
}

var peers = []peer{
	{"mysqlsession", openOurs},
	{"sql-prepared", func(b *testing.B, cfg mysqlsession.Config) map[string]operation { return openSQL(b, cfg, false) }},
	{"sql-interpolated", func(b *testing.B, cfg mysqlsession.Config) map[string]operation { return openSQL(b, cfg, true) }},
	{"go-mysql", openGoMySQL},
}

// measure runs b.N operations from so many callers.
func measure(b *testing.B, callers int, run operation) {
	b.ReportAllocs()
	// All connections are open and all statements prepared before the clock starts.
	var warm sync.WaitGroup
	for caller := range max(callers, benchConns) {
		warm.Go(func() {
			for n := range 8 {
				if err := run(context.Background(), caller, n); err != nil {
					b.Error(err)
				}
			}
		})
	}
	warm.Wait()
	latencies := make([][]time.Duration, callers)
	b.ResetTimer()
	began := time.Now()
	var group sync.WaitGroup
	for caller := range callers {
		share := b.N / callers
		if caller < b.N%callers {
			share++
		}
		latencies[caller] = make([]time.Duration, 0, share)
		group.Go(func() {
			for n := range share {
				start := time.Now()
				if err := run(context.Background(), caller, n); err != nil {
					b.Error(err)
					return
				}
				latencies[caller] = append(latencies[caller], time.Since(start))
			}
		})
	}
	group.Wait()
	elapsed := time.Since(began)
	b.StopTimer()
	all := slices.Sorted(slices.Values(slices.Concat(latencies...)))
	if len(all) == 0 {
		return
	}
	b.ReportMetric(float64(len(all))/elapsed.Seconds(), "ops/s")
	b.ReportMetric(float64(all[len(all)/2].Nanoseconds())/1e3, "p50-us")
	b.ReportMetric(float64(all[len(all)*99/100].Nanoseconds())/1e3, "p99-us")
}

// benchServer is a database on a server with its durable defaults: what
// MYSQLSESSION_TEST_DSNS names first, or a private one.
func benchServer(b *testing.B) mysqlsession.Config {
	if os.Getenv("MYSQLSESSION_TEST_DSNS") != "" {
		return dbtest.Servers(b)[0].NewDatabase(b)
	}
	binaries := localserver.Find()
	require.NotEmpty(b, binaries, "no server found: set MYSQLSESSION_TEST_DSNS, or install mariadb-server-core")
	server, err := localserver.Start(b.Context(), localserver.Options{Binary: binaries[0], Durable: true})
	require.NoError(b, err)
	b.Cleanup(func() { require.NoError(b, server.Stop()) })
	return mysqlsession.Config{
		Host: server.Host, Port: server.Port, Username: server.Username, Password: server.Password, Database: server.Database,
	}
}

// benchStore is a store of ours with all sessions in it.
func benchStore(b *testing.B, cfg mysqlsession.Config) *mysqlsession.Store {
	cfg.PoolSize = benchConns
	store, err := mysqlsession.Open(b.Context(), cfg)
	require.NoError(b, err)
	b.Cleanup(func() { require.NoError(b, store.Close()) })
	require.NoError(b, store.Migrate(b.Context()))
	if _, err := store.Get(b.Context(), benchName, sessionKeys()[benchSessions-1]); err == nil {
		return store
	}
	for i, key := range sessionKeys() {
		require.NoError(b, store.Set(b.Context(), benchName, key, sessionValue(i), benchTTL, nil))
	}
	return store
}

// sessionKeys are the ids of the sessions that are there from the start.
var sessionKeys = sync.OnceValue(func() []string {
	keys := make([]string, benchSessions)
	for i := range keys {
		keys[i] = newKey()
	}
	return keys
})

func newKey() string {
	var id [32]byte
	_, _ = rand.Read(id[:]) // never fails
	return base64.RawURLEncoding.EncodeToString(id[:])
}

// sessionValue is a value that no other session has.
func sessionValue(i int) []byte {
	value := make([]byte, benchValue)
	random := mathrand.New(mathrand.NewPCG(uint64(i), 0))
	for j := range value {
		value[j] = byte('a' + random.IntN(26))
	}
	return value
}

// anyKey is some session's id. Callers spread over all of them.
func anyKey(caller, n int) string {
	return sessionKeys()[(uint(caller)*7919+uint(n)*104729)%benchSessions]
}

// chain is the ids that one caller's session goes through.
type chain struct{ last []string }

func newChain() *chain { return &chain{last: make([]string, 1024)} }

// next is the old id, "" for the first, and the new one.
func (c *chain) next(caller int) (old, key string) {
	old, key = c.last[caller], newKey()
	c.last[caller] = key
	return old, key
}

func openOurs(b *testing.B, cfg mysqlsession.Config) map[string]operation {
	store := benchStore(b, cfg)
	value, ids := sessionValue(0), newChain()
	return map[string]operation{
		"get": func(ctx context.Context, caller, n int) error {
			_, err := store.Get(ctx, benchName, anyKey(caller, n))
			return err
		},
		"set": func(ctx context.Context, caller, n int) error {
			return store.Set(ctx, benchName, anyKey(caller, n), value, benchTTL, nil)
		},
		"rotate": func(ctx context.Context, caller, n int) error {
			old, key := ids.next(caller)
			return store.Set(ctx, benchName, key, value, benchTTL, &mysqlsession.SetOptions{
				OldKey: old, StaleTTL: 10 * time.Second, Metadata: benchMetadata(caller),
			})
		},
	}
}

func benchMetadata(caller int) []mysqlsession.Metadata {
	subject := "user-" + strconv.Itoa(caller)
	return []mysqlsession.Metadata{{Audience: "web", Subject: subject}, {Audience: "api", Subject: subject}}
}

// The statements of the peers do what ours do.
const (
	peerGet    = "SELECT sid, name, data FROM sessions WHERE sid = ? AND exp >= FROM_UNIXTIME(?) AND data IS NOT NULL"
	peerSet    = "INSERT INTO sessions (sid, name, data, exp) VALUES (?, ?, ?, FROM_UNIXTIME(?)) ON DUPLICATE KEY UPDATE name = VALUES(name), data = VALUES(data), exp = VALUES(exp)"
	peerEnd    = "UPDATE sessions SET exp = LEAST(exp, FROM_UNIXTIME(?)) WHERE sid = ? AND name = ?"
	peerAddTwo = "INSERT IGNORE INTO sessions_meta (aud, sub, sid) VALUES (?, ?, ?), (?, ?, ?)"
)

func openSQL(b *testing.B, cfg mysqlsession.Config, interpolate bool) map[string]operation {
	benchStore(b, cfg)
	driver := sqldriver.NewConfig()
	driver.User, driver.Passwd, driver.DBName = cfg.Username, cfg.Password, cfg.Database
	driver.Net, driver.Addr = "tcp", net.JoinHostPort(cfg.Host, strconv.Itoa(int(cfg.Port)))
	driver.InterpolateParams = interpolate
	db, err := sql.Open("mysql", driver.FormatDSN())
	require.NoError(b, err)
	b.Cleanup(func() { require.NoError(b, db.Close()) })
	db.SetMaxOpenConns(benchConns)
	db.SetMaxIdleConns(benchConns)
	var get, set, end, add sqlStatement
	for text, statement := range map[string]*sqlStatement{peerGet: &get, peerSet: &set, peerEnd: &end, peerAddTwo: &add} {
		*statement = sqlStatement{db: db, text: text}
		if !interpolate {
			statement.prepared, err = db.PrepareContext(b.Context(), text)
			require.NoError(b, err)
		}
	}
	value, ids := sessionValue(0), newChain()
	return map[string]operation{
		"get": func(ctx context.Context, caller, n int) error {
			var sid, name string
			var data []byte
			return get.row(ctx, anyKey(caller, n), time.Now().Unix()).Scan(&sid, &name, &data)
		},
		"set": func(ctx context.Context, caller, n int) error {
			return set.exec(ctx, nil, anyKey(caller, n), benchName, value, time.Now().Add(benchTTL).Unix())
		},
		"rotate": func(ctx context.Context, caller, n int) error {
			old, key := ids.next(caller)
			tx, err := db.BeginTx(ctx, nil)
			if err != nil {
				return err
			}
			defer func() { _ = tx.Rollback() }() // after a commit it does nothing
			m := benchMetadata(caller)
			if err := set.exec(ctx, tx, key, benchName, value, time.Now().Add(benchTTL).Unix()); err != nil {
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
	benchStore(b, cfg)
	pool, err := client.NewPoolWithOptions(net.JoinHostPort(cfg.Host, strconv.Itoa(int(cfg.Port))), cfg.Username, cfg.Password, cfg.Database,
		client.WithPoolLimits(benchConns, benchConns, benchConns), client.WithLogger(slog.New(slog.DiscardHandler)))
	require.NoError(b, err)
	b.Cleanup(pool.Close)
	p := &goMySQLPool{pool: pool, prepared: make(map[*client.Conn]map[string]*client.Stmt)}
	value, ids := sessionValue(0), newChain()
	return map[string]operation{
		"get": func(ctx context.Context, caller, n int) error {
			return p.do(ctx, func(conn *client.Conn) error {
				return p.execute(conn, peerGet, anyKey(caller, n), time.Now().Unix())
			})
		},
		"set": func(ctx context.Context, caller, n int) error {
			return p.do(ctx, func(conn *client.Conn) error {
				return p.execute(conn, peerSet, anyKey(caller, n), benchName, value, time.Now().Add(benchTTL).Unix())
			})
		},
		"rotate": func(ctx context.Context, caller, n int) error {
			old, key := ids.next(caller)
			m := benchMetadata(caller)
			return p.do(ctx, func(conn *client.Conn) error {
				if err := conn.Begin(); err != nil {
					return err
				}
				if err := p.execute(conn, peerSet, key, benchName, value, time.Now().Add(benchTTL).Unix()); err != nil {
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
	result.Close()
	return nil
}
