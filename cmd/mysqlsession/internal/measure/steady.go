package measure

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mysqlsession/mysqlsession"
)

// Load is requests that arrive at a steady rate, whether or not earlier ones have been
// answered, as those of many users do: independently of each other.
type Load struct {
	Rate     float64       // of all instances together, in a second
	Duration time.Duration // that is measured
	WarmUp   time.Duration // before that, at the same rate
	// Deadline is each request's. What is not answered by then has failed.
	Deadline time.Duration
}

// Outcome is what became of the requests of a load.
type Outcome struct {
	Requests int64
	// Latencies are those of the requests that were answered, from the moment at which
	// they were due: what a queue costs is in them, wherever it is.
	Latencies *Latencies
	// Late is by how much requests were sent later than they were due, through this
	// machine's own fault.
	Late *Latencies
	// Rejected requests found the backlog full or would have waited too long, Expired ones
	// were not answered by their deadline.
	Rejected int64
	Expired  int64
	// Waiting is the most requests that were under way at a time beyond the connections,
	// of one instance.
	Waiting int
	// Achieved is answered requests in a second.
	Achieved float64
}

// Failed is how many requests were not answered.
func (o *Outcome) Failed() int64 { return o.Rejected + o.Expired }

// At is the latency that the given percentage of all requests did not exceed; one that failed
// exceeds everything. ok is false where that is not known.
func (o *Outcome) At(percentile float64) (latency time.Duration, ok bool) {
	answered := o.Latencies.Count()
	if o.Requests == 0 || answered == 0 {
		return 0, false
	}
	among := percentile * float64(o.Requests) / float64(answered)
	if among > 100 {
		return 0, false
	}
	return o.Latencies.At(among), true
}

// steady is a load that is being driven.
type steady struct {
	scratch     *Scratch
	peers       []Peer
	connections int // of each peer
	load        Load
	cancel      context.CancelCauseFunc

	underway []atomic.Int64 // by peer
	highest  []int64        // by peer; for the one who sends

	mutex   sync.Mutex // guards what follows
	outcome Outcome
	last    time.Time // when the last request was answered
}

// Steady drives the load through instances, of which each has so many connections. The mix of
// reads and writes is the workload's; the arrivals are the same at every call. Errors are
// those of requests other than rejections and missed deadlines, and the context's.
func Steady(ctx context.Context, scratch *Scratch, load Load, instances []Peer, connections int) (*Outcome, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	d := &steady{
		scratch: scratch, peers: instances, connections: connections, load: load, cancel: cancel,
		underway: make([]atomic.Int64, len(instances)), highest: make([]int64, len(instances)),
		outcome: Outcome{Latencies: NewLatencies(), Late: NewLatencies()},
	}
	if err := d.open(ctx); err != nil {
		return nil, err
	}
	d.arrive(ctx)
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	return &d.outcome, nil
}

// open has every instance open its connections and prepare its statements.
func (d *steady) open(ctx context.Context) error {
	for _, peer := range d.peers {
		for _, operation := range []string{Get, Set} {
			call, err := d.scratch.call(peer, operation, 2*d.connections)
			if err != nil {
				return err
			}
			if _, err := drive(ctx, 2*d.connections, 0, call); err != nil {
				return fmt.Errorf("warm-up: %w", err)
			}
		}
	}
	return nil
}

// mostUnderway is how many requests may be under way: more are a load that is not carried,
// and only cost memory.
const mostUnderway = 50_000

// arrive sends requests when they are due, and returns when all have ended.
func (d *steady) arrive(ctx context.Context) {
	random := rand.New(rand.NewPCG(1, 2)) // the same arrivals every time
	var group sync.WaitGroup
	begin := time.Now()
	measured := begin.Add(d.load.WarmUp)
	end := measured.Add(d.load.Duration)
	next := begin
	for n := 0; ; n++ {
		next = next.Add(time.Duration(random.ExpFloat64() / d.load.Rate * float64(time.Second)))
		r := request{instance: random.IntN(len(d.peers)), n: n, due: next, counts: !next.Before(measured)}
		if next.After(end) || !sleepUntil(ctx, next) {
			break
		}
		under := d.underway[r.instance].Add(1)
		d.highest[r.instance] = max(d.highest[r.instance], under)
		if under > mostUnderway {
			d.underway[r.instance].Add(-1)
			d.count(r, mysqlsession.ErrBacklogFull, 0)
			continue
		}
		group.Go(func() {
			defer d.underway[r.instance].Add(-1)
			d.send(ctx, r)
		})
	}
	group.Wait()
	d.finish(ctx, measured)
}

// sleepUntil reports whether the moment came before the context's end.
func sleepUntil(ctx context.Context, moment time.Time) bool {
	wait := time.Until(moment)
	if wait <= 0 {
		return ctx.Err() == nil
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// request is one of them.
type request struct {
	instance int
	n        int
	due      time.Time
	counts   bool // it is not of the warm-up
}

// send sends a request, and takes down what became of it.
func (d *steady) send(ctx context.Context, r request) {
	late := time.Since(r.due)
	within, cancel := context.WithDeadline(ctx, r.due.Add(d.load.Deadline))
	defer cancel()
	peer, key := d.peers[r.instance], d.scratch.key(r.instance, r.n)
	var err error
	if d.scratch.Workload.reads(r.instance, r.n) {
		err = peer.Get(within, key)
	} else {
		err = peer.Set(within, key, newValue(d.scratch.Workload.ValueSize))
	}
	if ctx.Err() != nil {
		return
	}
	d.count(r, err, late)
}

// count takes down what became of a request.
func (d *steady) count(r request, err error, late time.Duration) {
	now := time.Now()
	rejected := errors.Is(err, mysqlsession.ErrBacklogFull) || errors.Is(err, mysqlsession.ErrAcquireTimeout)
	expired := errors.Is(err, context.DeadlineExceeded)
	if err != nil && !rejected && !expired {
		d.cancel(err)
		return
	}
	if !r.counts {
		return
	}
	d.mutex.Lock()
	defer d.mutex.Unlock()
	d.outcome.Requests++
	d.outcome.Late.Record(late)
	switch {
	case rejected:
		d.outcome.Rejected++
	case expired:
		d.outcome.Expired++
	default:
		d.outcome.Latencies.Record(now.Sub(r.due))
		d.last = now
	}
}

func (d *steady) finish(ctx context.Context, measured time.Time) {
	if ctx.Err() != nil {
		return
	}
	d.mutex.Lock()
	defer d.mutex.Unlock()
	for i := range d.highest {
		d.outcome.Waiting = max(d.outcome.Waiting, int(d.highest[i])-d.connections)
	}
	if took := max(d.last.Sub(measured), d.load.Duration); d.outcome.Latencies.Count() > 0 {
		d.outcome.Achieved = float64(d.outcome.Latencies.Count()) / took.Seconds()
	}
}
