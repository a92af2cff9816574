'use strict';
// What every page of the laboratory begins with. `lab.data` is what --json prints.
const lab = {
  data: JSON.parse(document.getElementById('data').textContent),
  // An element with a class, children and a text; text is never taken for HTML.
  make(tag, className, ...children) {
    const element = document.createElement(tag);
    if (className) element.className = className;
    element.append(...children.filter(child => child !== null && child !== undefined));
    return element;
  },
  hex(value, digits = 8) { return (value >>> 0).toString(16).padStart(digits, '0'); },
  by_id(id) { return document.getElementById(id); },
};
document.documentElement.classList.add('scripted');
// What is folded away is printed, too.
addEventListener('beforeprint', () => {
  for (const part of document.querySelectorAll('details')) part.open = true;
});
