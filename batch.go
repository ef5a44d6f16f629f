package mysqlsession

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"github.com/mysqlsession/mysqlsession/internal/wire"
)

// largeAtOnce is how many statements for one large value each are sent together.
const largeAtOnce = 8

// gets reads the sessions of many tasks. The same session is read once.
func (s *Store) gets(ctx context.Context, c *Conn, tasks []*task, room *[]wire.Parameter) error {
	slices.SortFunc(tasks, byKey)
	parameters, now := (*room)[:0], int64(0)
	for i, t := range tasks {
		t.err, t.value = ErrNotFound, nil
		now = max(now, t.now) // nobody's is later than this moment
		if i == 0 || t.key != tasks[i-1].key {
			parameters = append(parameters, wire.Text(t.key))
		}
	}
	size := rungUp(len(parameters))
	for len(parameters) < size {
		parameters = append(parameters, parameters[len(parameters)-1])
	}
	parameters = append(parameters, wire.Int(now))
	*room = parameters
	large, next := 0, 0
	err := c.roundTrip(ctx, effectNone, []request{{
		statement: s.texts.selectValues.of(size), parameters: parameters, columns: 3,
		row: func(row []wire.Value) error {
			large += takeRow(tasks, row, &next)
			return nil
		},
	}})
	if err != nil || large == 0 {
		return err
	}
	return s.getLarge(ctx, c, tasks, now)
}

func byKey(a, b *task) int { return strings.Compare(a.key, b.key) }

// takeRow gives a row to those of the tasks, which are in the order of their keys, that
// asked for it. It returns for how many the value is too large to be read like this. next
// is where the task of the next row most likely is: rows mostly come in the same order.
func takeRow(tasks []*task, row []wire.Value, next *int) (large int) {
	key, i := row[0].Raw(), *next
	if i >= len(tasks) || tasks[i].key != string(key) {
		i, _ = slices.BinarySearchFunc(tasks, key, func(t *task, key []byte) int { return strings.Compare(t.key, string(key)) })
	}
	for ; i < len(tasks) && tasks[i].key == string(key); i++ {
		t := tasks[i]
		switch {
		case row[1].IsNull() || string(row[1].Raw()) != t.name:
		case row[2].IsNull():
			t.err = errReadAlone
			large++
		default:
			t.err, t.value = nil, copyOf(row[2].Raw())
		}
	}
	*next = i
	return large
}

// errReadAlone is the mark of a task whose value did not come with the others: it is too
// large for that, or to be read at all, or there is none.
var errReadAlone = detail(ErrPacketTooLarge, "beside others")

// getLarge reads the values that did not come with the others.
func (s *Store) getLarge(ctx context.Context, c *Conn, tasks []*task, now int64) error {
	var alone []*task
	for _, t := range tasks {
		if t.err == errReadAlone {
			alone = append(alone, t)
		}
	}
	for some := range slices.Chunk(alone, largeAtOnce) {
		requests := make([]request, len(some))
		for i, t := range some {
			t.err = ErrNotFound
			requests[i] = request{
				statement: s.texts.selectValue, parameters: []wire.Parameter{wire.Text(t.key), wire.Int(now)}, columns: 3,
				row: func(row []wire.Value) error {
					takeRow(some[i:i+1], row, new(int))
					return nil
				},
			}
		}
		if err := c.roundTrip(ctx, effectNone, requests); err != nil {
			return err
		}
		for _, t := range some {
			if t.err != errReadAlone {
				continue
			}
			t.err = s.whyNull(ctx, c, t.name, t.key, now)
			if c.closed() {
				return t.err
			}
		}
	}
	return nil
}

// admit takes out of the tasks those that the table, or the server's calendar, cannot
// take, each with its own error.
func (s *Store) admit(ctx context.Context, c *Conn, shape *schema, tasks []*task) ([]*task, error) {
	admitted := make([]*task, 0, len(tasks))
	for _, t := range tasks {
		t.err = s.admissible(ctx, c, shape, t)
		switch {
		case t.err == nil:
			admitted = append(admitted, t)
		case c.closed(): // the tables were to be looked at again
			return nil, t.err
		}
	}
	return admitted, nil
}

func (s *Store) admissible(ctx context.Context, c *Conn, shape *schema, t *task) error {
	if err := checkExpiry(c, t.expires); err != nil {
		return err
	}
	if err := s.allow(ctx, c, shape, t.fits); err != nil || len(t.metadata) == 0 {
		return err
	}
	return s.allow(ctx, c, shape, t.metadataFits)
}

// sets stores the sessions of many tasks. Rows are locked in the order of their ids, so
// that two of these cannot wait for one another. Of two tasks with one id the later comes
// later in the statement, which is how the server takes it.
func (s *Store) sets(ctx context.Context, c *Conn, shape *schema, tasks []*task, room *[]wire.Parameter) error {
	tasks, err := s.admit(ctx, c, shape, tasks)
	if err != nil || len(tasks) == 0 {
		return err
	}
	slices.SortStableFunc(tasks, byKey)
	requests := [...]request{s.upsertRequest(c, tasks, *room)}
	*room = requests[0].parameters
	return c.roundTrip(ctx, effectWrite, requests[:])
}

// upsertRequest stores the tasks' sessions. What fills the statement up is the last one
// again, which changes nothing.
func (s *Store) upsertRequest(c *Conn, tasks []*task, room []wire.Parameter) request {
	parameters, size := room[:0], rungUp(len(tasks))
	for i := range size {
		t := tasks[min(i, len(tasks)-1)]
		parameters = append(parameters, wire.Text(t.key), wire.Text(t.name), wire.Bytes(t.value), wire.Int(t.expires))
	}
	return request{statement: s.texts.upsertSessions[dialect(c.server.rowAlias())].of(size), parameters: parameters}
}

