#!/usr/bin/env python3
"""The VNC server: a client types, points and sees what the guest draws; passwords, sockets, resets; peers
that are slow, silent or hostile; and a viewer of others'.

usage: screen_test.py --ringshift PROGRAM [CASE...]
"""

import contextlib
import os
import pathlib
import re
import shutil
import socket
import stat
import struct
import subprocess
import sys
import time

from harness import (EXIT_QUIT, EXIT_USAGE, HERE, Failure, Run, Stage, expect, parser,
                     run_cases)
from rfb_client import Client, font, free_display

TIMEOUT = 120
BLUE, WHITE = (0, 0, 0xaa), (0xaa, 0xaa, 0xaa)
F1, SHIFT, UP = 0xffbe, 0xffe1, 0xff52
IN_TIME, HARD_LIMIT, TRIES = 0.2, 20, 3


def guest(stage):
    made = stage.path / "typed.bin"
    subprocess.run(["nasm", "-f", "bin", "-Werror", "-I", f"{HERE}/asm/", "-o", made,
                    f"{HERE}/screen/typed.asm"], check=True)
    made.chmod(0o644)
    return ["--kernel", str(made), "-m", "64M"]


@contextlib.contextmanager
def running(ringshift, display, *more):
    """The guest is ready; `display` has {stage} for a folder the guest's process may write to."""
    with Stage(ringshift) as stage:
        open_folder = stage.path / "open"
        open_folder.mkdir()
        open_folder.chmod(0o777)
        options = [*guest(stage), "--display", display.format(stage=open_folder), *more]
        with Run(stage, options, TIMEOUT) as run:
            run.stage = stage
            run.wait_for("ready")
            yield run


def sent(run, codes):
    """Waits for what keyboard or mouse have said, like "k1e k9e"."""
    run.wait_for("\r\n".join(codes.split()) + "\r\n" if b"\r" in run.console
                 else "\n".join(codes.split()) + "\n")


def ends(run):
    """By the guest, which writes 0 to the debug-exit port."""
    run.finish()
    expect(run.process.returncode == 1, f"exit code {run.process.returncode}")


def typed_text_is_seen(ringshift):
    number, glyphs = free_display(), font()
    with running(ringshift, f"vnc=:{number}") as run, Client(number) as client:
        expect(f"127.0.0.1:{5900 + number}" in run.errors(), f"no address in: {run.errors()}")
        expect((client.width, client.height) == (640, 400), f"{client.width} x {client.height}")
        client.type("hello, world")
        client.wait_for(lambda: client.text(glyphs, 12) == "hello, world", "what was typed")
        expect(client.pixel(8 * 20, 8) == BLUE, f"the paper is {client.pixel(8 * 20, 8)}")
        expect(WHITE in {client.pixel(x, y) for x in range(8) for y in range(16)}, "no ink")
        sent(run, "k20 ka0")
        client.press(F1 + 3)
        ends(run)


def keys_and_mouse_arrive(ringshift):
    number = free_display()
    with running(ringshift, f"vnc=:{number}") as run, Client(number) as client:
        client.type("A")
        sent(run, "k2a k1e kaa k9e")
        client.press(UP)
        sent(run, "ke0 k48 ke0 kc8")
        client.socket.sendall(struct.pack(">BBHII", 255, 0, 1, ord("q"), 0x1e))
        sent(run, "k1e")
        client.point(100, 100)
        sent(run, "m08 m00 m00")
        client.point(103, 105, 1)
        sent(run, "m29 m03 mfb")
        client.point(103, 105, 0)
        sent(run, "m08 m00 m00")
        client.key(SHIFT, 1)
        sent(run, "k2a")
        client.socket.close()  # and what it held is let go
        run.wait_for("kaa")
        run.wait_for("k9e", run.console.index(b"k2a"))


def a_new_size_is_told(ringshift):
    number = free_display()
    with running(ringshift, f"vnc=:{number}") as run, Client(number) as client:
        client.press(F1)
        client.wait_for(lambda: client.height == 192, "half of itself")
        client.press(F1 + 1)
        client.wait_for(lambda: client.height == 400 and client.pixel(0, 399) == BLUE, "all of itself")


def nobody_looks_and_nothing_is_drawn(ringshift):
    """A client that asks for nothing costs nothing; what it asks for comes at most 25 times a second."""
    number = free_display()
    with running(ringshift, f"vnc=:{number}") as run, Client(number) as client:
        client.press(F1 + 2)
        begin = time.monotonic()
        client.ask(incremental=False)
        while time.monotonic() < begin + 2:
            client.update()
            client.ask()
        expect(10 <= client.updates <= 54, f"{client.updates} updates in two seconds")


