package mysqlsession_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"log/slog"
	"net"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/mysqlsession/mysqlsession"
)

type Config = mysqlsession.Config

func TestZeroConfigHasTheDocumentedDefaults(t *testing.T) {
	cfg := Config{Database: "app"}.WithDefaults()
	if cfg.DialFunc == nil || cfg.Clock == nil || cfg.Logger == nil || cfg.Trace == nil {
		t.Error("a function or the logger is still nil")
	}
	cfg.DialFunc, cfg.Clock, cfg.Logger, cfg.Trace = nil, nil, nil, nil
	want := Config{
		Host: "127.0.0.1", Port: 3306, Charset: "ascii", Database: "app",
		ConnectTimeout: 5 * time.Second, SendTimeout: 5 * time.Second, ReadTimeout: 5 * time.Second,
		LockWaitTimeout: 2 * time.Second, MaxPacketSize: 1 << 20,
		StatementMode: mysqlsession.StatementModePrepared, StatementCacheCapacity: 64,
		Pool: "127.0.0.1:3306/app", PoolSize: 16, Backlog: 10_000, KeepaliveTimeout: time.Minute,
		MaxConnLifetime: 30 * time.Minute, MaxConnLifetimeJitter: 3 * time.Minute,
		HealthCheckPeriod: 15 * time.Second, MaxConcurrentDials: 4,
		TableName: "sessions", TableNameMeta: "sessions_meta",
		Coalesce: mysqlsession.CoalesceOn, CoalesceMaxRows: 128, CoalesceMaxBytes: 1 << 20, CoalesceMaxLanes: 16,
		CleanupInterval: time.Minute, CleanupBatchSize: 500,
	}
	if !reflect.DeepEqual(cfg, want) {
		t.Errorf("got  %s\nwant %s", cfg.ConnString(), want.ConnString())
	}
}

func TestDefaultsFollowTheFieldsTheyDependOn(t *testing.T) {
	cases := map[string]struct {
		given Config
		got   func(Config) any
		want  any
	}{
		"pool of an IPv6 host":                {Config{Host: "::1", Port: 3307, Database: "d"}, func(c Config) any { return c.Pool }, "[::1]:3307/d"},
		"pool of a socket":                    {Config{Socket: "/run/my.sock", Host: "h", Database: "d"}, func(c Config) any { return c.Pool }, "/run/my.sock/d"},
		"metadata table":                      {Config{TableName: "d.web"}, func(c Config) any { return c.TableNameMeta }, "d.web_meta"},
		"jitter is a tenth":                   {Config{MaxConnLifetime: time.Hour}, func(c Config) any { return c.MaxConnLifetimeJitter }, 6 * time.Minute},
		"no jitter without a lifetime":        {Config{MaxConnLifetime: -1}, func(c Config) any { return c.MaxConnLifetimeJitter < 0 }, true},
		"jitter stays switched off":           {Config{MaxConnLifetimeJitter: -5}, func(c Config) any { return c.MaxConnLifetimeJitter }, time.Duration(-5)},
		"health check is a quarter":           {Config{KeepaliveTimeout: 20 * time.Second}, func(c Config) any { return c.HealthCheckPeriod }, 5 * time.Second},
		"health check at least 1 s":           {Config{KeepaliveTimeout: time.Second}, func(c Config) any { return c.HealthCheckPeriod }, time.Second},
		"health check at most 15 s":           {Config{KeepaliveTimeout: time.Hour}, func(c Config) any { return c.HealthCheckPeriod }, 15 * time.Second},
		"health check without idle limit":     {Config{KeepaliveTimeout: -1}, func(c Config) any { return c.HealthCheckPeriod }, 15 * time.Second},
		"dials are a quarter of the pool":     {Config{PoolSize: 100}, func(c Config) any { return c.MaxConcurrentDials }, 25},
		"lanes are those of the pool":         {Config{PoolSize: 100}, func(c Config) any { return c.CoalesceMaxLanes }, 100},
		"one dial in a small pool":            {Config{PoolSize: 1}, func(c Config) any { return c.MaxConcurrentDials }, 1},
		"a negative backlog stays":            {Config{Backlog: -1}, func(c Config) any { return c.Backlog }, -1},
		"a switched off read timeout stays":   {Config{ReadTimeout: -1}, func(c Config) any { return c.ReadTimeout }, time.Duration(-1)},
		"what is set is not overridden (int)": {Config{PoolSize: 3}, func(c Config) any { return c.PoolSize }, 3},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			once := c.given.WithDefaults()
			if got := c.got(once); got != c.want {
				t.Errorf("got %v, want %v", got, c.want)
			}
			if twice := once.WithDefaults(); twice.ConnString() != once.ConnString() {
				t.Errorf("a second call changed %s into %s", once.ConnString(), twice.ConnString())
			}
			if err := mysqlsession.Validate(once); err != nil {
				t.Errorf("the defaults break a rule: %v", err)
			}
		})
	}
}

