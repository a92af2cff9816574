#!/usr/bin/env python3
"""Every page the laboratory makes, in headless Chromium: in light and in dark, wide and narrow.

Each page is opened with scripts added to it: one uses it as a person would, by clicks and keys, and
holds what is shown against the page's own data; the other looks at what the browser made of it:
every text stands out from what is behind it, nothing runs over the side, nothing is fetched, no
script fails. Skipped where there is no Chromium.
"""
import argparse
import html
import json
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

SKIPPED = 77  # ctest's SKIP_RETURN_CODE
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
LIGHT, DARK = 1, 0  # Chromium's preferred colour schemes
PAGES = ("index", "matrix", "trap", "census", "three", "paging", "memory", "time", "translate", "paravirt")

# Before everything else on the page: no error goes unseen.
WATCH = """<script>
const errors = [];
addEventListener('error', event => errors.push(`script: ${event.message}`));
addEventListener('securitypolicyviolation', event => errors.push(`forbidden: ${event.blockedURI}`));
</script>"""

# Used by a person: what fails is pushed to `faults`.
TOOLS = """
const faults = errors;
const expect = (condition, what) => { if (!condition) faults.push(what); };
const click = element => element.dispatchEvent(new MouseEvent('click', {bubbles: true, cancelable: true}));
const key = (name, target = document.body) => target.dispatchEvent(
    new KeyboardEvent('keydown', {key: name, bubbles: true, cancelable: true}));
const at = id => document.getElementById(id);
const shown = element => element.getClientRects().length > 0;
"""
USE = {
    "index": """
      expect(document.querySelectorAll('.story > li').length === 9, 'nine chapters');
      for (const {finding} of lab.data) expect(document.body.innerText.includes(finding), finding);
    """,
    "matrix": """
      const rows = lab.data.instructions, dots = [...document.querySelectorAll('svg a[data-id]')];
      expect(dots.length === rows.length, `${dots.length} dots for ${rows.length} instructions`);
      expect(!shown(at('evidence')), 'evidence before it is asked for');
      for (const row of rows) {
        click(dots.find(dot => dot.dataset.id === row.name));
        const text = at('evidence').textContent;
        for (const part of [row.at_ring_0, row.deprivileged_effects, row.bytes, row.host_code,
                            row.verdict, row.treatment]) {
          expect(text.includes(part), `${row.name}: ${part} is not shown`);
        }
      }
      key('ArrowRight', dots[0]);
      expect(at('evidence').textContent.includes(dots[1].dataset.id), 'the arrow keys');
      key('Escape');
      expect(!shown(at('evidence')), 'Escape does not close');
      if (rows.some(row => row.privileged !== null)) {
        click(at('predict'));
        expect(!shown(at('answers')), 'the answers are seen before the guess');
        const kinds = {traps: 0, 'system call': 0, 'kernel fakes': 2};
        for (let round = 0; round < 12; ++round) {
          const form = at('game').querySelector('h2').textContent;
          const row = rows.find(candidate => candidate.form === form &&
              at('game').textContent.includes(candidate.name));
          const truth = kinds[row.deprivileged] ?? 1;
          key(`${(round < 9 ? truth : (truth + 1) % 3) + 1}`, at('game').querySelector('button'));
          expect(at('game').textContent.includes(round < 9 ? 'Right' : 'No: '), `${form}: the guess`);
          key('n', at('game').querySelector('button'));
        }
        expect(at('game').textContent.includes('9 of 12 right'), at('game').textContent.slice(0, 40));
        key('e', at('game').querySelector('button'));
        expect(shown(at('answers')) && !shown(at('game')), 'the end of the game');
      }
      click(dots[0]);
    """,
    "trap": """
      const {runs} = lab.data, slider = at('moment'), count = runs.interpret.moments.length;
      expect(Number(slider.max) === count - 1, 'moments on the slider');
      slider.value = 0;
      slider.dispatchEvent(new Event('input'));
      for (let place = 0; place < count; ++place) {
        const cells = [...at('now').querySelectorAll('tr')[1].querySelectorAll('td')].slice(1);
        Object.values(runs).forEach((run, i) => run.moments.length && expect(
            cells[i].textContent === (run.moments[place].if ? 'on' : 'off'), `IF at ${place}`));
        key('ArrowRight');
      }
      expect(Number(slider.value) === count - 1, 'the arrow keys');
      const group = document.querySelector('g[data-group="clock"]');
      const button = document.querySelector('button[data-row="clock"]');
      click(button);
      expect(!shown(group) && button.getAttribute('aria-pressed') === 'false', 'a row hidden');
      click(button);
      expect(shown(group), 'a row shown');
    """,
    "census": """
      for (const row of lab.data.instructions) {
        expect(document.body.innerText.includes(row.name), row.name);
      }
      const trees = [...document.querySelectorAll('section.tree')];
      const buttons = [...document.querySelectorAll('button[data-tree]')];
      expect(trees.length === buttons.length && trees.length > 1, `${trees.length} trees`);
      expect(trees.filter(shown).length === 1 && shown(at('tree-image')), 'one tree at a time');
      key('ArrowRight');
      expect(shown(trees[1]) && !shown(trees[0]), 'the arrow keys');
      key('Escape');
      expect(shown(trees[0]), 'Escape leads back');
      click(buttons[1]);
      expect(shown(trees[1]) && buttons[1].getAttribute('aria-pressed') === 'true', 'a button');
      click(buttons[0]);
    """,
    "three": """
      for (const refusal of lab.data.resource_control.refusals) {
        expect(document.body.innerText.includes(refusal.tried), `not told: ${refusal.tried}`);
      }
      expect(document.body.innerText.includes(lab.data.efficiency.native_percent.toFixed(2)), 'share');
      const beside = lab.data.resource_control.neighbours;
      expect(beside.length > 4, 'neighbours');
      for (const run of beside) {
        expect(document.body.innerText.includes(run.doing), `not told: ${run.doing}`);
        expect(document.body.innerText.includes(`${(100 * run.own_seconds / run.seconds).toFixed(1)} %`), `share: ${run.doing}`);
      }
    """,
    "paging": """
      const {events, pages} = lab.data;
      expect(Number(at('step').max) === events.length - 1, 'events on the slider');
      for (let place = 0; place < events.length; ++place) {
        const event = events[place], text = at('now').textContent;
        expect(text.includes(event.kind) && text.includes(event.instruction), `event ${place}`);
        const [guest, shadow] = at('now').querySelectorAll('table');
        pages.forEach((page, i) => {
          const state = event.state[i], cells = guest.rows[i + 1].cells;
          const leaf = state.levels === 2 ? state.table : state.directory;
          for (const [bit, name] of [[5, 'A'], [6, 'D']]) {
            const cell = [...cells].find(candidate => candidate.dataset.bit === name);
            const set = state.levels > 0 && Math.floor(leaf / 2 ** bit) % 2 === 1;
            expect(cell.textContent === (state.levels === 0 ? '' : set ? '1' : '0'), `${name} of ${page} at event ${place}`);
          }
          const frame = cells[1].textContent;
          expect(frame === (state.levels === 0 ? 'no paging' : state.frame === undefined ? 'not present'
              : lab.hex(state.frame)), `the frame: ${frame}`);
          const held = shadow.rows[i + 1].cells[1].textContent;
          expect(held === (state.shadow === undefined ? '—' :
              lab.hex(state.shadow) + (state.writable ? ' rw' : ' r')), `the shadow: ${held}`);
        });
        key('ArrowRight');
      }
      key('ArrowLeft');
      expect(Number(at('step').value) === events.length - 2, 'the arrow keys');
      click(at('after'));
      expect(Number(at('step').value) === events.length - 1, 'the button');
      click(document.querySelector('svg a[data-id="0"]'));
      expect(Number(at('step').value) === 0, 'the picture');
    """,
    "memory": """
      const {pages, grains, ways, copies} = lab.data, text = document.body.innerText;
      for (const [kind, count] of Object.entries(pages)) {
        expect([...document.querySelectorAll('.card')].some(card =>
            card.textContent === `${count}pages ${kind}`), `no card: ${count} ${kind}`);
        const drawn = [...document.querySelectorAll('svg title')].filter(title =>
            title.textContent.endsWith(`: ${kind}`)).length;
        expect(drawn === grains.filter(grain => grain === kind).length, `${drawn} squares are ${kind}`);
      }
      for (const copy of copies) expect(text.includes(copy.instruction), copy.instruction);
      expect(document.querySelector('pre').textContent.trim().split('\\n').length === ways.length, 'ways');
    """,
    "time": """
      const {runs} = lab.data, rows = [...document.querySelectorAll('table tr')].slice(1);
      expect(rows.length === runs.length, 'a row for each policy');
      runs.forEach((run, i) => {
        const cells = [...rows[i].cells].map(cell => cell.textContent);
        expect(cells[0] === run.time, `${cells[0]} is not ${run.time}`);
        expect(cells[2] === run.clock_behind_ms.toFixed(1), `${run.time}: the clock is ${cells[2]} behind`);
        expect(cells[3] === run.ticks_behind_ms.toFixed(1), `${run.time}: ticks are ${cells[3]} behind`);
      });
      const drawn = runs.reduce((sum, run) => sum + 2 * (run.samples.length - 1), 0);
      expect(document.querySelectorAll('svg line').length >= drawn, `fewer than ${drawn} pieces of curves`);
    """,
    "paravirt": """
      const {operations, ways} = lab.data, rows = [...document.querySelectorAll('table tr')].slice(1);
      expect(rows.length === operations.length, 'a row for each operation');
      operations.forEach((operation, i) => {
        expect(rows[i].textContent.includes(operation.what), operation.what);
        expect(rows[i].cells.length === ways.length + 2, 'a cell for each way');
      });
    """,
    "translate": """
      const sections = [...document.querySelectorAll('section.block')];
      expect(sections.length === lab.data.blocks.length, 'blocks');
      expect(sections.filter(shown).length === 1 && shown(sections[0]), 'one block at a time');
      key('ArrowRight');
      expect(shown(sections[1]) && !shown(sections[0]), 'the arrow keys');
      click(at('every'));
      expect(sections.every(shown), 'all of them');
      lab.data.blocks.forEach((block, i) => block.instructions.forEach(instruction => {
        expect(sections[i].textContent.includes(instruction.text), instruction.text);
      }));
      const link = document.querySelector('section.block pre a');
      expect(link && at(link.getAttribute('href').slice(1)), 'a link can be followed');
    """,
}

