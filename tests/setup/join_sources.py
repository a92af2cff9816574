"""Sources that may be compiled as one: whose unnamed namespaces, joined, declare no name twice.

usage: join_sources.py MOST ROOT FOLDER FILE...
Writes into FOLDER files that include up to MOST of the FILEs, neighbours together, by their place below
ROOT, and prints what is to be compiled: those, and the FILEs that stay alone. A compiler that reads
headers once for ten sources takes a third of the time; a name that this does not see twice is an
error of the compiler, never another program.
"""

import pathlib
import re
import sys

UNNAMED = re.compile(r"^namespace \{$(.*?)^\}  // namespace$", re.MULTILINE | re.DOTALL)
TYPE = re.compile(r"^(?:struct|class|union|enum(?: class)?|using)\s+(\w+)", re.MULTILINE)
CONSTANT = re.compile(r"\b(k[A-Z0-9]\w*)\s*(?:=|\[|\{|\(|;)")
# A declaration begins in the first column; the name before its first parenthesis is a function's.
FUNCTION = re.compile(r"^\w[^\n(=]*?\b(\w+)\((?!\*)", re.MULTILINE)
VARIABLE = re.compile(r"^\w[\w:<>, *&]*\s\**(\w+)\s*(?:=|\[|\{|;)", re.MULTILINE)
MACRO = re.compile(r"^#define\s+(\w+)", re.MULTILINE)


def declared(text):
    """Names that the file has for itself alone."""
    names = set(MACRO.findall(text))
    for part in UNNAMED.findall(text):
        for pattern in (TYPE, CONSTANT, FUNCTION, VARIABLE):
            names.update(pattern.findall(part))
    return names


class Group:
    def __init__(self):
        self.files, self.names = [], set()

    def takes(self, names, most):
        return len(self.files) < most and not names & self.names

    def add(self, path, names):
        self.files.append(path)
        self.names |= names


def joined(paths, most):
    groups = []
    for path in paths:
        with open(path, encoding="utf-8") as file:
            names = declared(file.read())
        # The groups begun last are of the same folder: they include the same headers.
        group = next((each for each in groups[-4:] if each.takes(names, most)), None)
        if group is None:
            group = Group()
            groups.append(group)
        group.add(path, names)
    return [group.files for group in groups]


def write_if_other(path, text):
    """An unchanged file keeps its time, and is not compiled again."""
    if path.exists() and path.read_text(encoding="utf-8") == text:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def main():
    if len(sys.argv) < 4 or not sys.argv[1].isdigit():
        print(__doc__.split("\n\n")[1], file=sys.stderr)
        return 2
    most, root, folder = int(sys.argv[1]), pathlib.Path(sys.argv[2]), pathlib.Path(sys.argv[3])
    for files in joined(sys.argv[4:], most):
        if len(files) == 1:
            print(files[0])
            continue
        names = [pathlib.Path(file).relative_to(root) for file in files]
        # Named by what it begins with: a source more or less elsewhere leaves it as it is.
        path = folder / ("_".join(names[0].with_suffix("").parts) + "_and_others.cpp")
        write_if_other(path, "".join(f'#include "{name}"\n' for name in names))
        print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
