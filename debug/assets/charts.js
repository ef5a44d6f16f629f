// Draws the samples of one pool as moving charts.

const seconds = 60; // that a chart shows

// The charts. A series has a name, the sample's field, and a colour of the style sheet. Those to
// stack are drawn each on top of the one before it. A limit is a dashed line, shown where the
// chart reaches that far; one that counts is always reached.
const kinds = [
  {
    title: 'Connections', unit: 'count',
    series: [
      {name: 'used', field: 'used', colour: 'first', stack: true},
      {name: 'opening', field: 'opening', colour: 'third', stack: true},
      {name: 'idle', field: 'idle', colour: 'rest', stack: true},
      {name: 'limit', field: 'limit', limit: true, counts: true},
    ],
  },
  {
    title: 'Callers waiting', unit: 'count',
    series: [
      {name: 'waiting', field: 'waiting', colour: 'second', area: true},
      {name: 'backlog', field: 'backlog', limit: true},
    ],
  },
  {
    title: 'Throughput', unit: 'rate', note: 'calls a second',
    series: [
      {name: 'in batches', field: 'batched', colour: 'third', stack: true},
      {name: 'alone', field: 'alone', colour: 'first', stack: true},
      {name: 'all', field: 'calls', colour: 'text'},
    ],
  },
  {
    title: 'Latency', unit: 'milliseconds', note: 'of a call',
    series: [
      {name: 'p99', field: 'p99', colour: 'second'},
      {name: 'p50', field: 'p50', colour: 'first', area: true},
    ],
    needs: 'p50',
  },
  {
    title: 'Batch size', unit: 'size', note: 'calls in a statement',
    series: [
      {name: 'largest', field: 'largest', colour: 'third', unit: 'count'},
      {name: 'mean', field: 'batch', colour: 'first', area: true},
    ],
  },
  {
    title: 'Turned away', unit: 'rate', note: 'calls a second',
    series: [
      {name: 'backlog full', field: 'full', colour: 'bad', area: true},
      {name: 'too late', field: 'late', colour: 'second'},
      {name: 'failed', field: 'failed', colour: 'third'},
    ],
  },
];

// digits is a number with about three digits, of one width for numbers of one size.
const digits = (n, most) => n.toLocaleString('en', {
  minimumFractionDigits: n >= 100 ? 0 : n >= 10 ? Math.min(1, most) : most,
  maximumFractionDigits: n >= 100 ? 0 : n >= 10 ? Math.min(1, most) : most,
});
const formats = {
  count: (n) => digits(Math.round(n), 0),
  size: (n) => digits(n, 1),
  rate: (n) => n >= 9999.5 ? digits(n / 1000, 1) + 'k' : digits(n, 0),
  milliseconds: (n) => n >= 999.5 ? digits(n / 1000, 2) + ' s' : digits(n, 2) + ' ms',
};
// short is a number at an axis.
const short = {
  count: (n) => n >= 10000 ? n / 1000 + 'k' : digits(n, 1).replace(/\.0$/, ''),
  size: (n) => '' + n,
  rate: (n) => n >= 10000 ? n / 1000 + 'k' : n.toLocaleString('en'),
  milliseconds: (n) => n >= 1000 ? n / 1000 + ' s' : n ? n + ' ms' : '0',
};

// ceiling is the next of 1, 2, 5, 10 and so on: an axis ends there, so that it stays still
// while what it measures moves.
function ceiling(n) {
  const power = 10 ** Math.floor(Math.log10(n));
  return [1, 2, 5, 10].find((step) => step * power >= n * .999) * power;
}

const styles = getComputedStyle(document.documentElement);
const colour = (name) => styles.getPropertyValue('--' + name);

const element = (tag, properties = {}, ...children) => {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
};

// Chart is one chart: a figure with a title, the values of this moment, and a canvas.
class Chart {
  #kind; #values = []; #plot; #top = 1;

  constructor(kind, index) {
    this.#kind = kind;
    const list = element('dl');
    for (const series of kind.series) {
      const swatch = element('i', {className: series.limit ? 'swatch dashed' : 'swatch ' + series.colour});
      const value = element('dd', {className: series.unit ?? kind.unit, textContent: '–'});
      list.append(element('div', {}, element('dt', {}, swatch, series.name), value));
      this.#values.push(value);
    }
    const title = element('h2', {id: 'chart-' + index, textContent: kind.title});
    if (kind.note) title.append(' ', element('small', {textContent: kind.note}));
    this.box = element('div', {className: 'plot', role: 'img', ariaLabel: `${kind.title}: a line for each of ${kind.series.map(({name}) => name).join(', ')}, over the last minute`});
    this.figure = element('figure', {className: 'chart'}, title, list, this.box);
    this.figure.setAttribute('aria-labelledby', title.id);
  }

