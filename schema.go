package mysqlsession

import (
	"context"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/mysqlsession/mysqlsession/internal/wire"
)

// schema is what a server has of a store's two tables, as read at one moment. It does
// not change after that, and is safe for concurrent use.
type schema struct {
	sessions, metadata table

	sessionsLack, metadataLack error // ErrSchema with the first thing that is missing; nil: nothing
	primary                    bool  // the id is the primary key of its sessions
	// What the columns can hold.
	key, name, value, metadataKey, audience, subject bound
}

// table is one table, or what stands in its place.
type table struct {
	name     string   // as configured, "name" or "database.name"
	database string   // the one that it is in
	wants    []string // the columns that the store uses
	unique   []string // those that tell its rows apart; without them it is no table of a store
	present  bool
	view     bool

	engine        string
	transactional bool
	partitioned   bool
	columns       []column // in the table's order
	indexes       []index  // by name
	foreignKeys   []foreignKey
}

// column is one column.
type column struct {
	name      string
	kind      string // DATA_TYPE in lower case
	charset   string // "": binary, or no string
	collation string
	length    int64 // of strings, in characters; of text types in bytes
	bytes     int64 // of strings, in bytes
	nullable  bool
	byDefault bool   // it has a default, or makes its values itself
	extra     string // EXTRA in lower case
	comment   string
}

// index is one index. A column of which only a prefix is in it, or that is an
// expression, has an empty name: such a part neither makes a row unique nor finds one.
type index struct {
	name    string
	unique  bool
	columns []string
}

// foreignKey is one foreign key.
type foreignKey struct {
	name            string
	columns         []string
	database, table string // that it references
	referenced      []string
	deleteRule      string
}

// schemaRowLimit is the most bytes of a row about a column, whose comment may have 1024
// characters. MaxPacketSize may be less.
const schemaRowLimit = 16 << 10

// A table that is being made or changed may show in one of the queries and not in the
// next: MariaDB answers them from its files. Such a reading is taken again.
const (
	readings   = 10
	readingGap = 50 * time.Millisecond
)

// readSchema asks the server for both tables, in one round trip. A table without a
// database of its own is looked for in the connection's.
//
// Each query names one table in a way in which MariaDB opens that one only, instead of
// every table of the server.
func readSchema(ctx context.Context, c *Conn, sessionsTable, metadataTable string) (*schema, error) {
	limit := c.packetLimit
	c.packetLimit = max(limit, schemaRowLimit)
	defer func() { c.packetLimit = limit }()
	for reading := 1; ; reading++ {
		s := &schema{
			sessions: table{name: sessionsTable, wants: []string{"sid", "name", "data", "exp"}, unique: []string{"sid"}},
			metadata: table{name: metadataTable, wants: []string{"aud", "sub", "sid"}, unique: []string{"aud", "sub", "sid"}},
		}
		if err := s.read(ctx, c); err != nil {
			return nil, c.call("read the schema", err)
		}
		if reading == readings || !s.sessions.torn() && !s.metadata.torn() {
			s.conclude()
			return s, nil
		}
		if !pause(ctx, readingGap) {
			return nil, c.call("read the schema", &notAppliedError{contextError(ctx, ctx.Err())})
		}
	}
}

func (s *schema) read(ctx context.Context, c *Conn) error {
	database := ""
	requests := []request{{statement: "SELECT DATABASE()", columns: 1, row: func(values []wire.Value) error {
		database = text(values[0])
		return nil
	}}}
	requests = append(requests, s.sessions.requests()...)
	requests = append(requests, s.metadata.requests()...)
	if err := c.roundTrip(ctx, effectNone, requests); err != nil {
		return err
	}
	for _, t := range []*table{&s.sessions, &s.metadata} {
		if t.database, _ = t.split(); t.database == "" {
			t.database = database
		}
		if t.database == "" {
			return detail(ErrSchema, "no database is selected for table %s", t.name)
		}
	}
	return nil
}

// torn reports whether the answers about the table are from different moments.
func (t *table) torn() bool {
	return t.present != (len(t.columns) > 0) || t.present && !t.view && t.engine == ""
}

