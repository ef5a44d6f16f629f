// Asks for snapshots for as long as somebody looks.

const calm = matchMedia('(prefers-reduced-motion: reduce)');

// poll asks for the snapshot a few times a second, once a second for those who prefer less
// motion, and not at all while the page is hidden or the button is pressed. show gets each;
// what is going on is said in state.
export function poll({url, show, lost, state, button}) {
  let paused = false, timer = 0, said = '';
  const say = (text) => { if (text !== said) state.textContent = said = text; };

  async function ask() {
    timer = 0;
    if (paused || document.hidden) return;
    const began = performance.now();
    let snapshot;
    try {
      const answer = await fetch(url, {cache: 'no-store', signal: AbortSignal.timeout(5000)});
      if (answer.ok) snapshot = await answer.json();
    } catch {
      // There is no snapshot.
    }
    const period = calm.matches ? 1000 : 250;
    timer ||= setTimeout(ask, Math.max(50, period - (performance.now() - began)));
    if (paused) return;
    say(snapshot ? 'live' : 'no answer, trying again');
    if (snapshot) show(snapshot); else lost();
  }

  const again = () => {
    clearTimeout(timer);
    timer = setTimeout(ask, 0);
  };
  button.addEventListener('click', () => {
    paused = !paused;
    button.setAttribute('aria-pressed', paused);
    if (paused) say('paused');
    again();
  });
  document.addEventListener('visibilitychange', again);
  again();
}