# WCAG 2.1, 1.4.3: the contrast of text, and what luminance is.
LOOK = """
const parse = colour => (colour.match(/[\\d.]+/g) || []).map(Number);
const linear = v => (v /= 255) <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
const luminance = ([r, g, b]) => 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);
const visible = colour => colour.length >= 3 && (colour.length < 4 || colour[3] > 0.5);
function behind(element) {
  for (let at = element; at; at = at.parentElement) {
    const colour = parse(getComputedStyle(at).backgroundColor);
    if (visible(colour)) return colour;
  }
  return null;
}
function behindDrawing(text) {
  text.scrollIntoView({block: 'center', inline: 'center'});
  const box = text.getBoundingClientRect();
  for (const at of document.elementsFromPoint(box.x + box.width / 2, box.y + box.height / 2)) {
    const style = getComputedStyle(at), fill = parse(style.fill);
    if (at === text || !(at instanceof SVGGeometryElement)) continue;
    if (style.fill !== 'none' && visible(fill) &&
        style.opacity * style.fillOpacity > 0.5) return fill;
  }
  return behind(text.ownerSVGElement);
}
let texts = 0;
const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
while (walker.nextNode()) {
  const element = walker.currentNode.parentElement, words = walker.currentNode.data.trim();
  if (!words || element.tagName === 'SCRIPT' || !element.getClientRects().length) continue;
  // Previews lead to the picture, and are not read.
  if (element.closest('[aria-hidden="true"]')) continue;
  ++texts;
  const drawn = element instanceof SVGElement, style = getComputedStyle(element);
  const ink = parse(drawn ? style.fill : style.color);
  const paper = drawn ? behindDrawing(element) : behind(element);
  if (!paper) { faults.push('nothing behind: ' + words.slice(0, 40)); continue; }
  const [dark, light] = [luminance(ink), luminance(paper)].sort((a, b) => a - b);
  const contrast = (light + 0.05) / (dark + 0.05);
  if (contrast < 4.5) faults.push(`contrast ${contrast.toFixed(1)}: ${words.slice(0, 40)}`);
}
// Words of a drawing lie inside it, and none over others.
for (const drawing of document.querySelectorAll('svg')) {
  if (!drawing.getClientRects().length || drawing.closest('[aria-hidden="true"]')) continue;
  const frame = drawing.getBoundingClientRect(), placed = [];
  for (const text of drawing.querySelectorAll('text')) {
    const box = text.getBoundingClientRect(), words = text.textContent.trim().slice(0, 40);
    if (!words || !box.width) continue;
    if (box.left < frame.left - 1 || box.right > frame.right + 1) faults.push(`cut off: ${words}`);
    for (const other of placed) {
      const wide = Math.min(box.right, other.box.right) - Math.max(box.left, other.box.left);
      const high = Math.min(box.bottom, other.box.bottom) - Math.max(box.top, other.box.top);
      if (wide > 3 && high > box.height / 2) faults.push(`one over the other: ${words} | ${other.words}`);
    }
    placed.push({box, words});
  }
}
const root = document.documentElement;
if (root.scrollWidth > root.clientWidth) {
  faults.push(`${root.scrollWidth} pixels wide in ${root.clientWidth}`);
}
for (const entry of performance.getEntriesByType('resource')) {
  if (!entry.name.endsWith('/favicon.ico')) faults.push('fetches ' + entry.name);
}
parent.postMessage(JSON.stringify({
  texts, faults: faults.slice(0, 8), count: faults.length, width: innerWidth,
  paper: luminance(behind(document.body) || [255, 255, 255]),
  heading: document.querySelector('h1').innerText}), '*');
"""

