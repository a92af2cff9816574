#!/usr/bin/env python3
"""Each member of a class with a visit_state() is saved by it, or said not to be state.

A reference, a pointer, a function and a window of ports are none. Anything else that is none is named
in a comment of the class, with the reason: "// Not state: output_: it follows from the others."
docs/saved-state.md has the rule.
"""

import re
import sys

from sources import code_only, cpp_files, report

CLASS = re.compile(r"^( *)(?:class|struct) (\w+)[^;{}]*\{", re.MULTILINE)
VISIT = re.compile(r"void visit_state\(StateArchive& archive\)")
NOT_STATE = re.compile(r"// Not state: ((?:\w+,? ?)+): \S")
SKIPPED = re.compile(r"^\s*(using|friend|static|public:|private:|protected:|class|struct|enum|"
                     r"template|explicit|virtual|constexpr|const|return|\[\[|~|#)")
# State that is visited somewhere else than in a member: (header, class) -> source.
ELSEWHERE = {("translator/guest_state.h", "GuestState"): "monitor/cpu/processor_state.cpp"}


def body_at(text, begin, indent):
    """From the opening brace to the line that closes it."""
    end = re.compile(rf"^{indent}\}}", re.MULTILINE).search(text, begin)
    return text[begin:end.start()] if end else text[begin:]


def without_brackets(text, pair):
    """Balanced pairs and what is in them, gone."""
    inner = re.compile(rf"{re.escape(pair[0])}[^{re.escape(pair)}]*{re.escape(pair[1])}")
    while inner.search(text):
        text = inner.sub("", text)
    return text


def statements(body, indent):
    """Declarations of the class itself, each on one line; nested classes and functions are left out."""
    text, depth, statement = without_brackets(body, "<>"), 0, ""
    for line in text.splitlines()[1:]:
        if depth == 0 and not statement and not line.startswith(indent + "  "):
            continue
        before = depth
        depth += line.count("{") - line.count("}")
        if before == 0 or depth == 0:
            statement += line + " "
        if depth == 0:
            if statement.rstrip().endswith((";", "}", ":")):
                yield statement.strip()
                statement = ""
    if statement.strip():
        yield statement.strip()


def members(body, indent):
    for statement in statements(body, indent):
        if SKIPPED.match(statement) or "operator" in statement:
            continue
        statement = re.sub(r"alignas\(\w+\) ", "", without_brackets(statement, "{}"))
        declared = re.sub(r"=[^,;]*", "", statement)
        if "(" in declared or "&" in declared or "*" in declared:
            continue
        if re.match(r"(std::function|PortWindow)\b", declared):
            continue
        for part in declared.rstrip("; ").split(","):
            name = re.search(r"(\w+)(\[\w*\])?\s*$", part)
            if name:
                yield name.group(1)


def visit_bodies(name, class_name, sources):
    """The text of Class::visit_state, in its header or source."""
    stem = name.rsplit(".", 1)[0]
    text = sources.get(stem + ".cpp", "")
    pattern = re.compile(rf"^void (?:\w+::)*{class_name}::visit_state\(StateArchive& archive\)",
                         re.MULTILINE)
    found = pattern.search(text)
    return body_at(text, found.start(), "") if found else None


def check_class(name, match, text, sources, problems):
    indent, class_name = match.group(1), match.group(2)
    body = body_at(text, match.start(), indent)
    own = body
    for nested in re.finditer(rf"^{indent}  (?:class|struct) \w+[^;{{}}]*\{{", body, re.MULTILINE):
        own = own.replace(body_at(body, nested.start(), indent + "  "), "")
    key = (name, class_name)
    if key in ELSEWHERE:
        visited = sources[ELSEWHERE[key]]
    elif VISIT.search(own):
        visited = visit_bodies(name, class_name, sources)
        if visited is None:
            inline = re.search(r"void visit_state\(StateArchive& archive\) (override )?\{", own)
            visited = own[inline.start():] if inline else None
        if visited is None:
            if "visit_state(StateArchive& archive) = 0" not in own:
                problems.append(f"{name}: {class_name}::visit_state is not where it is looked for")
            return
    else:
        return
    excused = {each for found in NOT_STATE.finditer(own) for each in found.group(1).split(", ")}
    found = set(members(code_only(body), indent))
    for member in sorted(found - excused):
        if not re.search(rf"\b{member}\b", visited):
            problems.append(f"{name}: {class_name}::{member} is not visited by visit_state(), and not "
                            'named by "// Not state: "')
    for member in sorted(excused - found):
        problems.append(f"{name}: {class_name} has no member {member} that is not state")


def main():
    problems = []
    sources = dict(cpp_files(("shadowmmu", "devices", "monitor", "translator")))
    for name, text in sources.items():
        if not name.endswith(".h") or name.endswith("state_archive.h"):
            continue
        for match in CLASS.finditer(text):
            check_class(name, match, text, sources, problems)
    return report(problems)


if __name__ == "__main__":
    sys.exit(main())
