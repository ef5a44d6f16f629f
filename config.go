package mysqlsession

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"time"
)

// SSLMode names how a connection is protected, in MySQL's own words
// (https://dev.mysql.com/doc/refman/en/connection-options.html, --ssl-mode).
type SSLMode string

// The modes, from the least to the most protective.
const (
	SSLModeDisabled       SSLMode = "disabled"        // never TLS
	SSLModePreferred      SSLMode = "preferred"       // TLS when the server offers it, unverified; open to a downgrade
	SSLModeRequired       SSLMode = "required"        // TLS or ErrTLSUnavailable; the certificate is not verified
	SSLModeVerifyCA       SSLMode = "verify_ca"       // and the certificate's chain is verified
	SSLModeVerifyIdentity SSLMode = "verify_identity" // and the certificate is for the host that was dialled
)

// StatementMode names how statements with parameters travel.
type StatementMode string

// The statement modes. Parameters are binary in both: quoted text never carries a value.
const (
	// StatementModePrepared prepares each statement once on each connection and
	// executes it in one round trip. A statement for which the server has no room
	// left (error 1461, max_prepared_stmt_count) is sent as text.
	StatementModePrepared StatementMode = "prepared"
	// StatementModeText sends every statement as text, values as hexadecimal
	// literals: for proxies that do not carry prepared statements. It costs about
	// twice the bytes.
	StatementModeText StatementMode = "text"
)

// CoalesceMode says whether calls that are made at the same time may share a statement.
type CoalesceMode string

// The modes.
const (
	// CoalesceOn combines Get, Set, Touch and Delete calls that find every lane in use
	// with others of their kind.
	CoalesceOn CoalesceMode = "on"
	// CoalesceOff gives every call statements, and a connection, of its own.
	CoalesceOff CoalesceMode = "off"
)