# Chromium's own window is never narrower than 500 pixels; a frame is.
FRAME = """<!DOCTYPE html><meta charset="utf-8"><title>waits</title>
<iframe src="watched.html" style="width:{width}px;height:900px;border:0"></iframe>
<script>addEventListener('message', event => {{ document.title = event.data; }});</script>"""


def look(browser, folder, page, scheme, width, use=""):
    """The elements that the scripts find on the page."""
    script = "<script>{" + TOOLS + "try {" + use + "} catch (error) { faults.push(`${error}`); }"
    watched = page.replace("<body>", "<body>" + WATCH, 1)
    (folder / "watched.html").write_text(watched.replace("</body>", script + LOOK + "}</script></body>"))
    (folder / "frame.html").write_text(FRAME.format(width=width))
    done = subprocess.run(
        [browser, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
         f"--user-data-dir={folder / 'profile'}", "--host-resolver-rules=MAP * ~NOTFOUND",
         f"--window-size={width + 20},950", f"--blink-settings=preferredColorScheme={scheme}",
         "--virtual-time-budget=20000", "--dump-dom", (folder / "frame.html").as_uri()],
        capture_output=True, text=True, timeout=120, check=False)
    found = re.search(r"<title>(\{.*?\})</title>", done.stdout, re.DOTALL)
    if not found:
        raise RuntimeError(f"the browser shows nothing: {done.stdout[-300:]} {done.stderr[-500:]}")
    return json.loads(html.unescape(found.group(1)))


