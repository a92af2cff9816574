// The study's page: its data, and columns that are taken off the charts and put back by their buttons.
const study = {data: JSON.parse(document.getElementById('results').textContent)};
for (const button of document.querySelectorAll('.key button[data-column]')) {
  button.addEventListener('click', () => {
    const shown = button.getAttribute('aria-pressed') !== 'true';
    for (const other of document.querySelectorAll('.key button[data-column]')) {
      if (other.dataset.column === button.dataset.column) other.setAttribute('aria-pressed', shown);
    }
    for (const mark of document.querySelectorAll('svg [data-c]')) {
      if (mark.dataset.c === button.dataset.column) mark.style.display = shown ? '' : 'none';
    }
  });
}
