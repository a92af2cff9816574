"""The line that says where figures were taken; without it they mean nothing."""

import os
import pathlib
import platform
import re
import shutil
import subprocess

from places import ROOT

TOOLS = (("qemu-system-i386", ("--version",), r"version (\S+)", "QEMU"),
         ("bochs-bin", ("--help",), r"Emulator (\S+)", "Bochs"))


def output_of(command):
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT,
                              timeout=20, stdin=subprocess.DEVNULL)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout + done.stderr


def versions():
    for program, words, pattern, name in TOOLS:
        if shutil.which(program):
            found = re.search(pattern, output_of([program, *words]))
            yield f"{name} {found.group(1)}" if found else name


def cycles_a_second_by_kernel():
    """The rate that the host's kernel says; on most machines the time-stamp counter runs at
    that."""
    found = re.search(r"^cpu MHz\s*:\s*([\d.]+)", pathlib.Path("/proc/cpuinfo").read_text(),
                      re.MULTILINE)
    return float(found.group(1)) * 1e6 if found else None


def line(kernel, memory, cycles_a_second):
    facts = pathlib.Path("/proc/cpuinfo").read_text()
    model = re.search(r"^model name\s*:\s*(.*)$", facts, re.MULTILINE)
    virtual = re.search(r"^flags\s*:.*\bhypervisor\b", facts, re.MULTILINE)
    commit = output_of(["git", "describe", "--always", "--dirty"]).strip() or "unknown"
    return "; ".join([
        model.group(1) if model else platform.machine(),
        f"{cycles_a_second / 1e6:,.0f} million cycles a second" if cycles_a_second else "",
        f"{os.cpu_count()} CPUs", "itself a virtual machine" if virtual else "bare hardware",
        f"Linux {platform.release()}",
        "load " + " ".join(f"{value:.1f}" for value in os.getloadavg()),
        f"guests {kernel}, {memory}", f"commit {commit}", *versions()])
