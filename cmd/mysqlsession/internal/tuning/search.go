package tuning

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/mysqlsession/mysqlsession"
	"github.com/mysqlsession/mysqlsession/cmd/mysqlsession/internal/measure"
)

// What trials are for.
const (
	purposeSize    = "pool size"          // at the rate with headroom
	purposeConfirm = "once more"          // the same again
	purposeLarger  = "twice as many"      // for comparison
	purposeRate    = "which rate"         // if the target is not met
	purposeResult  = "the recommendation" // as it is, at the target's own rate
)

// Trial is one measurement.
type Trial struct {
	Purpose  string  `json:"purpose"`
	PoolSize int     `json:"pool_size"`
	Rate     float64 `json:"requests_per_s"`
	Achieved float64 `json:"answered_per_s"`
	Requests int64   `json:"requests"`
	Failed   int64   `json:"failed"` // rejected, or not answered by their deadline
	P50      float64 `json:"p50_us"`
	// AtPercentile is the latency at the target's percentile of all requests, in which
	// failures count as slowest; nil where so many failed that there is none.
	AtPercentile *float64 `json:"at_percentile_us"`
	Longest      float64  `json:"longest_us"`
	Waiting      int      `json:"most_waiting"`
	// Late is how late this machine itself sent requests, at the target's percentile.
	Late float64 `json:"sent_late_us"`
	Met  bool    `json:"met"`
}

// lateShare is the share of the target's latency from which this machine's own lateness casts
// doubt on what it measured.
const lateShare = 0.1

// Doubtful reports whether this machine was late itself.
func (t Trial) Doubtful(target Target) bool { return t.Late > lateShare*micros(target.Latency) }

// Floor is what the server takes for one thing at a time.
type Floor struct {
	GetP50   float64   `json:"get_p50_us"`
	SetP50   float64   `json:"set_p50_us"`
	Connects []float64 `json:"connects_us"`
}

// Result is what was found.
type Result struct {
	Options  Options          `json:"options"`
	Workload measure.Workload `json:"workload"`
	Server   measure.Server   `json:"server"`
	Room     Room             `json:"room"`
	Floor    Floor            `json:"floor"`
	Trials   []Trial          `json:"trials"`
	// Met says that the target is met by the recommendation.
	Met bool `json:"met"`
	// OutOfTime says that there was no time to try every size that might have met the target.
	OutOfTime bool `json:"out_of_time"`
	// Reached is the highest rate at which the target was met, if not by what was wanted.
	Reached *Trial   `json:"reached,omitempty"`
	Advice  []Advice `json:"advice"`
	// Config is the recommendation; only with Met.
	Config mysqlsession.Config `json:"-"`
}

// search is one that goes on.
type search struct {
	scratch *measure.Scratch
	given   mysqlsession.Config
	began   time.Time
	trial   time.Duration
	tell    func(step string)
	*Result
}

// Search looks for the smallest pool with which the target is met with headroom, and derives
// the other settings. given is the configuration that they go into. It calls tell with what it
// does next. Errors are those of the server, and the context's.
func Search(ctx context.Context, scratch *measure.Scratch, given mysqlsession.Config, o Options, tell func(step string)) (*Result, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	s := &search{
		scratch: scratch, given: given, began: time.Now(), tell: tell,
		Result: &Result{
			Options: o, Workload: scratch.Workload, Server: scratch.Server,
			Room: newRoom(scratch.Server.MaxConnections, scratch.Server.Connected, o.Instances),
		},
	}
	sizes := s.Room.sizes()
	if len(sizes) == 0 {
		return nil, fmt.Errorf("no connection is left for a pool: %v", s.Room)
	}
	s.trial = trialTime(o.Limit, len(sizes))
	if err := s.floor(ctx); err != nil {
		return nil, err
	}
	for len(sizes) > 0 && !s.Met {
		chosen, err := s.chooseSize(ctx, sizes)
		if err != nil {
			return nil, err
		}
		if chosen == 0 {
			break
		}
		if err := s.recommend(ctx, chosen); err != nil {
			return nil, err
		}
		sizes = sizes[slices.Index(sizes, chosen)+1:]
	}
	if s.Met {
		return s.Result, nil
	}
	return s.Result, s.chooseRate(ctx)
}