func TestConfigsAtTheirBoundsAreAccepted(t *testing.T) {
	cases := map[string]Config{
		"zero":                   {},
		"smallest":               {PoolSize: 1, MaxPacketSize: 1024, StatementCacheCapacity: 1, CleanupBatchSize: 1, MaxConcurrentDials: 1, MinIdleConns: 1, CoalesceMaxRows: 1, CoalesceMaxBytes: 1024, CoalesceMaxLanes: 1},
		"largest":                {PoolSize: 10_000, MaxPacketSize: 16 << 20, StatementCacheCapacity: 1024, CleanupBatchSize: 10_000, MaxConcurrentDials: 10_000, MinIdleConns: 10_000, CoalesceMaxRows: 128, CoalesceMaxBytes: 16 << 20, CoalesceMaxLanes: 10_000},
		"shortest":               {ConnectTimeout: time.Millisecond, SendTimeout: time.Millisecond, ReadTimeout: time.Millisecond, LockWaitTimeout: time.Second, KeepaliveTimeout: time.Millisecond, MaxConnLifetime: time.Millisecond, HealthCheckPeriod: time.Millisecond, LeakThreshold: time.Millisecond, CleanupInterval: time.Millisecond},
		"longest":                {ConnectTimeout: oneDay, SendTimeout: oneDay, ReadTimeout: oneDay, LockWaitTimeout: time.Hour, KeepaliveTimeout: 365 * oneDay, MaxConnLifetime: 365 * oneDay, HealthCheckPeriod: 365 * oneDay, LeakThreshold: 365 * oneDay, CleanupInterval: 365 * oneDay},
		"switched off":           {SendTimeout: -1, ReadTimeout: -1, KeepaliveTimeout: -1, MaxConnLifetime: -1, LeakThreshold: -1, CleanupInterval: -1, Backlog: -1},
		"no jitter":              {MaxConnLifetimeJitter: -1},
		"IPv4":                   {Host: "10.0.0.1"},
		"IPv6":                   {Host: "2001:db8::1"},
		"IPv6 with zone":         {Host: "fe80::1%eth0"},
		"host with underscore":   {Host: "my_db.internal."},
		"further hosts":          {Hosts: []string{"b:3307", "[::1]:1", "10.0.0.1:65535"}},
		"longest socket":         {Socket: "/" + strings.Repeat("a", 106)},
		"names in other scripts": {Database: "größe", Pool: "größe", Username: "größe", Password: "größe\n"},
		"qualified tables":       {Database: "d", TableName: "a$.b_1", TableNameMeta: "sessions"},
		"longest table":          {TableName: strings.Repeat("a", 64), TableNameMeta: "m"},
		"same name elsewhere":    {Database: "d", TableName: "a.t", TableNameMeta: "b.t"},
		"offset":                 {TimeZone: "+00:00"},
		"negative offset":        {TimeZone: "-13:59"},
		"zone name":              {TimeZone: "America/Port-au-Prince"},
		"text mode":              {StatementMode: mysqlsession.StatementModeText},
	}
	for name, cfg := range cases {
		t.Run(name, func(t *testing.T) {
			if err := mysqlsession.Validate(cfg); err != nil {
				t.Error(err)
			}
		})
	}
}

