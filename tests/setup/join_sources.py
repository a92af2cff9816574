"""Sources that may be compiled as one: whose unnamed namespaces, joined, declare no name twice.

usage: join_sources.py MOST FILE...
Prints `GROUP<tab>FILE` for each file, neighbours together, up to MOST files a group. A compiler that
reads headers once for ten sources takes a third of the time; a name that this does not see twice
is an error of the compiler, never another program.
"""

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


def main():
    if len(sys.argv) < 2 or not sys.argv[1].isdigit():
        print(__doc__.split("\n\n")[1], file=sys.stderr)
        return 2
    for number, files in enumerate(joined(sys.argv[2:], int(sys.argv[1]))):
        for path in files:
            print(f"{number}\t{path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
