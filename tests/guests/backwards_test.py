#!/usr/bin/env python3
"""Real gdb goes backwards over recordings: who has corrupted this, and how did it come here.

usage: backwards_test.py --ringshift PROGRAM [CASE...]
"""

import json
import pathlib
import re
import subprocess
import sys
import time

from debug_test import DebugStage, Guest
from harness import EXIT_POWER_OFF, EXIT_QUIT, HERE, Run, expect, parser, run_cases
from symbol_file import write_symbol_file

TIMEOUT = 120
CRASH = 0x7F << 1 | 1  # what the guest's exception handler writes to the debug-exit port
SHELL = "ringshift:/root# "


class Recorded:
    """The guest with the planted fault, recorded until it has crashed."""

    def __init__(self, stage, *defines, memory="16M"):
        self.stage = stage
        stage.defines = defines
        self.symbols = stage.assemble("corruption")
        self.folder = str(stage.folder_of_recordings() / "corruption")
        image = str(stage.path / "corruption")
        with Run(stage, ["run", "--kernel", image, "--memory", memory, "--clock", "events",
                         "--record", self.folder], TIMEOUT) as run:
            code = run.finish()
            expect(code == CRASH, f"the guest ended with {code}: {run.errors()}{run.text()}")
            self.text = run.text()
            expect("unexpected exception" in self.text, self.text)

    def debug(self, *more):
        return Debugged(self.stage, self.folder, more)


class Debugged(Guest):
    """A replay that waits for gdb."""

    def __init__(self, stage, folder, more=()):
        self.stage = stage
        super().__init__(stage, ["replay", str(folder), *more])

    def ask(self, *commands):
        """Yields gdb's output, line by line."""
        text = self.gdb_text(self.stage.symbol_file, list(commands))
        return text.splitlines(), text


class BackwardsStage(DebugStage):
    def __init__(self, ringshift):
        self.defines = ()
        super().__init__(ringshift)

    def folder_of_recordings(self):
        """Where the unprivileged run may make its recording."""
        folder = self.path / "recordings"
        folder.mkdir(exist_ok=True)
        folder.chmod(0o777)
        return folder

    def assemble(self, name):
        subprocess.run(["nasm", "-f", "bin", "-Werror", "-I", f"{HERE}/asm/", "-o", name,
                        *[f"-D{word}" for word in self.defines], f"{HERE}/debug/{name}.asm"], cwd=self.path,
                       check=True)
        (self.path / name).chmod(0o644)
        text = (self.path / f"{name}.map").read_text()
        found = re.findall(r"^ *([0-9A-F]+) +[0-9A-F]+ +([\w.]+)$", text, re.MULTILINE)
        symbols = {name: int(address, 16) for address, name in found}
        if name == "corruption":
            data = ("seen", "sent", "hash", "table", "buffer", "on_report", "last_hash", "ticks")
            labels = ("copy_word", "copied", "after_copy")
            write_symbol_file(self.path / "points.elf",
                              {n: a for n, a in symbols.items() if n not in data + labels and "." not in n},
                              {n: symbols[n] for n in data})
            self.symbol_file = str(self.path / "points.elf")
        return symbols


AT = r'printf "at %x\n", $eip'


def places(lines):
    return [int(line.split()[1], 16) for line in lines if re.fullmatch(r"at [0-9a-f]+", line)]


def who_wrote_this(options):
    """From the crash back to the instruction that has overwritten the pointer."""
    with BackwardsStage(options.ringshift) as stage:
        recorded = Recorded(stage)
        s = recorded.symbols
        with recorded.debug() as guest:
            lines, text = guest.ask(
                "continue",                      # to the end of the recording
                "hbreak report", "reverse-continue", AT,
                "delete",
                r'printf "value %x\n", *(int*)&on_report',
                "watch *(int*)&on_report",
                "reverse-continue", AT,
                r'printf "tick %d\n", *(int*)&seen',
                r'printf "before %x\n", *(int*)&on_report',
                "stepi", AT,
                r'printf "after %x\n", *(int*)&on_report',
                "delete",
                "reverse-finish", AT,
                "kill")
            expect("No more reverse-execution history" in text, f"no end of the recording:\n{text}")
            write = s["copy_word"]
            found = places(lines)
            expect(found[:2] == [s["report"], write], f"{found}, wanted {s['report']:x} and {write:x}:\n{text}")
            expect("value 50000028" in lines and "tick 40" in lines, text)
            expect(f"before {s['good_report']:x}" in lines and "after 50000028" in lines, text)
            expect(found[2] == s["copied"], text)
            expect(found[3] == s["after_copy"] - 5, f"reverse-finish: {found[3]:x}\n{text}")
            expect(guest.run.finish() == EXIT_POWER_OFF, f"{guest.run.errors()}")
            shown = guest.run.text()
        expect(shown == recorded.text, f"printed {shown!r}, recorded {recorded.text!r}")


