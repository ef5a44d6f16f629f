package coalesce

import "time"

// Call is one caller's call. Its Value holds what the caller asks for and, when Wait has
// returned, the answer. A Call can be used again when its Wait returned neither
// ErrLeftBatch nor a panic: until then a batch may still work on it.
type Call[T any] struct {
	Value T
	// Kind is the index of the call's Kind; only calls of one kind share a batch.
	Kind int
	// Weight is what the call takes of a batch's budget.
	Weight int
	// Err is the call's own error, for Run to set.
	Err error

	done       chan struct{} // gets one value when Value and Err are the caller's again
	state      callState
	order      uint64    // of arrival, among all kinds
	since      time.Time // when it began to wait
	deadline   time.Time // when its caller leaves; zero: not by itself
	batch      *batch    // nil until it runs
	prev, next *Call[T]  // in the queue
}

// NewCall returns a call that has not been made yet.
func NewCall[T any]() *Call[T] { return &Call[T]{done: make(chan struct{}, 1)} }

// Since is when the call began to wait.
func (c *Call[T]) Since() time.Time { return c.since }

// callState is where a call is: idle -> queued -> running -> idle, or from queued back to
// idle when its caller leaves.
type callState uint8

const (
	callIdle callState = iota
	callQueued
	callRunning
)

// queue is calls in the order of their arrival, any of which may leave.
type queue[T any] struct {
	first, last *Call[T]
	length      int
}

func (q *queue[T]) push(c *Call[T]) {
	c.prev, c.next = q.last, nil
	if q.last == nil {
		q.first = c
	} else {
		q.last.next = c
	}
	q.last = c
	q.length++
}

func (q *queue[T]) remove(c *Call[T]) {
	if c.prev == nil {
		q.first = c.next
	} else {
		c.prev.next = c.next
	}
	if c.next == nil {
		q.last = c.prev
	} else {
		c.next.prev = c.prev
	}
	c.prev, c.next = nil, nil
	q.length--
}
