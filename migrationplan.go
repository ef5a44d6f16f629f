package mysqlsession

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// step is one statement of a migration.
type step struct {
	statement string // as it is run, but for a sweep
	reason    string // what it is for, in the imperative
	// sweep marks the removal of metadata without a session: it is run in batches, each
	// a short transaction, instead of as the one statement.
	sweep bool
	// unchecked marks the adding of a foreign key that the server is not to check: it is
	// done at once then, and no row can make it fail.
	unchecked bool
}

// statements are what a client would run.
func (s step) statements() []string {
	if s.unchecked {
		return []string{"SET SESSION foreign_key_checks = 0", s.statement, "SET SESSION foreign_key_checks = 1"}
	}
	return []string{s.statement}
}

// public is the step as callers get it.
func (s step) public() MigrationStep { return MigrationStep{s.reason, s.statements()} }

// newColumnType is the definition of a column in a new table. All but the ids may be
// NULL, as in the tables that lua-resty-session documents: rows with NULL exist there,
// and a column that refused them would make the upgrade fail or lose rows.
func newColumnType(name string) string {
	switch name {
	case "sid":
		return "VARBINARY(43) NOT NULL"
	case "aud", "sub":
		return "VARBINARY(255) NOT NULL"
	case "name":
		return "VARBINARY(255)"
	case "data":
		return "MEDIUMBLOB"
	default:
		return "DATETIME"
	}
}

// leastLength is how many bytes a column must hold.
func leastLength(name string) int {
	switch name {
	case "sid":
		return maxKey
	case "data":
		return 1<<24 - 1 // MEDIUMBLOB
	default:
		return maxName
	}
}

// convertible reports whether Migrate can make of the column what the store needs.
func (c *column) convertible(name string) bool {
	if strings.HasSuffix(c.extra, " generated") {
		return false
	}
	if name == "exp" {
		return c.kind == "datetime" || c.kind == "timestamp" || c.kind == "date"
	}
	return c.holdsStrings()
}

// upgraded is the type that Migrate gives to the column; "": it stays as it is. Every
// value fits: a binary type holds as many bytes as the text type did. A TIMESTAMP becomes
// what FROM_UNIXTIME would have stored, by the session's time zone.
func (c *column) upgraded(name string) string {
	if name == "exp" {
		if c.kind == "datetime" && !strings.Contains(c.extra, "on update") {
			return ""
		}
		return "DATETIME"
	}
	least := int64(leastLength(name))
	family, isText := strings.CutSuffix(c.kind, "text")
	if !isText {
		family, isText = strings.CutSuffix(c.kind, "blob")
	}
	indexed := name != "data" && name != "name"
	switch {
	case c.charset == "" && c.kind != "binary" && c.length >= least && !(indexed && isText):
		return ""
	case name == "data" && family == "long":
		return "LONGBLOB"
	case name == "data":
		return "MEDIUMBLOB"
	case isText && !indexed:
		return strings.ToUpper(family) + "BLOB"
	case isText: // of which an index takes a prefix only; a longer value makes the statement fail
		return fmt.Sprintf("VARBINARY(%d)", least)
	default:
		return fmt.Sprintf("VARBINARY(%d)", max(least, c.bytes))
	}
}

// narrowed is the column after its wide character set has been replaced.
func (c column) narrowed() column {
	if c.wide() {
		c.charset = "utf8mb4"
		if c.kind == "char" || c.kind == "varchar" {
			c.bytes = 4 * c.length
		}
	}
	return c
}

// modify is the clause that gives the column another type. What it does not say would be
// lost; a default is, which no writer of these tables relies on.
func (c *column) modify(newType string) string {
	clause := "MODIFY " + quoteIdentifier(c.name) + " " + newType
	if c.nullable {
		clause += " NULL"
	} else {
		clause += " NOT NULL"
	}
	if c.comment != "" {
		clause += " COMMENT " + quoteText(c.comment)
	}
	return clause
}

