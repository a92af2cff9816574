// The matrix: a dot opens its evidence; "Predict first" asks before it shows.
(() => {
  const rows = new Map(lab.data.instructions.map(row => [row.name, row]));
  const evidence = lab.by_id('evidence'), game = lab.by_id('game'), answers = lab.by_id('answers');
  const dots = [...document.querySelectorAll('svg a[data-id]')];

  // What the deprivileged instruction did, as one of the three things that can be guessed.
  const kinds = {traps: 'trap', 'system call': 'trap', 'kernel fakes': 'faked'};
  const kind_of = row => kinds[row.deprivileged] || 'silent';
  const words = {
    trap: 'it traps: the monitor is asked',
    silent: 'it runs, silently: nobody is asked',
    faked: 'it traps, and the host’s kernel fakes an answer'};

  function column(title, what, effects, note, note_class) {
    return lab.make('div', '', lab.make('h3', '', title), lab.make('p', '', what),
                    lab.make('code', '', effects), lab.make('p', note_class || 'faint', note || ''));
  }
  function proof(row) {
    const sensitive = [row.changes.length ? 'changes ' + row.changes.join(', ') : '',
                       row.depends.length ? 'depends on ' + row.depends.join(', ') : '']
        .filter(Boolean).join('; ');
    const cycles = row.cycles ? `${row.cycles} cycles each` : '';
    const same = row.translation_agrees;
    const code = lab.make('div', 'columns',
        lab.make('div', '', lab.make('h3', '', 'guest bytes'),
                 lab.make('pre', '', `${row.bytes}\n${row.form}`)),
        lab.make('div', '', lab.make('h3', '', 'host code the translator makes of them'),
                 lab.make('pre', '', row.host_code)));
    for (const pre of code.querySelectorAll('pre')) pre.tabIndex = 0;
    return [
      lab.make('div', 'columns',
          column('at CPL 0', 'interpreted, the truth', row.at_ring_0, sensitive || 'not sensitive'),
          column('deprivileged, on this processor', row.deprivileged, row.deprivileged_effects,
                 cycles),
          column('translated', row.treatment,
                 same ? 'the whole machine is as at CPL 0' : row.translation_differs,
                 same ? 'right again' : 'not as at CPL 0', same ? 'good' : 'bad')),
      code];
  }
  function verdict(row) {
    const bad = row.verdict === 'VIOLATES';
    return lab.make('p', bad ? 'bad' : row.privileged === null ? 'warn' : 'good', `${row.verdict}: ${row.reason}`);
  }
  function show(name) {
    const row = rows.get(name);
    if (!row) return;
    for (const dot of dots) dot.classList.toggle('chosen', dot.dataset.id === name);
    evidence.hidden = false;
    evidence.replaceChildren(
        lab.make('h2', '', `${row.name}: ${row.purpose}`), verdict(row), ...proof(row),
        lab.make('p', 'faint', lab.make('kbd', '', '←'), ' ', lab.make('kbd', '', '→'),
                 ' the instruction before or after, ', lab.make('kbd', '', 'Esc'), ' closes'));
    history.replaceState(null, '', dots.find(dot => dot.dataset.id === name)?.getAttribute('href'));
  }
  function close() {
    evidence.hidden = true;
    for (const dot of dots) dot.classList.remove('chosen');
  }
  dots.forEach((dot, place) => {
    dot.addEventListener('click', event => {
      event.preventDefault();
      show(dot.dataset.id);
      evidence.scrollIntoView({block: 'nearest'});
    });
    dot.addEventListener('keydown', event => {
      const step = {ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1}[event.key];
      if (!step) return;
      event.preventDefault();
      const next = dots[(place + step + dots.length) % dots.length];
      next.focus();
      show(next.dataset.id);
    });
  });
  addEventListener('keydown', event => { if (event.key === 'Escape') close(); });
  // From another page, by its address.
  const asked = dots.find(dot => dot.getAttribute('href') === location.hash);
  if (asked) {
    show(asked.dataset.id);
    addEventListener('load', () => evidence.scrollIntoView());
  }

  // The game.
  const kRounds = 12;
  let questions = [], right = 0, place = 0, missed = [];
  const measured = lab.data.instructions.filter(row => row.privileged !== null);
  const start = lab.by_id('predict');
  if (!measured.length) {
    start.disabled = true;
    start.nextElementSibling.textContent = 'nothing was run deprivileged on this machine: there is nothing to guess';
  }
  function shuffled(list) {
    const out = [...list];
    for (let i = out.length - 1; i > 0; --i) {
      const j = Math.floor(Math.random() * (i + 1));
      [out[i], out[j]] = [out[j], out[i]];
    }
    return out;
  }
  function begin(count) {
    close();
    questions = shuffled(measured).slice(0, count);
    right = place = 0;
    missed = [];
    answers.hidden = true;
    game.hidden = false;
    ask();
  }
  function stop() {
    game.hidden = true;
    answers.hidden = false;
    start.focus();
  }
  function button(text, action, key) {
    const made = lab.make('button', '', text);
    made.addEventListener('click', action);
    if (key) made.dataset.key = key;
    return made;
  }
  function ask() {
    const row = questions[place];
    const choices = Object.entries(words).map(([kind, text], i) =>
      button(`${i + 1}  ${text}`, () => judge(row, kind), `${i + 1}`));
    game.replaceChildren(
        lab.make('p', 'faint', `${place + 1} of ${questions.length}; ${right} right so far`),
        lab.make('h2', '', row.form), lab.make('p', '', `${row.name}: ${row.purpose}. ` +
            'A kernel executes it, deprivileged, on this processor. What happens?'),
        lab.make('div', 'controls', ...choices, button('End', stop, 'e')));
    choices[0].focus();
  }
  function judge(row, guess) {
    const truth = kind_of(row), is_right = truth === guess;
    if (is_right) ++right; else missed.push([row, guess]);
    ++place;
    const on = button(place < questions.length ? 'Next' : 'Score',
                      place < questions.length ? ask : score, 'n');
    game.replaceChildren(
        lab.make('p', is_right ? 'good' : 'bad', is_right ? 'Right' : `No: ${words[truth]}`),
        lab.make('h2', '', `${row.name}: ${row.deprivileged}`), verdict(row), ...proof(row),
        lab.make('div', 'controls', on));
    on.focus();
  }
  function score() {
    const list = lab.make('ul', '', ...missed.map(([row, guess]) => lab.make('li', '',
        `${row.name}: you said ${guess}; ${words[kind_of(row)]} (${row.deprivileged_effects})`)));
    game.replaceChildren(
        lab.make('h2', '', `${right} of ${questions.length} right`),
        missed.length ? lab.make('p', '', 'What surprised you is what surprised those who tried:')
                      : lab.make('p', '', 'Nothing surprised you.'),
        list,
        lab.make('div', 'controls', button(`${kRounds} others`, () => begin(kRounds)),
                 button(`all ${measured.length}`, () => begin(measured.length)),
                 button('Show everything', stop, 'e')));
    game.querySelector('button').focus();
  }
  game.addEventListener('keydown', event => {
    const found = game.querySelector(`button[data-key="${CSS.escape(event.key)}"]`);
    if (found) found.click();
  });
  start.addEventListener('click', () => begin(kRounds));
})();