const (
	// furtherTrials are those besides one for each size.
	furtherTrials = 8
	// The bounds of a trial's time. It has a warm-up of a quarter besides.
	shortestTrial = 100 * time.Millisecond
	longestTrial  = 10 * time.Second
	warmUpPart    = 4
)

// trialTime is the time of each trial. A search has its time also for what is not measured:
// opening connections, and the tails of requests.
func trialTime(limit time.Duration, sizes int) time.Duration {
	return min(max(limit*2/3/time.Duration(sizes+furtherTrials), shortestTrial), longestTrial)
}

// expired reports that there is no time for another trial.
func (s *search) expired() bool {
	return time.Since(s.began)+s.trial+s.trial/warmUpPart > s.Options.Limit
}

// connects is how many connections are opened, one after another, to see how long it takes.
const connects = 10

// floor measures what one connection takes.
func (s *search) floor(ctx context.Context) error {
	s.tell("one caller, and connecting")
	for range connects {
		began := time.Now()
		conn, err := mysqlsession.Connect(ctx, s.scratch.Config)
		if err != nil {
			return err
		}
		s.Floor.Connects = append(s.Floor.Connects, micros(time.Since(began)))
		if err := conn.Close(); err != nil {
			return err
		}
	}
	peer, err := measure.OpenOurs(ctx, s.scratch, 1)
	if err != nil {
		return err
	}
	defer func() { _ = peer.Close() }()
	for operation, to := range map[string]*float64{measure.Get: &s.Floor.GetP50, measure.Set: &s.Floor.SetP50} {
		sample, err := measure.Alone(ctx, s.scratch, peer, operation, s.trial/4)
		if err != nil {
			return err
		}
		*to = micros(sample.Latencies.At(50))
	}
	return nil
}

// hopeless is after how many larger pools in a row that are no better the search for a size
// ends: there is time left then to find out which rate can be had.
const hopeless = 3

// chooseSize is the smallest size with which the target is met, with headroom and twice; 0 if
// there is none. What twice as many would do is measured as well.
func (s *search) chooseSize(ctx context.Context, sizes []int) (int, error) {
	rate := s.Options.Target.Rate * (1 + s.Options.Headroom)
	for i, size := range sizes {
		twice, err := s.meetsTwice(ctx, size, rate)
		if err != nil {
			return 0, err
		}
		if twice {
			if i+1 < len(sizes) && !s.expired() {
				_, err = s.try(ctx, purposeLarger, withPool(s.given, sizes[i+1]), rate)
			}
			return size, err
		}
		if s.OutOfTime || i-slices.Index(sizes, s.closest()) >= hopeless {
			break
		}
	}
	return 0, nil
}

// meetsTwice reports whether the target is met in two trials. One that fails while this machine
// was itself late says nothing, once.
func (s *search) meetsTwice(ctx context.Context, size int, rate float64) (bool, error) {
	purpose, met, excused := purposeSize, 0, false
	for met < 2 {
		if s.OutOfTime = s.expired(); s.OutOfTime {
			return false, nil
		}
		trial, err := s.try(ctx, purpose, withPool(s.given, size), rate)
		switch {
		case err != nil:
			return false, err
		case trial.Met:
			met++
		case excused || !trial.Doubtful(s.Options.Target):
			return false, nil
		default:
			excused = true
		}
		purpose = purposeConfirm
	}
	return true, nil
}

// rateTrials is how many rates are tried when the wanted one is too high.
const rateTrials = 4

// chooseRate finds, by halving, up to which rate the target is met with the size that came
// closest to it.
func (s *search) chooseRate(ctx context.Context) error {
	size := s.closest()
	low, high := 0.0, s.Options.Target.Rate
	for range rateTrials {
		if size == 0 || s.expired() {
			return nil
		}
		rate := (low + high) / 2
		if rate < lowestRate {
			return nil
		}
		trial, err := s.try(ctx, purposeRate, withPool(s.given, size), rate)
		if err != nil {
			return err
		}
		if trial.Met {
			low, s.Reached = rate, trial
		} else {
			high = rate
		}
	}
	return nil
}

