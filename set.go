package mysqlsession

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"github.com/mysqlsession/mysqlsession/internal/wire"
)

// Set stores a session, new or not, to live for ttl from now. value is read, not kept. A
// session of that id under another name is taken over: ids cannot be guessed, so it is
// the same one. opts may be nil; with OldKey or Metadata all of it is one transaction, in
// two round trips, and one more for each subject of whose sessions MaxPerSubject evicts.
//
// Errors: ErrValueTooLarge over MaxPacketSize - 4 bytes, or what column and server take;
// ErrInvalidTTL; ErrInvalidOptions; ErrTextColumn; with MustExist ErrNotFound.
func (s *Store) Set(ctx context.Context, name, key string, value []byte, ttl time.Duration, opts *SetOptions) error {
	ctx, began := s.begin(ctx, "set")
	return s.end(ctx, "set", began, s.setSession(ctx, name, key, value, ttl, opts))
}

func (s *Store) setSession(ctx context.Context, name, key string, value []byte, ttl time.Duration, opts *SetOptions) error {
	p := put{name: name, key: key, value: value}
	if err := p.check(s, ttl, opts); err != nil {
		return &callError{"set", err}
	}
	return s.call(ctx, p.kind(), &p)
}

// kind is which calls the put may share statements with.
func (p *put) kind() int {
	switch {
	case p.limit > 0:
		return kindSetLimited
	case p.mustExist:
		return kindReplace
	case p.old != "":
		return kindRotate
	case len(p.metadata) > 0:
		return kindSetMetadata
	default:
		return kindSet
	}
}

// put is one session to be stored, with its input checked.
type put struct {
	name, key string
	value     []byte
	now       int64
	expires   int64
	mustExist bool
	old       string // "": none
	staleEnd  int64
	metadata  []Metadata // in order, for locks
	limit     int        // of each subject's live sessions; 0: none
}

func (p *put) check(s *Store, ttl time.Duration, opts *SetOptions) error {
	var err error
	if p.key, err = s.stored(p.name, p.key); err != nil {
		return err
	}
	if largest := s.largestValue(); len(p.value) > largest {
		return detail(ErrValueTooLarge, "%d bytes, must be at most MaxPacketSize - %d = %d", len(p.value), valueOverhead, largest)
	}
	p.now = s.now()
	if p.expires, err = expiry(p.now, ttl); err != nil || opts == nil {
		return err
	}
	p.mustExist = opts.MustExist
	if opts.OldKey != "" {
		if err := p.replaces(s, opts); err != nil {
			return err
		}
	}
	for _, m := range opts.Metadata {
		if err := checkMetadata(m.Audience, m.Subject); err != nil {
			return err
		}
	}
	p.metadata = opts.Metadata
	return p.limits(opts)
}

// limits takes in how many sessions a subject may have.
func (p *put) limits(opts *SetOptions) error {
	switch {
	case opts.MaxPerSubject < 0:
		return detail(ErrInvalidOptions, "MaxPerSubject is %d, must not be negative", opts.MaxPerSubject)
	case opts.MaxPerSubject > 0 && len(opts.Metadata) == 0:
		return detail(ErrInvalidOptions, "MaxPerSubject is %d, must come with Metadata, which say whose sessions it limits", opts.MaxPerSubject)
	}
	p.limit = opts.MaxPerSubject
	return nil
}

// replaces takes in the session that ends, unless it is the one that is stored.
func (p *put) replaces(s *Store, opts *SetOptions) error {
	old, err := s.stored(p.name, opts.OldKey)
	if err != nil || old == p.key {
		return err
	}
	p.old, p.staleEnd = old, p.now-1 // not readable any more
	if opts.StaleTTL > 0 {
		p.staleEnd = p.now + seconds(opts.StaleTTL)
	}
	return nil
}

// fits is whether the session's table takes the name and the value as they are.
func (p *put) fits(shape *schema) error { return shape.checkSession(p.key, p.name, p.value) }

