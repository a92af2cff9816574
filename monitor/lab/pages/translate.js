// The explorer: one block at a time, by its address in the page or by the arrow keys.
(() => {
  const blocks = [...document.querySelectorAll('section.block')];
  const bars = [...document.querySelectorAll('svg a[data-id]')];
  const place_text = lab.by_id('place'), every = lab.by_id('every');
  let place = 0, all = false;
  function show() {
    blocks.forEach((block, i) => { block.hidden = !all && i !== place; });
    bars.forEach(bar => bar.classList.toggle('chosen', bar.dataset.id === blocks[place].id));
    place_text.textContent = `block ${place + 1} of ${blocks.length}`;
    every.setAttribute('aria-pressed', all);
    every.classList.toggle('chosen', all);
  }
  function go_to_hash() {
    const found = blocks.findIndex(block => `#${block.id}` === location.hash);
    if (found < 0) return;
    place = found;
    show();
    blocks[place].scrollIntoView({block: 'start'});
  }
  function move(step) {
    place = Math.min(blocks.length - 1, Math.max(0, place + step));
    history.replaceState(null, '', '#' + blocks[place].id);
    show();
  }
  if (!blocks.length) return;
  lab.by_id('before').addEventListener('click', () => move(-1));
  lab.by_id('after').addEventListener('click', () => move(1));
  every.addEventListener('click', () => { all = !all; show(); });
  addEventListener('hashchange', go_to_hash);
  addEventListener('beforeprint', () => { all = true; show(); });
  addEventListener('keydown', event => {
    const step = {ArrowRight: 1, ArrowLeft: -1}[event.key];
    if (!step || event.target.closest('.scroll, .picture')) return;
    event.preventDefault();
    move(step);
  });
  // What an instruction is and what it became, together.
  show();
  go_to_hash();
})();
