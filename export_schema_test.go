package mysqlsession

import (
	"context"
	"time"
)

// MigrateOn runs a migration of both tables on a connection, and calls progress with
// each statement before it is run.
func MigrateOn(ctx context.Context, c *Conn, sessionsTable, metadataTable string, progress func(statement string)) error {
	return migrate(ctx, c, sessionsTable, metadataTable, func(next step) { progress(next.statement) })
}

// MigrateImpatiently is MigrateOn with a shorter wait for locks.
func MigrateImpatiently(ctx context.Context, c *Conn, sessionsTable, metadataTable string, patience time.Duration) error {
	return (&migration{conn: c, sessionsTable: sessionsTable, metadataTable: metadataTable, patience: patience}).migrate(ctx)
}

// PlanOn returns the statements that a migration would run.
func PlanOn(ctx context.Context, c *Conn, sessionsTable, metadataTable string) ([]string, error) {
	steps, err := migrationPlan(ctx, c, sessionsTable, metadataTable)
	statements := make([]string, len(steps))
	for i, next := range steps {
		statements[i] = next.statement
	}
	return statements, err
}

// MigrationLockName is the name of the lock that a migration of a table holds.
func MigrationLockName(database, sessionsTable string) string {
	return lockName(&table{database: database, name: sessionsTable})
}
