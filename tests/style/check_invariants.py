#!/usr/bin/env python3
"""Invariant numbers and limits mean the same in code and in docs.

docs/invariants.md: one heading an invariant ("### T1 ..."); its text has "Checked by:" naming test
files. docs/limitations.md: one heading a limit ("### L1 ..."). Code cites (T1), (M1, M2),
Keeps: M1 M2, and LIMIT(L1).
"""

import re
import sys

from sources import ROOT, comments_only, cpp_files, line_of, report

CITED = re.compile(r"(?:\(|Keeps:\s*)([TMVDS]\d{1,2}(?:(?:,\s*|\s+|,? and )[TMVDS]\d{1,2})*)(?=[).\s,;]|$)",
                   re.MULTILINE)
LIMIT = re.compile(r"LIMIT\(([^)]*)\)")
ENTRY = re.compile(r"^#{2,4}\s+\**([A-Z]\d{1,3})\b", re.MULTILINE)
TEST_PATH = re.compile(r"\btests/[A-Za-z0-9_./-]*[A-Za-z0-9_]")


def entries(document, problems):
    """{number: text} of the headings that begin with a number, each of which is there once."""
    path = ROOT / document
    if not path.exists():
        return {}
    text = path.read_text()
    found = list(ENTRY.finditer(text))
    numbers = [match.group(1) for match in found]
    problems += [f"{document}: {number} is there twice"
                 for number in sorted({each for each in numbers if numbers.count(each) > 1})]
    ends = [match.start() for match in found[1:]] + [len(text)]
    return {match.group(1): text[match.start():end] for match, end in zip(found, ends)}


def check_invariant_entry(number, text, problems):
    where = number
    checked_by = re.split(r"checked by", text, maxsplit=1, flags=re.IGNORECASE)
    if len(checked_by) < 2:
        problems.append(f"{where} does not say what it is checked by")
        return
    tests = TEST_PATH.findall(checked_by[1])
    if not tests:
        problems.append(f"{where} names no test")
    for test in tests:
        if not (ROOT / test).exists():
            problems.append(f"{where} is checked by {test}, which does not exist")


def check_citations(invariants, limits, problems):
    for name, text in cpp_files():
        comments = comments_only(text)
        for match in CITED.finditer(comments):
            for number in re.findall(r"[TMVDS]\d+", match.group(1)):
                if number not in invariants:
                    problems.append(f"{name}:{line_of(comments, match.start())}: {number} has no "
                                    "entry in docs/invariants.md or docs/security.md")
        for match in LIMIT.finditer(comments):
            if match.group(1) not in limits:
                problems.append(f"{name}:{line_of(comments, match.start())}: LIMIT({match.group(1)}) "
                                "has no entry in docs/limitations.md")


def main():
    problems = []
    invariants = {}
    for document in ("docs/invariants.md", "docs/security.md"):
        found = entries(document, problems)
        invariants.update(found)
        for number, text in found.items():
            check_invariant_entry(f"{document}: {number}", text, problems)
    check_citations(invariants, entries("docs/limitations.md", problems), problems)
    return report(problems)


if __name__ == "__main__":
    sys.exit(main())
