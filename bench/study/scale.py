"""Whether cost grows no faster than the work: more live guest processes, more guest memory."""

import workloads
from console import Trouble
from guests import Guest, processor_time_of

PROCESSES = (1, 2, 4, 8, 16, 32, 64)
MEMORIES = (64, 128, 256, 512, 1024, 2048)  # MiB
LONGER = 3
PAGES_A_MIB = 256
TOUCHED_SHARE = 8  # of guest memory, an eighth


def live_processes(count):
    """A byte goes round a ring of `count` processes, each with 16 pages of its own."""
    return workloads.Workload(f"processes-{count}", f"turn of one of the live processes: {count}",
                              "us", 1e6, max(2, 200 // count), f"processes {{turns}} {count}", "")


def measure_processes(run, rounds, quick):
    run.seconds *= LONGER  # so that starting the processes does not count
    counts = PROCESSES[::3] if quick else PROCESSES
    run.run([live_processes(count) for count in counts], rounds, "processes")


def measure_memory(context, engines, results, kernel, initrd, quick, progress):
    """A boot of its own for each size: start, first touch of an eighth of it, the monitor's memory."""
    for size in MEMORIES[::5] if quick else MEMORIES:
        for engine in engines:
            if not engine.runs_linux or engine.name in ("native", "uml"):
                continue
            progress(f"{size} MiB of guest memory on {engine.name}")
            try:
                with engine.boot(kernel, initrd, f"{size}M") as session:
                    _one_size(Guest(engine, session, processor_time_of(engine)), size, results)
            except Trouble as trouble:
                results.note(f"{size} MiB on {engine.name}: {trouble}")


def _one_size(guest, size, results):
    name = guest.engine.name
    guest.wait_until_ready()
    results.add(results.row("memory", f"start-{size}", f"start to the first shell, MiB: {size}",
                            "s"), name, [guest.clocks()[1]])
    pages = size * PAGES_A_MIB // TOUCHED_SHARE
    before = guest.clocks()[1]
    guest.run(f"$WORKLOADS touch {pages}")
    used = guest.clocks()[1] - before
    results.add(results.row("memory", f"touch-{size}", f"first touch of a page, MiB: {size}", "ns"),
                name, [1e9 * used / pages])
    beyond = guest.engine.running_counters(guest.session).get("memory.monitor_mib")
    if beyond is not None:
        results.add(results.row("memory", f"beyond-{size}",
                                f"memory beyond the guest's own, MiB: {size}", "MiB"),
                    name, [beyond])
