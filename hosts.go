package mysqlsession

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// endpoint is one place where a server may be.
type endpoint struct {
	network string // "tcp" or "unix"
	address string // "host:port" or a path
	host    string // what a certificate must be for
}

// endpoints are the addresses to try, in this order. They have been validated.
func (cfg *Config) endpoints() []endpoint {
	if cfg.Socket != "" {
		return []endpoint{{network: "unix", address: cfg.Socket, host: "localhost"}}
	}
	first := net.JoinHostPort(cfg.Host, strconv.Itoa(int(cfg.Port)))
	endpoints := []endpoint{{network: "tcp", address: first, host: cfg.Host}}
	for _, address := range cfg.Hosts {
		host, _, _ := net.SplitHostPort(address)
		endpoints = append(endpoints, endpoint{network: "tcp", address: address, host: host})
	}
	return endpoints
}

// severalHosts reports whether there is more than one address, of which those that are not
// writable are passed over.
func (cfg *Config) severalHosts() bool { return cfg.Socket == "" && len(cfg.Hosts) > 0 }

// firstServing tries the addresses until one serves. One that fails in a way that another
// may not is given up after its share of the time that ctx leaves: half of it if there is
// one more, a third if there are two. memory, if not nil, decides which are tried first,
// and learns how it went.
func (cfg *Config) firstServing(ctx context.Context, memory *hosts, try func(ctx context.Context, to endpoint, rank int) error) error {
	endpoints := cfg.endpoints()
	order, silent := memory.order(len(endpoints))
	lessons := make([]lesson, 0, len(order))
	again := false // an address is tried a second time
	var errs []error
	for i := 0; i < len(order); i++ {
		rank := order[i]
		to := endpoints[rank]
		tries := len(order) - i
		if tries <= silent {
			tries = len(order) // not all the time there is: one that has answered before may be back
		}
		failures := memory.failed(rank)
		err := inShare(ctx, tries, func(ctx context.Context) error { return try(ctx, to, rank) })
		if err == nil && memory.failed(rank) != failures {
			err = errFailedMeanwhile
			if !again { // what it says to a new login, once the others have been asked, counts
				again, order = true, append(order, rank)
			}
		}
		if err != nil && errors.Is(ctx.Err(), context.Canceled) {
			return &callError{"connect to " + to.address, err} // it says nothing about the server
		}
		lessons = append(lessons, lesson{rank, stateAfter(err)})
		if err == nil {
			memory.learn(cfg, lessons)
			return nil
		}
		errs = append(errs, &callError{"connect to " + to.address, err})
		if ctx.Err() != nil || !mayServeElsewhere(err) {
			break
		}
	}
	memory.learn(cfg, lessons)
	if len(errs) == 1 {
		return errs[0]
	}
	return &dialError{errs}
}

// errFailedMeanwhile is a connection to an address that was found failed while it was being
// opened. A server that hung, and goes on, answers a login before it knows that others have
// gone on without it.
var errFailedMeanwhile = detail(ErrUnavailable, "it failed meanwhile")

// inShare calls try with an equal share of the time that ctx leaves for so many tries.
func inShare(ctx context.Context, tries int, try func(ctx context.Context) error) error {
	if deadline, ok := ctx.Deadline(); ok && tries > 1 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Until(deadline)/time.Duration(tries))
		defer cancel()
	}
	return try(ctx)
}

// mayServeElsewhere reports whether another server may do what one has failed to do.
// Wrong passwords and the like are the same everywhere, and hidden if passed over.
func mayServeElsewhere(err error) bool {
	return errors.Is(err, ErrUnavailable) || errors.Is(err, ErrProtocol)
}

// dialError holds the failure of each address that was tried.
type dialError struct{ failures []error }

func (e *dialError) Error() string {
	texts := make([]string, len(e.failures))
	for i, failure := range e.failures {
		texts[i] = trimPrefix(failure)
	}
	return prefix + strings.Join(texts, "; ")
}

func (e *dialError) Unwrap() []error { return e.failures }

// notServingError is a server that takes no writes, where another one may.
type notServingError struct{ variable string }

func (e *notServingError) Error() string {
	return trimPrefix(ErrNotWritable) + ": " + e.variable + " is on"
}
func (e *notServingError) Unwrap() []error { return []error{ErrUnavailable, ErrNotWritable} }

// hostState is what the last attempt to connect to an address came to. Addresses are tried
// in the states' order, and in the configuration's within a state.
type hostState uint8

const (
	hostUnknown hostState = iota
	hostServes
	hostFull   // it takes no more connections; those that there are serve on
	hostFailed // in a moment
	hostSilent // after its whole share of the time
	hostForgot // nothing was learned
)