def check(browser, folder, name, page):
    problems = []
    for scheme, width in ((LIGHT, 1600), (DARK, 400)):
        seen = look(browser, folder, page, scheme, width, USE[name])
        where = f"{name}, {'light' if scheme == LIGHT else 'dark'}, {width} pixels"
        if seen["texts"] < 20 or not seen["heading"]:
            problems.append(f"{where}: an empty page")
        if seen["width"] != width:
            problems.append(f"{where}: {seen['width']} pixels wide instead")
        if (seen["paper"] > 0.5) != (scheme == LIGHT):
            problems.append(f"{where}: the paper's luminance is {seen['paper']:.2f}")
        problems += [f"{where}: {fault} ({seen['count']} in all)" for fault in seen["faults"]]
    return problems


def the_check_can_fail(browser, folder):
    """A page with each fault has each of them found."""
    bad = ("<!DOCTYPE html><html><style>body {background: #fff}</style><body><h1 style='color:#ccc'>faint</h1>"
           "<div style='width:3000px'>wide</div><svg><rect width='90' height='40' fill='#222'/>"
           "<text x='5' y='20' fill='#333'>hidden</text><text x='15' y='22'>above</text>"
           "<text x='280' y='90'>outside of it</text></svg><script>nothing.here()</script>"
           "</body></html>")
    faults = " ".join(look(browser, folder, bad, LIGHT, 800, "expect(false, 'not used');")["faults"])
    return [f"not found on a bad page: {fault}; only: {faults}"
            for fault in ("faint", "hidden", "pixels wide", "nothing is not", "not used",
                          "one over the other", "cut off") if fault not in faults]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ringshift", required=True)
    parser.add_argument("--keep", type=pathlib.Path, help="write the pages there, too")
    arguments = parser.parse_args()
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        print("skipped: no Chromium")
        return SKIPPED
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        pages = arguments.keep or folder / "pages"
        problems = the_check_can_fail(browser, folder)
        subprocess.run([arguments.ringshift, "lab", "all", "--html", str(pages), "--seconds", "10"],
                       check=True, stdout=subprocess.DEVNULL, timeout=200)
        for title in PAGES:
            problems += check(browser, folder, title, (pages / f"{title}.html").read_text())
    print("\n".join(problems) or f"pass {len(PAGES)} pages")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