const oneDay = 24 * time.Hour

// brokenRules are Configs that break one rule each.
var brokenRules = []struct {
	given Config
	want  string // behind "invalid configuration: "
}{
	{Config{Host: "db:3306"}, `Host is "db:3306", must be a host name`},
	{Config{Host: "[::1]"}, `Host is "[::1]", must be a host name`},
	{Config{Host: "a b"}, `Host is "a b"`},
	{Config{Host: "a/b"}, `Host is "a/b"`},
	{Config{Host: "a,b"}, `Host is "a,b"`},
	{Config{Host: "fe80::1%a b"}, `Host is "fe80::1%a b"`},
	{Config{Host: "a\n"}, `Host is "a\n"`},
	{Config{Host: strings.Repeat("a", 254)}, `Host is "aaa`},
	{Config{Hosts: []string{"a:1", "b"}}, `Hosts is "b", must be "host:port" in each entry`},
	{Config{Hosts: []string{""}}, `Hosts is "", must be "host:port"`},
	{Config{Hosts: []string{":3306"}}, `Hosts is ":3306"`},
	{Config{Hosts: []string{"a:0"}}, `Hosts is "a:0"`},
	{Config{Hosts: []string{"a:65536"}}, `Hosts is "a:65536"`},
	{Config{Hosts: []string{"a:+1"}}, `Hosts is "a:+1"`},
	{Config{Hosts: []string{"a:mysql"}}, `Hosts is "a:mysql"`},
	{Config{Hosts: []string{"::1:3306"}}, `Hosts is "::1:3306"`},
	{Config{Socket: "run/my.sock"}, `Socket is "run/my.sock", must be an absolute path of at most 107 bytes`},
	{Config{Socket: "/" + strings.Repeat("a", 107)}, `Socket is "/aaa`},
	{Config{Socket: "/a\x00b"}, `Socket is "/a\x00b"`},
	{Config{Username: "a\x00b"}, `Username is "a\x00b", must be without NUL bytes`},
	{Config{Password: "a\x00b"}, `Password is ***, must be without NUL bytes`},
	{Config{Charset: "utf8 COLLATE x"}, `Charset is "utf8 COLLATE x", must be 1 to 32 lower case letters`},
	{Config{Charset: "UTF8"}, `Charset is "UTF8"`},
	{Config{Charset: strings.Repeat("a", 33)}, `Charset is "aaa`},
	{Config{Database: "a\x00b"}, `Database is "a\x00b", must be UTF-8 without control characters`},
	{Config{Database: "\xff"}, `Database is "\xff"`},
	{Config{Pool: "a\nb"}, `Pool is "a\nb", must be UTF-8 without control characters`},
	{Config{ConnectTimeout: -1}, `ConnectTimeout is -1ns, must be from 1ms to 24h0m0s`},
	{Config{ConnectTimeout: 5}, `ConnectTimeout is 5ns, must be from 1ms to 24h0m0s`},
	{Config{ConnectTimeout: oneDay + 1}, `ConnectTimeout is 24h0m0.000000001s, must be from 1ms`},
	{Config{SendTimeout: 5}, `SendTimeout is 5ns, must be from 1ms to 24h0m0s, or negative for none`},
	{Config{SendTimeout: oneDay + 1}, `SendTimeout is 24h`},
	{Config{ReadTimeout: 5}, `ReadTimeout is 5ns, must be from 1ms to 24h0m0s, or negative for none`},
	{Config{ReadTimeout: oneDay + 1}, `ReadTimeout is 24h`},
	{Config{LockWaitTimeout: -time.Second}, `LockWaitTimeout is -1s, must be from 1s to 1h, in whole seconds`},
	{Config{LockWaitTimeout: 999 * time.Millisecond}, `LockWaitTimeout is 999ms`},
	{Config{LockWaitTimeout: 1500 * time.Millisecond}, `LockWaitTimeout is 1.5s`},
	{Config{LockWaitTimeout: time.Hour + time.Second}, `LockWaitTimeout is 1h0m1s`},
	{Config{MaxPacketSize: 1023}, `MaxPacketSize is 1023, must be from 1024 to 16777216`},
	{Config{MaxPacketSize: 16<<20 + 1}, `MaxPacketSize is 16777217`},
	{Config{MaxPacketSize: -1}, `MaxPacketSize is -1`},
	{Config{TimeZone: "+25:00"}, `TimeZone is "+25:00", must be an offset`},
	{Config{TimeZone: "+01:60"}, `TimeZone is "+01:60"`},
	{Config{TimeZone: "+0100"}, `TimeZone is "+0100"`},
	{Config{TimeZone: "-"}, `TimeZone is "-"`},
	{Config{TimeZone: "UTC'; --"}, `TimeZone is "UTC'; --"`},
	{Config{TimeZone: "1/UTC"}, `TimeZone is "1/UTC"`},
	{Config{TimeZone: strings.Repeat("a", 65)}, `TimeZone is "aaa`},
	{Config{StatementMode: "binary"}, `StatementMode is "binary", must be "prepared" or "text"`},
	{Config{StatementCacheCapacity: -1}, `StatementCacheCapacity is -1, must be from 1 to 1024`},
	{Config{StatementCacheCapacity: 1025}, `StatementCacheCapacity is 1025`},
	{Config{PoolSize: -1}, `PoolSize is -1, must be from 1 to 10000`},
	{Config{PoolSize: 10_001}, `PoolSize is 10001`},
	{Config{KeepaliveTimeout: 60}, `KeepaliveTimeout is 60ns, must be from 1ms to 8760h0m0s, or negative for none`},
	{Config{KeepaliveTimeout: 365*oneDay + 1}, `KeepaliveTimeout is 8760h`},
	{Config{MinIdleConns: -1}, `MinIdleConns is -1, must be from 0 to PoolSize, which is 16`},
	{Config{MinIdleConns: 17}, `MinIdleConns is 17, must be from 0 to PoolSize, which is 16`},
	{Config{MinIdleConns: 4, PoolSize: 3}, `MinIdleConns is 4, must be from 0 to PoolSize, which is 3`},
	{Config{MaxConnLifetime: 5}, `MaxConnLifetime is 5ns`},
	{Config{MaxConnLifetime: 365*oneDay + 1}, `MaxConnLifetime is 8760h`},
	{Config{MaxConnLifetimeJitter: time.Hour}, `MaxConnLifetimeJitter is 1h0m0s, must be negative, for none, or less than MaxConnLifetime, which is 30m0s`},
	{Config{MaxConnLifetimeJitter: time.Minute, MaxConnLifetime: time.Minute}, `MaxConnLifetimeJitter is 1m0s`},
	{Config{MaxConnLifetimeJitter: time.Minute, MaxConnLifetime: -1}, `MaxConnLifetimeJitter is 1m0s`},
	{Config{HealthCheckPeriod: -1}, `HealthCheckPeriod is -1ns, must be from 1ms to 8760h0m0s`},
	{Config{HealthCheckPeriod: 15}, `HealthCheckPeriod is 15ns`},
	{Config{LeakThreshold: 30}, `LeakThreshold is 30ns, must be from 1ms to 8760h0m0s, or 0 or negative for none`},
	{Config{LeakThreshold: 365*oneDay + 1}, `LeakThreshold is 8760h`},
	{Config{MaxConcurrentDials: -1}, `MaxConcurrentDials is -1, must be from 1 to PoolSize, which is 16`},
	{Config{MaxConcurrentDials: 17}, `MaxConcurrentDials is 17, must be from 1 to PoolSize, which is 16`},
	{Config{TableName: "a b"}, `TableName is "a b", must be "name" or "database.name"`},
	{Config{TableName: "a`"}, "TableName is \"a`\""},
	{Config{TableName: "a.b.c"}, `TableName is "a.b.c"`},
	{Config{TableName: ".b"}, `TableName is ".b"`},
	{Config{TableName: "a."}, `TableName is "a."`},
	{Config{TableName: strings.Repeat("a", 65)}, `TableName is "aaa`},
	{Config{TableNameMeta: "größe"}, `TableNameMeta is "größe", must be "name" or "database.name"`},
	{Config{TableName: strings.Repeat("a", 60)}, `TableNameMeta is "aaa`}, // the default is too long
	{Config{TableName: "t", TableNameMeta: "t"}, `TableNameMeta is "t", must be another table than TableName, which is "t"`},
	{Config{TableName: "t", TableNameMeta: "T"}, `TableNameMeta is "T", must be another table`},
	{Config{Database: "d", TableName: "t", TableNameMeta: "d.t"}, `TableNameMeta is "d.t", must be another table`},
	{Config{Coalesce: "maybe"}, `Coalesce is "maybe", must be "on" or "off"`},
	{Config{CoalesceMaxRows: 129}, `CoalesceMaxRows is 129, must be from 1 to 128`},
	{Config{CoalesceMaxBytes: 1000}, `CoalesceMaxBytes is 1000, must be from 1024 to 16777216`},
	{Config{PoolSize: 8, CoalesceMaxLanes: 9}, `CoalesceMaxLanes is 9, must be from 1 to PoolSize, which is 8`},
	{Config{CleanupInterval: 60}, `CleanupInterval is 60ns, must be from 1ms`},
	{Config{CleanupInterval: 365*oneDay + 1}, `CleanupInterval is 8760h`},
	{Config{CleanupBatchSize: -1}, `CleanupBatchSize is -1, must be from 1 to 10000`},
	{Config{CleanupBatchSize: 10_001}, `CleanupBatchSize is 10001`},
}

