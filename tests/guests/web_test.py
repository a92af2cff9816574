#!/usr/bin/env python3
"""The page of --display web, in headless Chromium: keys typed into it reach the guest, what the guest draws
and says is on it, its buttons do what they say. And who gets in: nobody without the token, no page of
another's, however it is asked.

usage: web_test.py --ringshift PROGRAM [CASE...]
"""

import base64
import contextlib
import http.client
import json
import os
import pathlib
import re
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import time

from harness import EXIT_QUIT, EXIT_USAGE, HERE, SKIPPED, Failure, Run, Stage, expect, parser, run_cases
from rfb_client import font
from screen_test import guest, quick_enough

TIMEOUT = 240
BROWSERS = ("chromium", "chromium-browser", "google-chrome")


@contextlib.contextmanager
def running(ringshift, display="web", *more):
    with Stage(ringshift) as stage:
        with Run(stage, [*guest(stage), "--display", display, *more], TIMEOUT) as run:
            run.wait_for("ready")
            found = re.search(r"http://127\.0\.0\.1:(\d+)/\?token=([0-9a-f]{32})", run.errors())
            expect(found, f"no address in: {run.errors()}")
            run.address, run.port, run.token = found[0], int(found[1]), found[2]
            yield run


class Browser:
    """Chromium, driven by its debugging pipe: one JSON object and a NUL each way."""

    def __init__(self, program, *options):
        self.folder = tempfile.mkdtemp(prefix="ringshift-browser-")
        self.end = time.monotonic() + TIMEOUT
        to_browser, self.to_browser = os.pipe()
        self.from_browser, from_browser = os.pipe()

        def wire():
            os.dup2(to_browser, 13)
            os.dup2(from_browser, 14)
            os.dup2(13, 3)
            os.dup2(14, 4)
        self.process = subprocess.Popen(
            [program, "--headless=new", "--no-sandbox", "--disable-gpu", "--remote-debugging-pipe",
             "--no-first-run", "--disable-dev-shm-usage", f"--user-data-dir={self.folder}", *options],
            preexec_fn=wire, close_fds=False, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL)
        os.close(to_browser)
        os.close(from_browser)
        self.left, self.number, self.session = b"", 0, None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        os.close(self.to_browser)
        os.close(self.from_browser)
        shutil.rmtree(self.folder, ignore_errors=True)

    def call(self, method, **parameters):
        self.number += 1
        message = {"id": self.number, "method": method, "params": parameters}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.to_browser, json.dumps(message).encode() + b"\0")
        while True:
            while b"\0" not in self.left:
                expect(time.monotonic() < self.end, f"the browser does not answer {method}")
                piece = os.read(self.from_browser, 1 << 16)
                expect(piece, "the browser has gone")
                self.left += piece
            text, self.left = self.left.split(b"\0", 1)
            answer = json.loads(text)
            if answer.get("id") == self.number:
                expect("error" not in answer, f"{method}: {answer.get('error')}")
                return answer["result"]

    def open(self, address):
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        self.call("Page.enable")
        self.call("Page.addScriptToEvaluateOnNewDocument", source="""
            window.faults = [];
            addEventListener('error', event => faults.push(event.message));
            addEventListener('unhandledrejection', event => faults.push(String(event.reason)));
            addEventListener('securitypolicyviolation', event => faults.push(event.blockedURI));""")
        self.call("Page.navigate", url=address)

    def value(self, expression):
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        expect("exceptionDetails" not in answer, f"{expression}: {answer}")
        return answer["result"].get("value")

    def wait_for(self, expression, what):
        # The page may be on its way.
        while not self.value(f"(() => {{ try {{ return {expression}; }} catch {{ return false; }} }})()"):
            expect(time.monotonic() < self.end, f"the page does not show {what}: "
                   f"{self.value('document.body?.innerText')}")
            time.sleep(0.1)

    def type(self, keys):
        """(key, code, text) each."""
        for key, code, text in keys:
            for kind in ("keyDown", "keyUp"):
                self.call("Input.dispatchKeyEvent", type=kind, key=key, code=code,
                          **({"text": text} if text and kind == "keyDown" else {}))


def letters(text):
    return [(c, "Space" if c == " " else f"Key{c.upper()}", c) for c in text]