// Config says where the server is, how connections are made and kept, and how
// sessions are stored. The zero value plus a Database is usable. Connect, NewPool,
// Open and NewStore copy it: later changes to a Config have no effect on what was
// made from it. ParseConfig reads one from a connection string.
//
// A duration is from 1 ms, since a bare number is one of nanoseconds, to 365 days, unless
// its field says otherwise. What is out of its range is not brought into it silently:
// using the Config fails with ErrInvalidConfig.
//
// A Config prints with its password masked.
type Config struct {
	// Host is the server's name or IP address, an IPv6 address without brackets. "": "127.0.0.1".
	Host string
	// Port is the server's TCP port. 0: 3306.
	Port uint16
	// Hosts are further "host:port" addresses, IPv6 ones in brackets, tried in order, each
	// for its share of ConnectTimeout, when the first cannot serve. A server serves if it
	// takes the login, is ready and is writable: with several addresses a read-only one is
	// passed over, for reads too. A pool tries an address that failed last until a probe,
	// every HealthCheckPeriod, finds it well; then connections go back to it. The probe is
	// one connection beyond PoolSize, to a server that has fewer. Empty: Host alone, which
	// may be read-only.
	Hosts []string
	// Socket is the path of a Unix socket; it wins over Host, Port and Hosts. "": TCP.
	// It must be absolute: whoever owns the path is sent the password. At most 107 bytes.
	Socket string
	// Username is the account's name. "": the server's anonymous account.
	Username string
	// Password is the account's password. "": none. It is never sent in clear text over
	// an unencrypted TCP connection, whatever the server asks for.
	Password string
	// Charset is the character set that the connection announces. "": "ascii". Keys
	// and values do not depend on it: they travel as bytes.
	Charset string
	// Database is the database that holds the tables. "": none, which Open and NewStore
	// refuse.
	Database string
	// DialFunc opens the socket, for tunnels and tests. nil: a net.Dialer. The
	// context carries ConnectTimeout and must be heeded. network is "tcp" or "unix". A
	// socket whose remote address is a loopback one counts as not leaving the machine.
	DialFunc func(ctx context.Context, network, address string) (net.Conn, error)

	// ConnectTimeout bounds dialling, TLS and login together, and the longest wait
	// for a pooled connection. 0: 5 s; at most 24 h. It cannot be switched off.
	ConnectTimeout time.Duration
	// SendTimeout bounds the writing of one request. 0: 5 s; at most 24 h; negative: none
	// but the context's.
	SendTimeout time.Duration
	// ReadTimeout bounds the wait for one whole reply, and, where the server can do
	// that, the statement itself. 0: 5 s; at most 24 h; negative: none but the context's.
	ReadTimeout time.Duration
	// LockWaitTimeout bounds how long a statement waits for another's row or table
	// lock on the server, in whole seconds. 0: 2 s; at most one hour.
	LockWaitTimeout time.Duration
	// MaxPacketSize is the upper limit, in bytes, of a reply packet; the largest
	// value that can be stored is 4 bytes less. The reader allows 1 KiB more for the
	// other columns of a row. 0: 1 MiB; from 1 KiB to 16 MiB.
	MaxPacketSize int
	// TimeZone is the session's time_zone, "+00:00" or a name the server knows. "":
	// what the server has, which is what a program that shares the tables with
	// lua-resty-session must use. UTC is recommended for tables that only Go uses: in
	// the hour that summer time repeats, DATETIME is ambiguous.
	TimeZone string
	// StatementMode is how statements with parameters travel: "prepared" or "text". "":
	// StatementModePrepared.
	StatementMode StatementMode
	// StatementCacheCapacity is how many prepared statements a connection keeps, the
	// least recently used going first. 0: 64; at most 1024.
	StatementCacheCapacity int

	// SSL requires TLS: connecting fails with ErrTLSUnavailable when the server has none.
	SSL bool
	// SSLVerify verifies the server's certificate chain and host name. It needs SSL.
	SSLVerify bool
	// SSLMode says the same in MySQL's words. "": from SSL and SSLVerify: neither is
	// disabled, SSL is required, both are verify_identity. SSLVerify alone, or a mode
	// that contradicts the two, is an error.
	SSLMode SSLMode
	// SSLCA is a file of PEM certificates to verify the server against. "": the
	// system's. It needs a mode that verifies.
	SSLCA string
	// SSLCert is a file with the client's PEM certificate and those that it depends on.
	// It needs SSLKey. "": none.
	SSLCert string
	// SSLKey is a file with the PEM key of SSLCert. "": none.
	SSLKey string
	// TLSConfig is used as it is, but for a ServerName taken from the host when it has
	// none, in place of SSLCA, SSLCert and SSLKey: full control, verification
	// included. It needs SSL, or an SSLMode other than disabled. nil: made from the fields above.
	TLSConfig *tls.Config
	// AllowPublicKeyRetrieval lets caching_sha2_password's full login ask the server
	// for its RSA key over a connection without TLS. Whoever can answer in the
	// server's place then learns the password. On loopback it is always allowed.
	AllowPublicKeyRetrieval bool
	// ServerPublicKey is a file with the server's RSA public key in PEM, which makes
	// that login safe without TLS. "": none.
	ServerPublicKey string

	// Pool is the pool's name in stats, metrics and traces. "": "host:port/database", or
	// "socket/database".
	Pool string
	// PoolSize is the hard limit of connections, those being opened and closed
	// included. 0: 16; at most 10,000.
	PoolSize int
	// Backlog is how many callers may wait for a connection; the next one gets
	// ErrBacklogFull at once. 0: 10,000; negative: nobody may wait.
	Backlog int
	// KeepaliveTimeout is the longest idle time of a pooled connection. 0: 60 s;
	// negative: no limit. Keep it below the server's wait_timeout.
	KeepaliveTimeout time.Duration
	// MinIdleConns is how many idle connections the pool keeps ready. 0: none; at most PoolSize.
	MinIdleConns int
	// MaxConnLifetime is a connection's longest life; one in use then is closed on its
	// release. 0: 30 min; negative: no limit. It bounds how long a moved host name is followed late.
	MaxConnLifetime time.Duration
	// MaxConnLifetimeJitter is the random part, up to this, that each connection's
	// life is made shorter by, so that a pool does not renew all at once. 0: a tenth of
	// MaxConnLifetime, and always less than that; negative: none.
	MaxConnLifetimeJitter time.Duration
	// HealthCheckPeriod is how often idle connections are looked through, MinIdleConns is
	// seen to, and, with several hosts, the server in use and those before it are tried. 0: a quarter of KeepaliveTimeout, from 1 s to 15 s.
	HealthCheckPeriod time.Duration
	// MaxConcurrentDials is how many connections may be opened at the same time, so
	// that a server that comes back is not stampeded. 0: a quarter of PoolSize, at least
	// 1; at most PoolSize.
	MaxConcurrentDials int
	// BeforeConnect is called before each dial with a copy of the configuration that
	// it may change: credentials that rotate. It must be quick and safe for concurrent
	// use; an error ends the attempt. nil: none. Only a pool calls it.
	BeforeConnect func(ctx context.Context, cfg *Config) error
	// AfterConnect is called with each new connection before its first use; an error
	// closes it, and so does a transaction left open, or autocommit switched off. nil:
	// none. Only a pool calls it.
	AfterConnect func(ctx context.Context, conn *Conn) error

	// TableName is the sessions' table, "name" or "database.name" of plain
	// identifiers. "": "sessions".
	TableName string
	// TableNameMeta is the table of audiences and subjects, named likewise. "": TableName + "_meta".
	TableNameMeta string
	// HashKeys stores the hash of a session's id, base64url(sha256(id)), in place of the id:
	// who gets to read the table has no list of live sessions. Of an id that is 32 bytes in
	// base64url those 32 bytes are hashed, of any other its own bytes, of which there may
	// then be up to 4096. ReadMetadata and Each return stored ids; DeleteStored takes one.
	// Sessions stored under their own ids are not found any more, and lua-resty-session
	// shares the tables only if it stores hashes as well. false: ids are stored as given.
	HashKeys bool
	// Coalesce says whether calls that wait at the same moment are combined into
	// statements of many rows: several times the throughput when there are more callers
	// than connections, on fewer connections. A call that need not wait is not affected,
	// and with a negative Backlog, where none may wait, none is.
	// "": CoalesceOn.
	Coalesce CoalesceMode
	// CoalesceMaxRows is how many calls one statement may serve. A larger one is cheaper
	// for each call, and ends later for all of them. 0: 128, which is the most.
	CoalesceMaxRows int
	// CoalesceMaxBytes is how many bytes of keys and values a statement that serves
	// several calls may carry; the server's max_allowed_packet bounds it too. 0: 1 MiB;
	// from 1 KiB to 16 MiB.
	CoalesceMaxBytes int
	// CoalesceMaxLanes is how many connections the store may use for calls that can be
	// combined. How many it does use follows from how the server answers. 0: PoolSize,
	// which is the most.
	CoalesceMaxLanes int
	// CleanupInterval is how often expired sessions are removed in the background,
	// give or take a fifth; never before 30 s have passed. 0: 1 min; negative: never.
	CleanupInterval time.Duration
	// CleanupBatchSize is how many rows one statement of the clean-up removes. 0: 500;
	// at most 10,000.
	CleanupBatchSize int

	// LeakThreshold is how long a connection from Pool.Acquire or Pool.Do may be held. One
	// that is held longer is reported to Trace.Leak and, as a warning, to Logger, with the
	// stack that acquired it, and once more if it is given back after all. It costs each of
	// the two a fraction of a microsecond. 0, or negative: nobody is told; from 1 ms to 365 days.
	LeakThreshold time.Duration

	// Trace is told of calls, batches and connections. nil: nobody is.
	Trace *Trace
	// Clock is the store's time. nil: time.Now. It must be safe for concurrent use.
	Clock func() time.Time
	// Logger gets what no caller can be told: findings about the schema, failures of
	// background work, leaks. nil: nothing is logged. Neither passwords nor session ids are logged.
	Logger *slog.Logger
}
