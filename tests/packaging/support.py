"""Shared by the tests of installing and packaging."""

import argparse
import pathlib
import re
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
SKIPPED = 77  # ctest's SKIP_RETURN_CODE
OPTION = re.compile(r"(?<![\w-])--[a-z][a-z0-9-]+")


def expect(condition, message):
    if not condition:
        print(f"FAILED: {message}")
        sys.exit(1)


def skip(reason):
    print(f"skipped: {reason}")
    sys.exit(SKIPPED)


def need(*programs):
    for program in programs:
        if shutil.which(program) is None:
            skip(f"no {program} on this host (tests/setup/install_packages.sh)")


def output(command, **more):
    """Returns the command's output; it must succeed."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False,
                          stdin=subprocess.DEVNULL, **more)
    expect(done.returncode == 0,
           f"{' '.join(map(str, command))}: exit code {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def parser(description):
    result = argparse.ArgumentParser(description=description)
    result.add_argument("--ringshift", required=True, type=pathlib.Path, help="program under test")
    return result
