package mysqlsession

import "context"

// Scaffold: replaced file by file.

type Finding struct{ Severity, Subject, Problem, Fix string }

func findings(ctx context.Context, c *Conn, sessionsTable, metadataTable string) ([]Finding, error) {
	return nil, nil
}
func migrate(ctx context.Context, c *Conn, sessionsTable, metadataTable string) error { return nil }
