#!/usr/bin/env python3
"""Machines of a file under a manager: up, ps, logs, console, stop, kill, events, down; a manager that is killed
and comes back; machines and keepers that are killed; folders that are somebody else's; files that make no sense.

usage: manager_test.py --ringshift PROGRAM [CASE...]
"""

import http.client
import json
import os
import pathlib
import pty
import re
import select
import signal
import subprocess
import sys
import time

from limit_test import processor_time
from harness import EXIT_USAGE, HERE, NOBODY, Failure, Stage, expect, parser, run_cases

TIMEOUT = 60
KILLED_BY_9 = 137
FILE = """\
[machine.one]
kernel = "typist"
memory = "16M"
machine = ["acpi=on"]

[machine.two]
kernel = "typist"
memory = 16
machine = { acpi = true }
no-reboot = true
"""


def privilege():
    """As harness.without_privilege, but what is started may outlive who has started it."""
    if os.geteuid() != 0:
        return []
    return ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "--inh-caps=-all",
            "--bounding-set=-all", "--no-new-privs", "--"]


class Managed(Stage):
    """A stage with the guest, a run folder, and the end of all that runs there."""

    def __init__(self, ringshift, text=FILE):
        super().__init__(ringshift)
        subprocess.run(["nasm", "-f", "bin", "-Werror", "-I", f"{HERE}/asm/", "-o", "typist",
                        f"{HERE}/manager/typist.asm"], cwd=self.path, check=True)
        (self.path / "typist").chmod(0o644)
        self.write("machines.toml", text.encode())
        (self.path / "open").mkdir()
        (self.path / "open").chmod(0o777)
        self.run_folder = self.path / "open" / "run"

    def __exit__(self, *rest):
        for process in self.processes():
            try:
                os.kill(process, signal.SIGKILL)
            except ProcessLookupError:
                pass
        super().__exit__(*rest)

    def processes(self, pattern=""):
        """Those of this stage whose command line has the pattern."""
        found = []
        for folder in pathlib.Path("/proc").glob("[0-9]*"):
            try:
                line = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except OSError:
                continue
            if str(self.path) in line and re.search(pattern, line) and int(folder.name) != os.getpid():
                found.append(int(folder.name))
        return sorted(found)

    def line(self, command, *arguments):
        return [*privilege(), self.ringshift, command, "--run-folder", str(self.run_folder), *arguments]

    def ask(self, command, *arguments, typed=None):
        return subprocess.run(self.line(command, *arguments), cwd=self.path, timeout=TIMEOUT, check=False,
                              input=typed, capture_output=True, text=True)

    def do(self, command, *arguments):
        answer = self.ask(command, *arguments)
        expect(answer.returncode == 0, f"{command}: {answer.returncode}: {answer.stdout}{answer.stderr}")
        return answer.stdout

    def machines(self):
        return {machine["name"]: machine for machine in map(json.loads, self.do("ps", "--json").splitlines())}

    def events(self):
        """(machine, what, detail) of each."""
        found = []
        for line in self.do("events").splitlines():
            _, machine, what = line.split(" ", 2)
            what, _, detail = what.partition(": ")
            found.append((machine, what, detail))
        return found

    def manager(self):
        began = [detail for _, what, detail in self.events() if what == "manager-began"]
        return int(began[-1].split()[1])


def wait_for(what, condition):
    deadline = time.monotonic() + TIMEOUT
    while not condition():
        expect(time.monotonic() < deadline, f"not in time: {what}")
        time.sleep(0.02)


def gone(process):
    try:
        return pathlib.Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0] in "ZX"
    except OSError:
        return True


class Console:
    """A person at a machine's console, on a terminal of his own."""

    def __init__(self, stage, name):
        self.ours, theirs = pty.openpty()
        self.process = subprocess.Popen(stage.line("console", name), stdin=theirs, stdout=theirs, stderr=theirs,
                                        start_new_session=True)
        os.close(theirs)
        self.text = ""

    def wait_for(self, text):
        deadline = time.monotonic() + TIMEOUT
        while text not in self.text:
            expect(select.select([self.ours], [], [], max(0, deadline - time.monotonic()))[0],
                   f"no {text!r} at the console: {self.text!r}")
            try:
                self.text += os.read(self.ours, 4096).decode(errors="replace")
            except OSError:
                raise Failure(f"the console ended without {text!r}: {self.text!r}") from None

    def type(self, text):
        os.write(self.ours, text.encode())

    def end(self):
        exit_code = self.process.wait(TIMEOUT)
        os.close(self.ours)
        return exit_code