CELLS = """(() => {
  const canvas = document.getElementById('screen'), picture = canvas.getContext('2d');
  return Array.from({length: 11}, (_, i) => {
    const pixels = picture.getImageData(i * 8, 0, 8, 16).data, paper = pixels.slice(0, 3).join();
    return Array.from({length: 16}, (_, y) => Array.from({length: 8}, (_, x) =>
      pixels.slice((y * 8 + x) * 4, (y * 8 + x) * 4 + 3).join() === paper ? 0 : 128 >> x)
      .reduce((a, b) => a | b));
  });
})()"""


def written(browser):
    glyphs = {glyph: chr(i) for i, glyph in reversed(list(enumerate(font())))} | {bytes(16): " "}
    return "".join(glyphs.get(bytes(cell), "?") for cell in browser.value(CELLS))


def a_person_uses_it(ringshift, program):
    with running(ringshift) as run, Browser(program) as browser:
        browser.open(run.address)
        blue = ("[...document.getElementById('screen').getContext('2d').getImageData(600, 390, 1, 1).data]"
                ".join() === '0,0,170,255'")
        browser.wait_for(blue, "the guest's blue screen")
        browser.value("document.getElementById('screen').focus()")
        browser.type(letters("hello world"))
        run.wait_for("k20")
        run.wait_for("ka0")
        for _ in range(100):
            if written(browser) == "hello world":
                break
            time.sleep(0.1)
        else:
            raise Failure(f"the canvas shows {written(browser)!r}")
        browser.wait_for("document.getElementById('serial').textContent.includes('k23')",
                         "what the serial port says")
        browser.wait_for("document.getElementById('state').textContent === 'running'", "the state")
        browser.wait_for("document.querySelectorAll('#figures tr').length > 20", "figures")
        browser.value("document.getElementById('serial').focus()")
        browser.type([("Z", "KeyZ", "Z")])
        run.wait_for("s5a")
        browser.value("document.getElementById('reset').click()")
        run.wait_for("ready", len(run.console))
        browser.wait_for(blue, "the screen after a reset")
        faults = browser.value("faults")
        expect(not faults, f"the page has failed: {faults}")
        expect(browser.value("document.getElementById('save').hidden"), "a button that does nothing")
        browser.value("document.getElementById('quit').click()")
        expect(run.finish() == EXIT_QUIT, "an exit code of its own")
        browser.wait_for("document.getElementById('state').textContent.includes('ended')", "the end")


def presses_power(ringshift, program):
    """The page's power button, of a machine whose screen is shown by VNC as well."""
    with Stage(ringshift) as stage:
        subprocess.run(["nasm", "-f", "bin", "-I", f"{HERE}/asm/", "-o", "controlled",
                        f"{HERE}/control/controlled.asm"], cwd=stage.path, check=True)
        (stage.path / "controlled").chmod(0o644)
        stage.path.chmod(0o777)
        words = ["run", "--kernel", str(stage.path / "controlled"), "--memory", "16M", "--machine",
                 "acpi=on", "--display", f"vnc=unix:{stage.path}/screen", "--display", "web"]
        with Run(stage, words, TIMEOUT) as run, Browser(program) as browser:
            run.wait_for("begins")
            with socket.socket(socket.AF_UNIX) as viewer:
                viewer.connect(f"{stage.path}/screen")
                expect(viewer.recv(12) == b"RFB 003.008\n", "no VNC beside the page")
            browser.open(re.search(r"http://127\.0\.0\.1:\d+/\?token=[0-9a-f]{32}", run.errors())[0])
            browser.wait_for("!document.getElementById('power').hidden", "the power button")
            browser.value("document.getElementById('power').click()")
            run.wait_for("power button")
            expect(run.finish() == 1, "the guest's own end")  # (0 << 1) | 1


