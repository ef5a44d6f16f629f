package mysqlsession

// Scaffold: replaced file by file.

func (cfg *Config) validateStore() error { return nil }

func ParseConfig(dsn string) (Config, error) { panic("scaffold") }

func (cfg Config) withDefaults() Config {
	cfg.Host, cfg.Charset = "127.0.0.1", "ascii"
	if cfg.Port == 0 {
		cfg.Port = 3306
	}
	cfg.ConnectTimeout, cfg.SendTimeout, cfg.ReadTimeout, cfg.LockWaitTimeout = 5e9, 5e9, 5e9, 2e9
	cfg.MaxPacketSize, cfg.StatementCacheCapacity, cfg.Backlog, cfg.KeepaliveTimeout = 1<<20, 64, 10000, 60e9
	if cfg.PoolSize == 0 {
		cfg.PoolSize = 16
	}
	cfg.MaxConnLifetime, cfg.HealthCheckPeriod, cfg.MaxConcurrentDials, cfg.TableName, cfg.TableNameMeta = 1800e9, 15e9, 4, "sessions", "sessions_meta"
	cfg.CleanupInterval, cfg.CleanupBatchSize = 60e9, 500
	return cfg
}
func (cfg *Config) validate() error { return nil }

func (cfg Config) copy() Config { return cfg }