// requests are the queries that fill t.
func (t *table) requests() []request {
	where := t.where("TABLE_SCHEMA", "TABLE_NAME")
	// The names of the constraints join, not their schemas: MariaDB would read every
	// table of the server for a schema that it learns from the other table.
	keys := "SELECT k.CONSTRAINT_NAME, k.COLUMN_NAME, k.REFERENCED_TABLE_SCHEMA, k.REFERENCED_TABLE_NAME, k.REFERENCED_COLUMN_NAME, r.DELETE_RULE " +
		"FROM information_schema.KEY_COLUMN_USAGE k JOIN information_schema.REFERENTIAL_CONSTRAINTS r ON r.CONSTRAINT_NAME = k.CONSTRAINT_NAME " +
		"WHERE " + t.where("k.TABLE_SCHEMA", "k.TABLE_NAME") + " AND " + t.where("r.CONSTRAINT_SCHEMA", "r.TABLE_NAME") +
		" AND k.REFERENCED_TABLE_NAME IS NOT NULL ORDER BY k.CONSTRAINT_NAME, k.ORDINAL_POSITION"
	return []request{
		{columns: 4, row: t.addTable, statement: "SELECT t.TABLE_TYPE, t.ENGINE, e.TRANSACTIONS, t.CREATE_OPTIONS " +
			"FROM information_schema.TABLES t LEFT JOIN information_schema.ENGINES e ON e.ENGINE = t.ENGINE WHERE " + t.where("t.TABLE_SCHEMA", "t.TABLE_NAME")},
		{columns: 10, row: t.addColumn, statement: "SELECT COLUMN_NAME, DATA_TYPE, CHARACTER_SET_NAME, COLLATION_NAME, CHARACTER_MAXIMUM_LENGTH, " +
			"CHARACTER_OCTET_LENGTH, IS_NULLABLE, COLUMN_DEFAULT IS NOT NULL, EXTRA, COLUMN_COMMENT FROM information_schema.COLUMNS WHERE " + where + " ORDER BY ORDINAL_POSITION"},
		{columns: 4, row: t.addIndexed, statement: "SELECT INDEX_NAME, NON_UNIQUE, COLUMN_NAME, SUB_PART " +
			"FROM information_schema.STATISTICS WHERE " + where + " ORDER BY INDEX_NAME, SEQ_IN_INDEX"},
		{columns: 6, row: t.addReferencing, statement: keys},
	}
}

// split takes the configured name apart; database is "" if the name has none.
func (t *table) split() (database, name string) {
	if database, name, ok := strings.Cut(t.name, "."); ok {
		return database, name
	}
	return "", t.name
}

// where is the condition for rows about t. Its parts are plain identifiers, as validation
// sees to; they are quoted all the same.
func (t *table) where(schemaColumn, nameColumn string) string {
	database, name := t.split()
	inDatabase := "DATABASE()"
	if database != "" {
		inDatabase = quoteText(database)
	}
	return schemaColumn + " = " + inDatabase + " AND " + nameColumn + " = " + quoteText(name)
}

// quoteText makes a string literal. A backslash escapes in this package's sql_mode.
func quoteText(s string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `''`).Replace(s) + "'"
}

// quoteIdentifier makes an identifier of any name that a server gave.
func quoteIdentifier(name string) string {
	return "`" + strings.ReplaceAll(name, "`", "``") + "`"
}

// quoted is the table's name as statements have it.
func (t *table) quoted() string { return quoteTable(t.name) }

// qualified is the table's name with its database.
func (t *table) qualified() string {
	_, name := t.split()
	return quoteIdentifier(t.database) + "." + quoteIdentifier(name)
}

func text(v wire.Value) string { return string(v.Raw()) }

func (t *table) addTable(values []wire.Value) error {
	t.present = true
	t.view = strings.HasSuffix(text(values[0]), "VIEW")
	t.engine, t.transactional = text(values[1]), text(values[2]) == "YES"
	t.partitioned = strings.Contains(strings.ToLower(text(values[3])), "partitioned")
	return nil
}