// plan is what has to be done to both tables, in this order, or why it cannot be done:
// ErrSchema. It follows from what the tables are, so that a migration that was
// interrupted anywhere goes on where it was. Nothing to do is an empty plan.
//
// The types of columns cannot change under a foreign key. While it is away deletes leave
// metadata behind, which is swept before the key comes back, and once more after that:
// the key is added without the server's own check, which would keep writers out while it
// reads the table, and would fail on a single row that came meanwhile.
func (s *schema) plan() ([]step, error) {
	if err := s.obstacle(); err != nil {
		return nil, err
	}
	var steps []step
	if !s.sessions.present {
		steps = append(steps, step{statement: s.createSessions(), reason: "create table " + s.sessions.name})
	}
	dropped, left := s.droppedKeys()
	if len(dropped) > 0 {
		steps = append(steps, alter(&s.metadata, dropped))
	}
	for _, changes := range [][]change{s.sessions.narrowing(), s.sessions.changes(s.sessions.sessionsKeys())} {
		if len(changes) > 0 {
			steps = append(steps, alter(&s.sessions, changes))
		}
	}
	if !s.metadata.present {
		return append(steps, step{statement: s.createMetadata(), reason: "create table " + s.metadata.name}), nil
	}
	for _, changes := range [][]change{s.metadata.narrowing(), s.metadata.changes(s.metadata.metadataKeys())} {
		if len(changes) > 0 {
			steps = append(steps, alter(&s.metadata, changes))
		}
	}
	if left == 0 && s.sessions.referable() && s.metadata.referable() {
		key := change{"ADD " + s.foreignKey(), "add the foreign key on sid"}
		add := alter(&s.metadata, []change{key})
		add.unchecked = true
		steps = append(steps, s.sweep(), add, s.sweep())
	}
	return steps, nil
}

// change is a part of an ALTER TABLE.
type change struct{ clause, reason string }

// alter makes one statement of the changes: the table is rebuilt once.
func alter(t *table, changes []change) step {
	clauses, reasons := make([]string, len(changes)), make([]string, len(changes))
	for i, c := range changes {
		clauses[i], reasons[i] = c.clause, c.reason
	}
	return step{
		statement: "ALTER TABLE " + t.quoted() + " " + strings.Join(clauses, ", "),
		reason:    "in table " + t.name + ": " + strings.Join(reasons, ", "),
	}
}

func (s *schema) createSessions() string {
	return "CREATE TABLE IF NOT EXISTS " + s.sessions.quoted() + " (" + s.sessions.definitions() +
		", PRIMARY KEY (sid), INDEX (exp)) ENGINE=InnoDB"
}

func (s *schema) createMetadata() string {
	key := ""
	if s.sessions.referable() {
		key = ", " + s.foreignKey()
	}
	return "CREATE TABLE IF NOT EXISTS " + s.metadata.quoted() + " (" + s.metadata.definitions() +
		", PRIMARY KEY (aud, sub, sid), INDEX (sid)" + key + ") ENGINE=InnoDB"
}

func (t *table) definitions() string {
	columns := make([]string, len(t.wants))
	for i, name := range t.wants {
		columns[i] = name + " " + newColumnType(name)
	}
	return strings.Join(columns, ", ")
}

// foreignKey is the clause. The server chooses a name, which has to be the only one of
// its kind in the database. A table without a database would be looked for in that of
// the metadata.
func (s *schema) foreignKey() string {
	references := s.sessions.quoted()
	if s.sessions.database != s.metadata.database {
		references = s.sessions.qualified()
	}
	return "FOREIGN KEY (sid) REFERENCES " + references + " (sid) ON DELETE CASCADE ON UPDATE CASCADE"
}

func (s *schema) sweep() step {
	return step{
		statement: "DELETE FROM " + s.metadata.quoted() + " WHERE " + s.orphaned(),
		reason:    "remove rows of table " + s.metadata.name + " whose sessions are gone",
		sweep:     true,
	}
}

// orphaned is the condition for a row without a session. The lock makes it see what was
// committed last, and not what was when the statement began.
func (s *schema) orphaned() string {
	return "NOT EXISTS (SELECT 1 FROM " + s.sessions.qualified() + " s WHERE s.sid = " + s.metadata.quoted() + ".sid LOCK IN SHARE MODE)"
}

// own reports whether the foreign key is the one from metadata to its session.
func (s *schema) own(k *foreignKey) bool {
	_, name := s.sessions.split()
	return len(k.columns) == 1 && k.columns[0] == "sid" && len(k.referenced) == 1 && k.referenced[0] == "sid" &&
		strings.EqualFold(k.database, s.sessions.database) && strings.EqualFold(k.table, name)
}

// droppedKeys are the foreign keys that are in the way, do not cascade, or repeat another
// one, and how many are left: one or none. Two migrations on servers of one cluster may
// both have added theirs; both keep the one of the lesser name.
func (s *schema) droppedKeys() (dropped []change, left int) {
	inTheWay := s.sessions.changing("sid") || s.metadata.changing("sid")
	for i := range s.metadata.foreignKeys {
		k := &s.metadata.foreignKeys[i]
		switch {
		case !s.own(k):
		case inTheWay || k.deleteRule != "CASCADE" || left > 0:
			dropped = append(dropped, change{"DROP FOREIGN KEY " + quoteIdentifier(k.name), "drop foreign key " + k.name})
		default:
			left++
		}
	}
	return dropped, left
}