// stateAfter is the state of an address after an attempt.
func stateAfter(err error) hostState {
	refused := asServerError(err)
	switch {
	case err == nil:
		return hostServes
	case !mayServeElsewhere(err), err == errFailedMeanwhile:
		return hostForgot
	case refused != nil && (refused.Code == 1040 || refused.Code == 1203 || refused.Code == 1226):
		return hostFull
	case errors.Is(err, context.DeadlineExceeded):
		return hostSilent
	default:
		return hostFailed
	}
}

type lesson struct {
	rank  int
	state hostState
}

// hosts remembers, for a pool, which of its addresses serve, so that one that is dead costs
// one dial its share of the time and not every dial. An address that failed is tried last,
// until an attempt at it succeeds: a probe's, mostly. It is safe for concurrent use.
type hosts struct {
	list []endpoint
	// target is the rank of the first address that is known to serve, where connections
	// belong; -1: none is.
	target atomic.Int32

	mu     sync.Mutex // guards what follows; nothing blocks under it
	states []hostState
	fails  []int // how often each was found failed
	wells  []well
	logged int32 // the target that the log was told of last
}

// well is how often in a row probes have found an address well.
type well struct {
	times int
	last  time.Time
}

// trustedWells is how many probes in a row must find an address well before connections go
// back to it. A server that was cut off, or stopped for a while, believes for some moments
// that nothing has happened.
const trustedWells = 3

func newHosts(list []endpoint) *hosts {
	h := &hosts{list: list, states: make([]hostState, len(list)), fails: make([]int, len(list)), wells: make([]well, len(list))}
	h.target.Store(-1)
	return h
}

// failed is how often the address of that rank was found failed, if there are others.
func (h *hosts) failed(rank int) int {
	if h == nil || !h.several() {
		return 0
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.fails[rank]
}

// several reports whether there is a choice.
func (h *hosts) several() bool { return len(h.list) > 1 }

// order is how to try the addresses, by rank, and how many at its end were silent. A nil
// *hosts knows of nothing.
func (h *hosts) order(count int) (order []int, silent int) {
	order = make([]int, count)
	for i := range order {
		order[i] = i
	}
	if h == nil || count == 1 {
		return order, 0
	}
	class := func(rank int) hostState { return max(h.states[rank], hostServes) }
	h.mu.Lock()
	defer h.mu.Unlock()
	slices.SortStableFunc(order, func(a, b int) int { return int(class(a)) - int(class(b)) })
	for _, state := range h.states {
		if state == hostSilent {
			silent++
		}
	}
	return order, silent
}

// learn takes what came of attempts, all at once: while the others are being tried, one
// that failed is no worse than they may be.
func (h *hosts) learn(cfg *Config, lessons []lesson) {
	if h == nil {
		return
	}
	h.mu.Lock()
	for _, l := range lessons {
		if l.state != hostForgot {
			h.states[l.rank] = l.state
		}
		if l.state == hostFailed || l.state == hostSilent {
			h.fails[l.rank]++
		}
		if l.state == hostServes {
			h.wells[l.rank] = well{}
		}
	}
	target := int32(slices.Index(h.states, hostServes))
	h.target.Store(target)
	moved := target >= 0 && target != h.logged
	if moved {
		h.logged = target
	}
	h.mu.Unlock()
	if moved {
		cfg.Logger.LogAttrs(context.Background(), slog.LevelWarn, "mysqlsession: connections lead to another address",
			slog.String("pool", cfg.Pool), slog.String("address", h.list[target].address))
	}
}

// probed takes what came of a probe, and reports whether connections belong to that address
// now.
func (h *hosts) probed(cfg *Config, rank int, err error) bool {
	h.mu.Lock()
	w := &h.wells[rank]
	switch now := time.Now(); {
	case err != nil:
		*w = well{}
	case now.Sub(w.last) >= cfg.HealthCheckPeriod/2: // not one that had hung in it, and the next
		w.times, w.last = w.times+1, now
	}
	trusted := err != nil || w.times >= trustedWells
	h.mu.Unlock()
	if trusted {
		h.learn(cfg, []lesson{{rank, stateAfter(err)}})
	}
	return err == nil && trusted
}

// placement says whether a connection leads where it should.
type placement uint8

const (
	placeRight placement = iota
	placeLater           // an earlier address serves again
	placeLost            // its address has failed, and another one serves
)

// place is the placement of a connection to the address of this rank; -1: to one that the
// memory is not about.
func (h *hosts) place(rank int) placement {
	target := int(h.target.Load())
	if rank == target || target < 0 || rank < 0 {
		return placeRight
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case h.states[rank] >= hostFailed:
		return placeLost
	case rank > target:
		return placeLater
	default:
		return placeRight
	}
}