def life(ringshift):
    with Managed(ringshift) as stage:
        expect(stage.do("up", "machines.toml") == "one: up\ntwo: up\n", "up says something else")
        machines = stage.machines()
        expect({name: machine["state"] for name, machine in machines.items()} == {"one": "up", "two": "up"},
               f"ps: {machines}")
        table = stage.do("ps").splitlines()
        expect(len(table) == 3 and re.match(rf"one +up +{machines['one']['process']} ", table[1]), f"ps: {table}")
        wait_for("the log", lambda: stage.do("logs", "one") == "typist begins\n")
        expect(stage.do("up", "machines.toml") == "one: up\ntwo: up\n", "again")
        expect(stage.machines()["one"]["process"] == machines["one"]["process"], "up again is another machine")
        console = Console(stage, "two")
        console.wait_for("typist begins")
        console.type("ab")
        console.wait_for("typed 62")
        console.type("\x1d")
        expect(console.end() == 0, "leaving the console is no success")
        expect("typed 61\ntyped 62\n" in stage.do("logs", "two"), "the log lacks it")
        expect(stage.do("stop", "one") == "one: exit code 1\n", "the power button did not end it well")
        expect(("one", "power-button", "") in stage.events(), "no power button")
        expect(stage.do("kill", "two") == "two: signal 9\n", "kill")
        expect(("two", "ended", "signal 9") in stage.events(), "a kill that was asked for is no crash")
        expect(stage.ask("console", "two").returncode == EXIT_USAGE, "a console of nobody")
        expect(stage.do("up", "machines.toml").count("up") == 2, "up after the end")
        manager = stage.manager()
        stage.do("down")
        wait_for("the manager's end", lambda: gone(manager))
        wait_for("the end of all", lambda: not stage.processes("typist|keep"))
        expect(not list((stage.run_folder / "machines").iterdir()), "something is left")
        expect(stage.ask("ps").returncode == EXIT_USAGE, "a manager after down")


def pipe(ringshift):
    """Text piped to a console is typed; a client that follows a log sees it, and its end."""
    with Managed(ringshift) as stage:
        stage.do("up", "machines.toml")
        following = subprocess.Popen(stage.line("logs", "--follow", "one"), stdout=subprocess.PIPE, text=True)
        answer = stage.ask("console", "one", typed="abce")
        expect(answer.returncode == 0 and "typed 63" in answer.stdout and "ends" in answer.stdout,
               f"console: {answer.returncode} {answer.stdout!r} {answer.stderr!r}")
        text, _ = following.communicate(timeout=TIMEOUT)
        expect("typed 63\nends\n" in text, f"followed: {text!r}")


def restart(ringshift):
    """The manager is killed: machines go on, and the next one finds them, and what has ended meanwhile."""
    with Managed(ringshift) as stage:
        stage.do("up", "machines.toml")
        before = stage.machines()
        manager = stage.manager()
        os.kill(manager, signal.SIGKILL)
        wait_for("the manager's end", lambda: gone(manager))
        expect(stage.ask("ps").returncode == EXIT_USAGE, "ps without a manager")
        expect(not any(gone(machine["process"]) for machine in before.values()), "a machine has ended with it")
        console = Console(stage, "two")  # consoles do not need a manager
        console.wait_for("typist begins")
        console.type("x")
        console.end()
        wait_for("its end", lambda: gone(before["two"]["process"]))
        pathlib.Path(stage.write("one.toml", FILE.split("\n\n", maxsplit=1)[0].encode()))
        expect(stage.do("up", "one.toml") == "one: up\n", "up after a restart")
        after = stage.machines()
        expect(after["one"]["process"] == before["one"]["process"], "another machine")
        expect(after["two"]["state"] == "ended" and after["two"]["end"] == "exit code 5", f"two: {after['two']}")
        what = [(machine, word) for machine, word, _ in stage.events()]
        expect(("one", "adopted") in what and ("two", "ended") in what, f"events: {what}")
        expect(what.count(("two", "ended")) == 1, "an end is told twice")
        manager = stage.manager()
        os.kill(manager, signal.SIGKILL)
        wait_for("the manager's end", lambda: gone(manager))
        expect("exit code 1" in stage.do("down"), "down without a manager")
        wait_for("the end of all", lambda: not stage.processes("typist|keep"))


