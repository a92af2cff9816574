"""A process with a console: a machine with a guest, or a program on the host itself.

Every line comes with the wall and the processor time at which it began and ended, as seen from
outside; the processor time is that of the process with all its threads. Its children's time has to
be asked for: cpu_seconds_with_children.
"""

import collections
import contextlib
import os
import pathlib
import select
import signal
import subprocess
import sys
import tempfile
import time

Moment = collections.namedtuple("Moment", "wall cpu")
Line = collections.namedtuple("Line", "text began ended")


class Trouble(Exception):
    """A subject did not do what it was to do; the text says what."""


def cpu_seconds_of(pid):
    """All threads of a process, the ended ones included: the clock of clock_getcpuclockid."""
    return time.clock_gettime((~pid << 3) | 2)


def cpu_seconds_with_children(leader):
    """Processor time of a process and of all that it and its children have started.

    That of the living ones is exact; that of children that have ended is in ticks of a hundredth of
    a second, as the kernel says it.
    """
    parents, ended = {}, {}
    for entry in os.scandir("/proc"):
        if not entry.name.isdigit():
            continue
        try:
            fields = pathlib.Path(entry.path, "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue  # it has ended meanwhile
        parents[int(entry.name)] = int(fields[1])
        ended[int(entry.name)] = sum(int(field) for field in fields[13:15])
    family = {leader}
    while True:
        more = {child for child, parent in parents.items() if parent in family} - family
        if not more:
            break
        family |= more
    seconds = 0.0
    for member in family:
        try:
            seconds += ended.get(member, 0) / os.sysconf("SC_CLK_TCK") + cpu_seconds_of(member)
        except OSError:
            continue
    return seconds


@contextlib.contextmanager
def bench_folder(name):
    """A folder for a benchmark's files; a trouble ends the program with its text. Either way the folder goes."""
    with tempfile.TemporaryDirectory(prefix=f"ringshift-{name}-", ignore_cleanup_errors=True) as folder:
        try:
            yield pathlib.Path(folder)
        except Trouble as trouble:
            sys.exit(str(trouble))


class Session:
    """Owns the process group it starts; its end is the group's end.

    `timeout`: seconds for each answer, from the start or from what was typed last. `console` is the
    descriptor that lines come from, if it is not the process's standard output.
    """

    def __init__(self, command, folder, timeout, environment=None, console=None, terminal=None):
        self.timeout, self.deadline = timeout, time.monotonic() + timeout
        self.partial, self.partial_began, self.lines = "", None, collections.deque()
        self.log = collections.deque(maxlen=20)
        own = subprocess.PIPE if terminal is None else terminal
        self.began = time.monotonic()
        self.process = subprocess.Popen(command, cwd=folder, env=environment, stdin=own, stdout=own,
                                        stderr=subprocess.STDOUT, start_new_session=True)
        self.source = self.process.stdout.fileno() if console is None else console

    def __enter__(self):
        return self

    def __exit__(self, *_):
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout):
            if stream is not None:
                stream.close()

    def now(self):
        return Moment(time.monotonic() - self.began, cpu_seconds_of(self.process.pid))

    def type(self, text):
        self.deadline = time.monotonic() + self.timeout
        try:
            os.write(self.process.stdin.fileno(), text.encode() + b"\n")
        except BrokenPipeError:
            raise Trouble(f"has ended; {self.last_words()}") from None

    def last_words(self):
        return "last: " + " / ".join([*self.log, self.partial])[-300:]

    def _read(self):
        """Waits for output and makes lines of it. False at the end of the console."""
        left = self.deadline - time.monotonic()
        if left <= 0 or not select.select([self.source], [], [], left)[0]:
            raise Trouble(f"no answer in time; {self.last_words()}")
        try:
            data = os.read(self.source, 65536)
        except OSError:
            data = b""
        now = self.now() if data else None
        for character in data.decode(errors="replace"):
            if character == "\n":
                line = Line(self.partial.strip("\r"), self.partial_began or now, now)
                self.lines.append(line)
                self.log.append(line.text)
                self.partial, self.partial_began = "", None
            else:
                self.partial_began = self.partial_began or now
                self.partial += character
        return bool(data)

    def line(self):
        """The next line, or None when there will be none any more."""
        while not self.lines:
            if not self._read():
                return None
        return self.lines.popleft()

    def wait_for(self, wanted):
        """The next line that has `wanted` in it."""
        while True:
            line = self.line()
            if line is None:
                raise Trouble(f"ended without '{wanted}'; {self.last_words()}")
            if wanted in line.text:
                return line

    def end(self, seconds=20):
        """Asks the process to end; what it writes at its end (statistics) is complete then."""
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise Trouble("does not end on SIGTERM") from None
