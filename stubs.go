package mysqlsession

import "context"

// Scaffold: replaced file by file.

type schema struct{}
type Finding struct{ Severity, Subject, Problem, Fix string }

func (s *schema) needSessions() error                          { return nil }
func (s *schema) needMetadata() error                          { return nil }
func (s *schema) checkSession(name string, value []byte) error { return nil }
func (s *schema) checkMetadata(audience, subject string) error { return nil }
func readSchema(ctx context.Context, c *Conn, sessionsTable, metadataTable string) (*schema, error) {
	return &schema{}, nil
}
func findings(ctx context.Context, c *Conn, sessionsTable, metadataTable string) ([]Finding, error) {
	return nil, nil
}
func migrate(ctx context.Context, c *Conn, sessionsTable, metadataTable string) error { return nil }
func (cfg *Config) validateStore() error                                              { return nil }

func ParseConfig(dsn string) (Config, error) { panic("scaffold") }

func (cfg Config) withDefaults() Config { return cfg }
func (cfg *Config) validate() error     { return nil }

func (cfg Config) copy() Config { return cfg }