def passwords(ringshift):
    number = free_display()
    with running(ringshift, f"vnc=:{number},password=geheim") as run:
        with Client(number, "geheim") as client:
            client.type("a")
            sent(run, "k1e k9e")
        try:
            Client(number, "Geheim")
        except Failure as problem:
            expect("password" in str(problem), f"refused with: {problem}")
        else:
            raise Failure("a wrong password is let in")
    with Stage(ringshift) as stage:
        secret = stage.write("secret", b"12345678\n")
        options = [*guest(stage), "--display", f"vnc=:{number},password-file={secret}"]
        with Run(stage, options, TIMEOUT) as run:
            run.wait_for("ready")
            with Client(number, "12345678") as client:
                client.press(F1 + 3)
            ends(run)


def unix_sockets(ringshift):
    with running(ringshift, "vnc=unix:{stage}/screen") as run:
        path = run.stage.path / "open" / "screen"
        expect(stat.S_IMODE(path.stat().st_mode) == 0o600, "others may connect")
        with Client(path) as client:
            client.type("a")
            sent(run, "k1e k9e")
        run.terminate()
        expect(run.finish() == EXIT_QUIT, "an exit code of its own")
        expect(not path.exists(), "the socket is left behind")


def a_reset_keeps_its_clients(ringshift):
    number, glyphs = free_display(), font()
    with running(ringshift, f"vnc=:{number}") as run, Client(number) as client:
        client.type("before")
        client.wait_for(lambda: client.text(glyphs, 6) == "before", "what was typed")
        client.press(F1 + 4)
        run.wait_for("ready", run.wait_for("k3f"))
        client.type("after")
        client.wait_for(lambda: client.text(glyphs, 6) == "after ", "what was typed after a reset")


def quick_enough(attempt):
    """One of three attempts takes no longer than an answer may; each returns how long it took."""
    best = HARD_LIMIT
    for _ in range(TRIES):
        best = min(best, attempt())
        if best <= IN_TIME:
            return
    raise Failure(f"SIGTERM took {best:.2f} s")


def raw_socket(number, data=b""):
    peer = socket.create_connection(("127.0.0.1", 5900 + number), timeout=10)
    peer.sendall(data)
    return peer


def hostile_peers(ringshift):
    """None of them keeps another from typing and seeing."""
    number, glyphs = free_display(), font()
    with running(ringshift, f"vnc=:{number}") as run, contextlib.ExitStack() as held:
        held.enter_context(raw_socket(number))  # silent
        held.enter_context(raw_socket(number, b"RFB 0"))  # in the middle of it
        rude = held.enter_context(raw_socket(number, b"GET / HTTP/1.1\r\n\r\n"))
        greedy = held.enter_context(Client(number))
        for _ in range(2000):  # never reads
            greedy.ask(incremental=False)
        with Client(number) as flood:  # more keys than there is room for
            flood.socket.sendall(struct.pack(">BBHI", 4, 1, 0, ord("x")) * 20000)
            flood.socket.sendall(struct.pack(">BBHI", 6, 0, 0, 0xffffffff))
            with contextlib.suppress(OSError, Failure):
                while flood.take(1):
                    pass
        many = [held.enter_context(socket.socket()) for _ in range(40)]
        for each in many:  # more than there are places, in the host's queue too
            each.setblocking(False)
            each.connect_ex(("127.0.0.1", 5900 + number))
        expect(rude.recv(100) == b"RFB 003.008\n" and not rude.recv(100), "the rude one stays")
        for each in many:
            each.close()
        with Client(number) as client:
            client.press(F1 + 4)
            run.wait_for("ready", len(run.console))
            client.type("still here")
            client.wait_for(lambda: client.text(glyphs, 10) == "still here", "what was typed")
            resident = int(re.search(r"VmRSS:\s+(\d+)",
                                     pathlib.Path(f"/proc/{run.process.pid}/status").read_text())[1])
            expect(resident < 200_000, f"{resident} KiB are in use")


def quits_in_time_whatever_peers_do(ringshift):
    def attempt():
        number = free_display()
        with running(ringshift, f"vnc=:{number}") as run, contextlib.ExitStack() as held:
            held.enter_context(raw_socket(number))
            greedy = held.enter_context(Client(number))
            greedy.press(F1 + 2)
            for _ in range(100):
                greedy.ask(incremental=False)
            begin = time.monotonic()
            run.terminate()
            expect(run.finish() == EXIT_QUIT, f"exit code {run.process.returncode}")
            return time.monotonic() - begin
    quick_enough(attempt)


def refused(ringshift, display, reason):
    with Stage(ringshift) as stage:
        with Run(stage, [*guest(stage), "--display", display], TIMEOUT) as run:
            code = run.finish()
            expect(code == EXIT_USAGE and run.errors().count("\n") == 1 and reason in run.errors(),
                   f"{display}: exit code {code}: {run.errors()}")


