#!/usr/bin/env python3
"""A machine under control of a program: QMP as a client speaks it, a monitor's socket, files, discs,
clients that are hostile, silent or gone.

usage: qmp_test.py --ringshift PROGRAM [CASE...]
"""

import json
import os
import re
import socket
import subprocess
import sys
import threading
import time

from harness import EXIT_QUIT, EXIT_RESET, EXIT_USAGE, HERE, Run, Stage, expect, parser, run_cases

TIMEOUT = 60
ANSWER = 10
GUEST_GOOD = 1  # the guest writes 0 to the debug-exit port
COUNTER = "500000"
SECTOR = 2048


class ControlStage(Stage):
    """A stage with the guest, and a folder where an unprivileged run may make sockets and files."""

    def __init__(self, ringshift):
        super().__init__(ringshift)
        subprocess.run(["nasm", "-f", "bin", "-Werror", "-I", f"{HERE}/asm/", "-o", "controlled",
                        f"{HERE}/control/controlled.asm"], cwd=self.path, check=True)
        (self.path / "controlled").chmod(0o644)
        for name in ("sockets", "files"):
            (self.path / name).mkdir()
            (self.path / name).chmod(0o777)
        self.files = self.path / "files"
        self.count = 0

    def socket(self):
        self.count += 1
        return str(self.path / "sockets" / f"control{self.count}")

    def guest(self, *more):
        return ["run", "--kernel", str(self.path / "controlled"), "--memory", "16M",
                "--machine", "acpi=on", *more]


class Client:
    """QMP by hand: requests and their answers, events as they come."""

    def __init__(self, path, negotiate=True):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(ANSWER)
        deadline = time.monotonic() + TIMEOUT
        while True:
            try:
                self.socket.connect(path)
                break
            except (FileNotFoundError, ConnectionRefusedError):
                expect(time.monotonic() < deadline, "nobody listens")
                time.sleep(0.01)
        self.pending = b""
        self.events = []
        self.greeting = None
        if negotiate:
            self.greeting = self.message()
            expect("QMP" in self.greeting, f"no greeting: {self.greeting}")
            expect(self.ask("qmp_capabilities") == {}, "no negotiation")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def message(self):
        while b"\n" not in self.pending:
            data = self.socket.recv(65536)
            expect(data, "the connection is closed")
            self.pending += data
        line, self.pending = self.pending.split(b"\n", 1)
        return json.loads(line)

    def send(self, value):
        self.socket.sendall(json.dumps(value).encode() + b"\n")

    def answer(self):
        """The next message that is no event."""
        while True:
            message = self.message()
            if "event" not in message:
                return message
            self.events.append(message)

    def request(self, command, **arguments):
        request = {"execute": command, "id": f"the {command}"}
        if arguments:
            request["arguments"] = {name.replace("_", "-"): value for name, value in arguments.items()}
        self.send(request)
        answer = self.answer()
        expect(answer.get("id") == request["id"], f"another answer: {answer}")
        return answer

    def ask(self, command, **arguments):
        answer = self.request(command, **arguments)
        expect("return" in answer, f"{command}: {answer}")
        return answer["return"]

    def refused(self, command, **arguments):
        answer = self.request(command, **arguments)
        expect("error" in answer, f"{command} is not refused: {answer}")
        return answer["error"]

    def event(self, name):
        """Waits for it; returns its data. Those before it are forgotten."""
        while True:
            message = self.events.pop(0) if self.events else self.message()
            expect("event" in message, f"an answer to nothing: {message}")
            stamp = message["timestamp"]
            expect(abs(stamp["seconds"] - time.time()) < 3600 and 0 <= stamp["microseconds"] < 1e6,
                   f"the time of {message}")
            if message["event"] == name:
                return message.get("data")

    def line(self, text):
        return self.ask("human-monitor-command", command_line=text)

    def counter(self):
        return int(self.line(f"xp/1xw {COUNTER}").split("0x")[1], 16)


def expect_counting(client, counts):
    before = client.counter()
    if not counts:
        time.sleep(0.05)
        expect(client.counter() == before, "the guest runs although it is stopped")
        return
    deadline = time.monotonic() + ANSWER
    while client.counter() == before:
        expect(time.monotonic() < deadline, "the guest does not run")


def start(stage, path, *more, text="begins"):
    run = Run(stage, stage.guest("--qmp", f"unix:{path}", *more), TIMEOUT)
    if text:
        run.wait_for(text)
    return run


