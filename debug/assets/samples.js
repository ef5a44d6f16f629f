// Turns snapshots, which count since a pool was made, into what happened in the last second.

// span is over how many milliseconds rates and quantiles are taken: long enough for them not
// to flicker, short enough to show at once what has changed.
const span = 1000;

// grown is by how much a count has grown. One that is smaller than before is a new pool's.
const grown = (now, before) => now >= before ? now - before : now;

// quantile is the duration, in milliseconds, below which that share of the calls ended
// between two snapshots. null: there were none.
export function quantile(share, now, before) {
  const earlier = new Map(before.map((bucket) => [bucket.from, bucket.count]));
  const counts = now.map((bucket) => [bucket, grown(bucket.count, earlier.get(bucket.from) ?? 0)]);
  let rank = share * counts.reduce((sum, [, count]) => sum + count, 0);
  if (rank <= 0) return null;
  for (const [{from, to}, count] of counts) {
    if (count >= rank) return (from + (to - from) * rank / count) / 1e6;
    rank -= count;
  }
  return null;
}

// largest is how many calls the largest batch between two snapshots served.
function largest(now, before) {
  const earlier = new Map(before.map((batches) => [batches.calls, batches.count]));
  return Math.max(0, ...now.filter(({calls, count}) => count !== (earlier.get(calls) ?? 0)).map(({calls}) => calls));
}

// Samples makes a sample of each snapshot of one pool.
export class Samples {
  #history = [];

  clear() { this.#history = []; }

  // take returns what happened until this snapshot.
  take(elapsed, {stat, calls}) {
    const history = this.#history;
    if (history.at(-1)?.elapsed > elapsed) history.length = 0; // the program was started again
    history.push({elapsed, stat, calls});
    while (history.length > 2 && history[1].elapsed <= elapsed - span) history.shift();
    const before = history[0], seconds = (elapsed - before.elapsed) / 1000;
    const since = (name) => grown(stat[name], before.stat[name]);
    const rate = (count) => seconds > 0 ? count / seconds : null;

    const batches = since('BatchCount'), batched = since('BatchedCallCount');
    const sample = {
      time: elapsed / 1000,
      used: stat.AcquiredConns, opening: stat.ConstructingConns, limit: stat.MaxConns,
      // The figures are of moments that are close together, not the same: a connection that
      // was taken in between is not to be counted twice.
      idle: Math.max(0, Math.min(stat.IdleConns, stat.TotalConns - stat.AcquiredConns - stat.ConstructingConns)),
      waiting: stat.Waiting, backlog: stat.MaxWaiting,
      batch: batches > 0 ? batched / batches : null,
      batched: rate(batched),
      calls: rate(since('AcquireCount') + batched),
      alone: rate(since('AcquireCount')),
      full: rate(since('BacklogFullCount')),
      late: rate(since('AcquireTimeoutCount') + since('TooLateCount')),
      left: rate(since('CanceledAcquireCount')),
    };
    if (calls) {
      const earlier = before.calls ?? {answered: [], batches: []};
      const total = (list) => list.reduce((sum, {count}) => sum + count, 0);
      sample.calls = rate(grown(total(calls.answered), total(earlier.answered)));
      if (sample.calls !== null) {
        sample.batched = Math.min(sample.batched, sample.calls); // a batch counts before its calls do
        sample.alone = sample.calls - sample.batched;
      }
      sample.failed = rate(grown(calls.failed, earlier.failed ?? 0));
      sample.p50 = quantile(.5, calls.answered, earlier.answered);
      sample.p99 = quantile(.99, calls.answered, earlier.answered);
      sample.largest = largest(calls.batches, earlier.batches) || null;
    }
    return sample;
  }
}
