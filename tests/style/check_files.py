#!/usr/bin/env python3
"""Rules for every source file: a size that fits a head, a header that says what it is, no
promises."""

import collections
import re
import sys

from sources import comments_only, cpp_files, line_of, report

MAX_LINES = 700
MAX_LINES_OF_MONITOR = 350
# The bound for a folder of these, tables and pages aside.
MAX_FILES = 25
FOLDERS_WITH_FEW = ("monitor/", "devices/", "shadowmmu/")
GUESTS = "monitor/lab/parts/guests/"  # what is in them is not C++
TABLES = (".def",)
OPENING = re.compile(r"// [A-Z][^:]*: ")
CALLERS = re.compile(r"\b(Called|Used) by:|Owns: nothing\b(?! (but|that))")
PROMISE = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b")


def check_header(name, text, problems):
    lines = text.splitlines()
    opening = 0
    while opening < len(lines) and lines[opening].startswith("//"):
        opening += 1
    if opening == 0 or not OPENING.match(lines[0]):
        problems.append(f"{name}:1: a header opens with its subject, a colon and what that is")
    elif CALLERS.search(" ".join(line[3:] for line in lines[:opening])):
        problems.append(f"{name}:1: the include lines know who calls a header; its comment need not")
    elif opening > 10:
        problems.append(f"{name}:1: the opening comment has {opening} lines, 10 are the most")
    if opening < len(lines) and lines[opening] != "#pragma once":
        problems.append(f"{name}:{opening + 1}: #pragma once follows the opening comment")


def check_length(name, text, problems):
    length = text.count("\n")
    is_monitors = name.startswith("monitor/") and not name.startswith(GUESTS)
    most = MAX_LINES_OF_MONITOR if is_monitors else MAX_LINES
    if length > most and not name.endswith(TABLES):
        problems.append(f"{name}: {length} lines, {most} are the most")


def check_folders(names, problems):
    folders = collections.Counter(name.rpartition("/")[0] for name in names if name.startswith(FOLDERS_WITH_FEW))
    for folder, count in sorted(folders.items()):
        if count > MAX_FILES:
            problems.append(f"{folder}: {count} files, {MAX_FILES} are the most")


def main():
    problems = []
    names = []
    for name, text in cpp_files():
        names.append(name)
        check_length(name, text, problems)
        if name.endswith(".h") and not name.startswith(("tests/", "bench/")):
            check_header(name, text, problems)
        comments = comments_only(text)
        for match in PROMISE.finditer(comments):
            problems.append(f"{name}:{line_of(comments, match.start())}: {match.group()}: write it, "
                            "or describe the limit as LIMIT(Ln)")
    check_folders(names, problems)
    return report(problems)


if __name__ == "__main__":
    sys.exit(main())
