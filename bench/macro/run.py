#!/usr/bin/env python3
"""Whole guests: ringshift beside QEMU's TCG (same kernel and initramfs) and beside the host itself.

In each round every subject boots (or starts) once, in turn, and then does the same things at its
console: a shell loop, the same loop again, the self-test. Wall and CPU seconds of each part are
those of the subject's process, seen from outside. Medians at the end; nothing is asserted.
usage: run.py [--ringshift PROGRAM] [--user HOW] [--runs 3 | --quick] [--json FILE]
"""

import argparse
import json
import os
import pathlib
import platform
import re
import resource
import select
import shutil
import signal
import statistics
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/guests"))
sys.path.insert(0, str(ROOT / "bench/study"))
from console import cpu_seconds_with_children  # noqa: E402
from harness import Stage, guest_file, guests_folder, without_privilege  # noqa: E402

READY = "ringshift-guest: ready"
PROMPT = "ringshift:/root# "
LAST = "self-test: ok"
KERNEL_WORDS = "console=ttyS0 quiet panic=-1"
QEMU = "qemu-system-i386"
TURNS = 100000
# The markers are computed, so that the echo of the typed line does not hold them.
LOOP = (f"echo be$((1+1))gin; i=0; while [ $i -lt {TURNS} ]; do i=$((i+1)); done; "
        "echo e$((1+1))nd")
# One line of the self-test computes until a second has passed, on any machine: not for a benchmark.
ONE_SECOND = "timeout 1 "
SELF_TEST = (f"sed '/^{ONE_SECOND}/d' /etc/self-test.sh >/tmp/work.sh; echo be$((1+1))gin; "
             "sh /tmp/work.sh </dev/null")
BEGIN, END = "be2gin", "e2nd"

PARTS = (("start", "start to ready"), ("loop", f"shell loop, {TURNS} turns"),
         ("loop_again", "the same loop again"), ("self_test", "self-test less its fixed second"))
EXTRAS = (("pss_mib", "process, guest RAM included, MiB"),
          ("memory.monitor_mib", "monitor memory beyond guest RAM, MiB"),
          ("derived.host_cycles_per_translated_instruction",
           "host cycles to translate an instruction"),
          ("translator.instructions", "guest instructions translated"))


class Trouble(Exception):
    """A subject did not do what it was to do; the text says what."""


def proportional_set_mib(pid):
    try:
        text = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return None
    found = re.search(r"^Pss:\s+(\d+) kB", text, re.MULTILINE)
    return int(found.group(1)) / 1024 if found else None


