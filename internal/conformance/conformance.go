// Package conformance is the contract of a session store as a test suite: what every
// operation does, on every server, over every transport, on new tables and old ones.
package conformance

import (
	"database/sql"
	"slices"
	"testing"

	"github.com/mysqlsession/mysqlsession"
)

// Subject is a store to put to the test, and a way to look behind its back.
type Subject struct {
	// Config opens the store. Its tables exist and are empty; the suite leaves them so.
	// The suite sets Clock, Logger and CleanupInterval itself.
	Config mysqlsession.Config
	// Admin is a handle of Config's database that goes another way than the store.
	Admin *sql.DB
	// MariaDB says whose SQL Admin speaks.
	MariaDB bool
	// Text says that the tables are the document's own: their columns hold ASCII text
	// and compare without regard to case and trailing spaces.
	Text bool
	// Company says that others are to call the store all the time, so that calls of the
	// tests do not have a connection to themselves.
	Company bool
}

// test is one sentence of the contract.
type test struct {
	name string
	body func(f *fixture)
}

// Run runs the whole suite, one subtest a sentence.
func Run(t *testing.T, subject Subject) {
	t.Helper()
	tests := slices.Concat(
		valueTests(), expiryTests(), touchTests(), timeLimitTests(), rotationTests(),
		metadataTests(), subjectTests(), othersTests(), limitTests(),
		nameTests(), inputTests(), caseTests(), bulkTests(), updateTests(), cleanupTests(), transactionTests(), contextTests(),
		interoperabilityTests(), crowdTests(),
	)
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) { test.body(newFixture(t, subject)) })
	}
}

// DocumentTables returns the two CREATE TABLE statements of the document of
// lua-resty-session's MySQL storage, word for word.
func DocumentTables() []string {
	return []string{
		`CREATE TABLE IF NOT EXISTS sessions (
  sid  CHAR(43) PRIMARY KEY,
  name VARCHAR(255),
  data MEDIUMTEXT,
  exp  DATETIME,
  INDEX (exp)
) CHARACTER SET ascii`,
		`CREATE TABLE IF NOT EXISTS sessions_meta (
  aud VARCHAR(255),
  sub VARCHAR(255),
  sid CHAR(43),
  PRIMARY KEY (aud, sub, sid),
  CONSTRAINT FOREIGN KEY (sid) REFERENCES sessions(sid) ON DELETE CASCADE ON UPDATE CASCADE
) CHARACTER SET ascii`,
	}
}
