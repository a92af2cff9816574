#!/usr/bin/env python3
"""Every page the laboratory makes, in headless Chromium: in light and in dark, wide and narrow.

Each page is opened with a script added to it that looks at what the browser made of it: every text
stands out from what is behind it, nothing runs over the side, nothing is fetched. Skipped where
there is no Chromium.
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

from lab_guests import assemble

SKIPPED = 77  # ctest's SKIP_RETURN_CODE
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
LIGHT, DARK = 1, 0  # Chromium's preferred colour schemes
PAGES = {
    "matrix": ["matrix"],
    "census": ["census", "IMAGE", "--run", "20"],
    "trap": ["trap"],
    "three": ["three"],
    "paging": ["paging"],
}

# WCAG 2.1, 1.4.3: the contrast of text, and what luminance is.
SCRIPT = """
<script>
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
const faults = [];
let texts = 0;
const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
while (walker.nextNode()) {
  const element = walker.currentNode.parentElement, words = walker.currentNode.data.trim();
  if (!words || element.tagName === 'SCRIPT' || !element.getClientRects().length) continue;
  ++texts;
  const drawn = element instanceof SVGElement, style = getComputedStyle(element);
  const ink = parse(drawn ? style.fill : style.color);
  const paper = drawn ? behindDrawing(element) : behind(element);
  if (!paper) { faults.push('nothing behind: ' + words.slice(0, 40)); continue; }
  const [dark, light] = [luminance(ink), luminance(paper)].sort((a, b) => a - b);
  const contrast = (light + 0.05) / (dark + 0.05);
  if (contrast < 4.5) faults.push(`contrast ${contrast.toFixed(1)}: ${words.slice(0, 40)}`);
}
const root = document.documentElement;
if (root.scrollWidth > root.clientWidth) {
  faults.push(`${root.scrollWidth} pixels wide in ${root.clientWidth}`);
}
for (const entry of performance.getEntriesByType('resource')) {
  if (!entry.name.endsWith('/favicon.ico')) faults.push('fetches ' + entry.name);
}
document.title = JSON.stringify({
  texts, faults: faults.slice(0, 5), count: faults.length,
  paper: luminance(behind(document.body) || [255, 255, 255]),
  heading: document.querySelector('h1').innerText});
</script>
"""


def look(browser, folder, page, scheme, width):
    """What the script finds on the page."""
    watched = folder / "watched.html"
    watched.write_text(page.replace("</body>", SCRIPT + "</body>"))
    done = subprocess.run(
        [browser, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
         f"--user-data-dir={folder / 'profile'}", "--host-resolver-rules=MAP * ~NOTFOUND",
         f"--window-size={width},900", f"--blink-settings=preferredColorScheme={scheme}",
         "--dump-dom", watched.as_uri()],
        capture_output=True, text=True, timeout=120, check=False)
    found = re.search(r"<title>(\{.*?\})</title>", done.stdout, re.DOTALL)
    if not found:
        raise RuntimeError(f"the browser shows nothing: {done.stderr[-500:]}")
    return json.loads(html.unescape(found.group(1)))


def check(browser, folder, name, page):
    problems = []
    for scheme, width in ((LIGHT, 1280), (DARK, 500)):
        seen = look(browser, folder, page, scheme, width)
        where = f"{name}, {'light' if scheme == LIGHT else 'dark'}, {width} pixels"
        if seen["texts"] < 20 or not seen["heading"]:
            problems.append(f"{where}: an empty page")
        if (seen["paper"] > 0.5) != (scheme == LIGHT):
            problems.append(f"{where}: the paper's luminance is {seen['paper']:.2f}")
        problems += [f"{where}: {fault} ({seen['count']} in all)" for fault in seen["faults"]]
    return problems


def the_check_can_fail(browser, folder):
    """A page with each fault has each of them found."""
    bad = ("<!DOCTYPE html><html><body style='background:#fff'><h1 style='color:#ccc'>faint</h1>"
           "<div style='width:3000px'>wide</div><svg><rect width='90' height='40' fill='#222'/>"
           "<text x='5' y='20' fill='#333'>hidden</text></svg></body></html>")
    faults = " ".join(look(browser, folder, bad, LIGHT, 800)["faults"])
    return [f"not found on a bad page: {fault}; only: {faults}"
            for fault in ("faint", "hidden", "pixels wide") if fault not in faults]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ringshift", required=True)
    parser.add_argument("--keep", type=pathlib.Path, help="write the pages there too")
    arguments = parser.parse_args()
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        print("skipped: no Chromium")
        return SKIPPED
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        image = assemble("counted", folder)
        problems = the_check_can_fail(browser, folder)
        for title, words in PAGES.items():
            path = folder / f"{title}.html"
            command = [str(image) if word == "IMAGE" else word for word in words]
            subprocess.run([arguments.ringshift, "lab", *command, "--html", str(path)],
                           check=True, stdout=subprocess.DEVNULL, timeout=120)
            if arguments.keep:
                shutil.copy(path, arguments.keep)
            problems += check(browser, folder, title, path.read_text())
    print("\n".join(problems) or f"pass {len(PAGES)} pages")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
