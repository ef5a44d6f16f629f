package mysqlsession_test

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	mathrand "math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mysqlsession/mysqlsession"
)

const (
	benchConns    = 16      // connections of every peer
	benchSessions = 1 << 14 // a power of two: strides that are odd come to all of them
	benchValue    = 1 << 10 // bytes
	benchName     = "session"
	benchTTL      = time.Hour
	mostCallers   = 1024
)

// sessionKeys are the ids of the sessions that are there from the start, in their order.
var sessionKeys = sync.OnceValue(func() []string {
	keys := make([]string, benchSessions)
	for i := range keys {
		keys[i] = newKey()
	}
	slices.Sort(keys)
	return keys
})

func newKey() string {
	var id [32]byte
	_, _ = rand.Read(id[:]) // never fails
	return base64.RawURLEncoding.EncodeToString(id[:])
}

// numberedKey is an id that looks as random and can be found again without being kept.
func numberedKey(i int) string {
	id := sha256.Sum256(binary.BigEndian.AppendUint64(nil, uint64(i)))
	return base64.RawURLEncoding.EncodeToString(id[:])
}

// sessionValue is a value that no other session has.
func sessionValue(i, size int) []byte {
	value := make([]byte, size)
	random := mathrand.New(mathrand.NewPCG(uint64(i), 0))
	for at := 0; at < size; at += 8 {
		var word [8]byte
		binary.BigEndian.PutUint64(word[:], random.Uint64())
		for j, octet := range word[:min(8, size-at)] {
			value[at+j] = 'a' + octet%26
		}
	}
	return value
}

// values are what callers store: a server may notice that it has a value already, so each
// write's differs from all others. A caller's value is its own until its next call.
type values [][]byte

func newValues(callers int) values {
	v := make(values, callers)
	for caller := range v {
		v[caller] = sessionValue(caller, benchValue)
		binary.BigEndian.PutUint64(v[caller], uint64(caller)<<32)
	}
	return v
}

// next counts in the value's first bytes.
func (v values) next(caller int) []byte {
	value := v[caller]
	binary.BigEndian.PutUint64(value, binary.BigEndian.Uint64(value)+1)
	return value
}

// anyKey is some session's id. Callers spread over all of them.
func anyKey(caller, n int) string {
	return sessionKeys()[(uint(caller)*7919+uint(n)*104729)%benchSessions]
}

// chain is the ids that one caller's session goes through.
type chain struct{ last []string }

func newChain() *chain { return &chain{last: make([]string, mostCallers)} }

// next is the old id, "" for the first, and the new one.
func (c *chain) next(caller int) (old, key string) {
	old, key = c.last[caller], newKey()
	c.last[caller] = key
	return old, key
}

func benchMetadata(caller int) []mysqlsession.Metadata {
	subject := "user-" + strconv.Itoa(caller)
	return []mysqlsession.Metadata{{Audience: "web", Subject: subject}, {Audience: "api", Subject: subject}}
}

// storedSession is a session to be put into the table.
type storedSession struct {
	key     string
	value   []byte
	expires int64  // in Unix seconds
	subject string // of the audience "web"; "": no metadata
}

const (
	loadConns = 4
	loadRows  = 500 // of one statement
)

// loadSessions puts count sessions into tables that have none of them, as fast as the
// server takes them: many rows to a statement, which is a transaction, on a few
// connections, without a look at the foreign key.
func loadSessions(b *testing.B, cfg mysqlsession.Config, count int, session func(i int) storedSession) {
	cfg.ReadTimeout = -1 // a server that writes its pages out may pause
	chunks := make(chan int)
	var group sync.WaitGroup
	for range loadConns {
		conn, err := mysqlsession.Connect(b.Context(), cfg)
		require.NoError(b, err)
		group.Go(func() {
			defer func() { _ = conn.Close() }()
			_, err := conn.Exec(context.Background(), "SET foreign_key_checks = 0")
			for first := range chunks {
				if err == nil {
					err = loadChunk(conn, first, min(first+loadRows, count), session)
				}
			}
			if err != nil {
				b.Error(err)
			}
		})
	}
	for first := 0; first < count; first += loadRows {
		chunks <- first
	}
	close(chunks)
	group.Wait()
	if b.Failed() {
		b.FailNow()
	}
}

func loadChunk(conn *mysqlsession.Conn, first, end int, session func(i int) storedSession) error {
	var rows, metadata []any
	for i := first; i < end; i++ {
		s := session(i)
		rows = append(rows, s.key, benchName, s.value, s.expires)
		if s.subject != "" {
			metadata = append(metadata, "web", s.subject, s.key)
		}
	}
	_, err := conn.Exec(context.Background(),
		"INSERT INTO sessions (sid, name, data, exp) VALUES "+listOf("(?, ?, ?, FROM_UNIXTIME(?))", len(rows)/4), rows...)
	if err == nil && len(metadata) > 0 {
		_, err = conn.Exec(context.Background(),
			"INSERT INTO sessions_meta (aud, sub, sid) VALUES "+listOf("(?, ?, ?)", len(metadata)/3), metadata...)
	}
	return err
}

// listOf is n times item, with commas between.
func listOf(item string, n int) string { return strings.Repeat(item+", ", n-1) + item }