def hot_page(options):
    """Beside the pointer is a word that is written 400,000 times: what uses the rest of a watched page is not
    interpreted for it."""
    ticks, bad_tick, work = 200, 20, 2000
    with BackwardsStage(options.ringshift) as stage:
        recorded = Recorded(stage, f"TICKS={ticks}", f"BAD_TICK={bad_tick}", f"WORK={work}")
        statistics = pathlib.Path(stage.write("statistics", b""))
        statistics.chmod(0o666)
        with recorded.debug("--stats=json", "--stats-file", str(statistics)) as guest:
            lines, text = guest.ask("continue", "watch *(int*)&on_report", "reverse-continue", AT,
                                    r'printf "tick %d\n", *(int*)&seen', "kill")
            expect(places(lines) == [recorded.symbols["copy_word"]] and f"tick {bad_tick}" in lines, text)
            expect(guest.run.finish() == EXIT_POWER_OFF, f"{guest.run.errors()}")
        # The round's other store is to a page of code, beside the code: neither is interpreted.
        rounds = ticks * work
        interpreted = json.loads(statistics.read_text())["interpreter.instructions"]
        print(f"  {interpreted} instructions are interpreted in {rounds} rounds")
        expect(interpreted < 0.1 * rounds, f"{interpreted} instructions are interpreted in {rounds} rounds")


def steps(options):
    """Each step back is the inverse of a step forward, over interrupts, events and HLT; and the beginning
    of the recording is one."""
    with BackwardsStage(options.ringshift) as stage:
        recorded = Recorded(stage, "TICKS=4", "BAD_TICK=2", "WORK=1")
        for more in ([], ["--engine", "interpret"], ["--translator", "unit-max=1"]):
            with recorded.debug(*more) as guest:
                wire = guest.connect()
                expect("ReverseStep+" in wire.ask("qSupported"), "no going backwards")
                first = wire.ask("g")
                expect("replaylog:begin" in wire.ask("bs"), "it goes back beyond the beginning")
                expect(wire.ask("g") == first, "other registers at the beginning")
                expect(wire.ask(f"Z1,{recorded.symbols['do_work']:x},1") == "OK", "no breakpoint")
                expect("hwbreak" in wire.ask("c"), "no stop at the breakpoint")
                expect("hwbreak" in wire.ask("c"), "no second stop at the breakpoint")
                expect(wire.ask(f"z1,{recorded.symbols['do_work']:x},1") == "OK", "no breakpoint")
                second = wire.ask("g")
                trail = [second]
                for _ in range(300):
                    expect(wire.ask("s").startswith("T05"), "no step")
                    trail.append(wire.ask("g"))
                for expected in reversed(trail[:-1]):
                    reply = wire.ask("bs")
                    now = wire.ask("g")
                    expect(now == expected, f"{more}: after bs ({reply}) other registers than before:\n"
                                            f"{now}\n{expected}")
                for _ in range(3000):  # back over the tick, its handler and HLT
                    expect(wire.ask("bs").startswith("T05"), "no step back")
                    if wire.eip() == recorded.symbols["wait_for_tick"]:
                        break
                expect(wire.eip() == recorded.symbols["wait_for_tick"], f"at {wire.eip():x}")
                expect(wire.ask(f"Z1,{recorded.symbols['do_work']:x},1") == "OK", "no breakpoint")
                expect("hwbreak" in wire.ask("c") and wire.ask("g") == second, "not the same place again")
                expect("hwbreak" in wire.ask("bc"), "the first stop is not found")
                expect("replaylog:begin" in wire.ask("bc") and wire.ask("g") == first, "not the beginning")
                expect("E" in wire.ask("P0=12345678"), "a recording can be changed")
                end = "".join(f"{ord(c):02x}" for c in "goto end")
                expect(wire.ask("qRcmd," + end) == "OK", "goto end")
                expect("replaylog:end" in wire.ask("c"), "not the end")
                wire.send("k")
                expect(guest.run.finish() == EXIT_POWER_OFF, f"{guest.run.errors()}")