READABLE = """(() => {
  const light = color => {
    const part = value => (value /= 255) <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
    const [r, g, b] = color.match(/[\\d.]+/g).map(Number);
    return 0.2126 * part(r) + 0.7152 * part(g) + 0.0722 * part(b);
  };
  const behind = element => {
    for (let e = element; e; e = e.parentElement) {
      const color = getComputedStyle(e).backgroundColor;
      if (!color.endsWith(', 0)') && color !== 'transparent') return color;
    }
    return 'rgb(255, 255, 255)';
  };
  const poor = [];
  for (const element of document.querySelectorAll('h1, h2, p, span, button, td, pre')) {
    const [a, b] = [light(getComputedStyle(element).color), light(behind(element))].sort((x, y) => y - x);
    if ((a + 0.05) / (b + 0.05) < 4.5) poor.push(element.id || element.tagName);
  }
  if (document.documentElement.scrollWidth > innerWidth) poor.push('wider than the window');
  return poor.join(', ');
})()"""


def it_can_be_read(ringshift, program):
    """In light and in dark, wide and narrow."""
    with running(ringshift) as run, Browser(program) as browser:
        browser.open(run.address)
        browser.wait_for("document.querySelectorAll('#figures tr').length > 20", "figures")
        papers = set()
        for scheme in ("light", "dark"):
            for width in (1400, 400):
                browser.call("Emulation.setEmulatedMedia",
                             features=[{"name": "prefers-color-scheme", "value": scheme}])
                browser.call("Emulation.setDeviceMetricsOverride", width=width, height=900,
                             deviceScaleFactor=1, mobile=False)
                poor = browser.value(READABLE)
                expect(not poor, f"{scheme}, {width} wide: {poor}")
                papers.add(browser.value("getComputedStyle(document.body).backgroundColor"))
        expect(len(papers) == 2, f"light and dark look the same: {papers}")


# ---- without a browser

def status(port, path, **headers):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        answer.body = answer.read().decode(errors="replace")
        return answer
    finally:
        connection.close()


class WebSocket:
    """Connected as a page would; `headers` in place of its own."""

    def __init__(self, run, protocol, token=None, **headers):
        self.socket = socket.create_connection(("127.0.0.1", run.port), timeout=10)
        lines = {"Host": f"127.0.0.1:{run.port}", "Origin": f"http://127.0.0.1:{run.port}",
                 "Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13",
                 "Sec-WebSocket-Key": base64.b64encode(os.urandom(16)).decode(),
                 "Sec-WebSocket-Protocol": protocol, **headers}
        self.socket.sendall(f"GET /{protocol}?token={run.token if token is None else token} HTTP/1.1\r\n"
                            .encode() + b"".join(f"{name}: {value}\r\n".encode()
                                                 for name, value in lines.items() if value) + b"\r\n")
        answer = b""
        with contextlib.suppress(ConnectionError):
            while b"\r\n\r\n" not in answer:
                piece = self.socket.recv(1)
                if not piece:
                    break
                answer += piece
        self.is_open = answer.startswith(b"HTTP/1.1 101")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, data, kind=2, final=True):
        length = (bytes([0x80 | len(data)]) if len(data) < 126 else
                  b"\xfe" + struct.pack(">H", len(data)) if len(data) < 65536 else
                  b"\xff" + struct.pack(">Q", len(data)))
        self.socket.sendall(bytes([(0x80 if final else 0) | kind]) + length + bytes(4) + data)

    def ends(self):
        """The server closes it, in time."""
        self.socket.settimeout(10)
        with contextlib.suppress(ConnectionError):
            while self.socket.recv(65536):
                pass
        return True


def who_gets_in(ringshift):
    with running(ringshift) as run:
        here = f"127.0.0.1:{run.port}"
        page = status(run.port, f"/?token={run.token}")
        expect(page.status == 200 and "Ringshift" in page.body, f"the page: {page.status}")
        policy = page.headers["content-security-policy"] or ""
        expect("default-src 'none'" in policy and "unsafe" not in policy, f"policy: {policy}")
        expect("@NONCE@" not in page.body, "a place that was not filled")
        for path in ("/", "/?token=", "/?token=" + "0" * 32, f"/x?token={run.token}", "/../../etc/passwd"):
            expect(status(run.port, path).status in (403, 404), f"{path} is served")
        expect(status(run.port, f"/?token={run.token}", Host="evil.example").status == 403, "by a foreign name")
        with WebSocket(run, "control") as good:
            expect(good.is_open, "the page's own is refused")
        for why, case in {"token": {"token": "0" * 32}, "origin": {"Origin": "http://evil.example"},
                          "no origin": {"Origin": ""}, "null origin": {"Origin": "null"},
                          "host": {"Host": "evil.example", "Origin": "http://evil.example"},
                          "port": {"Origin": f"http://127.0.0.1:{run.port + 1}"}}.items():
            for protocol in ("rfb", "control"):
                with WebSocket(run, protocol, **case) as other:
                    expect(not other.is_open, f"{protocol} is open to another {why}")
        with WebSocket(run, "http") as other:
            expect(not other.is_open, "a protocol that is none")
        expect(here in run.address, "it is not the loopback's")