def questions(stage):
    path = stage.socket()
    with start(stage, path, "--name", "box", "--sandbox", "require") as run, Client(path) as client:
        version = client.greeting["QMP"]["version"]
        expect(client.ask("query-version") == version, "two versions")
        names = {one["name"] for one in client.ask("query-commands")}
        expect({"stop", "cont", "query-status", "quit", "screendump"} <= names, f"commands: {names}")
        expect(client.ask("query-status") == {"status": "running", "singlestep": False,
                                              "running": True}, "not running")
        expect(client.ask("query-name") == {"name": "box"}, "the name")
        expect(client.ask("query-kvm") == {"enabled": False, "present": False}, "KVM")
        expect(client.ask("query-uuid")["UUID"].startswith("0000"), "the UUID")
        cpus = client.ask("query-cpus-fast")
        expect(len(cpus) == 1 and cpus[0]["thread-id"] == run.process.pid, f"processors: {cpus}")
        drives = client.ask("query-block")
        expect([one["device"] for one in drives] == ["ide1-cd0"], f"drives: {drives}")
        expect(client.refused("no-such-command")["class"] == "CommandNotFound", "the class")
        expect(client.refused("stop", now=True)["class"] == "GenericError", "the class")
        expect("EIP" in client.line("info registers").upper(), "no registers")
        expect("VM status: running" in client.line("info status"), "no status")
        client.ask("quit")
        expect(client.event("SHUTDOWN") == {"guest": False, "reason": "host-qmp-quit"}, "the reason")
        expect(run.finish() == EXIT_QUIT, "the exit code")
    expect(not os.path.exists(path), "the socket's name is left")


def stopping(stage):
    path = stage.socket()
    with start(stage, path) as run, Client(path) as client:
        expect_counting(client, True)
        client.ask("stop")
        client.event("STOP")
        expect(client.ask("query-status")["status"] == "paused", "not paused")
        expect_counting(client, False)
        # A second client, and a third, find it as it was left.
        client.socket.close()
        for _ in range(3):
            with Client(path) as other:
                expect(other.ask("query-status")["status"] == "paused", "not paused any more")
                expect_counting(other, False)
        with Client(path) as other:
            other.ask("cont")
            other.event("RESUME")
            expect_counting(other, True)
            other.ask("system_powerdown")
            other.event("POWERDOWN")
            run.wait_for("power button")
            expect(other.event("SHUTDOWN") == {"guest": True, "reason": "guest-shutdown"}, "reason")
        expect(run.finish() == GUEST_GOOD, "the guest's end")


def resetting(stage):
    path = stage.socket()
    with start(stage, path) as run, Client(path) as client:
        at = run.wait_for("begins")
        client.ask("stop")
        client.ask("system_reset")
        expect(client.event("RESET") == {"guest": False, "reason": "host-qmp-system-reset"}, "reason")
        expect(client.ask("query-status")["status"] == "paused", "the reset lets it go")
        client.ask("cont")
        run.wait_for("begins", at)
        expect_counting(client, True)
        run.terminate()
        expect(client.event("SHUTDOWN") == {"guest": False, "reason": "host-signal"}, "the reason")
        expect(run.finish() == EXIT_QUIT, "the exit code")
    path = stage.socket()
    with start(stage, path, "--no-reboot") as run, Client(path) as client:
        client.ask("system_reset")
        expect(run.finish() == EXIT_RESET, "the exit code")


def prelaunch(stage):
    path = stage.socket()
    with start(stage, path, "-S", "--serial", "none", text="") as run, Client(path) as client:
        expect(client.ask("query-status") == {"status": "prelaunch", "singlestep": False,
                                              "running": False}, "no prelaunch")
        expect_counting(client, False)
        client.ask("cont")
        client.event("RESUME")
        expect_counting(client, True)
        run.terminate()
        expect(run.finish() == EXIT_QUIT, "the exit code")
    # server=on,wait=on: the guest begins with the first client.
    path = stage.socket()
    words = stage.guest("--qmp", f"unix:{path},server=on,wait=on")
    with Run(stage, words, TIMEOUT) as run:
        time.sleep(0.3)
        with Client(path) as client:
            expect_counting(client, True)
            client.ask("quit")
        expect(run.finish() == EXIT_QUIT, "the exit code")
    # SIGTERM ends one that nobody comes to.
    path = stage.socket()
    with Run(stage, stage.guest("--qmp", f"unix:{path},wait=on"), TIMEOUT) as run:
        while not os.path.exists(path):
            time.sleep(0.01)
        time.sleep(0.2)
        run.terminate()
        expect(run.finish() == EXIT_QUIT, "the exit code")