def lives(options):
    """A reset is an end to go back from, and behind it is another life; and a debugger that leaves lets the replay
    go on to its end."""
    with BackwardsStage(options.ringshift) as stage:
        stage.assemble("resets")
        folder = stage.folder_of_recordings() / "resets"
        with Run(stage, ["run", "--kernel", str(stage.path / "resets"), "--memory", "16M", "--record",
                         str(folder)], TIMEOUT) as run:
            time.sleep(1)
            run.terminate()
            expect(run.finish() == EXIT_QUIT, run.errors())
        with Debugged(stage, folder) as guest:
            wire = guest.connect()
            first = wire.ask("g")
            for _ in range(3):
                expect("replaylog:end" in wire.ask("c"), "no end")
                last = wire.ask("g")
                expect("replaylog:begin" in wire.ask("bc") and wire.ask("g") == first, "no beginning")
                expect("replaylog:end" in wire.ask("c") and wire.ask("g") == last, "another end")
            expect(wire.ask("D") == "OK", "no reply to D")
            expect(guest.run.finish() == EXIT_POWER_OFF, guest.run.errors())
            expect("marks agree" in guest.run.errors(), guest.run.errors())


def debian(options):
    """A Debian kernel that has been switched off: back to the cause, to the last write before, and to the
    timer's last tick."""
    names = ["vfs_write", "ksys_write", "do_timer", "kernel_power_off"]
    with BackwardsStage(options.ringshift) as stage:
        folder = stage.folder_of_recordings() / "debian"
        line = ["run", *stage.linux("linux-686"), "--append", "console=ttyS0 quiet nokaslr", "--memory", "96M",
                "--no-reboot", "--record", str(folder)]
        with Run(stage, line, TIMEOUT, keyboard=True) as run:
            at = run.wait_for(SHELL)
            run.type("grep -w " + " ".join(f"-e {name}" for name in names) + " /proc/kallsyms\n")
            run.wait_for(SHELL, at)
            run.type("echo done; poweroff -f\n")
            expect(run.finish() == EXIT_POWER_OFF, run.errors())
            shown = run.text()
        found = re.findall(r"^([0-9a-f]{8}) [tT] (\w+)\r?$", shown, re.MULTILINE)
        symbols = {name: int(address, 16) for address, name in found}
        expect(set(symbols) == set(names), f"kallsyms has {symbols}")
        elf = stage.path / "kernel.elf"
        write_symbol_file(elf, symbols)
        with Debugged(stage, folder, ["--verify"]) as guest:
            first = guest.gdb_text(str(elf), ["continue", "x/30i do_timer", "hbreak kernel_power_off",
                                              "reverse-continue", AT, "detach"])
            jiffies = re.search(r"add +%e..,(?:%ds:)?0x([0-9a-f]+)\n", first)
            expect(jiffies, f"do_timer adds to no variable:\n{first}")
            expect(places(first.splitlines()) == [symbols["kernel_power_off"]], first)
            expect(guest.run.finish() == EXIT_POWER_OFF, guest.run.errors())
            expect(guest.run.text() == shown, "the replay has shown something else")
        with Debugged(stage, folder) as guest:
            text = guest.gdb_text(str(elf), [
                "continue", "hbreak vfs_write", "reverse-continue", AT, "reverse-continue", AT, "delete",
                f"watch *(int*)0x{jiffies[1]}", "reverse-continue", AT, "reverse-continue", AT,
                "delete", "hbreak vfs_write", "continue", AT, "kill"])
            at = places(text.splitlines())
            expect(at[:2] + at[4:] == [symbols["vfs_write"]] * 3, text)
            expect(at[2] == at[3], f"two ticks at {at[2]:x} and {at[3]:x}:\n{text}")
            changes = re.findall(r"Old value = (-?\d+)\nNew value = (-?\d+)", text)
            expect(len(changes) == 2 and all(int(old) == int(new) + 1 for old, new in changes), text)
            expect(guest.run.finish() == EXIT_POWER_OFF, guest.run.errors())


CASES = {"who wrote this": who_wrote_this, "hot page": hot_page, "steps": steps, "lives": lives, "debian": debian}


if __name__ == "__main__":
    arguments = parser(__doc__.splitlines()[0])
    arguments.add_argument("case", nargs="*", help=f"of {', '.join(CASES)}; default: all")
    chosen = arguments.parse_args()
    sys.exit(run_cases([(name, lambda case=case: case(chosen)) for name, case in CASES.items()
                        if not chosen.case or name in chosen.case]))