def what_cannot_be(ringshift):
    number = free_display()
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", 5900 + number))
        busy.listen()
        refused(ringshift, f"vnc=:{number}", "Address already in use")
    refused(ringshift, "vnc=:99999", "cannot listen at ':99999'")
    refused(ringshift, "vnc=here", "cannot listen at 'here'")
    refused(ringshift, "vnc=example.org:1", "is not an address in numbers")
    refused(ringshift, "vnc=:1,password=on", "needs the password")
    refused(ringshift, "vnc=:1,password=123456789", "8 characters at most")
    refused(ringshift, "vnc=:1,tls-creds=x", "cannot use 'tls-creds=x'")
    refused(ringshift, "vnc=:1,password-file=/nowhere/at/all", "password-file: cannot read")
    refused(ringshift, "vnc=unix:/nowhere/at/all", "cannot listen at /nowhere/at/all")
    refused(ringshift, "vnc=unix:" + "x" * 200, "too long for the path")
    refused(ringshift, "sdl", "there is no window")


def framebuffer_pixel(data, x, y):
    """Reads Xvfb's file of its screen: XWD, version 7, 32 bits a pixel."""
    fields = struct.unpack(">25I", data[:100])
    at = fields[0] + fields[19] * 12 + y * fields[12] + x * fields[11] // 8
    return tuple(data[at:at + 3][::-1])


def a_viewer_of_others(ringshift):
    """TigerVNC's viewer under Xvfb: what is typed into its window is typed into the guest."""
    for program in ("Xvfb", "xtigervncviewer", "xdotool"):
        if shutil.which(program) is None:
            print(f"  left out: {program} is not installed")
            return
    number = free_display()
    with running(ringshift, f"vnc=:{number},password=geheim") as run, contextlib.ExitStack() as held:
        folder = pathlib.Path(held.enter_context(Stage(ringshift)).path)
        read_end, write_end = os.pipe()
        server = subprocess.Popen(["Xvfb", "-displayfd", str(write_end), "-screen", "0", "800x600x24",
                                   "-fbdir", str(folder), "-nolisten", "tcp"], pass_fds=[write_end],
                                  stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        held.callback(server.wait)
        held.callback(server.kill)
        os.close(write_end)
        with os.fdopen(read_end) as pipe:
            display = ":" + pipe.readline().strip()
        environment = dict(os.environ, DISPLAY=display, HOME=str(folder), VNC_PASSWORD="geheim")
        viewer = subprocess.Popen(["xtigervncviewer", "-Maximize=0", f"127.0.0.1::{5900 + number}"],
                                  env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        held.callback(viewer.wait)
        held.callback(viewer.kill)
        screen = folder / "Xvfb_screen0"
        blue_at = wait_for_blue(screen)
        # Without a window manager nobody else gives it the focus.
        subprocess.run(["xdotool", "search", "--onlyvisible", "--name", "TigerVNC", "windowfocus",
                        "mousemove", str(blue_at[0] + 300), str(blue_at[1] + 100), "click", "1",
                        "sleep", "0.5", "type", "hi"], env=environment, check=True, timeout=TIMEOUT)
        run.wait_for("k23")
        run.wait_for("k17")
        run.wait_for("m")
        expect(viewer.poll() is None, "the viewer has gone")


def wait_for_blue(screen):
    """Where the guest's screen is within the viewer's: the first of a hundred blue pixels in a row."""
    end = time.monotonic() + TIMEOUT
    while time.monotonic() < end:
        time.sleep(0.2)
        if not screen.exists():
            continue
        data = screen.read_bytes()
        for y in range(0, 590, 10):
            blue = [framebuffer_pixel(data, x, y) == BLUE for x in range(0, 790, 10)]
            if all(blue[20:30]):
                return blue.index(True) * 10, y
    raise Failure("the viewer does not show the guest's screen")


def a_snapshot_of_others(ringshift):
    if shutil.which("vncsnapshot") is None:
        print("  left out: vncsnapshot is not installed")
        return
    number = free_display()
    with running(ringshift, f"vnc=:{number}"), Stage(ringshift) as stage:
        pictures = set()
        for encoding in ("raw", "hextile", "zlib", "tight"):
            picture = stage.path / f"{encoding}.jpg"
            made = subprocess.run(["vncsnapshot", "-encodings", encoding, f"127.0.0.1:{number}",
                                   str(picture)], capture_output=True, text=True, timeout=TIMEOUT)
            data = picture.read_bytes() if picture.exists() else b""
            expect(data[:2] == b"\xff\xd8" and b"\x01\x90\x02\x80" in data[:1000],  # 400 lines of 640
                   f"{encoding}: no picture: {made.stdout} {made.stderr}")
            pictures.add(data)
        expect(len(pictures) == 1, "not every encoding shows the same")


def main():
    arguments = parser(__doc__)
    arguments.add_argument("cases", nargs="*")
    chosen = arguments.parse_args()
    cases = (typed_text_is_seen, keys_and_mouse_arrive, a_new_size_is_told,
             nobody_looks_and_nothing_is_drawn, passwords, unix_sockets, a_reset_keeps_its_clients,
             hostile_peers, quits_in_time_whatever_peers_do, what_cannot_be, a_viewer_of_others,
             a_snapshot_of_others)
    return run_cases([(case.__name__, lambda case=case: case(chosen.ringshift)) for case in cases
                      if not chosen.cases or case.__name__ in chosen.cases])


if __name__ == "__main__":
    sys.exit(main())
