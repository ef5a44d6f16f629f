// The page about a service's own pools.
import {Charts} from './charts.js';
import {poll} from './poll.js';
import {Samples} from './samples.js';

const pools = document.querySelector('#pools'), choice = pools.querySelector('select');
const details = document.querySelector('details'), figures = document.querySelector('#figures tbody');
const samples = new Samples();
let charts, names = '';

// offer lists the pools to choose from.
function offer(list) {
  const now = JSON.stringify(list);
  if (now === names) return;
  names = now;
  const chosen = choice.selectedIndex;
  choice.replaceChildren(...list.map((name) => new Option(name)));
  choice.selectedIndex = Math.max(0, Math.min(chosen, list.length - 1));
  pools.hidden = list.length < 2;
}

function value(name, n) {
  if (n === null) return '–';
  if (typeof n === 'object') return Object.entries(n).map(([key, count]) => `${key}: ${count}`).join(', ');
  if (/(Duration|Time)$/.test(name)) return (n / 1e9).toLocaleString('en', {minimumFractionDigits: 3, maximumFractionDigits: 3}) + ' s';
  return n.toLocaleString('en');
}

// list fills the table, whose cells stay: who reads in it is not thrown out of it.
function list(stat) {
  Object.entries(stat).forEach(([name, n], i) => {
    const row = figures.rows[i] ?? figures.insertRow();
    if (!row.cells.length) {
      row.append(Object.assign(document.createElement('th'), {scope: 'row', textContent: name}));
      row.insertCell();
    }
    row.cells[1].textContent = value(name, n);
  });
}

poll({
  url: 'snapshot.json',
  state: document.querySelector('#state'),
  button: document.querySelector('#pause'),
  show(snapshot) {
    offer(snapshot.pools.map(({stat}) => stat.Pool));
    const pool = snapshot.pools[Math.max(0, choice.selectedIndex)];
    if (!pool) return;
    charts ??= new Charts(document.querySelector('#charts'), Boolean(pool.calls));
    charts.add(samples.take(snapshot.elapsed, pool));
    if (details.open) list(pool.stat);
  },
  lost() {
    samples.clear();
    charts?.add(null);
  },
});
choice.addEventListener('change', () => {
  samples.clear();
  charts?.clear();
});