func TestEachRuleNamesFieldValueAndBound(t *testing.T) {
	for _, c := range brokenRules {
		t.Run(c.want, func(t *testing.T) {
			err := mysqlsession.Validate(c.given)
			if !errors.Is(err, mysqlsession.ErrInvalidConfig) {
				t.Fatalf("got %v, want ErrInvalidConfig", err)
			}
			if want := "mysqlsession: invalid configuration: " + c.want; !strings.HasPrefix(err.Error(), want) {
				t.Errorf("got  %s\nwant %s...", err, want)
			}
			if strings.ContainsAny(err.Error(), "\x00\n") || len(err.Error()) > 400 {
				t.Errorf("%q is not fit for a line of a log", err)
			}
		})
	}
}

func TestStoreNeedsADatabase(t *testing.T) {
	err := mysqlsession.ValidateStore(Config{TableName: "d.t"})
	if !errors.Is(err, mysqlsession.ErrInvalidConfig) || !strings.Contains(err.Error(), `Database is ""`) {
		t.Errorf("got %v", err)
	}
	if err := mysqlsession.ValidateStore(Config{Database: "d"}); err != nil {
		t.Error(err)
	}
	if err := mysqlsession.ValidateStore(Config{Database: "d", PoolSize: -1}); err == nil {
		t.Error("a store's configuration is not checked for the rest")
	}
}

