"""Linux guests that stay: booted once, idle at their console until they are told a workload.

The host itself is one of them, as a shell with the same programs and the same lines.
"""

import os
import pathlib
import shutil
import tempfile
import time

import workloads
from console import Session, Trouble, cpu_seconds_with_children
from places import guests_folder, without_privilege

READY = "study: ready"
DONE = "study: done"
STUDY = "study"
SHARED_MEMORY = pathlib.Path("/dev/shm")
LEAST_RATIO = 4  # of turns, for a short run to be taken off a long one
TIMES = ("time.user_s", "time.system_s", "time.wall_s", "time.halted_s",
         "translator.host_cycles")


class Measured:
    """One run of a workload: what the guest says of it, and what it cost seen from outside."""

    def __init__(self, figure, wall, processor, before, after):
        self.figure, self.wall, self.processor = figure, wall, processor
        self.each = processor / figure.operations
        self.before, self.after = before, after  # what the program counts, if it does


class Guest:
    """A Session, and what one can ask of it."""

    def __init__(self, engine, session, processor_time):
        self.engine, self.session, self.processor_time = engine, session, processor_time

    def wait_until_ready(self):
        return self.session.wait_for(READY)

    def run(self, line):
        """Runs one line; the last result in what it prints, and all of that."""
        self.session.type(line)
        figure, printed = None, []
        while True:
            answer = self.session.line()
            if answer is None:
                raise Trouble(f"ended; {self.session.last_words()}")
            if answer.text.startswith(DONE):
                break
            printed.append(answer.text)
            figure = workloads.parse(answer.text) or figure
        if answer.text.split()[-1] != "0":
            raise Trouble(f"'{line}' fails: {' / '.join(printed)[-200:]}")
        return figure, printed

    def measure_without_start(self, workload, turns):
        """As measure, but `each` is without what a short run costs: the program's start.

        Where processor time is taken inside the program, its start is not in it.
        """
        if self.processor_time == "own" or turns < LEAST_RATIO * workload.turns:
            return self.measure(workload, turns)
        short, whole = self.measure(workload, workload.turns), self.measure(workload, turns)
        operations = whole.figure.operations - short.figure.operations
        whole.each = max(0.0, whole.processor - short.processor) / operations
        return whole

    def measure(self, workload, turns):
        counted = self.engine.running_counters(self.session)  # it costs time: before the clocks
        before = self.clocks()
        figure, _ = self.run(workloads.command(workload, turns))
        if figure is None:
            raise Trouble(f"no result of {workload.name}; {self.session.last_words()}")
        after = self.clocks()
        processor = figure.processor if self.processor_time == "own" else after[1] - before[1]
        return Measured(figure, after[0] - before[0], processor, counted,
                        self.engine.running_counters(self.session))

    def clocks(self):
        """Elapsed and processor time; a family's needs a look at all processes of the host."""
        if self.processor_time == "family":
            return time.monotonic(), cpu_seconds_with_children(self.session.process.pid)
        return self.session.now()


def difference(before, after):
    """Counters that have moved; figures that are not counters are left out."""
    return {name: value - before.get(name, 0) for name, value in after.items()
            if isinstance(value, int) and value != before.get(name, 0)}


def time_split(before, after, cycles_a_second, all_processes=0.0):
    """Where processor time went, by what the program and its kernel have counted; {} if unknown.

    Cycles of translation count waiting for a processor; that is taken to be spread evenly.
    `all_processes` is what the program used together with those that run user code for it.
    """
    try:
        user, system, wall, halted, cycles = (after[name] - before[name] for name in TIMES)
    except KeyError:
        return {}
    awake = max(wall - halted, 1e-9)
    share = min(1.0, (user + system) / awake)
    translating = min(cycles / cycles_a_second * share, user) if cycles_a_second else 0
    return {"translated code, callouts, interpreter": user - translating,
            "user code in processes of its own": max(0.0, all_processes - user - system),
            "translation": translating, "the host's kernel: signals, mappings": system}


class Native:
    """The host's own processor and kernel: the same busybox, the same static program.

    It may use one processor only, as a guest has one.
    """
    name = "native"
    title = "the host's kernel and processor, one CPU"
    runs_linux, runs_nano = True, False

    def __init__(self, context):
        self.context = context
        self.folder = None

    def absent(self):
        busybox = guests_folder() / "busybox"
        try:
            runs = busybox.is_file() and os.spawnv(os.P_WAIT, str(busybox), ["busybox", "true"]) == 0
        except OSError:
            runs = False
        return None if runs else "the host runs no i386 programs, or there is no busybox"

    def boot(self, *_unused, **_also_unused):
        where = SHARED_MEMORY if os.access(SHARED_MEMORY, os.W_OK) else None
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="ringshift-study-", dir=where))
        self.folder.chmod(0o777)
        self._copy()
        here = str(self.folder)
        environment = {"PATH": f"{here}/bin", "HOME": here, "BUSYBOX": f"{here}/busybox",
                       "WORKLOADS": f"{here}/workloads", "SYSROOT": f"{here}/root",
                       "SOURCES": f"{here}/root/lua"}
        pinned = ["taskset", "-c", str(max(os.sched_getaffinity(0)))]
        prefix = [shutil.which(word) if place == 0 else word
                  for place, word in enumerate(without_privilege())]
        return Session([shutil.which("taskset"), *pinned[1:], *prefix, f"{here}/busybox", "sh",
                        f"{here}/root/loop.sh"], here, self.context.timeout, environment)

    def _copy(self):
        study = guests_folder() / STUDY
        shutil.copytree(study / "root", self.folder / "root")
        shutil.copyfile(study / "workloads", self.folder / "workloads")
        shutil.copyfile(guests_folder() / "busybox", self.folder / "busybox")
        for program in [self.folder / "workloads", self.folder / "busybox",
                        *(self.folder / "root/lib").glob("*"), *(self.folder / "root").glob("usr/bin/*")]:
            program.chmod(0o755)
        (self.folder / "bin").mkdir()
        for name in ("sh", "tar", "gzip", "sha256sum", "cat", "rm"):
            (self.folder / "bin" / name).symlink_to(self.folder / "busybox")

    def counters(self):
        return {}

    def running_counters(self, session):
        del session
        return {}

    def remove(self):
        if self.folder is not None:
            shutil.rmtree(self.folder, ignore_errors=True)


def processor_time_of(engine):
    """How the processor time of a column is taken."""
    return {"native": "own", "tcg": "process"}.get(engine.name, "family")