def crashes(ringshift):
    """A machine that is killed, a keeper that is killed, a machine that cannot begin."""
    with Managed(ringshift) as stage:
        stage.do("up", "machines.toml")
        following = subprocess.Popen(stage.line("events", "--follow"), stdout=subprocess.PIPE, text=True)
        os.kill(stage.machines()["one"]["process"], signal.SIGKILL)
        for line in following.stdout:
            if "crashed" in line:
                break
        expect(" one crashed: signal 9" in line, f"events: {line}")
        following.kill()
        following.communicate()
        process = stage.machines()["two"]["process"]
        os.kill(stage.processes("keep .*machines/two")[0], signal.SIGKILL)
        wait_for("the machine's end", lambda: gone(process))
        wait_for("lost", lambda: stage.machines()["two"]["state"] == "lost")
        (stage.path / "typist").unlink()
        answer = stage.ask("up", "machines.toml")
        expect(answer.returncode != 0, "up of what cannot begin is a success")
        expect(re.match(r"one: ended: exit code 2: .*typist", answer.stdout), f"up: {answer.stdout}")
        stage.do("down")


def paused(ringshift):
    """Resets are told; a machine that listens to no power button is ended all the same."""
    with Managed(ringshift) as stage:
        stage.do("up", "machines.toml")
        console = Console(stage, "one")
        console.type("p")
        wait_for("a reset", lambda: ("one", "reset", "guest-reset") in stage.events())
        wait_for("its log", lambda: stage.do("logs", "one").count("typist begins") == 2)
        console.type("s")
        console.wait_for("spins")
        expect(stage.do("stop", "--time", "1", "one") == "one: exit code 8\n", "it listened")
        console.end()
        expect(stage.do("stop", "--all").startswith("two: "), "--all")
        expect(stage.ask("stop").returncode == EXIT_USAGE, "nobody is to be stopped")
        expect("there is no machine three" in stage.ask("stop", "three").stderr, "nobody of that name")
        stage.do("down")


def folders(ringshift):
    with Managed(ringshift) as stage:
        other = stage.path / "open" / "other"
        stage.do("up", "machines.toml")
        for path in (stage.run_folder, stage.run_folder / "machines", stage.run_folder / "machines/one"):
            expect(path.stat().st_mode & 0o077 == 0, f"{path} can be entered by others")
        # Two managers know nothing of each other.
        first, stage.run_folder = stage.run_folder, other
        expect(stage.ask("stop", "--all").returncode == EXIT_USAGE, "a manager of another folder")
        stage.do("up", "machines.toml")
        stage.do("down")
        stage.run_folder = first
        expect(all(machine["state"] == "up" for machine in stage.machines().values()), "down ended another's")
        stage.do("down")
        for mode, what in ((0o755, "can be entered by others"), (0o700, None)):
            os.chmod(stage.run_folder, mode)
            answer = stage.ask("up", "machines.toml")
            expect((what is None) == (answer.returncode == 0) and (what or "") in answer.stderr,
                   f"{mode:o}: {answer.stderr}")
        stage.do("down")
        if os.geteuid() == 0:
            os.chown(stage.run_folder, 1, 1)
            expect("another user's" in stage.ask("up", "machines.toml").stderr, "another user's folder")
            os.chown(stage.run_folder, NOBODY, NOBODY)


BAD_FILES = (
    ("", 1, "a table [machine.NAME] is expected"),
    ("[machine.a]\nkernel = \"typist\"\nmemroy = \"16M\"\n", 3, "did you mean memory?"),
    ("[machine.a]\nkernel = \"typist\"\nmemory = \"1T\"\n", 3, "is not a size"),
    ("[machine.a]\nkernel = \"typist\"\n[machine.b]\nmemory = 16\n", 3, "nothing to boot"),
    ("[machine.a]\nkernel = \"typist\"\nengine = \"fast\"\n", 3, "none of translate, interpret, trap"),
    ("[machine.a]\nkernel = \"typist\"\nlimit = { cpu = \"200%\" }\n", 3, "--limit"),
    ("[machine.a]\nkernel = \"typist\"\nlimit = { memory-min = \"none\" }\n", 3, "memory-min=SIZE"),
    ("[machine.a]\nkernel = \"typist\"\ndaemonize = true\n", 3, "in the background"),
    ("[machine.a]\nkernel = \"typist\"\nno-reboot = 1\n", 3, "true or false is expected"),
    ("[machine.a]\nkernel = \"typist\"\n[machine.a]\nkernel = \"typist\"\n", 3, ""),
    ("[machine.a]\nkernel = typist\n", 2, ""),
    ("\0\xff", 1, ""),
)


