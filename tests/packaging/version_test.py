#!/usr/bin/env python3
"""--version is CMake's project version and git's commit; 'unknown' where there is no repository."""

import os
import pathlib
import re
import subprocess
import sys
import tempfile

from support import ROOT, expect, need, output, parser

SCRIPT = ROOT / "cmake/program_version.cmake"


def version_source(folder, out, commit=""):
    output(["cmake", f"-DSOURCE_DIR={folder}", "-DNUMBER=1.2.3", f"-DCOMMIT={commit}",
            f"-DOUTPUT={out}", "-P", SCRIPT])
    return re.search(r'return \{"([^"]*)", "([^"]*)"\}', out.read_text()).groups()


def git(folder, *words):
    name = ["-c", "user.name=Test", "-c", "user.email=test@localhost", "-c", "commit.gpgsign=false"]
    return output(["git", *name, "-C", folder, *words]).strip()


def check_script(folder):
    tree, out = folder / "tree", folder / "version.cpp"
    (tree / "inner").mkdir(parents=True)
    os.environ["GIT_CEILING_DIRECTORIES"] = str(folder)
    expect(version_source(tree, out) == ("1.2.3", "unknown"), "a tarball has a commit")
    expect(version_source(tree, out, "abc") == ("1.2.3", "abc"), "RINGSHIFT_COMMIT is not taken")
    git(folder, "init", "--quiet", tree)
    (tree / "file").write_text("1\n")
    git(tree, "add", "file")
    git(tree, "commit", "--quiet", "--message", "first")
    commit = git(tree, "rev-parse", "HEAD")[:12]
    expect(version_source(tree, out) == ("1.2.3", commit), "not the commit")
    before = out.stat().st_mtime_ns
    version_source(tree, out)
    expect(out.stat().st_mtime_ns == before, "the source is written again for the same commit")
    (tree / "file").write_text("2\n")
    expect(version_source(tree, out) == ("1.2.3", commit + "-dirty"), "changes are not told")
    expect(version_source(tree / "inner", out) == ("1.2.3", "unknown"),
           "a folder in somebody else's repository has its commit")


def main():
    ringshift = parser(__doc__.splitlines()[0]).parse_args().ringshift
    need("git", "cmake")
    number = re.search(r"project\(ringshift VERSION ([0-9.]+)", (ROOT / "CMakeLists.txt").read_text())
    told = output([ringshift, "--version"])
    expect(re.fullmatch(rf"ringshift {re.escape(number.group(1))} \(commit \S+\)\n", told), told)
    with tempfile.TemporaryDirectory(prefix="ringshift-version-") as folder:
        check_script(pathlib.Path(folder))
    print(told, end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
