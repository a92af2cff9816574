// The stepper: guest's tables | shadow | machine, after each event.
(() => {
  const {events, pages} = lab.data;
  const slider = lab.by_id('step'), now = lab.by_id('now'), place_text = lab.by_id('place');
  const columns = [...document.querySelectorAll('svg a[data-id]')];
  if (!events.length) { slider.disabled = true; return; }
  slider.max = events.length - 1;
  // Page-table entries, SDM 3A 4.3 and 4.4.
  const bits = [['P', 0], ['W', 1], ['U', 2], ['A', 5], ['D', 6]];
  const has = (entry, bit) => Math.floor(entry / 2 ** bit) % 2 === 1;
  const page_of = address => Math.floor(address / 4096) * 4096;
  const present = state => state.frame !== undefined;
  const leaf = state => state.levels === 2 ? state.table : state.directory;

  const looks = {'hidden fault': 'accent', 'true fault': 'bad', 'trace fault': 'warn',
                 'code changed': 'warn', INVLPG: 'faint', flush: 'faint'};
  function why(event, before, after) {
    const dirty = after && present(after) && has(leaf(after), 6);
    if (event.kind === 'hidden fault' && after && after.levels === 0) {
      return 'Paging is off: a linear address is a physical one. The shadow did not hold the page; the monitor fills it, and the guest sees nothing.';
    }
    switch (event.kind) {
      case 'hidden fault':
        if (!event.mapped) return 'The guest’s tables allow it. The shadow cannot hold this page; the access is made for the guest.';
        return 'The guest’s tables allow it; the shadow did not hold it. The monitor fills it, ' +
            (event.writable ? 'for writing: D is set in the guest’s entry now. '
             : dirty ? 'read-only for now. '
             : 'read-only: D is clear, and the first write must be noticed to set it. ') +
            'The guest sees nothing of this fault.';
      case 'true fault':
        return 'The guest’s tables refuse it, so the fault is the guest’s own: its page-fault handler runs.';
      case 'trace fault':
        return 'Allowed by the guest’s tables, but the page is watched, since code was translated from it. The monitor makes this store itself.';
      case 'code changed':
        return 'That store has changed bytes that had been translated: their translations are dropped before the next instruction.';
      case 'INVLPG':
        return 'The guest says that it has changed this page’s entry: the shadow forgets the page, as a TLB would.';
      default:
        return 'The guest has loaded CR3 or changed the paging mode: the shadow is held against the guest’s tables anew, as a TLB would be flushed.';
    }
  }
  function bit_cells(state, old) {
    return bits.map(([name, bit]) => {
      const value = state.levels > 0 && has(leaf(state), bit);
      const changed = old && old.levels > 0 && value !== has(leaf(old), bit);
      const cell = lab.make('td', changed ? 'changed' : '', state.levels === 0 ? '' : value ? '1' : '0');
      cell.dataset.bit = name;
      return cell;
    });
  }
  function table(caption, heads, rows) {
    const made = lab.make('table', '', lab.make('tr', '', ...heads.map(h => lab.make('th', '', h))), ...rows);
    const scroll = lab.make('div', 'scroll', made);
    scroll.tabIndex = 0;
    return lab.make('div', '', lab.make('h3', '', caption), scroll);
  }
  function show(place) {
    const event = events[place], before = place > 0 ? events[place - 1].state : null;
    const concerned = event.kind === 'flush' ? -1 : pages.indexOf(page_of(event.address));
    slider.value = place;
    place_text.textContent = `event ${place + 1} of ${events.length}`;
    columns.forEach((column, i) => column.classList.toggle('chosen', i === place));
    const mark = (row, i) => { if (i === concerned) row.classList.add('here'); return row; };
    const guest = pages.map((page, i) => {
      const state = event.state[i], old = before && before[i];
      return mark(lab.make('tr', '', lab.make('td', '', lab.make('code', '', lab.hex(page))),
          lab.make('td', '', lab.make('code', '', state.levels === 0 ? 'no paging' :
              present(state) ? lab.hex(state.frame) : 'not present')),
          ...bit_cells(state, old)), i);
    });
    const shadow = pages.map((page, i) => {
      const state = event.state[i], old = before && before[i];
      const text = s => s.shadow === undefined ? '—' : `${lab.hex(s.shadow)} ${s.writable ? 'rw' : 'r'}`;
      const changed = old && text(old) !== text(state);
      return mark(lab.make('tr', '', lab.make('td', '', lab.make('code', '', lab.hex(page))),
          lab.make('td', changed ? 'changed' : '', lab.make('code', '', text(state)))), i);
    });
    const what = event.kind === 'flush' ? `CR3 ${lab.hex(event.address)}`
        : `${event.write ? 'write to' : event.kind === 'INVLPG' ? 'of' : 'read of'} ${lab.hex(event.address)}`;
    const machine = lab.make('div', '', lab.make('h3', '', 'Machine'),
        lab.make('p', '', lab.make('code', '', `${lab.hex(event.eip)}: ${event.instruction}`)),
        lab.make('p', '', lab.make('b', looks[event.kind], event.kind), ` at the ${what}`),
        lab.make('p', '', why(event, before && before[concerned], event.state[concerned])),
        lab.make('p', 'faint', `${event.shadow_pages} pages in the shadow afterwards`));
    now.replaceChildren(lab.make('div', 'columns stepper',
        machine,
        table('Guest’s tables', ['page', 'frame', ...bits.map(([name]) => name)], guest),
        table('Shadow', ['page', 'the host maps'], shadow)));
  }
  const move = step => show(Math.min(events.length - 1, Math.max(0, Number(slider.value) + step)));
  slider.addEventListener('input', () => show(Number(slider.value)));
  lab.by_id('before').addEventListener('click', () => move(-1));
  lab.by_id('after').addEventListener('click', () => move(1));
  columns.forEach((column, place) => column.addEventListener('click', event => {
    event.preventDefault();
    show(place);
    now.scrollIntoView({block: 'nearest'});
  }));
  addEventListener('keydown', event => {
    const step = {ArrowRight: 1, ArrowLeft: -1}[event.key];
    if (!step || event.target === slider || event.target.closest('.scroll, .picture > :focus')) return;
    event.preventDefault();
    move(step);
  });
  show(0);
})();
