"""A whole Debian from power-on to its login, Ringshift's time against QEMU's emulator.

The disk is that of tests/setup/make_debian.sh, through SeaBIOS, GRUB, kernel and systemd; nothing is written to it.
usage: python3 bench/boot [--ringshift PROGRAM] [--rounds N] [--variant "OPTIONS"]...; all run in turn, medians are
printed. A variant is one more column: Ringshift with these options.
"""

import argparse
import pathlib
import shlex
import statistics
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "bench/study"), str(ROOT / "tests/guests"), str(ROOT / "tests/setup")]
import console  # noqa: E402
from harness import guest_file  # noqa: E402

LOGIN = "Debian GNU/Linux 12"  # getty's line above the prompt
TIMEOUT = 600
# The timed stages, each with the line that ends it.
STAGES = {"firmware and GRUB": "GRUB loads Debian", "to the login": LOGIN}


def commands(ringshift, variants, disk):
    tcg = ["qemu-system-i386", "-accel", "tcg", "-cpu", "max", "-m", "512", "-nographic", "-net", "none",
           "-monitor", "none", "-serial", "stdio", "-no-reboot",
           "-drive", f"file={disk},format=raw,if=ide,snapshot=on"]
    ours = [ringshift, "run", "--hda", disk, "--snapshot", "--memory", "512M", "--no-reboot"]
    columns = {"tcg": tcg, "ringshift": ours}
    for variant in variants:
        columns[variant] = [*ours, *shlex.split(variant)]
    return columns


def boot(command):
    """Processor and elapsed seconds at the end of each stage."""
    with console.Session(command, ROOT, TIMEOUT) as session:
        moments = {}
        for stage, line in STAGES.items():
            session.wait_for(line)
            cpu = console.cpu_seconds_with_children(session.process.pid)
            moments[stage] = (cpu, session.now().wall)
    return moments


def show(figures):
    print(f"{'median seconds':40}{'stage':>20}{'cpu':>8}{'wall':>8}{'cpu / tcg':>11}")
    for who, stages in figures.items():
        for stage, runs in stages.items():
            cpu, wall = (statistics.median(values) for values in zip(*runs))
            tcg = statistics.median(run[0] for run in figures["tcg"][stage])
            print(f"{who:40}{stage:>20}{cpu:8.1f}{wall:8.1f}{cpu / tcg:11.2f}")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ringshift", default=str(ROOT / "build/release/ringshift"))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--variant", action="append", default=[])
    chosen = parser.parse_args()
    columns = commands(chosen.ringshift, chosen.variant, guest_file("debian/disk.img"))
    figures = {who: {stage: [] for stage in STAGES} for who in columns}
    for _ in range(chosen.rounds):
        for who, command in columns.items():
            try:
                moments = boot(command)
            except console.Trouble as trouble:
                sys.exit(f"{who}: {trouble}")
            for stage, moment in moments.items():
                figures[who][stage].append(moment)
    show(figures)


if __name__ == "__main__":
    main()