func (t *table) addColumn(values []wire.Value) error {
	c := column{
		name:      text(values[0]),
		kind:      strings.ToLower(text(values[1])),
		charset:   strings.ToLower(text(values[2])),
		collation: strings.ToLower(text(values[3])),
		nullable:  text(values[6]) == "YES",
		extra:     strings.ToLower(text(values[8])),
		comment:   text(values[9]),
	}
	c.length, _ = values[4].Int() // NULL for what is no string
	c.bytes, _ = values[5].Int()
	c.byDefault = text(values[7]) == "1" || strings.Contains(c.extra, "auto_increment") || strings.Contains(c.extra, "generated")
	if c.charset == "binary" {
		c.charset = ""
	}
	t.columns = append(t.columns, c)
	return nil
}

func (t *table) addIndexed(values []wire.Value) error {
	name := text(values[0])
	if n := len(t.indexes); n == 0 || t.indexes[n-1].name != name {
		t.indexes = append(t.indexes, index{name: name, unique: text(values[1]) == "0"})
	}
	part := strings.ToLower(text(values[2]))
	if !values[3].IsNull() {
		part = ""
	}
	last := &t.indexes[len(t.indexes)-1]
	last.columns = append(last.columns, part)
	return nil
}

func (t *table) addReferencing(values []wire.Value) error {
	name := text(values[0])
	if n := len(t.foreignKeys); n == 0 || t.foreignKeys[n-1].name != name {
		t.foreignKeys = append(t.foreignKeys, foreignKey{
			name: name, database: text(values[2]), table: text(values[3]), deleteRule: strings.ToUpper(text(values[5])),
		})
	}
	last := &t.foreignKeys[len(t.foreignKeys)-1]
	last.columns = append(last.columns, strings.ToLower(text(values[1])))
	last.referenced = append(last.referenced, strings.ToLower(text(values[4])))
	return nil
}

// column finds a column by its name, which SQL compares without regard to case.
func (t *table) column(name string) *column {
	for i := range t.columns {
		if strings.EqualFold(t.columns[i].name, name) {
			return &t.columns[i]
		}
	}
	return nil
}

// foreign reports whether the table lacks what every table of a store has had from the
// beginning: it was made for something else.
func (t *table) foreign() bool {
	for _, name := range t.unique {
		if t.present && t.column(name) == nil {
			return true
		}
	}
	return false
}

// referable reports whether the table can be at one end of a foreign key once it has been
// migrated. Not every server refuses a key that cannot work.
func (t *table) referable() bool {
	return !t.partitioned && (!t.transactional || strings.EqualFold(t.engine, "InnoDB"))
}

// fault says why the statements of a store cannot work with the column; "" if they can.
func (c *column) fault(name string) string {
	switch {
	case name == "exp":
		if c.kind != "datetime" && c.kind != "timestamp" {
			return "is " + strings.ToUpper(c.kind) + " where DATETIME is needed"
		}
	case c.kind == "binary":
		return "is BINARY, which pads what is shorter"
	case !c.holdsStrings():
		return "is " + strings.ToUpper(c.kind) + ", which does not hold a string as it is"
	case c.wide():
		return "has character set " + c.charset + ", which stores ASCII in other bytes"
	}
	return ""
}

// holdsStrings reports whether the column is of a type that stores strings as they are.
func (c *column) holdsStrings() bool {
	switch c.kind {
	case "char", "varchar", "tinytext", "text", "mediumtext", "longtext",
		"binary", "varbinary", "tinyblob", "blob", "mediumblob", "longblob":
		return true
	default:
		return false
	}
}

// wide reports whether the character set has more than one byte for an ASCII character.
func (c *column) wide() bool {
	switch c.charset {
	case "ucs2", "utf16", "utf16le", "utf32":
		return true
	default:
		return false
	}
}

// isUnique reports whether an index admits each combination of the columns once.
func (t *table) isUnique(columns ...string) bool {
	for _, i := range t.indexes {
		if i.unique && len(i.columns) == len(columns) && containsAll(i.columns, columns) {
			return true
		}
	}
	return false
}

// indexed reports whether an index begins with the columns, in any order.
func (t *table) indexed(columns ...string) bool {
	for _, i := range t.indexes {
		if len(i.columns) >= len(columns) && containsAll(i.columns[:len(columns)], columns) {
			return true
		}
	}
	return false
}

func containsAll(have, want []string) bool {
	for _, w := range want {
		if !slices.Contains(have, w) {
			return false
		}
	}
	return true
}

