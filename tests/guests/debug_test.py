#!/usr/bin/env python3
"""Real gdb and a hostile one: breakpoints, watched data and steps on each engine, in a tiny guest and in
a Debian kernel; sockets that vanish; the prompt of Ctrl-A c.

usage: debug_test.py --ringshift PROGRAM [kernel]
"""

import re
import shutil
import socket
import subprocess
import sys
import time

from harness import (EXIT_POWER_OFF, EXIT_QUIT, HERE, SKIPPED, Failure, Run, Stage, expect,
                     guests_folder, offers, offers_direct, parser, report, run_cases, without_privilege)
from symbol_file import write_symbol_file
from terminal_test import CTRL_A, PROMPT, Terminal

TIMEOUT = 120
GDB_TIMEOUT = 100
GUEST_GOOD = 1  # the guest writes 0 to the debug-exit port
ENGINES = {"translate": [], "interpret": ["--engine", "interpret"], "trap": ["--engine", "trap"],
           "direct": ["--user", "direct"], "unit-max": ["--translator", "unit-max=1"],
           "verify": ["--translator", "verify-every=1"]}
VANISHED = ("ringshift: gdb: the debugger has gone without a word; its breakpoints go, "
            "the guest goes on\n")


class Guest:
    """A run with a socket for a debugger."""

    def __init__(self, stage, arguments, wait=True, terminal=False):
        self.path = stage.socket()
        where = f"unix={self.path}" + (",wait" if wait else "")
        make = (lambda words: Terminal(stage, words)) if terminal else (
            lambda words: Run(stage, words, TIMEOUT))
        self.inner = make([*arguments, "--gdb", where])
        self.run = self.inner.run if terminal else self.inner
        self.wait_until_listening()

    def __enter__(self):
        self.inner.__enter__()
        return self

    def __exit__(self, kind, problem, trace):
        if isinstance(problem, Failure):
            report("guest", self.run, problem)
        self.inner.__exit__(None, None, None)

    def wait_until_listening(self):
        while "target remote" not in self.run.errors():
            expect(self.run.process.poll() is None, f"ended: {self.run.errors()!r}")
            expect(time.monotonic() < self.run.deadline, "listens nowhere")
            time.sleep(0.01)

    def connect(self):
        return Wire(self.path)

    def gdb(self, symbols, commands):
        return subprocess.Popen(
            ["gdb", "-nx", "-batch", "-ex", "set pagination off", "-ex", "set confirm off",
             "-ex", f"target remote {self.path}",
             *[word for command in commands for word in ("-ex", command)], symbols],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)

    def gdb_text(self, symbols, commands):
        process = self.gdb(symbols, commands)
        try:
            text, _ = process.communicate(timeout=GDB_TIMEOUT)
        except subprocess.TimeoutExpired:
            process.kill()
            text, _ = process.communicate()
            raise Failure(f"gdb does not end:\n{text.decode()}") from None
        return text.decode()


