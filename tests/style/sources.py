"""Shared by the style checks: which files there are, and C++ text without comments or strings."""

import pathlib
import re

ROOT = pathlib.Path(__file__).resolve().parents[2]
SOURCE_FOLDERS = ("translator", "monitor", "shadowmmu", "devices")
ALL_FOLDERS = SOURCE_FOLDERS + ("tests", "bench")
SUFFIXES = (".cpp", ".h", ".c", ".def")

_TOKEN = re.compile(
    r'(?P<raw>R"(?P<mark>[^(\s]{0,16})\(.*?\)(?P=mark)")'
    r'|(?P<string>"(?:\\.|[^"\\\n])*")'
    r"|(?P<char>(?<![0-9a-fA-F])'(?:\\.|[^'\\\n])+')"
    r"|(?P<comment>//[^\n]*|/\*.*?\*/)", re.DOTALL)


def cpp_files(folders=ALL_FOLDERS):
    """Yields (name relative to the root, text), in a fixed order."""
    for folder in folders:
        for path in sorted((ROOT / folder).rglob("*")):
            if path.suffix in SUFFIXES and path.is_file():
                yield path.relative_to(ROOT).as_posix(), path.read_text(errors="replace")


def _blank(text):
    return re.sub(r"[^\n]", " ", text)


def code_only(text):
    """The text with comments and literals blanked; line numbers stay as they were."""
    return _TOKEN.sub(lambda match: _blank(match.group()), text)


def comments_only(text):
    def keep(match):
        return match.group() if match.group("comment") else _blank(match.group())

    kept, position = [], 0
    for match in _TOKEN.finditer(text):
        kept.append(_blank(text[position:match.start()]))
        kept.append(keep(match))
        position = match.end()
    kept.append(_blank(text[position:]))
    return "".join(kept)


def line_of(text, position):
    return text.count("\n", 0, position) + 1


def report(problems):
    """Prints one line a problem; returns the exit status."""
    for problem in problems:
        print(problem)
    print(f"{len(problems)} problem(s)" if problems else "ok")
    return 1 if problems else 0
