// The census: one tree at a time, by a click on a section, by the buttons or by the arrow keys.
(() => {
  const trees = [...document.querySelectorAll('section.tree')];
  const buttons = [...document.querySelectorAll('button[data-tree]')];
  let place = 0;
  function show() {
    trees.forEach((tree, i) => { tree.hidden = i !== place; });
    buttons.forEach((button, i) => {
      button.setAttribute('aria-pressed', i === place);
      button.classList.toggle('chosen', i === place);
    });
  }
  function go_to(index) {
    place = Math.min(trees.length - 1, Math.max(0, index));
    show();
  }
  function go_to_hash() {
    const found = trees.findIndex(tree => `#${tree.id}` === location.hash);
    if (found >= 0) go_to(found);
  }
  if (!trees.length) return;
  buttons.forEach((button, i) => button.addEventListener('click', () => {
    history.replaceState(null, '', '#' + trees[i].id);
    go_to(i);
  }));
  addEventListener('hashchange', go_to_hash);
  addEventListener('beforeprint', () => trees.forEach(tree => { tree.hidden = false; }));
  addEventListener('afterprint', show);
  addEventListener('keydown', event => {
    if (event.target.closest('.scroll, .picture > svg, .controls input')) return;
    const step = {ArrowRight: 1, ArrowLeft: -1}[event.key];
    if (event.key === 'Escape') go_to(0);
    if (!step) return;
    event.preventDefault();
    go_to(place + step);
  });
  show();
  go_to_hash();
})();