class Wire:
    """The protocol by hand."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(TIMEOUT)
        self.socket.connect(path)
        self.pending = b""

    def send(self, payload):
        data = payload.encode("latin-1")
        self.socket.sendall(b"$" + data + b"#%02x" % (sum(data) & 255))

    def reply(self):
        while True:
            found = re.search(rb"\$([^#]*)#..", self.pending, re.DOTALL)
            if found:
                self.pending = self.pending[found.end():]
                try:
                    self.socket.sendall(b"+")
                except OSError:
                    pass  # of D and k: nobody is there any more
                return found.group(1).decode("latin-1")
            data = self.socket.recv(65536)
            expect(data, f"the connection is closed; pending {self.pending!r}")
            self.pending += data

    def ask(self, payload):
        self.send(payload)
        return self.reply()

    def eip(self):
        return int.from_bytes(bytes.fromhex(self.ask("p8")), "little")

    def close(self):
        self.socket.close()


class DebugStage(Stage):
    """A stage where an unprivileged run may make its sockets, with the tiny guest."""

    def __init__(self, ringshift):
        super().__init__(ringshift)
        self.sockets = 0
        (self.path / "sockets").mkdir()
        (self.path / "sockets").chmod(0o777)
        self.symbols = self.assemble("points")
        self.symbol_file = str(self.path / "points.elf")
        data = ("counter", "flag", "buffer", "table")
        write_symbol_file(self.path / "points.elf",
                          {n: a for n, a in self.symbols.items() if n not in data},
                          {n: self.symbols[n] for n in data})

    def assemble(self, name):
        """Leaves the image under its name; returns its symbols."""
        subprocess.run(["nasm", "-f", "bin", "-Werror", "-I", f"{HERE}/asm/", "-o", name,
                        f"{HERE}/debug/{name}.asm"], cwd=self.path, check=True)
        (self.path / name).chmod(0o644)
        text = (self.path / f"{name}.map").read_text()
        symbols = re.findall(r"^ *([0-9A-F]+) +[0-9A-F]+ +(\w+)$", text, re.MULTILINE)
        return {name: int(address, 16) for address, name in symbols}

    def socket(self):
        self.sockets += 1
        return str(self.path / "sockets" / f"gdb{self.sockets}")

    def points(self, *more):
        return ["run", "--kernel", str(self.path / "points"), "--memory", "16M", *more]


# Commands for gdb, and its expected answers: each line of its output that begins with "at ", in
# order.
TINY_SESSION = [
    ("break work", None),
    ("hbreak again", None),
    ("continue", None), (r'printf "at %x %d\n", $eip, $ecx', "at {again} 5"),
    ("continue", None), (r'printf "at %x %d\n", $eip, $ecx', "at {work} 5"),
    ("stepi", None), (r'printf "at %x %x\n", $eip, *(int*)&counter', "at {work_next} 1001"),
    ("delete", None),
    ("watch *(int*)&counter", None),
    ("continue", None), (r'printf "at %x %x\n", $eip, *(int*)&counter', "at {work_next} 1002"),
    ("continue", None), (r'printf "at %x %x\n", $eip, *(int*)&counter', "at {work_next} 1003"),
    ("delete", None),
    ("rwatch *(int*)&counter", None),
    ("continue", None), (r'printf "at %x %d\n", $eip, $eax', "at {after_read} 4099"),
    ("delete", None),
    ("tbreak filling", None),
    ("continue", None),
    ("stepi", None), (r'printf "at %x %d\n", $eip, $ecx', "at {filling} 3"),
    ("tbreak filled", None),
    ("watch *(int*)((char*)&buffer+8)", None),
    ("continue", None), (r'printf "at %x %d\n", $eip, $ecx', "at {filling} 1"),
    ("delete", None),
    ("watch *(int*)&table", None),
    ("continue", None), (r'printf "at %x\n", $eip', "at {after_sgdt}"),
    ("delete", None),
    ("awatch *(int*)&flag", None),
    ("continue", None), (r'printf "at %x %d\n", $eip, $cpl', "at {after_flag} 3"),
    ("delete", None),
    ("set var *(int*)&flag = 1", None),
    ("break user_point", None),
    ("continue", None), (r'printf "at %x %d %x\n", $eip, $cpl, $cs', "at {user_point} 3 1b"),
    ("set $ecx = 0x4711", None), (r'printf "at %x %d\n", $ecx, $xmm0.v4_int32[0]', "at 4711 0"),
    ("stepi", None), (r'printf "at %x\n", $eip', "at {after_point}"),
    ("monitor walk", None),
    ("monitor registers", None),
    ("continue", None),
]


def tiny_guest(stage, engine):
    addresses = {name: f"{value:x}" for name, value in stage.symbols.items()}
    addresses["after_read"] = f"{stage.symbols['work_next'] + 5:x}"
    addresses["after_point"] = f"{stage.symbols['user_point'] + 1:x}"
    with Guest(stage, stage.points(*ENGINES[engine])) as guest:
        text = guest.gdb_text(stage.symbol_file, [command for command, _ in TINY_SESSION])
        found = [line for line in text.splitlines() if line.startswith("at ")]
        wanted = [line.format(**addresses) for _, line in TINY_SESSION if line]
        expect(found == wanted, f"found {found}\nwanted {wanted}\nin:\n{text}")
        expect("directory entry" in text and "idtr" in text, f"no answer of monitor:\n{text}")
        expect("exited with code 01" in text, f"gdb is not told of the end:\n{text}")
        code = guest.run.finish()
        expect(code == GUEST_GOOD, f"exit code {code}: {guest.run.errors()!r}")


def running_user_code(stage):
    """User code that has gone direct: it is interrupted, and a breakpoint set then is hit."""
    with Guest(stage, stage.points("--user", "direct", "--stats=json"), wait=False) as guest:
        wire = guest.connect()
        expect(wire.ask("?").startswith("T"), "no stop reply")
        low, high = stage.symbols["user_loop"], stage.symbols["user_point"]
        for _ in range(3):
            wire.send("vCont;c")
            time.sleep(0.3)
            wire.socket.sendall(b"\x03")
            expect(wire.reply().startswith("T02"), "the byte 3 does not stop it")
        expect(low <= wire.eip() < high, f"stopped at {wire.eip():x}, not in the user's loop")
        expect(wire.ask(f"Z0,{low:x},1") == "OK", "no breakpoint")
        expect("swbreak" in wire.ask("vCont;c"), "the breakpoint is not hit")
        expect(wire.eip() == low, f"stopped at {wire.eip():x}")
        expect(wire.ask(f"M{stage.symbols['flag']:x},4:01000000") == "OK", "no write")
        expect(wire.ask("D") == "OK", "no reply to D")
        expect(guest.run.finish() == GUEST_GOOD, "the guest has not ended as it should")
        expect(re.search(r'"exits.direct_stop": [1-9]', guest.run.errors()),
               "nothing has run directly")


def vanishing(stage):
    """Gone while the guest stands, gone while it runs, gone in the middle of a packet."""
    for last in ("", "$vCont;c#a8", "$m1000,"):
        with Guest(stage, stage.points(), wait=True) as guest:
            wire = guest.connect()
            expect(wire.ask(f"Z0,{stage.symbols['again']:x},1") == "OK", "no breakpoint")
            expect(wire.ask(f"z0,{stage.symbols['again']:x},1") == "OK", "no breakpoint")
            expect(wire.ask(f"Z0,{stage.symbols['work']:x},1") == "OK", "no breakpoint")
            wire.socket.sendall(last.encode())
            wire.close()
            wire = None
            while guest.run.errors().count(VANISHED) == 0:
                expect(time.monotonic() < guest.run.deadline, "no word of the debugger's end")
                time.sleep(0.02)
            second = guest.connect()
            expect(second.ask(f"M{stage.symbols['flag']:x},4:01000000") == "OK", "no write")
            expect(second.ask("D") == "OK", "no reply to D")
            expect(guest.run.finish() == GUEST_GOOD, f"has not ended: {guest.run.errors()!r}")
            expect(guest.run.errors().count(VANISHED) == 1, guest.run.errors())


def nonsense(stage):
    """Bytes that are no packets, packets that make no sense, floods: the machine is still there."""
    with Guest(stage, stage.points(), wait=True) as guest:
        wire = guest.connect()
        wire.socket.sendall(bytes(range(256)).replace(b"$", b"") * 64)
        for payload in ("m", "Z0", "G12", "P999=1", "X1000,ffffffff:", "vCont;q", "qXfer:x:read:y:0,1",
                        "M100000,4:zz", "qRcmd,q", "m" + "1" * 40000, "Z2,0,ffffffff"):
            reply = wire.ask(payload)
            expect(reply == "" or reply[0] == "E", f"{payload[:20]!r} is answered by {reply[:40]!r}")
        wire.close()
        # One that asks much and reads nothing is given up, and the guest goes on.
        deaf = guest.connect()
        deaf.socket.settimeout(1)
        try:
            for _ in range(2000):
                deaf.send("g")
        except OSError:
            pass
        while guest.run.errors().count(VANISHED) < 2:
            expect(time.monotonic() < guest.run.deadline, "the deaf debugger holds the machine")
            time.sleep(0.05)
        last = guest.connect()
        expect(last.ask("?")[0] == "T", "no stop reply")
        last.send("k")
        expect(guest.run.finish() == EXIT_QUIT, "kill does not end the machine")


def over_tcp(stage):
    with Run(stage, stage.points("--gdb", "tcp=:0,wait"), TIMEOUT) as run:
        while "target remote" not in run.errors():
            expect(run.process.poll() is None, run.errors())
            time.sleep(0.01)
        host, port = re.search(r"target remote ([\d.]+):(\d+)", run.errors()).groups()
        expect(host == "127.0.0.1", f"listens at {host}")
        with socket.create_connection((host, int(port))) as peer:
            peer.sendall(b"$k#6b")
            expect(run.finish() == EXIT_QUIT, "kill does not end the machine")


def prompt(stage):
    """-S at a terminal: the prompt is there, stops the guest, looks at it, lets it go on."""
    work, flag = stage.symbols["work"], stage.symbols["flag"]
    with Terminal(stage, stage.points("-S")) as terminal:
        terminal.wait_for("(ringshift) ")
        terminal.type(f"break {work:x}\rcontinue\r")
        terminal.wait_for(f"breakpoint at {work:08x}, CPL 0")
        terminal.type("walk\rdelete\rstep\r")
        terminal.wait_for("guest-physical")
        terminal.wait_for(f"step at {stage.symbols['work_next']:08x}, CPL 0")
        terminal.type(f"watch {stage.symbols['counter']:x}\rc\r")
        terminal.wait_for(f"watched data touched before at {stage.symbols['work_next']:08x}")
        terminal.type("delete\rcontinue\r")
        time.sleep(0.3)  # to the loop in ring 3
        terminal.type(CTRL_A + b"c")
        terminal.wait_for(", CPL 3")
        terminal.type(f"memory {flag:x} 4\r")
        terminal.wait_for(f"{flag:08x}: 00 00 00 00")
        terminal.type(CTRL_A + b"c")  # goes on
        time.sleep(0.1)
        terminal.type(CTRL_A + b"c")
        terminal.wait_for(", CPL 3")
        terminal.type("quit\r")
        terminal.expect_end(EXIT_QUIT)


def watched_large_page(stage):
    """Only one page of a large one is watched; what becomes of the others is as without it."""
    symbols = stage.assemble("large_pages")
    arguments = ["run", "--kernel", str(stage.path / "large_pages"), "--memory", "16M"]
    with Guest(stage, arguments) as guest:
        wire = guest.connect()
        expect(wire.ask("Z2,803000,4") == "OK", "no watch")
        reply = wire.ask("vCont;c")
        expect("watch:803000" in reply, f"{reply}: {guest.run.text()}")
        expect(wire.eip() == symbols["watched_written"], f"stopped at {wire.eip():x}")
        expect(wire.ask("vCont;c") == "W01", "the guest does not end as it should")
        expect(guest.run.finish() == GUEST_GOOD, "another exit code than gdb was told")


def boot_sector(stage):
    """16-bit code: the BIOS jumps to 0:7c00, or 7c0:0; a breakpoint there is hit, and then no other."""
    image = guests_folder() / "media/grub-rescue-floppy.img"
    if not image.is_file():
        print(f"no {image}: nothing to boot from")
        return
    floppy = stage.add(image, "floppy")
    with Guest(stage, ["run", "--fda", f"{floppy},snapshot=on", "--serial", "none", "--memory", "64M"]) as guest:
        wire = guest.connect()
        expect(wire.eip() == 0xfff0, "the processor does not begin at its reset vector")
        expect(wire.ask("Z1,7c00,1") == "OK", "no breakpoint")
        expect("hwbreak" in wire.ask("vCont;c"), "the boot sector is not reached")
        code = int.from_bytes(bytes.fromhex(wire.ask("pa")), "little")
        expect((code << 4) + wire.eip() == 0x7c00, f"stopped at {code:x}:{wire.eip():x}")
        sector = bytes.fromhex(wire.ask("m7c00,200"))
        expect(sector == image.read_bytes()[:512], "not the boot sector")
        expect(wire.ask("vCont;s").startswith("T05"), "no step")
        expect((code << 4) + wire.eip() != 0x7c00, "the step did nothing")
        wire.send("k")
        expect(guest.run.finish() == EXIT_QUIT, "kill does not end the machine")


def prompt_of_a_script(stage):
    """The console is a pipe: the guest stops, answers, and goes on where the script ends."""
    work = stage.symbols["work"]
    process = subprocess.Popen(
        without_privilege() + [stage.ringshift, *stage.points("-S")], cwd=stage.path,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    # The guest never ends by itself: its loop in ring 3 is left to the test.
    process.stdin.write(f"break {work:x}\rstep\rregisters\r".encode())
    process.stdin.close()
    text = b""
    while text.count(f"breakpoint at {work:08x}".encode()) < 5:
        data = process.stdout.read1(4096)
        expect(data, f"ended: {text.decode()}")
        text += data
    expect(b"step at" in text and b"idtr" in text, text.decode())
    expect(process.poll() is None, "has ended")
    process.terminate()
    expect(process.wait(TIMEOUT) == EXIT_QUIT, f"exit code {process.returncode}")


def reset(stage):
    """A guest that resets goes on under the same debugger, which is told of the end only."""
    stage.assemble("resets")
    arguments = ["run", "--kernel", str(stage.path / "resets"), "--memory", "16M"]
    with Guest(stage, arguments) as guest:
        wire = guest.connect()
        begin = wire.eip()
        expect(wire.ask(f"Z0,{begin:x},1") == "OK", "no breakpoint")
        for _ in range(3):
            expect("swbreak" in wire.ask("vCont;c"), "the guest does not begin again")
            expect(wire.eip() == begin, f"begins at {wire.eip():x}")
        guest.run.terminate()
        expect(guest.run.finish() == EXIT_QUIT, "does not end while it stands")


# ---- a Debian kernel ----

def kernel_symbols(terminal, names):
    words = " ".join(f"-e {name}" for name in names)
    terminal.type(f"grep -w {words} /proc/kallsyms; echo en''d\r")
    terminal.wait_for("end\r")
    found = re.findall(r"^([0-9a-f]{8}) [tT] (\w+)$", terminal.run.text(), re.MULTILINE)
    symbols = {name: int(address, 16) for address, name in found}
    expect(set(symbols) == set(names), f"kallsyms has {symbols}")
    return symbols


def kernel(stage):
    """By symbol, on a kernel that has none of its own: they come from its /proc/kallsyms."""
    arguments = ["run", *stage.linux("linux-686"), "--append", "console=ttyS0 quiet nokaslr",
                 "--memory", "256M", "--no-reboot"]
    with Guest(stage, arguments, wait=False, terminal=True) as guest:
        terminal = guest.inner
        terminal.wait_for(PROMPT)
        symbols = kernel_symbols(terminal, ["vfs_write", "ksys_write", "do_timer", "kernel_power_off"])
        write_symbol_file(stage.path / "kernel.elf", symbols)
        elf = str(stage.path / "kernel.elf")
        # Kallsyms has functions only: the variable is the one that do_timer adds to.
        text = guest.gdb_text(elf, ["x/30i do_timer", "detach"])
        jiffies = re.search(r"add +%e..,(?:%ds:)?0x([0-9a-f]+)\n", text)
        expect(jiffies, f"do_timer adds to no variable:\n{text}")
        terminal.type("while :; do echo x > /dev/null; sleep 1; done &\r")
        gdb = guest.gdb(elf, ["hbreak vfs_write", "continue", "backtrace 3", "delete",
                              f"watch *(int*)0x{jiffies.group(1)}", "continue", "backtrace 1",
                              "continue", "delete", "monitor translation", "break kernel_power_off",
                              r'printf "now\n"', "continue", "backtrace 1", "delete", "continue"])
        text = follow(gdb, "now\n", lambda: terminal.type("exit\r"))
        check_kernel_session(text)
        terminal.expect_end(EXIT_POWER_OFF)


def follow(process, marker, then):
    """Reads gdb to its end; does something once it has said the marker."""
    text = ""
    for line in process.stdout:
        text += line.decode(errors="replace")
        if line.decode(errors="replace") == marker:
            then()
    process.wait()
    return text


def check_kernel_session(text):
    expect(re.search(r"#0 .* in vfs_write \(\)\n#1 .* in ksys_write \(\)", text),
           f"no backtrace from vfs_write to ksys_write:\n{text}")
    changes = re.findall(r"Old value = (-?\d+)\nNew value = (-?\d+)\n.* in do_timer \(\)", text)
    expect(len(changes) == 2, f"jiffies was not seen to change twice:\n{text}")
    for old, new in changes:
        expect(0 < int(new) - int(old) < 1000, f"jiffies went from {old} to {new}")
    expect(re.search(r"#0 .* in kernel_power_off \(\)", text), f"kernel_power_off is not reached:\n{text}")
    expect("exited normally" in text, f"gdb is not told of the end:\n{text}")


def is_offered(stage, engine):
    if engine == "direct":
        return offers_direct(stage.ringshift)
    return engine != "trap" or offers(stage.ringshift, "compatibility-mode")


def main():
    options = parser(__doc__.splitlines()[0])
    options.add_argument("part", nargs="?", choices=("kernel",), help="only this")
    given = options.parse_args()
    has_gdb = shutil.which("gdb") is not None
    with DebugStage(given.ringshift) as stage:
        if given.part:
            cases = [("a Debian kernel", lambda: kernel(stage))] if has_gdb else []
        else:
            cases = [(f"tiny guest, {engine}", lambda engine=engine: tiny_guest(stage, engine))
                     for engine in ENGINES if has_gdb and is_offered(stage, engine)]
            direct = [running_user_code] if is_offered(stage, "direct") else []
            cases += [(case.__name__.replace("_", " "), lambda case=case: case(stage))
                      for case in (*direct, vanishing, nonsense, over_tcp, prompt,
                                   watched_large_page, prompt_of_a_script, reset, boot_sector)]
        failed = run_cases(cases)
    if failed == 0 and not has_gdb:
        print("skipped: no gdb, and with it the sessions of a real one")
        return SKIPPED
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
