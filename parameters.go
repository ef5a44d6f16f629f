package mysqlsession

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// parameter is a field of Config that a connection string can express.
type parameter struct {
	name  string            // in a connection string, and in what is printed
	field string            // in Config
	at    func(*Config) any // points to the field
}

// parameterTable drives ParseConfig, ConnString, what is printed of a Config, and the
// page about configuration. Those of the original module come first, in its document's
// order. The table never changes.
var parameterTable = []parameter{
	{"host", "Host", func(c *Config) any { return &c.Host }},
	{"port", "Port", func(c *Config) any { return &c.Port }},
	{"socket", "Socket", func(c *Config) any { return &c.Socket }},
	{"username", "Username", func(c *Config) any { return &c.Username }},
	{"password", "Password", func(c *Config) any { return &c.Password }},
	{"charset", "Charset", func(c *Config) any { return &c.Charset }},
	{"database", "Database", func(c *Config) any { return &c.Database }},
	{"table_name", "TableName", func(c *Config) any { return &c.TableName }},
	{"table_name_meta", "TableNameMeta", func(c *Config) any { return &c.TableNameMeta }},
	{"max_packet_size", "MaxPacketSize", func(c *Config) any { return &c.MaxPacketSize }},
	{"connect_timeout", "ConnectTimeout", func(c *Config) any { return &c.ConnectTimeout }},
	{"send_timeout", "SendTimeout", func(c *Config) any { return &c.SendTimeout }},
	{"read_timeout", "ReadTimeout", func(c *Config) any { return &c.ReadTimeout }},
	{"keepalive_timeout", "KeepaliveTimeout", func(c *Config) any { return &c.KeepaliveTimeout }},
	{"pool", "Pool", func(c *Config) any { return &c.Pool }},
	{"pool_size", "PoolSize", func(c *Config) any { return &c.PoolSize }},
	{"backlog", "Backlog", func(c *Config) any { return &c.Backlog }},
	{"ssl", "SSL", func(c *Config) any { return &c.SSL }},
	{"ssl_verify", "SSLVerify", func(c *Config) any { return &c.SSLVerify }},

	{"hosts", "Hosts", func(c *Config) any { return &c.Hosts }},
	{"ssl_mode", "SSLMode", func(c *Config) any { return &c.SSLMode }},
	{"ssl_ca", "SSLCA", func(c *Config) any { return &c.SSLCA }},
	{"ssl_cert", "SSLCert", func(c *Config) any { return &c.SSLCert }},
	{"ssl_key", "SSLKey", func(c *Config) any { return &c.SSLKey }},
	{"allow_public_key_retrieval", "AllowPublicKeyRetrieval", func(c *Config) any { return &c.AllowPublicKeyRetrieval }},
	{"server_public_key", "ServerPublicKey", func(c *Config) any { return &c.ServerPublicKey }},
	{"statement_mode", "StatementMode", func(c *Config) any { return &c.StatementMode }},
	{"statement_cache_capacity", "StatementCacheCapacity", func(c *Config) any { return &c.StatementCacheCapacity }},
	{"lock_wait_timeout", "LockWaitTimeout", func(c *Config) any { return &c.LockWaitTimeout }},
	{"time_zone", "TimeZone", func(c *Config) any { return &c.TimeZone }},
	{"min_idle_conns", "MinIdleConns", func(c *Config) any { return &c.MinIdleConns }},
	{"max_conn_lifetime", "MaxConnLifetime", func(c *Config) any { return &c.MaxConnLifetime }},
	{"max_conn_lifetime_jitter", "MaxConnLifetimeJitter", func(c *Config) any { return &c.MaxConnLifetimeJitter }},
	{"health_check_period", "HealthCheckPeriod", func(c *Config) any { return &c.HealthCheckPeriod }},
	{"leak_threshold", "LeakThreshold", func(c *Config) any { return &c.LeakThreshold }},
	{"max_concurrent_dials", "MaxConcurrentDials", func(c *Config) any { return &c.MaxConcurrentDials }},
	{"hash_keys", "HashKeys", func(c *Config) any { return &c.HashKeys }},
	{"coalesce", "Coalesce", func(c *Config) any { return &c.Coalesce }},
	{"coalesce_max_rows", "CoalesceMaxRows", func(c *Config) any { return &c.CoalesceMaxRows }},
	{"coalesce_max_bytes", "CoalesceMaxBytes", func(c *Config) any { return &c.CoalesceMaxBytes }},
	{"coalesce_max_lanes", "CoalesceMaxLanes", func(c *Config) any { return &c.CoalesceMaxLanes }},
	{"cleanup_interval", "CleanupInterval", func(c *Config) any { return &c.CleanupInterval }},
	{"cleanup_batch_size", "CleanupBatchSize", func(c *Config) any { return &c.CleanupBatchSize }},
}

// parameterOf finds the parameter of that name.
func parameterOf(name string) (*parameter, bool) {
	i := slices.IndexFunc(parameterTable, func(p parameter) bool { return p.name == name })
	if i < 0 {
		return nil, false
	}
	return &parameterTable[i], true
}

// parameterName is the name of the field in a connection string.
func parameterName(field string) string {
	i := slices.IndexFunc(parameterTable, func(p parameter) bool { return p.field == field })
	if i < 0 {
		return field
	}
	return parameterTable[i].name
}

// set reads text into the field. The error says what was expected and not what there was:
// a password that was not percent-encoded may have run into any value.
func (p *parameter) set(cfg *Config, text string) error {
	var err error
	switch field := p.at(cfg).(type) {
	case *string:
		*field = text
	case *SSLMode: // written in capitals in MySQL's own options
		*field = SSLMode(strings.ToLower(text))
	case *StatementMode:
		*field = StatementMode(strings.ToLower(text))
	case *CoalesceMode:
		*field = CoalesceMode(strings.ToLower(text))
	case *[]string:
		*field = strings.Split(text, ",")
	case *bool:
		if *field, err = strconv.ParseBool(text); err != nil {
			return errors.New("not true or false")
		}
	case *int:
		if *field, err = strconv.Atoi(text); err != nil {
			return errors.New("not a whole number")
		}
	case *uint16:
		var ok bool
		if *field, ok = parsePort(text); !ok {
			return errors.New("not a port from 1 to 65535")
		}
	case *time.Duration:
		if *field, err = time.ParseDuration(text); err != nil {
			return errors.New(`not a duration with its unit, such as "250ms" or "1m30s"`)
		}
	default:
		panic(fmt.Sprintf("%sBUG: %s is of a type that no connection string holds", prefix, p.field))
	}
	return nil
}

// value is what the field holds, as numbers, truth values and text; nil when that is the
// zero value.
func (p *parameter) value(cfg *Config) any {
	switch field := p.at(cfg).(type) {
	case *string:
		return unlessZero(*field)
	case *SSLMode:
		return unlessZero(string(*field))
	case *StatementMode:
		return unlessZero(string(*field))
	case *CoalesceMode:
		return unlessZero(string(*field))
	case *[]string:
		return unlessZero(strings.Join(*field, ","))
	case *bool:
		return unlessZero(*field)
	case *int:
		return unlessZero(*field)
	case *uint16:
		return unlessZero(*field)
	case *time.Duration:
		if *field == 0 {
			return nil
		}
		return field.String()
	default:
		panic(fmt.Sprintf("%sBUG: %s is of a type that no connection string holds", prefix, p.field))
	}
}

func unlessZero[T comparable](value T) any {
	var zero T
	if value == zero {
		return nil
	}
	return value
}
