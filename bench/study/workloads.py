"""The workloads: what is run in each Linux guest and on the host, and how its result is read."""

import collections

Workload = collections.namedtuple("Workload", "name title unit scale turns words proof")
Figure = collections.namedtuple("Figure", "operations wall processor check")

SHELL = "command {turns} $BUSYBOX sh $SYSROOT/loop.sh"


# `proof`: a line whose output, after the first run, has to be the same in every column, too.
def _row(name, title, unit, turns, words=None, proof=""):
    scale = {"ns": 1e9, "us": 1e6, "ms": 1e3}[unit]
    return Workload(name, title, unit, scale, turns, words or f"{name} {{turns}}", proof)


# `turns` is the first, small run of each: it makes what is translated or cached, its check has to be
# the same in every column, and from its time the turns of the measured runs follow.
ALL = (
    _row("getpid", "getpid", "ns", 20000),
    _row("fork", "fork, wait", "us", 30),
    _row("exec", "fork, exec of busybox, wait", "us", 10, "command {turns} $BUSYBOX true"),
    _row("pipe", "pipe round trip of two processes", "us", 500),
    _row("switch", "turn in a ring of 8 processes", "us", 100),
    _row("mmap", "mmap, touch, munmap: a page", "ns", 20),
    _row("files", "file in tmpfs: create, stat, remove", "us", 4),
    _row("pack", "tar, gzip, sha256sum of a source tree", "ms", 1, f"{SHELL} pack"),
    _row("compile", "tcc builds Lua (33 files)", "ms", 1, f"{SHELL} compile",
         "sha256sum <built.o"),
    _row("shell", "shell loop of 20,000 additions", "ms", 1, f"{SHELL} count"),
    _row("integer", "integer arithmetic: a turn", "ns", 500000),
    _row("branches", "quicksort of 65,536 numbers", "us", 1),
    _row("calls", "fibonacci by recursion", "us", 10),
    _row("chase", "pointer chase through 1 MiB: a step", "ns", 1),
    _row("x87", "x87 arithmetic: a turn", "ns", 100000),
    _row("sse", "SSE matrix product, 64x64", "us", 10),
    _row("interpreter", "interpreter with a switch: an operation", "ns", 10),
    _row("virtuals", "call through a table of functions", "ns", 10),
    _row("generator", "function generated, called 64 times", "ns", 600),
    _row("nbody", "five bodies, x87: a step", "ns", 10000),
    _row("sha256", "SHA-256: a byte", "ns", 10),
)
COMPUTING = ("integer", "branches", "calls", "chase", "x87", "sse", "interpreter", "virtuals",
             "generator", "nbody", "sha256")
NEEDS_SOURCES = ("pack", "compile")
MOST_TURNS = 1 << 30


def command(workload, turns):
    return "$WORKLOADS " + workload.words.format(turns=turns)


def parse(text):
    """The Figure of a result line, or None. Times are seconds."""
    words = text.split()
    if len(words) != 6 or words[0] != "work" or not all(word.isdigit() for word in words[2:]):
        return None
    operations, wall, processor, check = (int(word) for word in words[2:])
    return Figure(operations, wall / 1e9, processor / 1e9, check) if operations else None


def turns_for(seconds, turns, took):
    """How many turns take about `seconds`, if `turns` took `took`."""
    if took <= 0:
        return turns * 8
    return max(1, min(MOST_TURNS, round(turns * seconds / took)))