def keys(stage):
    path = stage.socket()
    with start(stage, path) as run, Client(path) as client:
        client.ask("send-key", keys=[{"type": "qcode", "data": "ctrl"},
                                     {"type": "qcode", "data": "up"}], hold_time=20)
        at = 0
        # Scan code set 1; the last key down comes up first.
        for code in ("1d", "e0", "48", "e0", "c8", "9d"):
            at = run.wait_for(f"key {code}", at)
        client.ask("input-send-event", events=[
            {"type": "key", "data": {"down": True, "key": {"type": "number", "data": 30}}}])
        at = run.wait_for("key 1e", at)
        client.line("sendkey b")
        run.wait_for("key b0", run.wait_for("key 30", at))
        expect("PS/2" in client.refused("input-send-event",
                                        events=[{"type": "abs", "data": {}}])["desc"], "abs")
        client.ask("quit")


def files(stage):
    path = stage.socket()
    with start(stage, path, "--control-folder", str(stage.files), "--sandbox",
               "require") as run, Client(path) as client:
        client.ask("screendump", filename="shot.ppm")
        client.ask("screendump", filename=f"{stage.files}/shot.png", format="png")
        shot = (stage.files / "shot.ppm").read_bytes()
        found = re.match(rb"P6\n(\d+) (\d+)\n255\n", shot)
        expect(found and len(shot) == found.end() + 3 * int(found[1]) * int(found[2]), "the picture")
        expect((stage.files / "shot.png").read_bytes().startswith(b"\x89PNG\r\n"), "the other one")
        os.symlink("/etc/hostname", stage.files / "link")
        for name in ("/tmp/else.ppm", "../shot.ppm", "sub/shot.ppm", ".hidden", "", "a\nb",
                     f"{stage.files}/../x", "link"):
            client.refused("screendump", filename=name)
        expect(sorted(os.listdir(stage.files)) == ["link", "shot.png", "shot.ppm"],
               f"there is {os.listdir(stage.files)}")
        # Running, and stopped: the guest's time goes on where it was.
        client.ask("x-ringshift-save", filename="machine")
        client.ask("stop")
        client.ask("x-ringshift-save", filename="stopped")
        count = client.counter()
        client.ask("quit")
        expect(run.finish() == EXIT_QUIT, "the exit code")
    for name in ("machine", "stopped"):
        path = stage.socket()
        words = ["resume", str(stage.files / name), "--qmp", f"unix:{path}"]
        with Run(stage, words, TIMEOUT) as run, Client(path) as client:
            expect_counting(client, True)
            if name == "stopped":
                expect(client.counter() >= count, "it has gone back")
            client.ask("quit")
            expect(run.finish() == EXIT_QUIT, "the exit code")
    path = stage.socket()
    with start(stage, path) as run, Client(path) as client:
        expect("--control-folder" in client.refused("screendump", filename="a")["desc"], "the reason")
        client.ask("quit")


def discs(stage):
    for name, byte in (("first.iso", 1), ("second.iso", 2)):
        (stage.files / name).write_bytes(bytes([byte]) * 4 * SECTOR)
        (stage.files / name).chmod(0o644)
    (stage.files / "other.qcow2").write_bytes(b"QFI\xfb\0\0\0\3" + bytes(600))
    path = stage.socket()
    with start(stage, path, "--control-folder", str(stage.files), "--cdrom",
               str(stage.files / "first.iso")) as run, Client(path) as client:
        def drive():
            return client.ask("query-block")[0]

        expect(drive()["inserted"]["file"].endswith("first.iso") and drive()["removable"], "first")
        client.ask("blockdev-change-medium", device="ide1-cd0", filename="second.iso")
        expect(client.event("DEVICE_TRAY_MOVED")["tray-open"] is True, "does not open")
        expect(client.event("DEVICE_TRAY_MOVED")["tray-open"] is False, "does not close")
        expect(drive()["inserted"]["file"].endswith("second.iso"), f"the drive has {drive()}")
        expect("command line" in client.refused("x-ringshift-save", filename="m")["desc"], "saved")
        # It stays there over a reset.
        client.ask("system_reset")
        client.event("RESET")
        expect(drive()["inserted"]["file"].endswith("second.iso"), "forgotten at the reset")
        client.ask("eject", device="ide1-cd0")
        expect("inserted" not in drive() and drive()["tray_open"], f"still there: {drive()}")
        for name in ("none.iso", "/etc/passwd", "other.qcow2"):
            client.refused("blockdev-change-medium", device="ide1-cd0", filename=name)
        client.line("change ide1-cd0 first.iso")
        expect(drive()["inserted"]["file"].endswith("first.iso"), f"the drive has {drive()}")
        expect(client.refused("eject", device="ide0-hd0")["desc"] == "Device 'ide0-hd0' not found",
               "the wrong drive")
        client.ask("quit")