// changing reports whether the column's type has to change.
func (t *table) changing(name string) bool {
	c := t.column(name)
	return c != nil && (c.wide() || c.upgraded(name) != "")
}

// narrowing converts what is in a wide character set, the bytes of which would be those
// of no other: they may become binary only after that.
func (t *table) narrowing() []change {
	var changes []change
	for i := range t.columns {
		c := &t.columns[i]
		name := strings.ToLower(c.name)
		if !c.wide() || !slices.Contains(t.wants, name) {
			continue
		}
		newType := strings.ToUpper(c.kind)
		if c.kind == "char" || c.kind == "varchar" {
			newType = fmt.Sprintf("%s(%d)", newType, c.length)
		}
		changes = append(changes, change{c.modify(newType + " CHARACTER SET utf8mb4"), "store " + name + " as UTF-8"})
	}
	return changes
}

// changes are those of columns and engine, and the keys that are missing.
func (t *table) changes(keys []change) []change {
	if !t.present {
		return nil
	}
	var changes []change
	if !t.transactional {
		changes = append(changes, change{"ENGINE=InnoDB", "use an engine with transactions"})
	}
	for _, name := range t.wants {
		c := t.column(name)
		if c == nil {
			changes = append(changes, change{"ADD COLUMN " + name + " " + newColumnType(name), "add column " + name})
			continue
		}
		wanted := c.narrowed()
		newType := wanted.upgraded(name)
		if c.nullable && t.wantsPrimary() && slices.Contains(t.unique, name) {
			wanted.nullable = false // not implied everywhere
			newType = cmp.Or(newType, fmt.Sprintf("VARBINARY(%d)", c.length))
		}
		if newType != "" {
			changes = append(changes, change{wanted.modify(newType), "make " + name + " " + newType})
		}
	}
	return append(changes, keys...)
}

func (t *table) sessionsKeys() []change {
	var keys []change
	if !t.isUnique(t.unique...) {
		keys = append(keys, t.addUnique())
	}
	if !t.indexed("exp") {
		keys = append(keys, change{"ADD INDEX (exp)", "add an index on exp"})
	}
	return keys
}

func (t *table) metadataKeys() []change {
	var keys []change
	unique := t.isUnique(t.unique...)
	if !unique {
		keys = append(keys, t.addUnique())
	}
	if unique && !t.indexed("aud", "sub") {
		keys = append(keys, change{"ADD INDEX (aud, sub)", "add an index on aud, sub"})
	}
	if !t.indexed("sid") {
		keys = append(keys, change{"ADD INDEX (sid)", "add an index on sid"})
	}
	return keys
}

// wantsPrimary reports whether the table has neither a primary key nor another index that
// tells its rows apart.
func (t *table) wantsPrimary() bool {
	return !t.isUnique(t.unique...) && !slices.ContainsFunc(t.indexes, func(i index) bool { return i.name == "PRIMARY" })
}

func (t *table) addUnique() change {
	columns := strings.Join(t.unique, ", ")
	if t.wantsPrimary() {
		return change{"ADD PRIMARY KEY (" + columns + ")", "add a primary key on " + columns}
	}
	return change{"ADD UNIQUE INDEX (" + columns + ")", "add a unique index on " + columns}
}

// obstacle is what no plan can get over.
func (s *schema) obstacle() error {
	for _, t := range []*table{&s.sessions, &s.metadata} {
		if t.view {
			return detail(ErrSchema, "%s is a view; name the table itself in the configuration", t.name)
		}
		if t.foreign() {
			return detail(ErrSchema, "table %s was not made for sessions: it lacks columns that it would have; choose another table", t.name)
		}
		for _, name := range t.wants {
			c := t.column(name)
			if c != nil && !c.convertible(name) {
				return detail(ErrSchema, "column %s.%s is %s, of which Migrate can make no %s", t.name, name, strings.ToUpper(c.kind), newColumnType(name))
			}
		}
		for i := range t.foreignKeys {
			k := &t.foreignKeys[i]
			for _, name := range k.columns {
				if t.changing(name) && (t == &s.sessions || !s.own(k)) {
					return detail(ErrSchema, "column %s.%s has to change and is in foreign key %s to table %s; drop that key first", t.name, name, k.name, k.table)
				}
			}
		}
	}
	return nil
}