class Session:
    """A process with a console on pipes: a machine with a guest, or the host's own shell."""

    def __init__(self, command, folder, timeout, environment=None):
        self.deadline = time.monotonic() + timeout
        self.console = b""
        self.at = 0
        self.begin = time.monotonic()
        self.process = subprocess.Popen(
            without_privilege() + command, cwd=folder, env=environment, stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()

    def type(self, line):
        os.write(self.process.stdin.fileno(), line.encode() + b"\n")

    def wait_for(self, text):
        """Returns (wall, CPU) seconds since the start, when `text` has come."""
        wanted = text.encode()
        while wanted not in self.console[self.at:]:
            left = self.deadline - time.monotonic()
            if left <= 0 or not select.select([self.process.stdout], [], [], left)[0]:
                raise Trouble(f"no '{text}' in time; last: {self.console[-200:]!r}")
            data = os.read(self.process.stdout.fileno(), 65536)
            if not data:
                raise Trouble(f"ended without '{text}'; last: {self.console[-200:]!r}")
            self.console += data
        now = (time.monotonic() - self.begin, cpu_seconds_with_children(self.process.pid))
        self.at = self.console.index(wanted, self.at) + len(wanted)
        return now

    def timed(self, line, end):
        """Types a line that prints BEGIN first; the seconds from there to `end`."""
        self.type(line)
        begin = self.wait_for(BEGIN)
        finish = self.wait_for(end)
        return finish[0] - begin[0], finish[1] - begin[1]

    def quit(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            raise Trouble("does not end on SIGTERM") from None


def store(result, part, seconds):
    result[part + ".wall"], result[part + ".cpu"] = seconds


def guest_round(command, stage, options):
    """Boots, loops twice, tests. The result maps names to numbers."""
    result = {}
    with Session(command, stage.path, options.timeout) as session:
        store(result, "start", session.wait_for(READY))
        session.wait_for(PROMPT)
        for part in ("loop", "loop_again"):
            store(result, part, session.timed(LOOP, END))
            session.wait_for(PROMPT)
        store(result, "self_test", session.timed(SELF_TEST, LAST))
        session.wait_for(PROMPT)
        result["pss_mib"] = proportional_set_mib(session.process.pid)
        session.quit()
    return result


class Ringshift:
    name = "ringshift"

    def __init__(self, stage, options):
        self.stage, self.options = stage, options
        self.user = ["--user", options.user] if options.user else []
        self.out = stage.path / "out"
        self.out.mkdir()
        self.out.chmod(0o777)
        self.linux = stage.linux(options.kernel)

    def round(self):
        figures = self.out / "stats.json"
        figures.unlink(missing_ok=True)
        result = guest_round([self.stage.ringshift, "run", *self.linux, "--append", KERNEL_WORDS,
                              "--memory", self.options.memory, *self.user, "--no-reboot",
                              "--stats=json",
                              "--stats-file", str(figures)], self.stage, self.options)
        if figures.is_file():
            known = json.loads(figures.read_text())
            result.update((name, known[name]) for name, _ in EXTRAS if name in known)
        return result


class Tcg:
    name = "tcg"

    def __init__(self, stage, options):
        self.stage, self.options = stage, options
        self.linux = [word.replace("--", "-", 1) for word in stage.linux(options.kernel)]

    def round(self):
        return guest_round([QEMU, "-accel", "tcg", "-cpu", self.options.tcg_cpu, "-nodefaults",
                            "-display", "none", "-serial", "stdio", "-no-reboot",
                            "-m", self.options.memory, *self.linux, "-append", KERNEL_WORDS],
                           self.stage, self.options)


class Native:
    """The guest's own busybox on the host's kernel."""
    name = "native"

    def __init__(self, stage, options):
        self.stage, self.options = stage, options
        self.busybox = stage.add(guest_file("busybox"), "busybox", 0o755)
        script = (ROOT / "tests/guests/initramfs/self-test.sh").read_text().splitlines(True)
        work = "".join(line for line in script if not line.startswith(ONE_SECOND))
        self.script = stage.write("work.sh", work.encode())
        applets = stage.path / "applets"
        applets.mkdir()
        applets.chmod(0o755)
        for name in subprocess.check_output([self.busybox, "--list"], text=True).split():
            (applets / name).symlink_to(self.busybox)
        self.environment = {"PATH": str(applets), "HOME": "/tmp", "LC_ALL": "C"}

    def command(self, *words):
        return [self.busybox, "sh", *words]

    def round(self):
        result = {}
        with Session(self.command(), self.stage.path, self.options.timeout,
                     self.environment | {"PATH": os.environ["PATH"]}) as session:
            for part in ("loop", "loop_again"):
                store(result, part, session.timed(LOOP, END))
        store(result, "self_test", self.self_test())
        return result

    def self_test(self):
        before, begin = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
        # The whole path: the host's PATH finds setpriv, the applets are for the script.
        prefix = [shutil.which(word) if i == 0 else word
                  for i, word in enumerate(without_privilege())]
        done = subprocess.run(prefix + self.command(self.script), env=self.environment,
                              cwd=self.stage.path, stdin=subprocess.DEVNULL, capture_output=True,
                              text=True, timeout=self.options.timeout, check=False)
        wall, after = time.monotonic() - begin, resource.getrusage(resource.RUSAGE_CHILDREN)
        if LAST not in done.stdout:
            raise Trouble(f"the self-test fails: {done.stdout[-200:]!r} {done.stderr[-200:]!r}")
        return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def runs_i386_programs():
    busybox = guests_folder() / "busybox"
    try:
        return subprocess.run([busybox, "true"], check=False).returncode == 0
    except OSError:
        return False


def subjects(stage, options):
    found = [Ringshift(stage, options)]
    if shutil.which(QEMU):
        found.append(Tcg(stage, options))
    else:
        print(f"left out: tcg (no {QEMU} on PATH)")
    if runs_i386_programs():
        found.append(Native(stage, options))
    else:
        print("left out: native (no busybox in the cache, or the host runs no i386 programs)")
    return found


def first_line(command):
    try:
        output = subprocess.run(command, capture_output=True, text=True, check=False,
                                cwd=ROOT).stdout
    except OSError:
        return ""
    return output.splitlines()[0].strip() if output else ""


def machine_line(options):
    facts = pathlib.Path("/proc/cpuinfo").read_text()
    model = re.search(r"^model name\s*:\s*(.*)$", facts, re.MULTILINE)
    frequency = re.search(r"^cpu MHz\s*:\s*([\d.]+)", facts, re.MULTILINE)
    virtual = re.search(r"^flags\s*:.*\bhypervisor\b", facts, re.MULTILINE)
    load = " ".join(f"{value:.1f}" for value in os.getloadavg())
    words = [model.group(1) if model else platform.machine(),
             f"{float(frequency.group(1)):.0f} MHz" if frequency else "",
             f"{os.cpu_count()} CPUs", "itself a virtual machine" if virtual else "bare hardware",
             f"Linux {platform.release()}", f"load {load}", f"guest {options.kernel}",
             f"memory {options.memory}", f"tcg cpu {options.tcg_cpu}",
             "commit " + (first_line(["git", "describe", "--always", "--dirty"]) or "unknown"),
             first_line([QEMU, "--version"]) if shutil.which(QEMU) else ""]
    return "; ".join(word for word in words if word)


def values_of(rounds, name):
    return [one[name] for one in rounds if one.get(name) is not None]


def rows_of(results):
    """(name, title, {subject: values}) of everything that was measured."""
    names = [(f"{part}.{kind}", f"{title}, {kind} s") for part, title in PARTS
             for kind in ("cpu", "wall")]
    for name, title in names + list(EXTRAS):
        values = {subject: values_of(rounds, name) for subject, rounds in results.items()}
        if any(values.values()):
            yield name, title, values


def number(value):
    return f"{value:.3f}" if value < 10 else f"{value:.2f}" if value < 100 else f"{value:,.0f}"


def cell(values):
    if not values:
        return "-"
    middle = number(statistics.median(values))
    return f"{middle} [{number(min(values))} {number(max(values))}]" if len(values) > 1 else middle


def ratio(upper, lower):
    if not upper or not lower or statistics.median(lower) == 0:
        return "-"
    return f"{statistics.median(upper) / statistics.median(lower):.2f}"


def print_table(results):
    names = list(results)
    heads = ["median [least most]", *names, "ringshift/native", "ringshift/tcg"]
    lines = [heads]
    for _, title, values in rows_of(results):
        mine = values.get("ringshift")
        lines.append([title, *(cell(values[name]) for name in names),
                      ratio(mine, values.get("native")), ratio(mine, values.get("tcg"))])
    widths = [max(len(line[i]) for line in lines) for i in range(len(heads))]
    for line in lines:
        print("| " + " | ".join(text.ljust(width) for text, width in zip(line, widths)) + " |")
        if line is heads:
            print("|" + "|".join("-" * (width + 2) for width in widths) + "|")


def arguments():
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--ringshift", type=pathlib.Path, default=ROOT / "build/release/ringshift")
    options.add_argument("--kernel", default="linux-686", help="linux-686 or linux-686-pae")
    options.add_argument("--memory", default="128M")
    options.add_argument("--user", help="ringshift's option of that name")
    options.add_argument("--tcg-cpu", default="max", help="the processor QEMU is to imitate")
    options.add_argument("--runs", type=int, default=3)
    options.add_argument("--quick", action="store_true", help="one run of each")
    options.add_argument("--timeout", type=float, default=600, help="seconds for one boot")
    options.add_argument("--json", type=pathlib.Path, help="every number of every run goes there")
    result = options.parse_args()
    if result.quick:
        result.runs = 1
    if not result.ringshift.is_file():
        options.error(f"no program at {result.ringshift}: build it, or say --ringshift")
    return result


def measure(options):
    results = {}
    with Stage(options.ringshift) as stage:
        taking_part = subjects(stage, options)
        for number_of_round in range(options.runs):
            for subject in taking_part:
                try:
                    results.setdefault(subject.name, []).append(subject.round())
                except Trouble as trouble:
                    print(f"{subject.name}, run {number_of_round + 1}: not counted: {trouble}")
                print(f"{subject.name}, run {number_of_round + 1} of {options.runs}",
                      file=sys.stderr, flush=True)
    return results


def main():
    options = arguments()
    guest_file(f"{options.kernel}/vmlinuz")
    guest_file("initramfs.cpio.gz")
    machine = machine_line(options)
    print(machine, flush=True)
    results = measure(options)
    print_table(results)
    if options.json:
        options.json.write_text(json.dumps({"machine": machine, "runs": results}, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
