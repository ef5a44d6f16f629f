package mysqlsession

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

// Severity says what a finding means for a store.
type Severity string

// The severities, from the gravest.
const (
	SeverityError   Severity = "error"   // operations fail, or do something else than they say
	SeverityWarning Severity = "warning" // operations work, restricted or with a risk
	SeverityNotice  Severity = "notice"  // as it may be wanted
)

// Finding is something about the two tables that a store's user should know.
type Finding struct {
	Severity Severity // what it means for a store
	Subject  string   // what it is about: "sessions", "sessions.sid"
	Problem  string   // what is wrong, and what follows from it
	Fix      string   // "run Migrate" where that is enough; else a statement, or what to do
}

// String is the finding in one line.
func (f Finding) String() string {
	return fmt.Sprintf("%s: %s %s; %s", f.Severity, f.Subject, f.Problem, f.Fix)
}

// runMigrate is the fix of what Migrate changes.
const runMigrate = "run Migrate"

// findings reads the schema and looks it through; largest is the most bytes of a value
// that the configuration allows.
func findings(ctx context.Context, c *Conn, sessionsTable, metadataTable string, largest int) ([]Finding, error) {
	s, err := readSchema(ctx, c, sessionsTable, metadataTable)
	if err != nil {
		return nil, err
	}
	return s.findings(largest), nil
}

// findings are always in the same order: the sessions' table first; in each table its
// columns, its keys, its engine, and the columns that are not the store's. Rows of
// metadata without a session are not looked for: that would read the whole table.
func (s *schema) findings(largest int) []Finding {
	var l findingList
	if t := &s.sessions; !t.present {
		l.add(SeverityError, t.name, "does not exist", runMigrate)
	} else {
		l.columns(t)
		l.largestValue(t, largest)
		l.sessionsKeys(t)
		l.tooUnique(t)
		l.engine(t)
		l.strangers(t)
	}
	if t := &s.metadata; !t.present {
		l.add(SeverityNotice, t.name, "does not exist, so that operations with metadata fail", runMigrate)
	} else {
		l.columns(t)
		l.metadataKeys(t)
		l.tooUnique(t)
		l.foreignKeys(s)
		l.engine(t)
		l.strangers(t)
	}
	return l
}

type findingList []Finding

func (l *findingList) add(severity Severity, subject, problem, fix string) {
	*l = append(*l, Finding{severity, subject, problem, fix})
}

// columns looks at the columns that the store uses.
func (l *findingList) columns(t *table) {
	if t.view {
		l.add(SeverityWarning, t.name, "is a view, and the table behind it has not been checked", "name the table itself in the configuration")
	}
	for _, name := range t.wants {
		subject := t.name + "." + name
		c := t.column(name)
		if c == nil {
			l.missing(t, name)
			continue
		}
		if fault := c.fault(name); fault != "" {
			l.add(SeverityError, subject, fault, c.fixFor(t, name))
			continue
		}
		if name == "exp" {
			l.expiry(subject, c)
			continue
		}
		if c.charset != "" {
			l.add(SeverityWarning, subject, c.restriction(name), runMigrate)
		}
		if least := leastLength(name); name != "data" && c.length < int64(least) {
			l.add(SeverityWarning, subject, fmt.Sprintf("holds %d bytes, and %d are allowed", c.length, least), runMigrate)
		}
	}
}

func (l *findingList) missing(t *table, name string) {
	fix := runMigrate
	if t.foreign() {
		fix = "choose another table: this one was not made for sessions"
	}
	l.add(SeverityError, t.name+"."+name, "does not exist", fix)
}

// fixFor is what to do about a column with a fault.
func (c *column) fixFor(t *table, name string) string {
	if c.convertible(name) {
		return runMigrate
	}
	return "ALTER TABLE " + t.quoted() + " MODIFY " + quoteIdentifier(c.name) + " " + newColumnType(name)
}

// restriction says what a text column refuses, and how it compares.
func (c *column) restriction(name string) string {
	problem := "has character set " + c.charset + ", so that anything but ASCII is refused"
	if c.kind == "char" {
		problem += ", and trailing spaces with it"
	}
	if name == "data" || name == "name" { // neither is looked up by its index
		return problem
	}
	var without []string
	if !strings.HasSuffix(c.collation, "_bin") && !strings.HasSuffix(c.collation, "_cs") {
		without = append(without, "case")
	}
	if !strings.Contains(c.collation, "_0900_") && !strings.Contains(c.collation, "_nopad_") {
		without = append(without, "trailing spaces")
	}
	if len(without) > 0 {
		problem += ", and compares without regard to " + strings.Join(without, " and ")
	}
	return problem
}

