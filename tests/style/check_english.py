#!/usr/bin/env python3
"""Sentences of comments and docs that begin with a clause without a noun: docs/contributing.md, "English"."""

import ast
import re
import sys

from sources import ALL_FOLDERS, ROOT, cpp_files, report

SCRIPTS = (".py", ".sh", ".cmake")
CLAUSE = re.compile(
    r"(What(ever)?|Who(ever|m|se)?|Which(ever)?|Those (who|which|that)|That which)\b|Of\b(?! course\b)")
# Anywhere in a sentence: a person or thing without a name.
NAMELESS = re.compile(r"\b[Ww]hoever\b|\b(by|for|from|of|than|to|with) who\b")
# The opening of a file: its name, a colon, and what that is, as a noun.
OPENING = re.compile(r"[^:]{1,60}: (what(ever)?|who(ever|m|se)?|which(ever)?|where|those|of)\b")
# A list's mark and emphasis before a sentence are not part of it.
MARKS = re.compile(r"[*_\"'`(\[]*")
ITEM = re.compile(r"(\s*)([-*] |\d+\. )")
END = re.compile(r"[.!?][)\"'*_`\]]*\s+(?=[^a-z\s])")
FENCE = re.compile(r"^ *```.*?^ *```", re.MULTILINE | re.DOTALL)
COMMENT = {"//": re.compile(r"(?<![:\"'\w])//+ ?(.*)"), "#": re.compile(r"(?:^|(?<=\s))#+ (.*)")}
# Quoted as examples, or titles of works.
ALLOWED = {
    "docs/contributing.md": ("What is dropped is known no more at once", "A sentence does not begin with a clause",
                             "The same holds for the opening of a source"),
}


def sentences(text):
    """Yields (position, sentence) of one paragraph."""
    begin = 0
    for end in [match.end() for match in END.finditer(text)] + [len(text)]:
        mark = MARKS.match(text, begin).end()
        yield mark, text[mark:end].strip()
        begin = end


def paragraphs_of_comments(text, mark):
    """Yields (line number, text): the lines of a comment that stand below each other, at one place."""
    found, place, begin, lines = [], None, 0, []
    for number, line in enumerate(text.splitlines() + [""], 1):
        match = COMMENT[mark].search(line)
        said = match.group(1).rstrip() if match else ""
        here = match.start() if match else None
        is_new = not said or here != place or said.startswith((" ", "- ")) or line[:here].strip()
        if is_new and lines:
            found.append((begin, " ".join(lines)))
            lines = []
        if said:
            begin = begin if lines else number
            lines.append(said.strip().removeprefix("- "))
        place = here
    return found


def paragraphs_of_page(text):
    """Yields (line number, text): paragraphs, items of lists, and cells of tables; no headings, no code."""
    text = FENCE.sub(lambda match: re.sub(r"[^\n]", "", match.group()), text)
    found, begin, lines = [], 0, []
    for number, line in enumerate(text.splitlines() + [""], 1):
        is_cells, item = line.lstrip().startswith("|"), ITEM.match(line)
        if lines and (not line.strip() or is_cells or item or line.startswith("#")):
            found.append((begin, " ".join(lines)))
            lines = []
        if is_cells:
            found += [(number, cell.strip()) for cell in re.split(r"(?<!\\)\|", line)]
        elif line.strip() and not line.startswith("#"):
            begin = begin if lines else number
            lines.append(line[item.end():].strip() if item else line.strip())
    return found


def docstrings(text):
    """Returns (line number, text) of the docstrings of a program in Python."""
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    nodes = [node for node in ast.walk(ast.parse(text)) if isinstance(node, documented)]
    return [(node.body[0].lineno, " ".join(said.split())) for node in nodes if (said := ast.get_docstring(node))]


def texts():
    """Yields (name, its paragraphs) of everything that is read by people."""
    for name, text in cpp_files():
        yield name, paragraphs_of_comments(text, "//")
    for folder in ALL_FOLDERS:
        for path in sorted((ROOT / folder).rglob("*")):
            if path.suffix in SCRIPTS and path.is_file():
                text = path.read_text(errors="replace")
                said = docstrings(text) if path.suffix == ".py" else []
                yield path.relative_to(ROOT).as_posix(), paragraphs_of_comments(text, "#") + said
    for path in sorted({*ROOT.glob("*.md"), *ROOT.glob("*/*.md"), *ROOT.glob("docs/**/*.md")}):
        yield path.relative_to(ROOT).as_posix(), paragraphs_of_page(path.read_text())


def main():
    problems = []
    for name, paragraphs in texts():
        is_cpp = name.endswith((".h", ".cpp"))
        for line, text in paragraphs:
            if is_cpp and line == 1 and OPENING.match(text):
                problems.append(f"{name}:1: a file opens with its name and a noun: {' '.join(text.split()[:9])}")
            for _, sentence in sentences(text):
                if sentence.endswith("?") or sentence.startswith(ALLOWED.get(name, ("\0",))):
                    continue
                if CLAUSE.match(sentence):
                    problems.append(f"{name}:{line}: name the subject first: {' '.join(sentence.split()[:9])}")
                elif nameless := NAMELESS.search(sentence):
                    around = sentence[max(0, nameless.start() - 30):nameless.end() + 30]
                    problems.append(f"{name}:{line}: name the person, program or part: {around}")
    return report(problems)


if __name__ == "__main__":
    sys.exit(main())
