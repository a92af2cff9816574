"""Runs the workloads: all guests booted side by side, each workload in each of them in turn."""

import time

import workloads
from console import Trouble
from guests import Guest, difference, processor_time_of, time_split
from places import guests_folder

WARM_SHARE = 0.25     # a first run shorter than this share of the wanted time is repeated, longer
WARM_STEP = 8         # at most so many times as long
IDLE_SECONDS = 3
CLOCK_TOLERANCE = 0.25
COUNTERS_KEPT = 8
# Not events of the run itself: sums of time, sums of other counters, what was translated how.
NOT_EVENTS = ("cpu.halted_ns", "translator.host_cycles", "derived.", "translator.treatment.")
NOT_MACHINES = ("native", "uml")  # whose start and idleness are not those of a machine
COARSELY_TIMED = ("uml",)         # its processes end one by one
LONG_SECONDS = 6      # a column's rounds of one workload, together
COARSE = 3            # times longer where processor time is counted in ticks


class MacroRun:
    """Owns the guests while it runs; what it measures goes to `results`."""

    def __init__(self, context, engines, results, seconds, progress):
        self.context, self.results = context, results
        self.seconds, self.progress, self.part = seconds, progress, "macro"
        self.engines = [engine for engine in engines if engine.runs_linux]
        self.guests, self.turns, self.rounds, self.checks = {}, {}, {}, {}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for guest in self.guests.values():
            guest.session.__exit__()
            guest.engine.remove()

    def boot_all(self, kernel, initrd):
        """One after the other; `start` is the time from exec to the first line of the guest's init.

        The native column has no start.
        """
        row = self.results.row("macro", "start", "start to the first process's shell", "s")
        for engine in self.engines:
            self.progress(f"booting on {engine.name}")
            guest = Guest(engine, engine.boot(kernel, initrd), processor_time_of(engine))
            self.guests[engine.name] = guest
            try:
                ready = guest.wait_until_ready()
                if engine.name not in NOT_MACHINES:
                    self.store(row, engine.name, ready.ended.wall, guest.clocks()[1])
                    self.explain(row, guest, {}, engine.running_counters(guest.session), 1)
            except Trouble as trouble:
                self.give_up(engine.name, trouble)

    def give_up(self, name, trouble):
        self.results.note(f"{name} is left out from here on: {trouble}")
        guest = self.guests.pop(name)
        guest.session.__exit__()
        guest.engine.remove()

    @staticmethod
    def store(row, column, wall, processor):
        row.values.setdefault(column, []).append(processor)
        row.wall.setdefault(column, []).append(wall)

    def explain(self, row, guest, before, after, operations, processor=0.0):
        """The counters of one run for each operation, those of a first run being exact enough."""
        name = guest.engine.name
        moved = {event: value / operations for event, value in difference(before, after).items()
                 if not event.startswith(NOT_EVENTS)}
        kept = sorted(moved.items(), key=lambda item: -item[1])
        kept = [item for place, item in enumerate(kept)
                if place < COUNTERS_KEPT or item[0].startswith("exits.")]
        if kept:
            row.counters.setdefault(name, dict(kept))
        zero = dict.fromkeys(after, 0) if not before else before
        split = time_split(zero, after, self.context.cycles_a_second, processor)
        if split:
            row.time.setdefault(name, split)

    def idle(self):
        """Processor time of machines whose guests wait at a prompt, all at once."""
        row = self.results.row("macro", "idle", "idle at a prompt: share of a CPU", "%")
        chosen = {name: guest for name, guest in self.guests.items()
                  if name not in NOT_MACHINES}
        before = {name: guest.clocks() for name, guest in chosen.items()}
        time.sleep(IDLE_SECONDS)
        for name, guest in chosen.items():
            wall, processor = (now - then for now, then in zip(guest.clocks(), before[name]))
            share = 100 * processor / wall
            row.values.setdefault(name, []).append(share)

    def run(self, chosen, rounds, part="macro"):
        self.part = part
        for workload in chosen:
            if workload.name in workloads.NEEDS_SOURCES and not \
                    (guests_folder() / "study/root/lua").is_dir():
                self.results.note(f"left out: {workload.title}: tests/setup/fetch_study.sh has not "
                                  "fetched the sources")
                continue
            self.progress(f"workload {workload.name}")
            for name in list(self.guests):
                self.attempt(name, self.warm, workload, rounds)
            for number in range(rounds):
                for name in list(self.guests):
                    if number < self.rounds[name, workload.name]:
                        self.attempt(name, self.measure, workload)

    def attempt(self, name, what, *words):
        try:
            what(self.guests[name], *words)
        except Trouble as trouble:
            self.give_up(name, trouble)

    def warm(self, guest, workload, rounds):
        """The first runs: their check is compared, and the number of turns follows from their time.

        One that is long by itself is the measured one, if there is to be only one.
        """
        turns = workload.turns
        first = guest.measure(workload, turns)
        proof = guest.run(workload.proof)[1] if workload.proof else []
        self.compare(guest.engine.name, workload, " ".join([str(first.figure.check), *proof]))
        took = self.length_of(guest, first)
        wanted = self.seconds * (COARSE if guest.engine.name in COARSELY_TIMED else 1)
        for _ in range(6):
            if took >= wanted * WARM_SHARE:
                break
            turns = min(turns * WARM_STEP, workloads.turns_for(wanted * WARM_SHARE * 1.2, turns, took))
            took = self.length_of(guest, guest.measure(workload, turns))
        key = guest.engine.name, workload.name
        self.turns[key] = workloads.turns_for(wanted, turns, took)
        self.rounds[key] = max(1, int(LONG_SECONDS / max(took, wanted)))
        if rounds == 1 and turns == workload.turns and took >= wanted:
            self.rounds[key] = 0
            self.record(guest, workload, first)

    @staticmethod
    def length_of(guest, measured):
        """At most: the program's start is in the one, waiting for a processor may be in the other."""
        if guest.engine.name in COARSELY_TIMED:  # ticks say nothing of a short run
            return measured.figure.wall
        return min(measured.figure.processor or measured.figure.wall, measured.processor)

    def compare(self, name, workload, check):
        known = self.checks.setdefault(workload.name, (name, check))
        if known[1] != check:
            self.results.note(f"WRONG RESULT: {workload.name} comes to {check} on {name} and to "
                              f"{known[1]} on {known[0]}")

    def measure(self, guest, workload):
        name = guest.engine.name
        self.record(guest, workload, guest.measure_without_start(
            workload, self.turns[name, workload.name]))

    def record(self, guest, workload, measured):
        name, figure = guest.engine.name, measured.figure
        row = self.results.row(self.part, workload.name, workload.title, workload.unit)
        self.store(row, name, figure.wall / figure.operations * workload.scale,
                   measured.each * workload.scale)
        self.explain(row, guest, measured.before, measured.after, figure.operations,
                     measured.processor)
        # The console and the start of the program are outside the guest's figure.
        if abs(measured.wall - figure.wall) > CLOCK_TOLERANCE * measured.wall + 0.3:
            self.results.note(f"the clock of {name} said {figure.wall:.2f} s for {workload.name}, "
                              f"the host's {measured.wall:.2f} s")
