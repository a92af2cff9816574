"""The first screen of the study's page: what it comes to, before any chart. Pure functions."""

import math
import re

import figures

MINE = "ringshift"
OWN = (MINE, "direct", "translate", "shadow-trace", "shadow-tlb", "interpret")  # columns that are engines of ours
TIMES = ("s", "ms", "us", "ns", "cycles")
QUIET_LOAD = 0.25  # of each processor, when the study began
SHOWN = 3          # rows at either end


def ratios(rows, peer):
    """[(ratio, row)] of ours to the peer's, the best first; of rows that are times."""
    found = [(figures.ratio(row.values.get(MINE), row.values.get(peer)), row)
             for row in rows if row.unit in TIMES]
    return sorted(((ratio, row) for ratio, row in found if ratio), key=lambda pair: pair[0])


def geometric_mean(values):
    return math.exp(sum(map(math.log, values)) / len(values)) if values else None


def peers(results):
    return [name for name in results.columns if name not in OWN]


def of_peer(results, peer):
    """{part: [(ratio, row)]} of the parts that have any; workloads first."""
    parts = {part: ratios(results.part(part), peer) for part in ("macro", "processes", "nano")}
    return {part: found for part, found in parts.items() if found}


def load_of(machine):
    """(load, processors) of a machine's line; None where it does not say."""
    load = re.search(r"\bload ([\d.]+)", machine)
    processors = re.search(r"\b(\d+) CPUs\b", machine)
    return (float(load.group(1)), int(processors.group(1))) if load and processors else None


def warning(machine):
    """A line, if others were using the machine when the study began; otherwise nothing."""
    known = load_of(machine)
    if known is None or known[0] <= QUIET_LOAD * known[1]:
        return ""
    return (f"The load was {known[0]:.1f} on {known[1]} processors when this began: others were using the "
            "machine. Ratios within the page suffer less than times do; small differences mean nothing.")


def sentence(results):
    """One line: against each peer, the geometric mean of the first part that there is."""
    said = []
    for peer in peers(results):
        found = of_peer(results, peer)
        if found:
            part, pairs = next(iter(found.items()))
            what = {"macro": "workloads", "processes": "process counts", "nano": "operations"}[part]
            mean = geometric_mean([ratio for ratio, _ in pairs])
            said.append(f"{figures.times(mean)} of {peer}'s time ({len(pairs)} {what})")
    return f"Ringshift takes {'; '.join(said)}." if said else ""