func (l *findingList) expiry(subject string, c *column) {
	if strings.Contains(c.extra, "on update") {
		l.add(SeverityError, subject, "becomes the current time whenever a row changes, so that sessions end at once", runMigrate)
	}
	if c.kind == "timestamp" {
		l.add(SeverityWarning, subject, "is TIMESTAMP, which ends in 2038 on most servers", runMigrate)
	}
}

func (l *findingList) largestValue(t *table, largest int) {
	c := t.column("data")
	if c != nil && c.fault("data") == "" && c.length < int64(largest) {
		l.add(SeverityWarning, t.name+".data", fmt.Sprintf("holds %d bytes, and MaxPacketSize allows values of %d", c.length, largest), runMigrate)
	}
}

func (l *findingList) sessionsKeys(t *table) {
	if t.view {
		return
	}
	if t.column("sid") != nil && !t.isUnique("sid") {
		l.add(SeverityError, t.name+".sid", "is in no primary key or unique index, so that each save would add a row", runMigrate)
	}
	if t.column("exp") != nil && !t.indexed("exp") {
		l.add(SeverityWarning, t.name+".exp", "is in no index, so that each clean-up reads the whole table", runMigrate)
	}
}

// tooUnique looks for indexes by which a save would hit the row of another session.
func (l *findingList) tooUnique(t *table) {
	for i := range t.indexes {
		index := &t.indexes[i]
		stranger := slices.ContainsFunc(index.columns, func(column string) bool { return column != "" && !slices.Contains(t.wants, column) })
		if !index.unique || stranger || containsAll(index.columns, t.unique) {
			continue
		}
		l.add(SeverityError, t.name, "has unique index "+index.name+" on less than "+strings.Join(t.unique, ", ")+", so that a save may replace another's row",
			"ALTER TABLE "+t.quoted()+" DROP INDEX "+quoteIdentifier(index.name))
	}
}

func (l *findingList) metadataKeys(t *table) {
	if t.view || t.foreign() {
		return
	}
	if !t.isUnique(t.unique...) {
		l.add(SeverityWarning, t.name, "has no primary key or unique index on aud, sub, sid, so that rows are doubled", runMigrate)
	}
	if !t.indexed("aud", "sub") {
		l.add(SeverityWarning, t.name, "has no index on aud, sub, so that looking up a subject reads the whole table", runMigrate)
	}
	if !t.indexed("sid") {
		l.add(SeverityWarning, t.name+".sid", "is in no index, so that deleting a session reads the whole table", runMigrate)
	}
}

// foreignKeys looks for the key that takes metadata along when its session goes.
func (l *findingList) foreignKeys(s *schema) {
	t := &s.metadata
	if t.view || t.foreign() || s.sessions.view || !s.sessions.present {
		return
	}
	subject, cascades, refers := t.name+".sid", 0, false
	for i := range t.foreignKeys {
		k := &t.foreignKeys[i]
		switch {
		case !slices.Contains(k.columns, "sid"):
		case !s.own(k):
			l.add(SeverityError, subject, fmt.Sprintf("references table %s, so that metadata of sessions in %s is refused", k.table, s.sessions.name),
				"ALTER TABLE "+t.quoted()+" DROP FOREIGN KEY "+quoteIdentifier(k.name))
		case k.deleteRule != "CASCADE":
			l.add(SeverityError, subject, "has a foreign key without ON DELETE CASCADE, so that sessions with metadata cannot be deleted", runMigrate)
			refers = true
		default:
			refers, cascades = true, cascades+1
		}
	}
	if cascades > 1 {
		l.add(SeverityNotice, subject, fmt.Sprintf("has %d foreign keys to %s, each of which is checked with each row", cascades, s.sessions.name), runMigrate)
	}
	if refers {
		return
	}
	fix := runMigrate
	if !s.sessions.referable() || !t.referable() {
		fix = "use tables of InnoDB without partitions, which can have foreign keys"
	}
	l.add(SeverityWarning, subject, "has no foreign key to "+s.sessions.name+" with ON DELETE CASCADE, so that the metadata of deleted sessions stays", fix)
}

func (l *findingList) engine(t *table) {
	if !t.view && !t.transactional {
		l.add(SeverityWarning, t.name, "has engine "+t.engine+", which has no transactions: an operation that fails halfway leaves what it did", runMigrate)
	}
}

// strangers looks at the columns that somebody else added.
func (l *findingList) strangers(t *table) {
	for i := range t.columns {
		c := &t.columns[i]
		if !c.nullable && !c.byDefault && !slices.Contains(t.wants, strings.ToLower(c.name)) {
			l.add(SeverityError, t.name+"."+c.name, "has to be given a value and the store does not know it, so that nothing can be stored",
				"give the column a default, or let it be NULL")
		}
	}
}
