package measure

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"time"
)

// The operations that are measured.
const (
	Get   = "get"   // read a session
	Set   = "set"   // store a session again, with another value
	Mixed = "mixed" // of both, by Workload.ReadShare
)

const (
	// cookie is the name of all sessions in a scratch table.
	cookie = "bench"
	// lifetime is that of what is stored: longer than anything is measured.
	lifetime = 24 * time.Hour
	// stamp is the part of a value that is another one in each call: a server writes
	// nothing for a row that stays as it is.
	stamp = 8
	// largestValue is what a store with its default MaxPacketSize takes.
	largestValue = 1<<20 - 4
)

// Workload is what is in the table, and what is done to it.
type Workload struct {
	Sessions  int     `json:"sessions"`    // in the table
	ValueSize int     `json:"value_bytes"` // of each
	ReadShare float64 `json:"read_share"`  // of a mixed operation's calls, from 0 to 1
}

// Validate reports what cannot be measured.
func (w Workload) Validate() error {
	switch {
	case w.Sessions < 1 || w.Sessions > 1_000_000:
		return fmt.Errorf("sessions is %d, must be from 1 to 1000000", w.Sessions)
	case w.ValueSize < stamp || w.ValueSize > largestValue:
		return fmt.Errorf("value size is %d, must be from %d to %d bytes", w.ValueSize, stamp, largestValue)
	case !(w.ReadShare >= 0 && w.ReadShare <= 1):
		return fmt.Errorf("read share is %v, must be from 0 to 1", w.ReadShare)
	}
	return nil
}

// newKeys makes ids as a service does.
func newKeys(count int) []string {
	keys := make([]string, count)
	var id [32]byte
	for i := range keys {
		_, _ = rand.Read(id[:])
		keys[i] = base64.RawURLEncoding.EncodeToString(id[:])
	}
	return keys
}

// newValue makes bytes that nothing can compress.
func newValue(size int) []byte {
	value := make([]byte, size)
	_, _ = rand.Read(value)
	return value
}

// scatter spreads callers and their calls over all numbers (the finalizer of splitmix64).
func scatter(caller, n int) uint64 {
	x := uint64(caller)<<32 + uint64(n) + 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// values are what callers store: each has one of its own, another one at each call.
type values [][]byte

func newValues(callers, size int) values {
	v := make(values, callers)
	for i := range v {
		v[i] = newValue(size)
	}
	return v
}

func (v values) next(caller, n int) []byte {
	binary.LittleEndian.PutUint64(v[caller], scatter(caller, n))
	return v[caller]
}

// reads reports whether a mixed operation's call is a read.
func (w Workload) reads(caller, n int) bool {
	return float64(scatter(^caller&0xffff, n)>>11)/(1<<53) < w.ReadShare
}
