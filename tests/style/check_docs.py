#!/usr/bin/env python3
"""Every path, option and link that the documentation names exists.

Looked at: README.md, docs/**/*.md and the folders' README.md. In `code` and in fenced blocks, a word
that looks like a path of this tree must be one (globs and {a,b} allowed), a bare file name must be
some file's, and an option must be one of ringshift's or of a script's, unless the line is a command
of somebody else's.

usage: check_docs.py [--ringshift PROGRAM]
"""

import argparse
import os
import re
import subprocess
import sys

from sources import ALL_FOLDERS, ROOT, line_of, report

FOREIGN_COMMANDS = re.compile(
    r"(?:^|[\s|;&$(])(?:sudo\s+)?(cmake|ctest|ninja|git|apt-get|apt-cache|apt|qemu-system-i386|gdb|perf"
    r"|clang-format|clang-tidy|g\+\+|clang\+\+|nasm|objdump|setpriv|taskset|docker|python3 -m|compare\.py"
    r"|systemctl|systemd-run|ccache|dpkg-deb|podman|unshare)\b")
# Made by a build or a run; not in the tree.
MADE = ("build/", "ringshift_")
SCRIPTS = ("demo", "check", ".ci/run")
FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`([^`\n]+)`")
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)(?:\s+\"[^\"]*\")?\)")
OPTION = re.compile(r"(?<![\w-])--[a-z][a-z0-9-]+")
BARE_FILE = re.compile(r"^[\w-]+\.(cpp|h|py|sh|def|asm|expected|md)$")
SKIPPED = ("build", ".git", ".cache")


def tree():
    names = set()
    for folder, folders, files in os.walk(ROOT):
        folders[:] = [name for name in folders if name not in SKIPPED]
        relative = os.path.relpath(folder, ROOT)
        for name in folders + files:
            names.add(os.path.normpath(os.path.join(relative, name)))
    return names


def documents():
    paths = [ROOT / "README.md"] + sorted((ROOT / "docs").rglob("*.md"))
    for folder in ALL_FOLDERS:
        paths += sorted((ROOT / folder).rglob("*.md"))
    return [path for path in paths if path.exists()]


def help_of(program, *words):
    answer = subprocess.run([program, *words, "--help"], capture_output=True, text=True, timeout=20,
                            check=False)
    return answer.stdout + answer.stderr


def known_options(program):
    options = set()
    if program:
        text = help_of(program)
        options.update(OPTION.findall(text))
        for word in re.findall(r"^  ([a-z][a-z-]+)\s", text, re.MULTILINE):
            options.update(OPTION.findall(help_of(program, word)))
    scripts = [ROOT / name for name in SCRIPTS]
    for folder in ("tests", "bench"):
        scripts += [path for path in (ROOT / folder).rglob("*") if path.suffix in (".sh", ".py")]
    for path in scripts:
        if path.exists():
            options.update(OPTION.findall(path.read_text()))
    # Drivers of the tests and benchmarks read their own arguments.
    for folder in ("tests", "bench"):
        for path in (ROOT / folder).rglob("*.cpp"):
            options.update(OPTION.findall(path.read_text()))
    return options


def braces(word):
    match = re.search(r"\{([^{}]*)\}", word)
    if not match:
        return [word]
    return [result for choice in match.group(1).split(",")
            for result in braces(word[:match.start()] + choice + word[match.end():])]


def path_exists(word, base, names):
    for candidate in braces(word):
        candidate = candidate.rstrip("/")
        if any(mark in candidate for mark in "*?"):
            if not any(True for _ in ROOT.glob(candidate)) and not any(
                    True for _ in base.glob(candidate)):
                return False
        elif candidate not in names and not (base / candidate).exists():
            return False
    return True


def looks_like_path(word, base):
    if word.startswith("./"):
        return True
    if "/" not in word or re.search(r"[<>$=|…]|\.\.\.|NNNN|^-", word):
        return False
    return word.split("/")[0] in ALL_FOLDERS + ("docs", ".ci")


def check_code(code, base, names, options, say):
    """Checks one line of code from a document. The program a line belongs to decides its options."""
    foreign = FOREIGN_COMMANDS.search(code)
    for word in re.split(r"[\s,;()'\"=]+(?![^{]*\})", code):
        word = word.rstrip(".:`")
        word = re.sub(r":\d+(-\d+)?$", "", word)
        if looks_like_path(word, base):
            plain = word[2:] if word.startswith("./") else word
            if not plain.startswith(MADE) and not path_exists(plain, base, names):
                say(f"{word} does not exist")
        elif BARE_FILE.match(word):
            if not any(name == word or name.endswith("/" + word) for name in names):
                say(f"no file is called {word}")
    if not foreign:
        for option in OPTION.findall(code):
            if option not in options:
                say(f"nothing has an option {option}")


def check_document(path, names, options, problems):
    text = path.read_text()
    document = path.relative_to(ROOT).as_posix()

    def sayer(position):
        where = f"{document}:{line_of(text, position)}"
        return lambda problem: problems.append(f"{where}: {problem}")

    prose = FENCE.sub(lambda match: re.sub(r"[^\n]", " ", match.group()), text)
    for match in FENCE.finditer(text):
        position = match.start()
        for line in match.group().splitlines()[1:-1]:
            position = text.index(line, position)
            check_code(line.split(" # ")[0], path.parent, names, options, sayer(position))
    for match in INLINE.finditer(prose):
        check_code(match.group(1), path.parent, names, options, sayer(match.start()))
    for match in LINK.finditer(INLINE.sub(lambda m: " " * len(m.group()), prose)):
        destination = match.group(1).split("#")[0]
        if destination and not re.match(r"[a-z]+:", destination):
            if not (path.parent / destination).exists():
                sayer(match.start())(f"the link to {destination} leads nowhere")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--ringshift", help="the built program, asked for its options")
    arguments = parser.parse_args()
    names, options, problems = tree(), known_options(arguments.ringshift), []
    for path in documents():
        check_document(path, names, options, problems)
    return report(problems)


if __name__ == "__main__":
    sys.exit(main())