def hostile_peers(ringshift):
    with running(ringshift) as run, contextlib.ExitStack() as held:
        for _ in range(60):  # they say nothing
            with contextlib.suppress(OSError):
                held.enter_context(socket.create_connection(("127.0.0.1", run.port), timeout=10))
        held.close()
        with WebSocket(run, "rfb") as rude:
            rude.send(b"GET / HTTP/1.1\r\n")
            rude.ends()
        with WebSocket(run, "control") as long:
            long.send(b"type:" + b"x" * 100_000, kind=1)
            long.ends()
        with WebSocket(run, "control") as cut:
            cut.send(b"type:", kind=1, final=False)
            cut.ends()
        with WebSocket(run, "control") as lying:
            lying.socket.sendall(b"\x81\xff" + struct.pack(">Q", 1 << 62) + bytes(4) + b"x" * 5000)
            lying.ends()
        silent = [held.enter_context(WebSocket(run, "rfb")) for _ in range(12)]
        expect(sum(each.is_open for each in silent) == 8, "more than eight viewers")
        for each in silent:
            each.socket.close()
        time.sleep(0.3)
        with WebSocket(run, "rfb") as greedy, WebSocket(run, "control") as control:
            greedy.send(b"RFB 003.008\n\1\1")
            time.sleep(0.3)
            for _ in range(2000):
                greedy.send(struct.pack(">BBHHHH", 3, 0, 0, 0, 640, 400))
            control.send(b"what is this?", kind=1)
            control.send(b"type:A", kind=1)
            run.wait_for("s41")
        resident = int(re.search(r"VmRSS:\s+(\d+)",
                                 pathlib.Path(f"/proc/{run.process.pid}/status").read_text())[1])
        expect(resident < 200_000, f"{resident} KiB are in use")
        expect(status(run.port, f"/?token={run.token}").status == 200, "the page is gone")


def it_ends_in_time(ringshift):
    def attempt():
        with running(ringshift) as run, WebSocket(run, "rfb"), WebSocket(run, "control"):
            begin = time.monotonic()
            run.terminate()
            expect(run.finish() == EXIT_QUIT, f"exit code {run.process.returncode}")
            return time.monotonic() - begin
    quick_enough(attempt)


def what_cannot_be(ringshift):
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        busy.listen()
        for display, reason in ((f"web={busy.getsockname()[1]}", "cannot listen at"),
                                ("web=99999", "cannot listen at '99999'"), ("web=x:1", "cannot listen at"),
                                ("web=here", "cannot listen at 'here'")):
            with Stage(ringshift) as stage:
                with Run(stage, [*guest(stage), "--display", display], TIMEOUT) as run:
                    code = run.finish()
                    expect(code == EXIT_USAGE and run.errors().count("\n") == 1 and reason in run.errors(),
                           f"{display}: exit code {code}: {run.errors()}")


def main():
    arguments = parser(__doc__)
    arguments.add_argument("cases", nargs="*")
    chosen = arguments.parse_args()
    program = next(filter(None, map(shutil.which, BROWSERS)), None)
    cases = [(case.__name__, lambda case=case: case(chosen.ringshift))
             for case in (who_gets_in, hostile_peers, it_ends_in_time, what_cannot_be)]
    if program is None:
        print("no Chromium: the page is not opened")
    else:
        cases += [(case.__name__, lambda case=case: case(chosen.ringshift, program))
                  for case in (a_person_uses_it, presses_power, it_can_be_read)]
    failed = run_cases([each for each in cases if not chosen.cases or each[0] in chosen.cases])
    return failed or (SKIPPED if program is None else 0)


if __name__ == "__main__":
    sys.exit(main())
