// The charts of the load's pool, and the controls of the load.
import {Charts} from './pool/charts.js';
import {poll} from './pool/poll.js';
import {Samples} from './pool/samples.js';

const form = document.querySelector('#load'), problem = document.querySelector('#problem');
const sliders = [...form.querySelectorAll('input[type="range"]')];
const steps = new Map(sliders.map((slider) => [slider, slider.dataset.steps.split(' ').map(Number)]));
const samples = new Samples();
const charts = new Charts(document.querySelector('#charts'), true);

// say writes what a slider stands at.
function say(slider) {
  const word = slider.dataset.words.split(',')[slider.value];
  slider.setAttribute('aria-valuetext', word);
  slider.previousElementSibling.textContent = word;
}

// settings are what the controls stand at. A slider that stands nearest to a setting, which
// somebody else made, does not change it.
let known = {};
function settings() {
  const wanted = {coalesce: form.coalesce.checked};
  for (const slider of sliders) {
    const step = steps.get(slider)[slider.value];
    wanted[slider.name] = nearest(slider, known[slider.name]) === Number(slider.value) ? known[slider.name] : step;
  }
  return wanted;
}

// nearest is the index of the step that is nearest to a value.
function nearest(slider, value) {
  const list = steps.get(slider);
  return list.reduce((best, step, i) => Math.abs(step - value) < Math.abs(list[best] - value) ? i : best, 0);
}

// take shows the settings that are in effect, unless they are being changed.
function take(state) {
  problem.textContent = state.problem ?? '';
  known = state.settings;
  if (waiting || sending) return;
  form.coalesce.checked = known.coalesce;
  for (const slider of sliders) {
    const index = nearest(slider, known[slider.name]);
    if (Number(slider.value) !== index) slider.value = index;
    say(slider);
  }
}

// A slider that is dragged changes many times; the load follows a few times a second.
let waiting = 0, sending = false, changes = 0;
function change() {
  changes++;
  waiting ||= setTimeout(send, 100);
}
async function send() {
  if (sending) {
    waiting = setTimeout(send, 50);
    return;
  }
  waiting = 0;
  sending = true;
  try {
    const answer = await fetch('load', {
      method: 'POST', headers: {'Content-Type': 'application/json'},
      body: JSON.stringify(settings()), signal: AbortSignal.timeout(5000),
    });
    if (!answer.ok) throw new Error(await answer.text());
    const state = await answer.json();
    sending = false;
    take(state);
  } catch (error) {
    sending = false;
    problem.textContent = `The settings could not be changed: ${error.message}`;
  }
}
form.addEventListener('input', ({target}) => {
  if (steps.has(target)) say(target);
  change();
});
form.addEventListener('submit', (event) => event.preventDefault());

// look asks, now and then, what the settings are: another page may have changed them.
async function look() {
  const before = changes;
  try {
    const answer = await fetch('load', {cache: 'no-store', signal: AbortSignal.timeout(5000)});
    const state = answer.ok && await answer.json();
    if (state && before === changes) take(state);
  } catch {
    // The charts say that nobody answers.
  }
}

await look();
let shown = 0;
poll({
  url: 'pool/snapshot.json',
  state: document.querySelector('#state'),
  button: document.querySelector('#pause'),
  show(snapshot) {
    if (snapshot.pools.length) charts.add(samples.take(snapshot.elapsed, snapshot.pools[0]));
    if (++shown % 8 === 0) look();
  },
  lost() {
    samples.clear();
    charts.add(null);
  },
});