def hostile(stage):
    """Any bytes may come: the guest counts on, and the next client is served."""
    path = stage.socket()
    floods = (b"{" * 100000, b'{"a":"' + b"x" * 1000000, b"\0" * 70000, b"\xff\xfe{}" * 20000,
              b'{"execute":"qmp_capabilities"}' + b'{"execute":"query-commands"}' * 20000,
              b"[" * 64 + b"]" * 64, b'{"execute":', b"hello\n" * 30000,
              b'{"execute":"query-status","id":"' + b"\\" * 60000)
    with start(stage, path) as run:
        for flood in floods:
            with Client(path, negotiate=False) as client:
                client.socket.settimeout(2)
                try:
                    client.socket.sendall(flood)  # and nothing is read
                except OSError:
                    pass
            with Client(path) as client:
                expect_counting(client, True)
        with Client(path) as client:
            client.socket.sendall(b'{"execute": nonsense}\n')
            expect(client.answer()["error"]["class"] == "GenericError", "bad JSON")
            client.socket.sendall(b"[" * 5000 + b"\n")
            expect("depth" in client.answer()["error"]["desc"], "a deep one")
            # By single bytes.
            for byte in b'{"execute": "query-kvm"}\n':
                client.socket.sendall(bytes([byte]))
                time.sleep(0.005)
            expect("return" in client.answer(), "no answer to a slow client")
            for number in range(500):
                client.send({"execute": "query-status", "id": number})
            for number in range(500):
                expect(client.answer()["id"] == number, "out of order")
            client.ask("quit")
        expect(run.finish() == EXIT_QUIT, "the exit code")


def prompt_end(stage):
    """While a client floods, and while one is silent: SIGTERM is answered at once."""
    for flood in (b"", b'{"execute":"query-block"}' * 1000):
        path = stage.socket()
        with start(stage, path) as run, Client(path) as client:
            ends = threading.Event()

            def pour(to=client.socket, text=flood, end=ends):
                try:
                    while text and not end.is_set():
                        to.sendall(text)
                        to.recv(1 << 20)
                except OSError:
                    pass

            thread = threading.Thread(target=pour)
            thread.start()
            time.sleep(0.5)
            begin = time.monotonic()
            run.terminate()
            expect(run.process.wait(ANSWER) == EXIT_QUIT, "the exit code")
            took = time.monotonic() - begin
            ends.set()
            thread.join()
            # The promise is 200 ms; what is asserted allows for a host that is busy.
            expect(took < 5, f"the end took {took:.2f} s")


def monitors(stage):
    path = stage.socket()
    words = stage.guest("--monitor", f"unix:{path}")
    with Run(stage, words, TIMEOUT) as run:
        run.wait_for("begins")
        with socket.socket(socket.AF_UNIX) as wire:
            wire.settimeout(ANSWER)
            wire.connect(path)
            stream = wire.makefile("rwb", buffering=0)

            def until_prompt():
                text = b""
                while not text.endswith(b"(ringshift) "):
                    data = stream.read(1)
                    expect(data, f"closed after {text!r}")
                    text += data
                return text.decode()

            expect("type 'help'" in until_prompt(), "no greeting")
            for line, wanted in (("info status", "running"), ("stop", ""), ("info status", "paused"),
                                 ("help", "system_powerdown"), ("cont", ""), ("nonsense", "no command"),
                                 ("x" * 100000, "too long")):
                wire.sendall(line.encode() + b"\n")
                expect(wanted in until_prompt(), f"the answer to {line[:20]}")
            wire.sendall(b"system_powerdown\n")
            run.wait_for("power button")
        expect(run.finish() == GUEST_GOOD, "the guest's end")


def connecting(stage):
    """server=off: the program is there first, as python3-qemu's machine is."""
    path = stage.socket()
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(path)
        os.chmod(path, 0o777)
        listening.listen(1)
        words = ["-kernel", str(stage.path / "controlled"), "-m", "16", "-nographic",
                 "-chardev", f"socket,id=mon,path={path}", "-mon", "chardev=mon,mode=control"]
        with Run(stage, words, TIMEOUT) as run:
            listening.settimeout(ANSWER)
            wire, _ = listening.accept()
            wire.settimeout(ANSWER)
            wire.sendall(b'{"execute":"qmp_capabilities"}{"execute":"quit"}')
            text = b""
            while data := wire.recv(4096):
                text += data
            expect(b'"QMP"' in text and b"SHUTDOWN" in text, f"it said {text!r}")
            expect(run.finish() == EXIT_QUIT, "the exit code")