def bad_files(ringshift):
    with Managed(ringshift) as stage:
        for text, line, what in BAD_FILES:
            stage.write("bad.toml", text.encode("latin-1"))
            answer = stage.ask("up", "bad.toml")
            expect(answer.returncode == EXIT_USAGE, f"{text!r}: exit code {answer.returncode}")
            expect(answer.stderr.count("\n") == 1 and
                   answer.stderr.startswith(f"ringshift: bad.toml:{line}: ") and what in answer.stderr,
                   f"{text!r}: {answer.stderr!r}")
            expect(not stage.processes("keep"), f"{text!r}: something began")
        answer = stage.ask("up", "absent.toml")
        expect(answer.returncode == EXIT_USAGE and answer.stderr.count("\n") == 1, f"absent: {answer.stderr}")


def top(ringshift):
    with Managed(ringshift) as stage:
        stage.do("up", "machines.toml")
        for _ in range(5):  # a machine that the host keeps waiting has written nothing yet
            lines = stage.do("top", "--once").splitlines()
            if all("-" not in line.split() for line in lines):
                break
        expect(lines[0].split()[:3] == ["NAME", "STATE", "PROCESS"] and len(lines) == 3, f"top: {lines}")
        for line in lines[1:]:
            cells = line.split()
            expect(float(cells[3]) > 1, f"it spins, and uses nothing: {line}")
            expect(float(cells[5]) > 1 and float(cells[6]) >= 0, f"its own statistics are missing: {line}")
        expect(all(machine["state"] == "up" for machine in stage.machines().values()), "somebody was hurt")
        stage.do("down")


AS_JSON = {"machine": {"one": {"kernel": "typist", "memory": "16M", "machine": ["acpi=on"]},
                       "two": {"kernel": "typist", "memory": 16, "machine": {"acpi": True}, "no-reboot": True}}}


def json_file(ringshift):
    """The same machines, so those that are there stay; what makes no sense has its line."""
    with Managed(ringshift) as stage:
        stage.write("machines.json", json.dumps(AS_JSON, indent=2).encode())
        stage.write("bad.json", json.dumps(AS_JSON, indent=2).replace("memory", "memroy", 1).encode())
        answer = stage.ask("up", "bad.json")
        expect(answer.returncode == EXIT_USAGE, "a bad file")
        expect("bad.json:5: there is no option memroy; did you mean memory?" in answer.stderr, answer.stderr)
        expect(stage.do("up", "machines.json") == "one: up\ntwo: up\n", "up")
        processes = {name: machine["process"] for name, machine in stage.machines().items()}
        expect(stage.do("up", "machines.toml") == "one: up\ntwo: up\n", "the same machines in TOML")
        expect({name: machine["process"] for name, machine in stage.machines().items()} == processes, "others")
        stage.do("down")


def fetch(where, path, token, **headers):
    """(status, type, body)"""
    asked = http.client.HTTPConnection(where, timeout=10)
    asked.request("GET", path + (f"?token={token}" if token else ""), headers=headers)
    answer = asked.getresponse()
    return answer.status, answer.getheader("content-type"), answer.read()


