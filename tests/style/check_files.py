#!/usr/bin/env python3
"""What every source file has: a size that fits a head, a header that says what it is, no promises."""

import re
import sys

from sources import comments_only, cpp_files, line_of, report

MAX_LINES = 700
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


def main():
    problems = []
    for name, text in cpp_files():
        length = text.count("\n")
        if length > MAX_LINES and not name.endswith(TABLES):
            problems.append(f"{name}: {length} lines, {MAX_LINES} are the most")
        if name.endswith(".h") and not name.startswith(("tests/", "bench/")):
            check_header(name, text, problems)
        comments = comments_only(text)
        for match in PROMISE.finditer(comments):
            problems.append(f"{name}:{line_of(comments, match.start())}: {match.group()}: write it, "
                            "or describe the limit as LIMIT(Ln)")
    return report(problems)


if __name__ == "__main__":
    sys.exit(main())
