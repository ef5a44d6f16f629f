package faultproxy

import (
	"sync"
	"sync/atomic"
	"time"
)

// Direction is one of the two ways in which bytes travel.
type Direction int

// The directions.
const (
	ToServer Direction = iota
	ToClient
	directions
)

// Action is what a rule does to a connection in the end.
type Action int

// The actions.
const (
	// Nothing leaves the connection as it is.
	Nothing Action = iota
	// Cut closes both sides, as a process does that ends.
	Cut
	// Reset has both sides get a reset.
	Reset
	// Hold stops reading, so that the sender's buffers fill. When the rule is replaced the
	// bytes flow again, and none is lost.
	Hold
	// Swallow reads on and forwards nothing, not even that the sender has closed: the
	// sender believes that all is well. What was swallowed is lost, so it is for good.
	Swallow
)

// Rule says what happens to the bytes of one direction. The zero value forwards them.
type Rule struct {
	// After is how many bytes of each connection pass, counted from when the rule was
	// set, before Then happens. With 0 it happens when a byte would pass.
	After int64
	Then  Action
	// Times is how often Then happens at most, over all connections. 0: any number.
	Times int64

	// Delay is how long each piece is held before it goes on.
	Delay time.Duration
	// Rate is how many bytes pass in a second. 0: any number.
	Rate int
	// Slice is the most bytes that are sent at once, in a segment of their own. 0: what
	// came at once is sent at once.
	Slice int
	// Alter is what becomes of the byte at the offset, counted like After. nil: nothing.
	// It is called by all connections, at the same time.
	Alter func(offset int64, b byte) byte
}

// armed is a rule in force.
type armed struct {
	Rule
	left     atomic.Int64 // of Times
	once     sync.Once
	happened chan struct{} // closed when Then first happens
	lifted   chan struct{} // closed when another rule is in force
}

func arm(r Rule) *armed {
	a := &armed{Rule: r, happened: make(chan struct{}), lifted: make(chan struct{})}
	a.left.Store(r.Times)
	return a
}

// strikes reports whether Then is to happen, once more.
func (a *armed) strikes() bool {
	if a.Then == Nothing || a.Times > 0 && a.left.Add(-1) < 0 {
		return false
	}
	a.once.Do(func() { close(a.happened) })
	return true
}