// held is which of the sessions that tasks change others have locked. One that is not in the
// table yet, or not any more, does not show.
func (s *Store) held(ctx context.Context, c *Conn, tasks []*task) (map[string]bool, error) {
	var keys []string
	for _, t := range tasks {
		keys = append(keys, t.key)
		if t.old != "" {
			keys = append(keys, t.old)
		}
	}
	slices.Sort(keys)
	held := make(map[string]bool)
	mark := func(is bool) func(row []wire.Value) error {
		return func(row []wire.Value) error {
			held[string(row[0].Raw())] = is
			return nil
		}
	}
	for some := range slices.Chunk(slices.Compact(keys), ladderTop) {
		size := rungUp(len(some))
		parameters := keyParameters(some, size)
		err := c.roundTrip(ctx, effectNone, []request{
			{statement: s.texts.selectKeys.of(size), parameters: parameters, columns: 1, row: mark(true)},
			{statement: s.texts.selectFree.of(size), parameters: parameters, columns: 1, row: mark(false)},
		})
		if err != nil {
			return nil, err
		}
	}
	return held, nil
}

// touchesApart is how many statements that each commit by themselves are cheaper than one
// transaction of a statement for each session.
const touchesApart = 2

// touches moves the expiries of many tasks' sessions, one statement for each new expiry
// and name. If one has not found all its sessions, nobody knows which: each is then
// touched again, in one transaction, by a statement that tells. So is each from the start
// if one session is given two expiries: the later call's is the one to stay.
func (s *Store) touches(ctx context.Context, c *Conn, tasks []*task) error {
	var admitted []*task
	for _, t := range tasks {
		if t.err = checkExpiry(c, t.expires); t.err == nil {
			admitted = append(admitted, t)
		}
	}
	tasks = admitted
	slices.SortStableFunc(tasks, byKey)
	for i := 1; i < len(tasks); i++ {
		if tasks[i].key == tasks[i-1].key && tasks[i].expires != tasks[i-1].expires {
			return s.touchEach(ctx, c, tasks)
		}
	}
	slices.SortFunc(tasks, func(a, b *task) int {
		return cmp.Or(cmp.Compare(a.expires, b.expires), strings.Compare(a.name, b.name), strings.Compare(a.key, b.key))
	})
	var requests []request
	var wanted []int // rows that each request must match
	for _, some := range chunksOf(tasks, func(a, b *task) bool { return a.expires == b.expires && a.name == b.name }) {
		keys, size := distinctKeys(some)
		parameters := append(keyParameters(keys, size), keyParameters(keys, size)...)
		parameters = append(parameters, wire.Text(some[0].name), wire.Int(some[len(some)-1].now))
		requests = append(requests, request{
			statement:  s.texts.touchSessions[s.keying()].of(size),
			parameters: append([]wire.Parameter{wire.Int(some[0].expires)}, parameters...),
		})
		wanted = append(wanted, len(keys))
	}
	switch {
	case len(requests) == 0:
		return nil
	case len(requests) > touchesApart:
		return s.touchEach(ctx, c, tasks)
	}
	if err := c.roundTrip(ctx, effectWrite, requests); err != nil {
		return err
	}
	for i, n := range wanted {
		if c.outcomes[i].result.RowsAffected != int64(n) {
			return s.touchEach(ctx, c, tasks)
		}
	}
	return nil
}

// touchEach touches the sessions one by one, in one transaction. Those of one session come
// in the order of their calls.
func (s *Store) touchEach(ctx context.Context, c *Conn, tasks []*task) error {
	slices.SortStableFunc(tasks, byKey)
	requests := []request{beginRequest()}
	for _, t := range tasks {
		parameters := sessionParameters([]wire.Parameter{wire.Int(t.expires)}, t.name, t.key)
		requests = append(requests, request{statement: s.texts.touchSession, parameters: append(parameters, wire.Int(t.now))})
	}
	return c.transact(ctx, requests, func() error {
		for i, t := range tasks {
			if o := &c.outcomes[1+i]; o.done() && o.result.RowsAffected == 0 {
				t.err = ErrNotFound
			}
		}
		return nil
	})
}

// deletes removes the sessions of many tasks, one statement for each name.
func (s *Store) deletes(ctx context.Context, c *Conn, shape *schema, tasks []*task) error {
	slices.SortFunc(tasks, func(a, b *task) int {
		return cmp.Or(strings.Compare(a.name, b.name), strings.Compare(a.key, b.key))
	})
	var requests []request
	for _, some := range chunksOf(tasks, func(a, b *task) bool { return a.name == b.name }) {
		keys, size := distinctKeys(some)
		parameters := append(keyParameters(keys, size), keyParameters(keys, size)...)
		requests = append(requests, request{
			statement:  s.texts.deleteExactly[keying(shape.primary)].of(size),
			parameters: append(parameters, wire.Text(some[0].name)),
		})
	}
	return c.roundTrip(ctx, effectWrite, requests)
}

// chunksOf cuts a sorted list where neighbours are not alike.
func chunksOf(tasks []*task, alike func(a, b *task) bool) (chunks [][]*task) {
	for len(tasks) > 0 {
		n := 1
		for n < len(tasks) && alike(tasks[0], tasks[n]) {
			n++
		}
		chunks = append(chunks, tasks[:n:n])
		tasks = tasks[n:]
	}
	return chunks
}

// distinctKeys is the keys of a sorted list, each once, and the size of the statement that
// holds them.
func distinctKeys(tasks []*task) (keys []string, size int) {
	for i, t := range tasks {
		if i == 0 || t.key != tasks[i-1].key {
			keys = append(keys, t.key)
		}
	}
	return keys, coarseUp(len(keys))
}
