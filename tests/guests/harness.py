"""Shared by the tests that boot ringshift: the cached guests, a run without any privilege, its end.

Everything runs as an unprivileged user: under root, from copies in a temporary directory, as
uid 65534 without capabilities. Each run is asserted to be so, by what the host's kernel says of it.
"""

import argparse
import functools
import json
import os
import pathlib
import pwd
import re
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
SKIPPED = 77  # ctest's SKIP_RETURN_CODE
NOBODY = 65534

# monitor/command_line.h
EXIT_POWER_OFF = 0
EXIT_USAGE = 2
EXIT_RESET = 6
EXIT_QUIT = 8


class Failure(Exception):
    """A test's expectation does not hold; the text says which."""


def expect(condition, message):
    if not condition:
        raise Failure(message)


def guests_folder():
    cache = os.environ.get("RINGSHIFT_CACHE")
    if cache:
        return pathlib.Path(cache) / "guests"
    home = os.environ.get("HOME")
    if not home or not os.path.isdir(home):
        home = pwd.getpwuid(os.getuid()).pw_dir
    return pathlib.Path(home) / ".cache/ringshift/guests"


def guest_file(name):
    """A file of the cache; the test is skipped without it."""
    path = guests_folder() / name
    if not path.is_file():
        print(f"skipped: no {path} (tests/setup/fetch_guests.sh and make_initramfs.sh make it)")
        sys.exit(SKIPPED)
    return path


@functools.lru_cache
def findings(ringshift):
    """Returns `doctor`'s verdicts on this host: {name: verdict}. It is asked once: the host stays as
    it is."""
    told = subprocess.run([ringshift, "doctor", "--json"], check=False, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE).stdout
    return {finding["name"]: finding["verdict"] for finding in json.loads(told)["findings"]}


def offers(ringshift, name):
    """Has this host it? Some run no 32-bit code, others fault no CPUID."""
    return findings(ringshift).get(name) == "ok"


def offers_direct(ringshift):
    """Can user code run directly?"""
    return all(offers(ringshift, name) for name in ("compatibility-mode", "fsgsbase"))


def parser(description):
    result = argparse.ArgumentParser(description=description)
    result.add_argument("--ringshift", required=True, type=pathlib.Path, help="program under test")
    return result


class Stage:
    """A temporary directory that an unprivileged user can read, with copies of what a run needs."""

    def __init__(self, ringshift):
        self.path = pathlib.Path(tempfile.mkdtemp(prefix="ringshift-test-"))
        self.path.chmod(0o755)
        self.ringshift = self.add(ringshift, "ringshift", 0o755)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        shutil.rmtree(self.path, ignore_errors=True)

    def add(self, source, name, mode=0o644):
        target = self.path / name
        shutil.copyfile(source, target)
        target.chmod(mode)
        return str(target)

    def write(self, name, content):
        target = self.path / name
        target.write_bytes(content)
        target.chmod(0o644)
        return str(target)

    def linux(self, flavour):
        """The options that boot one of the Linux guests."""
        kernel = self.add(guest_file(f"{flavour}/vmlinuz"), f"vmlinuz-{flavour}")
        initrd = self.add(guest_file("initramfs.cpio.gz"), "initramfs.cpio.gz")
        return ["--kernel", kernel, "--initrd", initrd]


def without_privilege():
    """Returns the words to put before a command. setpriv replaces itself by it, so the process id
    stays."""
    if os.geteuid() != 0:
        return []
    return ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups",
            "--inh-caps=-all", "--bounding-set=-all", "--no-new-privs",
            "--pdeathsig=KILL", "--"]  # a test that is killed leaves nothing behind


class Run:
    """One run of ringshift in a process group of its own; with keyboard, type() is its input."""

    def __init__(self, stage, arguments, timeout, terminal=None, keyboard=False, under=(), before=()):
        """`under`: a command and its options that runs ours, in the same process. `before`: the same, as who we are."""
        self.deadline = time.monotonic() + timeout
        self.console = b""
        streams = dict(stdin=subprocess.PIPE if keyboard else subprocess.DEVNULL,
                       stdout=subprocess.PIPE)
        if terminal is not None:
            streams = dict(stdin=terminal, stdout=terminal)
        self._errors = tempfile.TemporaryFile()
        self.process = subprocess.Popen(
            [*before, *without_privilege(), *under, stage.ringshift, *arguments], cwd=stage.path,
            stderr=self._errors, start_new_session=True, **streams)
        self.source = self.process.stdout.fileno() if terminal is None else None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait()
        self._errors.close()

    def text(self):
        return self.console.decode(errors="replace").replace("\r", "")

    def errors(self):
        file = self._errors.fileno()  # whose place is the process's, too: it may be writing there
        return os.pread(file, os.fstat(file).st_size, 0).decode(errors="replace")

    def read_some(self):
        """Waits for console output; False when there will be none any more."""
        left = self.deadline - time.monotonic()
        if left <= 0 or not select.select([self.source], [], [], left)[0]:
            state = "lives" if self.process.poll() is None else f"has ended ({self.process.poll()})"
            raise Failure(f"no answer in time; the process {state}, its last words: "
                          f"{self.text()[-1000:]!r} {self.errors()[-1000:]!r}")
        try:
            data = os.read(self.source, 65536)
        except OSError:  # the last user of a terminal has gone
            data = b""
        self.console += data
        return bool(data)

    def wait_for(self, text, start=0):
        """Reads the console until it has `text` at `start` or after; returns where that ends."""
        wanted = text.encode()
        while wanted not in self.console[start:]:
            expect(self.read_some(), f"ended (exit code {self.process.poll()}) without: {text}")
        return self.console.index(wanted, start) + len(wanted)

    def type(self, text):
        self.process.stdin.write(text.encode())
        self.process.stdin.flush()

    def finish(self):
        """Reads to the end; returns the exit code, negative for a signal."""
        while self.source is not None and self.read_some():
            pass
        try:
            return self.process.wait(max(1.0, self.deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            raise Failure("the console is closed but the process lives") from None

    def terminate(self):
        self.process.send_signal(signal.SIGTERM)

    def assert_unprivileged(self):
        """Pre: the run has printed something, so setpriv is through."""
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        fields = dict(line.split(":", 1) for line in status.splitlines() if ":" in line)
        expect(fields["Name"].strip() == "ringshift", "the process is not ringshift yet")
        expect("0" not in fields["Uid"].split(), f"runs as root: Uid {fields['Uid'].strip()}")
        expect(int(fields["CapEff"], 16) == 0, f"has capabilities: {fields['CapEff'].strip()}")


def report(name, run, problem):
    """Prints what a person needs to see a failure's reason."""
    print(f"{name}: FAILED: {problem}")
    if run is not None:
        print("---- last of the console\n" + run.text()[-3000:])
        print("---- standard error\n" + run.errors()[-3000:])


def run_cases(cases):
    """cases: (name, function). Returns the number that failed, for the exit status."""
    failed = 0
    for name, case in cases:
        begin = time.monotonic()
        try:
            case()
        except Failure as problem:
            failed += 1
            print(f"{name}: FAILED: {problem}", flush=True)
        else:
            print(f"{name}: ok ({time.monotonic() - begin:.1f} s)", flush=True)
    return failed


def strip_colours(text):
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)