  // open makes the plot: only now has the figure a size.
  open() {
    const kind = this.#kind;
    const axis = {
      stroke: () => colour('quiet'), font: '11px system-ui, sans-serif',
      grid: {stroke: () => colour('grid'), width: 1}, ticks: {show: false},
    };
    this.#plot = new uPlot({
      width: Math.max(100, this.box.clientWidth), height: Math.max(60, this.box.clientHeight),
      padding: [8, 12, 0, 0], legend: {show: false}, cursor: {show: false},
      scales: {x: {time: false, range: [-seconds, 0]}, y: {range: () => [0, this.#top]}},
      axes: [
        {...axis, size: 22, gap: 4, splits: [-60, -45, -30, -15, 0], values: (_, ages) => ages.map((age) => age ? -age + ' s' : 'now')},
        {...axis, size: 50, gap: 6, splits: () => [0, this.#top / 2, this.#top], values: (_, values) => values.map(short[kind.unit])},
      ],
      series: [{}, ...this.#drawn().map((series) => ({
        label: series.name, points: {show: false},
        width: series.limit ? 1 : 1.75,
        dash: series.limit ? [5, 4] : undefined,
        stroke: () => colour(series.limit ? 'quiet' : series.colour),
        fill: series.stack ? () => colour(series.colour + '-solid') : series.area ? () => colour(series.colour + '-area') : undefined,
      }))],
    }, undefined, this.box);
    this.figure.plot = this.#plot;
    new ResizeObserver(() => this.#plot.setSize({width: Math.max(100, this.box.clientWidth), height: Math.max(60, this.box.clientHeight)})).observe(this.box);
  }

  // drawn is the series in the order they are drawn in: the highest of stacked ones first, so
  // that what is below covers it, and what is not stacked over all of them.
  #drawn() {
    const stacked = this.#kind.series.filter(({stack}) => stack);
    return [...stacked.toReversed(), ...this.#kind.series.filter(({stack}) => !stack)];
  }

  draw(samples, now) {
    const {series, unit} = this.#kind;
    let below = samples.map(() => 0), highest = 0;
    const columns = new Map();
    for (const one of series) {
      let column = samples.map((sample) => sample[one.field] ?? null);
      if (one.stack) column = below = column.map((value, i) => value === null ? null : value + below[i]);
      if (!one.limit || one.counts) highest = Math.max(highest, ...column);
      columns.set(one, column);
    }
    this.#top = ceiling(Math.max(highest, unit === 'milliseconds' ? 1 : unit === 'rate' ? 10 : 4));
    // Where a limit is out of reach there is no line, rather than one that jumps out of the chart.
    for (const one of series.filter(({limit}) => limit)) {
      columns.set(one, columns.get(one).map((value) => value <= this.#top ? value : null));
    }
    this.#plot.setData([samples.map(({time}) => time - now), ...this.#drawn().map((one) => columns.get(one))]);
  }

  // say writes the values of this moment.
  say(sample) {
    this.#kind.series.forEach(({field, unit}, i) => {
      const value = sample?.[field];
      this.#values[i].textContent = value === null || value === undefined ? '–' : formats[unit ?? this.#kind.unit](value);
    });
  }
}

// Charts are all charts of one pool.
export class Charts {
  #charts = []; #samples = []; #said = 0;

  // recorded says whether calls are recorded: without that there is nothing to show of latency.
  constructor(container, recorded) {
    this.#charts = kinds.filter(({needs}) => recorded || !needs).map((kind, i) => new Chart(kind, i));
    container.replaceChildren(...this.#charts.map(({figure}) => figure));
    for (const chart of this.#charts) chart.open();
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => this.#draw());
  }

  // add shows one more sample. null: a gap, where there was no answer.
  add(sample) {
    const last = this.#samples.at(-1);
    if (!sample) {
      if (last && last.used !== undefined) this.#samples.push({time: last.time + .001});
      return;
    }
    if (last && last.time >= sample.time) this.#samples = []; // the program was started again
    this.#samples.push(sample);
    while (this.#samples[0].time < sample.time - seconds - 1) this.#samples.shift();
    this.#draw();
    // People cannot read faster than this.
    if (sample.time >= this.#said + .5 || sample.time < this.#said) {
      this.#said = sample.time;
      for (const chart of this.#charts) chart.say(sample);
    }
  }

  clear() { this.#samples = []; }

  #draw() {
    const now = this.#samples.at(-1)?.time ?? 0;
    for (const chart of this.#charts) chart.draw(this.#samples, now);
  }
}