// closest is the size of the pool with the lowest latency of those that were tried, or, where
// none has one, with the most answers.
func (s *search) closest() int {
	var tried []Trial
	for _, trial := range s.Trials {
		if trial.Purpose == purposeSize || trial.Purpose == purposeConfirm {
			tried = append(tried, trial)
		}
	}
	if len(tried) == 0 {
		return 0
	}
	return slices.MinFunc(tried, func(a, b Trial) int {
		switch {
		case a.AtPercentile != nil && b.AtPercentile != nil:
			return int(*a.AtPercentile - *b.AtPercentile)
		case a.AtPercentile != nil:
			return -1
		case b.AtPercentile != nil:
			return 1
		default:
			return int(b.Achieved - a.Achieved)
		}
	}).PoolSize
}

// leastDeadline is the least that requests of a trial may take before they have failed.
const leastDeadline = time.Second

// try measures one configuration at a rate.
func (s *search) try(ctx context.Context, purpose string, cfg mysqlsession.Config, rate float64) (*Trial, error) {
	s.tell(fmt.Sprintf("%d connections, %.0f requests/s", cfg.PoolSize, rate))
	own := *s.scratch
	own.Config = cfg
	own.Config.TableName, own.Config.TableNameMeta = s.scratch.Config.TableName, s.scratch.Config.TableNameMeta
	own.Config.CleanupInterval = s.scratch.Config.CleanupInterval
	if err := measure.Settle(ctx, &own, cfg.PoolSize*s.Options.Instances); err != nil {
		return nil, err
	}
	var instances []measure.Peer
	defer func() {
		for _, peer := range instances {
			_ = peer.Close()
		}
	}()
	for range s.Options.Instances {
		peer, err := measure.OpenOurs(ctx, &own, cfg.PoolSize)
		if err != nil {
			return nil, err
		}
		instances = append(instances, peer)
	}
	target := s.Options.Target
	outcome, err := measure.Steady(ctx, &own, measure.Load{
		Rate: rate, Duration: s.trial, WarmUp: s.trial / warmUpPart, Deadline: max(leastDeadline, 4*target.Latency),
	}, instances, cfg.PoolSize)
	if err != nil {
		return nil, fmt.Errorf("%d connections, %.0f requests/s: %w", cfg.PoolSize, rate, err)
	}
	trial := newTrial(outcome, target)
	trial.Purpose, trial.PoolSize, trial.Rate = purpose, cfg.PoolSize, rate
	s.Trials = append(s.Trials, trial)
	return &trial, nil
}

func newTrial(o *measure.Outcome, target Target) Trial {
	trial := Trial{
		Achieved: o.Achieved, Requests: o.Requests, Failed: o.Failed(), Waiting: o.Waiting,
		P50: micros(o.Latencies.At(50)), Longest: micros(o.Latencies.Longest()), Late: micros(o.Late.At(target.Percentile)),
	}
	if latency, ok := o.At(target.Percentile); ok {
		at := micros(latency)
		trial.AtPercentile = &at
		trial.Met = latency <= target.Latency
	}
	return trial
}

// resultTrials is how many trials a recommendation has, if this machine was late in those that
// failed.
const resultTrials = 3

// recommend derives the other settings, and measures the whole as it is.
func (s *search) recommend(ctx context.Context, size int) error {
	cfg, advice := advise(s.Result, s.given, size)
	for range resultTrials {
		trial, err := s.try(ctx, purposeResult, cfg, s.Options.Target.Rate)
		if err != nil {
			return err
		}
		if s.Met = trial.Met; s.Met {
			s.Config, s.Advice = cfg, advice
			return nil
		}
		if !trial.Doubtful(s.Options.Target) || s.expired() {
			return nil
		}
	}
	return nil
}

// Steps is how many steps a search has at most, for showing how far it is.
func Steps(o Options, server measure.Server) int {
	return len(newRoom(server.MaxConnections, server.Connected, o.Instances).sizes()) + furtherTrials + 1
}

// errNoResult is a recommendation that there is not.
var errNoResult = errors.New("the target was not met, so there is no configuration to show")

func micros(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1e3 }