def page(ringshift):
    """All screens on one page, for browsers that know its token."""
    with Managed(ringshift) as stage:
        expect(stage.ask("web").returncode == EXIT_USAGE, "a page of no manager")
        stage.do("up", "machines.toml")
        expect(stage.ask("web", "--listen", "nowhere:1").returncode == EXIT_USAGE, "a name is no address")
        server = subprocess.Popen([*privilege(), stage.ringshift, "web", "--run-folder", str(stage.run_folder)],
                                  stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=stage.path)
        try:
            line = server.stdout.readline()
            found = re.fullmatch(r"the machines are at http://(127\.0\.0\.1:\d+)/\?token=([0-9a-f]{32})\n", line)
            expect(found, f"no address: {line!r}")
            where, token = found.groups()
            for path, given, headers in (("/", "", {}), ("/machines", "0" * 32, {}), ("/screen/one", "", {}),
                                         ("/", token, {"Host": "evil.example"}),
                                         ("/machines", token, {"Origin": "http://evil.example"})):
                expect(fetch(where, path, given, **headers)[0] == 403, f"{path} {headers}: a stranger gets in")
            status, kind, body = fetch(where, "/", token)
            expect(status == 200 and kind.startswith("text/html") and b"@NONCE@" not in body, f"{status} {kind}")
            for path in ("/screen/three", "/screen/..%2f..%2fevents", "/nothing"):
                expect(fetch(where, path, token)[0] == 404, f"{path} is there")

            def pictures():
                machines = json.loads(fetch(where, "/machines", token)[2])
                return [machine["name"] for machine in machines if machine["picture"] and machine["state"] == "up"]
            wait_for("pictures", lambda: pictures() == ["one", "two"])
            for name in ("one", "two"):
                status, kind, body = fetch(where, f"/screen/{name}", token)
                expect(status == 200 and kind == "image/png" and body.startswith(b"\x89PNG"), f"{name}: {status} {kind}")
            stage.do("down")
            expect(server.wait(10) == 0 and "the manager has gone" in server.stderr.read(), "it outlives its manager")
        finally:
            server.kill()
            server.wait()


SHARES = {"small": 25, "middle": 50, "large": 100}


def shares(ringshift):
    """1:2:4 of one host CPU, for guests that spin, by the host's own count."""
    text = "".join(f"[machine.{name}]\nkernel = \"typist\"\nmemory = 16\n"
                   f"limit = {{ shares = {number}, memory-min = \"8M\" }}\n"
                   for name, number in SHARES.items())
    with Managed(ringshift, text) as stage:
        cpu = max(os.sched_getaffinity(0))
        begun = subprocess.run(["taskset", "-c", str(cpu), *stage.line("up", "machines.toml")], cwd=stage.path,
                               timeout=TIMEOUT, check=False, capture_output=True, text=True)
        expect(begun.returncode == 0, f"up: {begun.stderr}")
        processes = {name: machine["process"] for name, machine in stage.machines().items()}
        time.sleep(1)
        used = {name: -processor_time(process) for name, process in processes.items()}
        time.sleep(6)
        for name, process in processes.items():
            used[name] += processor_time(process)
        total = sum(used.values())
        got = {name: 100 * time_used / total for name, time_used in used.items()}
        print("  " + ", ".join(f"{name} {percent:.1f} %" for name, percent in got.items()))
        for name, number in SHARES.items():
            fair = 100 * number / sum(SHARES.values())
            expect(abs(got[name] - fair) < 0.2 * fair, f"{name}: {got[name]:.1f} %, {fair:.1f} % are its share")
        stage.do("kill", "--all")
        stage.do("down")


def foreground(ringshift):
    """As systemd runs it: killed, started again, and ended by SIGTERM with all of its machines."""
    with Managed(ringshift) as stage:
        def begin():
            process = subprocess.Popen(stage.line("up", "--foreground", "machines.toml"), cwd=stage.path,
                                       stdout=subprocess.PIPE, text=True)
            wait_for("machines", lambda: stage.ask("ps", "--json").stdout.count('"up"') == 2)
            return process
        first = begin()
        before = stage.machines()
        first.kill()
        first.communicate()
        second = begin()
        expect({name: machine["process"] for name, machine in stage.machines().items()} ==
               {name: machine["process"] for name, machine in before.items()}, "other machines")
        second.terminate()
        text, _ = second.communicate(timeout=TIMEOUT)
        expect(second.returncode == 0, f"ended by SIGTERM: {second.returncode}")
        expect("one adopted" in text and "one ended: exit code 1" in text, f"it says: {text}")
        wait_for("the end of all", lambda: not stage.processes("typist|keep"))


CASES = (life, pipe, restart, crashes, paused, folders, bad_files, json_file, page, top, shares, foreground)


def main():
    options = parser(__doc__)
    options.add_argument("case", nargs="*")
    options = options.parse_args()
    return run_cases([(case.__name__, lambda case=case: case(options.ringshift)) for case in CASES
                      if not options.case or case.__name__ in options.case])


if __name__ == "__main__":
    sys.exit(main())
