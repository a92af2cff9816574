// The lanes: rows shown or hidden, and one moment at a time.
(() => {
  const runs = lab.data.runs, engines = Object.keys(runs), truth = runs.interpret.moments;
  const slider = lab.by_id('moment'), now = lab.by_id('now');
  const columns = [...document.querySelectorAll('svg a[data-id]')];
  slider.max = columns.length - 1;

  for (const button of document.querySelectorAll('button[data-row]')) {
    const set = shown => {
      button.setAttribute('aria-pressed', shown);
      button.classList.toggle('chosen', shown);
      for (const group of document.querySelectorAll(`g[data-group="${button.dataset.row}"]`)) {
        group.style.display = shown ? '' : 'none';
      }
    };
    set(true);
    button.addEventListener('click', () => set(button.getAttribute('aria-pressed') !== 'true'));
  }

  const on = value => value === undefined ? '' : value ? 'on' : 'off';
  function row(name, value, place) {
    const cells = engines.map(engine => {
      const moment = runs[engine].moments[place];
      const text = moment ? `${value(moment) ?? ''}` : 'not run';
      const right = moment && text === `${value(truth[place]) ?? ''}`;
      return lab.make('td', text === '' ? '' : !moment ? 'faint' : right ? 'good' : 'bad', text);
    });
    return lab.make('tr', '', lab.make('td', '', name), ...cells);
  }
  function show(place) {
    slider.value = place;
    columns.forEach((column, i) => column.classList.toggle('chosen', i === place));
    const name = columns[place].getAttribute('aria-label');
    const table = lab.make('table', '',
        lab.make('tr', '', lab.make('th', '', ''), ...engines.map(e => lab.make('th', '', e))),
        row('IF, as the monitor has it', moment => on(moment.if), place),
        row('IF, as PUSHF shows it', moment => on(moment.if_by_pushf), place),
        row('ring, as PUSH CS shows it', moment => moment.ring_by_push_cs, place),
        row('any clock interrupt so far', moment => moment.interrupts ? 'yes' : 'no', place));
    const scroll = lab.make('div', 'scroll', table);
    scroll.tabIndex = 0;
    now.replaceChildren(lab.make('h2', '', name), scroll);
  }
  slider.addEventListener('input', () => show(Number(slider.value)));
  columns.forEach((column, place) => column.addEventListener('click', event => {
    event.preventDefault();
    show(place);
  }));
  addEventListener('keydown', event => {
    const step = {ArrowRight: 1, ArrowLeft: -1}[event.key];
    if (!step || event.target === slider || event.target.closest('.scroll, .picture > :focus')) return;
    event.preventDefault();
    show(Math.min(columns.length - 1, Math.max(0, Number(slider.value) + step)));
  });
  // At the moment things go wrong, if they do.
  const wrong = (runs.trap.moments || []).findIndex((moment, i) =>
    truth[i] && (moment.if !== truth[i].if || moment.ring_by_push_cs !== truth[i].ring_by_push_cs));
  show(Math.max(0, wrong));
})();