func TestCopyOfAConfigIsUntouchedByLaterChanges(t *testing.T) {
	roots := x509.NewCertPool()
	original := Config{
		Hosts: []string{"a:1", "b:2"},
		Trace: &mysqlsession.Trace{},
		TLSConfig: &tls.Config{
			ServerName: "a", RootCAs: roots, NextProtos: []string{"x"},
			Certificates: []tls.Certificate{{}}, CipherSuites: []uint16{1}, CurvePreferences: []tls.CurveID{1},
		},
	}
	kept := mysqlsession.CopyConfig(original)

	original.Hosts[0] = "changed"
	original.Trace.Leak = func(mysqlsession.LeakInfo) {}
	original.TLSConfig.ServerName = "changed"
	original.TLSConfig.NextProtos[0] = "changed"
	original.TLSConfig.Certificates[0].Leaf = &x509.Certificate{}
	original.TLSConfig.CipherSuites[0] = 2
	original.TLSConfig.CurvePreferences[0] = 2
	roots.AddCert(&x509.Certificate{Raw: []byte{1}})

	if kept.Hosts[0] != "a:1" {
		t.Error("Hosts is shared")
	}
	if kept.Trace.Leak != nil {
		t.Error("Trace is shared")
	}
	settings := kept.TLSConfig
	if settings.ServerName != "a" || settings.NextProtos[0] != "x" || settings.Certificates[0].Leaf != nil ||
		settings.CipherSuites[0] != 1 || settings.CurvePreferences[0] != 1 || !settings.RootCAs.Equal(x509.NewCertPool()) {
		t.Error("TLSConfig is shared")
	}
}