// metadataFits is the same of the metadata.
func (p *put) metadataFits(shape *schema) error {
	if err := shape.needMetadata(); err != nil {
		return err
	}
	for _, m := range p.metadata {
		if err := shape.checkMetadata(p.key, m.Audience, m.Subject); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) set(ctx context.Context, c *Conn, shape *schema, p *put) error {
	if err := s.allow(ctx, c, shape, p.fits); err != nil {
		return err
	}
	if err := checkExpiry(c, p.expires); err != nil {
		return err
	}
	if p.old != "" || len(p.metadata) > 0 {
		return s.setAll(ctx, c, shape, p)
	}
	var room [6]wire.Parameter
	requests := [...]request{s.sessionRequest(c, p, room[:0])}
	if err := c.roundTrip(ctx, effectWrite, requests[:]); err != nil {
		return err
	}
	if p.mustExist && c.outcomes[0].result.RowsAffected == 0 {
		return ErrNotFound
	}
	return nil
}

// sessionRequest stores the session itself: an upsert, or, if it must exist and replaces
// no other, an update of what is live.
func (s *Store) sessionRequest(c *Conn, p *put, room []wire.Parameter) request {
	if p.mustExist && p.old == "" {
		parameters := append(room, wire.Bytes(p.value), wire.Int(p.expires))
		parameters = append(sessionParameters(parameters, p.name, p.key), wire.Int(p.now))
		return request{statement: s.texts.replaceSession, parameters: parameters}
	}
	return request{
		statement:  s.texts.upsertSessions[dialect(c.server.rowAlias())].of(1),
		parameters: append(room, wire.Text(p.key), wire.Text(p.name), wire.Bytes(p.value), wire.Int(p.expires)),
	}
}

// setAll stores the session, ends the one that it replaces, and adds metadata, in one
// transaction.
func (s *Store) setAll(ctx context.Context, c *Conn, shape *schema, p *put) error {
	if len(p.metadata) > 0 {
		if err := s.allow(ctx, c, shape, p.metadataFits); err != nil {
			return err
		}
	}
	t := task{put: *p}
	if p.limit > 0 {
		return s.setLimited(ctx, c, shape, &t)
	}
	if err := s.transactAll(ctx, c, []*task{&t}); err != errSomeMissing {
		return cmp.Or(err, t.err)
	}
	return ErrNotFound
}

// staleEnd is when the old session is to end. One after the server's last moment changes
// nothing: no expiry is later than that.
func (s *Store) staleEnd(c *Conn, p *put) int64 { return min(p.staleEnd, c.server.lastMoment().Unix()) }

// endRequest brings the old session's expiry forward.
func (s *Store) endRequest(c *Conn, p *put) request {
	parameters := sessionParameters([]wire.Parameter{wire.Int(s.staleEnd(c, p))}, p.name, p.old)
	if p.mustExist {
		return request{statement: s.texts.endLiveSession, parameters: append(parameters, wire.Int(p.now))}
	}
	return request{statement: s.texts.endSession, parameters: parameters}
}

// metadataRow is a row of the table of metadata.
type metadataRow struct {
	Metadata
	key string
}

// appendMetadata appends the statements that add the rows, in few sizes to keep the
// prepared statements few.
func (s *Store) appendMetadata(requests []request, c *Conn, rows []metadataRow) []request {
	slices.SortFunc(rows, func(a, b metadataRow) int {
		return cmp.Or(strings.Compare(a.Audience, b.Audience), strings.Compare(a.Subject, b.Subject), strings.Compare(a.key, b.key))
	})
	for chunk := range slices.Chunk(slices.Compact(rows), ladderTop) {
		size := coarseUp(len(chunk))
		parameters := make([]wire.Parameter, 0, 3*size)
		for i := range size {
			r := chunk[min(i, len(chunk)-1)] // adding the last one again changes nothing
			parameters = append(parameters, wire.Text(r.Audience), wire.Text(r.Subject), wire.Text(r.key))
		}
		requests = append(requests, request{
			statement:  s.texts.upsertMetadata[dialect(c.server.rowAlias())].of(size),
			parameters: parameters,
		})
	}
	return requests
}
