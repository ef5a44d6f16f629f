package mysqlsession

import (
	"cmp"
	"log/slog"
	"net"
	"slices"
	"strconv"
	"time"
)

// WithDefaults is a copy with its default in the place of every field that was left at zero:
// what is used, for programs that compare it with a server's settings. A duration or a
// number that is negative stays, and means that there is no such limit.
func (cfg Config) WithDefaults() Config { return cfg.copy().withDefaults() }

// withDefaults puts its default in place of every field that was left at zero. What is
// negative, and so switched off, stays as it is; a second call changes nothing.
func (cfg Config) withDefaults() Config {
	cfg.Host = cmp.Or(cfg.Host, "127.0.0.1")
	cfg.Port = cmp.Or(cfg.Port, defaultPort)
	cfg.Charset = cmp.Or(cfg.Charset, "ascii")
	if cfg.DialFunc == nil {
		cfg.DialFunc = new(net.Dialer).DialContext
	}

	cfg.ConnectTimeout = cmp.Or(cfg.ConnectTimeout, 5*time.Second)
	cfg.SendTimeout = cmp.Or(cfg.SendTimeout, 5*time.Second)
	cfg.ReadTimeout = cmp.Or(cfg.ReadTimeout, 5*time.Second)
	cfg.LockWaitTimeout = cmp.Or(cfg.LockWaitTimeout, 2*time.Second)
	cfg.MaxPacketSize = cmp.Or(cfg.MaxPacketSize, 1<<20)
	cfg.StatementMode = cmp.Or(cfg.StatementMode, StatementModePrepared)
	cfg.StatementCacheCapacity = cmp.Or(cfg.StatementCacheCapacity, 64)

	cfg.Pool = cmp.Or(cfg.Pool, cfg.place())
	cfg.PoolSize = cmp.Or(cfg.PoolSize, 16)
	cfg.Backlog = cmp.Or(cfg.Backlog, 10_000)
	cfg.KeepaliveTimeout = cmp.Or(cfg.KeepaliveTimeout, time.Minute)
	cfg.MaxConnLifetime = cmp.Or(cfg.MaxConnLifetime, 30*time.Minute)
	switch {
	case cfg.MaxConnLifetimeJitter != 0:
	case cfg.MaxConnLifetime < 0:
		cfg.MaxConnLifetimeJitter = switchedOff
	default:
		cfg.MaxConnLifetimeJitter = cfg.MaxConnLifetime / 10
	}
	switch {
	case cfg.HealthCheckPeriod != 0:
	case cfg.KeepaliveTimeout < 0:
		cfg.HealthCheckPeriod = 15 * time.Second
	default:
		cfg.HealthCheckPeriod = min(max(cfg.KeepaliveTimeout/4, time.Second), 15*time.Second)
	}
	cfg.MaxConcurrentDials = cmp.Or(cfg.MaxConcurrentDials, max(cfg.PoolSize/4, 1))

	cfg.TableName = cmp.Or(cfg.TableName, "sessions")
	cfg.TableNameMeta = cmp.Or(cfg.TableNameMeta, cfg.TableName+"_meta")
	cfg.Coalesce = cmp.Or(cfg.Coalesce, CoalesceOn)
	cfg.CoalesceMaxRows = cmp.Or(cfg.CoalesceMaxRows, 128)
	cfg.CoalesceMaxBytes = cmp.Or(cfg.CoalesceMaxBytes, 1<<20)
	cfg.CoalesceMaxLanes = cmp.Or(cfg.CoalesceMaxLanes, cfg.PoolSize)
	cfg.CleanupInterval = cmp.Or(cfg.CleanupInterval, time.Minute)
	cfg.CleanupBatchSize = cmp.Or(cfg.CleanupBatchSize, 500)

	if cfg.Trace == nil {
		cfg.Trace = &Trace{}
	}
	if cfg.Clock == nil {
		cfg.Clock = time.Now
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	return cfg
}

const (
	// defaultPort is MySQL's own.
	defaultPort = 3306
	// switchedOff is a limit that there is not.
	switchedOff = -1
)

// place is the server and database, as a pool is named that was given no name.
func (cfg *Config) place() string {
	address := cfg.Socket
	if address == "" {
		address = net.JoinHostPort(cfg.Host, strconv.Itoa(int(cfg.Port)))
	}
	return address + "/" + cfg.Database
}

// copy is a Config that shares no memory that a caller could change later: hosts and
// TLS settings are copied too, certificate pools included, and the set of hooks. The hooks
// themselves, clock and logger are the caller's own.
func (cfg Config) copy() Config {
	cfg.Hosts = slices.Clone(cfg.Hosts)
	if cfg.Trace != nil {
		hooks := *cfg.Trace
		cfg.Trace = &hooks
	}
	if cfg.TLSConfig == nil {
		return cfg
	}
	settings := cfg.TLSConfig.Clone()
	settings.Certificates = slices.Clone(settings.Certificates)
	settings.NextProtos = slices.Clone(settings.NextProtos)
	settings.CipherSuites = slices.Clone(settings.CipherSuites)
	settings.CurvePreferences = slices.Clone(settings.CurvePreferences)
	if settings.RootCAs != nil {
		settings.RootCAs = settings.RootCAs.Clone()
	}
	cfg.TLSConfig = settings
	return cfg
}