func TestCopyOfAConfigKeepsEveryField(t *testing.T) {
	full := fullConfig()
	full.TLSConfig = &tls.Config{ServerName: "a"}
	kept := reflect.ValueOf(mysqlsession.CopyConfig(full))
	for i := range kept.NumField() {
		if kept.Field(i).IsZero() {
			t.Errorf("%s is lost", kept.Type().Field(i).Name)
		}
	}
}

// fullConfig has something in every field but TLSConfig.
func fullConfig() Config {
	cfg := Config{
		Host: "db.example", Port: 3307, Hosts: []string{"[::1]:3308", "other:3309"}, Socket: "/run/my sock",
		Username: "us:er@", Password: "p@ss/w?rd#% +é", Charset: "utf8mb4", Database: "da/ta",
		ConnectTimeout: 250 * time.Millisecond, SendTimeout: -1, ReadTimeout: time.Second, LockWaitTimeout: 3 * time.Second,
		MaxPacketSize: 1 << 16, TimeZone: "+00:00", StatementMode: mysqlsession.StatementModeText, StatementCacheCapacity: 7,
		SSL: true, SSLVerify: true, SSLMode: mysqlsession.SSLModeVerifyIdentity,
		SSLCA: "/etc/ca.pem", SSLCert: "/etc/cert.pem", SSLKey: "/etc/key.pem",
		AllowPublicKeyRetrieval: true, ServerPublicKey: "/etc/public.pem",
		Pool: "main pool & more=1", PoolSize: 30, Backlog: -1, KeepaliveTimeout: 90 * time.Second, MinIdleConns: 2,
		MaxConnLifetime: time.Hour, MaxConnLifetimeJitter: time.Minute, HealthCheckPeriod: 2 * time.Second, MaxConcurrentDials: 3,
		LeakThreshold: 45 * time.Second,
		TableName:     "a.web", TableNameMeta: "a.web_meta", CleanupInterval: 2 * time.Minute, CleanupBatchSize: 100,
		HashKeys: true, Coalesce: mysqlsession.CoalesceOff, CoalesceMaxRows: 32, CoalesceMaxBytes: 1 << 16, CoalesceMaxLanes: 4,
	}
	cfg.DialFunc = func(context.Context, string, string) (net.Conn, error) { return nil, net.ErrClosed }
	cfg.BeforeConnect = func(context.Context, *Config) error { return nil }
	cfg.AfterConnect = func(context.Context, *mysqlsession.Conn) error { return nil }
	cfg.Trace = &mysqlsession.Trace{}
	cfg.Clock = time.Now
	cfg.Logger = slog.New(slog.DiscardHandler)
	return cfg
}