// conclude works out what the store asks for before each call.
func (s *schema) conclude() {
	s.sessionsLack = s.sessions.lack()
	if s.sessionsLack == nil && !s.sessions.view && !s.sessions.isUnique("sid") {
		s.sessionsLack = detail(ErrSchema, "table %s has no primary key or unique index on sid, so that each save would add a row; run Migrate", s.sessions.name)
	}
	s.metadataLack = s.metadata.lack()
	s.primary = slices.ContainsFunc(s.sessions.indexes, func(i index) bool {
		return i.name == "PRIMARY" && slices.Equal(i.columns, s.sessions.unique)
	})
	s.key = s.sessions.bound("sid")
	s.name = s.sessions.bound("name")
	s.value = s.sessions.bound("data")
	s.metadataKey = s.metadata.bound("sid")
	s.audience = s.metadata.bound("aud")
	s.subject = s.metadata.bound("sub")
}

// lack is the error of operations that need the table.
func (t *table) lack() error {
	if !t.present {
		return detail(ErrSchema, "table %s does not exist; run Migrate", t.name)
	}
	for _, name := range t.wants {
		c := t.column(name)
		if c == nil {
			return detail(ErrSchema, "table %s has no column %s; run Migrate", t.name, name)
		}
		if fault := c.fault(name); fault != "" {
			return detail(ErrSchema, "column %s.%s %s; run Migrate", t.name, name, fault)
		}
	}
	return nil
}

// needSessions is the error of every operation while the sessions' table lacks something
// that the statements need: ErrSchema, or nil.
func (s *schema) needSessions() error { return s.sessionsLack }

// needMetadata is the error of operations that use metadata while their table lacks
// something: ErrSchema, or nil.
func (s *schema) needMetadata() error { return s.metadataLack }

// bound is what one column can hold.
type bound struct {
	column  string // as "table.column", for errors
	length  int    // bytes, or characters, which are as many in what a text column is given
	charset string // "": binary
	trims   bool   // CHAR: trailing spaces are lost
}

// bound is the bound of a column; of one that is missing it is never asked for.
func (t *table) bound(name string) bound {
	c := t.column(name)
	if c == nil {
		return bound{column: t.name + "." + name}
	}
	return bound{column: t.name + "." + name, length: int(min(c.length, math.MaxInt32)), charset: c.charset, trims: c.kind == "char"}
}

// checkSession sees whether a valid id, a name and a value come back from their columns as
// they are: ErrInvalidKey, ErrInvalidName or ErrValueTooLarge for what is too long,
// ErrTextColumn for what a text column would change.
func (s *schema) checkSession(key, name string, value []byte) error {
	if len(key) > s.key.length {
		return s.key.tooLong(ErrInvalidKey, len(key))
	}
	if err := checkBound(&s.name, name, ErrInvalidName); err != nil {
		return err
	}
	return checkBound(&s.value, value, ErrValueTooLarge)
}

// checkMetadata is checkSession for a session's audience and subject.
func (s *schema) checkMetadata(key, audience, subject string) error {
	if len(key) > s.metadataKey.length {
		return s.metadataKey.tooLong(ErrInvalidKey, len(key))
	}
	if err := checkBound(&s.audience, audience, ErrInvalidName); err != nil {
		return err
	}
	return checkBound(&s.subject, subject, ErrInvalidName)
}

func checkBound[T string | []byte](b *bound, value T, tooLong error) error {
	switch {
	case len(value) > b.length:
		return b.tooLong(tooLong, len(value))
	case b.charset == "":
		return nil
	case !isASCII(value):
		return detail(ErrTextColumn, "column %s has character set %s and is given ASCII only; run Migrate to make it binary", b.column, b.charset)
	case b.trims && len(value) > 0 && value[len(value)-1] == ' ':
		return detail(ErrTextColumn, "column %s is CHAR, which drops trailing spaces; run Migrate to make it binary", b.column)
	}
	return nil
}

func (b *bound) tooLong(sentinel error, length int) error {
	return detail(sentinel, "%d bytes, column %s holds %d", length, b.column, b.length)
}

func isASCII[T string | []byte](value T) bool {
	for i := range len(value) {
		if value[i] >= 0x80 {
			return false
		}
	}
	return true
}