def taped(stage):
    """A client's change to a machine that is recorded is on its tape, or refused by name."""
    path, folder, saved = stage.socket(), stage.files / "tape", stage.files / "saved"
    words = ("--record", str(folder), "--control-folder", str(stage.files))
    with start(stage, path, *words) as run, Client(path) as client:
        at = run.wait_for("begins")
        expect_counting(client, True)
        client.ask("stop")
        client.event("STOP")
        expect_counting(client, False)
        client.ask("cont")
        key = {"type": "qcode", "data": "a"}
        for command, arguments in (("send-key", {"keys": [key]}), ("eject", {"id": "ide1-cd0"}),
                                   ("input-send-event", {"events": [{"type": "key", "data": {"down": True, "key": key}}]})):
            expect("would not be on the tape" in client.refused(command, **arguments)["desc"], f"{command} is not refused")
        client.refused("x-ringshift-clone")
        client.ask("x-ringshift-save", filename=str(saved))
        client.ask("system_reset")
        client.event("RESET")
        run.wait_for("begins", at)
        client.ask("system_powerdown")
        client.event("POWERDOWN")
        run.wait_for("power button")
        expect(run.finish() == GUEST_GOOD, f"the guest's end: {run.errors()}")
        shown = run.text()
    for more in ((), ("--engine", "interpret")):
        with Run(stage, ["replay", str(folder), "--verify", *more], TIMEOUT) as run:
            code = run.finish()
            expect(code == GUEST_GOOD and "agree" in run.errors(), f"the replay: {code}: {run.errors()}")
            expect(run.text() == shown, f"the replay shows {run.text()!r}, the machine {shown!r}")


def wrong_lines(stage):
    for words, wanted in ((("--qmp", "stdio"), "--qmp: cannot use 'stdio'"),
                          (("--qmp", "unix:x,speed=1"), "--qmp: cannot use"),
                          (("--qmp", f"unix:{stage.path}/none/x"), "--qmp: cannot listen at"),
                          (("--qmp", f"unix:{stage.path}/none,server=off"), "cannot connect to"),
                          (("--monitor", "tcp:nowhere:1"), "--monitor: cannot use"),
                          (("--control-folder", "/none/such"), "is no folder")):
        with Run(stage, stage.guest(*words), TIMEOUT) as run:
            expect(run.finish() == EXIT_USAGE, f"{words}: the exit code")
            errors = run.errors()
            expect(wanted in errors and errors.count("\n") == 1, f"{words}: {errors!r}")


def foreign_client(stage):
    """QEMU's own library for Python, where it is installed."""
    try:
        import asyncio  # pylint: disable=import-outside-toplevel
        from qemu.qmp import QMPClient  # pylint: disable=import-outside-toplevel
    except ImportError:
        print("qemu.qmp is not installed: no client of others")
        return
    path = stage.socket()

    async def drive():
        client = QMPClient("test")
        await client.connect(path)
        status = await client.execute("query-status")
        expect(status["running"], f"it says {status}")
        with client.listener(("STOP", "RESUME")) as listener:
            await client.execute("stop")
            expect((await listener.get())["event"] == "STOP", "no STOP")
            await client.execute("cont")
            expect((await listener.get())["event"] == "RESUME", "no RESUME")
        await client.execute("quit")
        await client.disconnect()

    with start(stage, path) as run:
        asyncio.run(drive())
        expect(run.finish() == EXIT_QUIT, "the exit code")


CASES = {"questions": questions, "stopping": stopping, "resetting": resetting,
         "prelaunch": prelaunch, "keys": keys, "files": files, "discs": discs, "hostile": hostile,
         "prompt-end": prompt_end, "monitors": monitors, "connecting": connecting, "taped": taped,
         "wrong-lines": wrong_lines, "foreign-client": foreign_client}


def main():
    options = parser(__doc__)
    options.add_argument("cases", nargs="*", choices=[[], *CASES], default=[])
    arguments = options.parse_args()
    with ControlStage(arguments.ringshift) as stage:
        chosen = {name: CASES[name] for name in arguments.cases or CASES}
        return run_cases([(name, lambda case=case: case(stage)) for name, case in chosen.items()])


if __name__ == "__main__":
    sys.exit(main())
