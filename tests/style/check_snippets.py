#!/usr/bin/env python3
"""Guest code in C++ tests says what it is: each row of bytes has its instruction beside it.

A snippet is a run of lines `"b8 01 00 00 00 "  // mov eax, 1`, labels as `.a: nop`. The instructions
are assembled, and must disassemble to what the bytes do (an instruction may have several encodings).
"""

import re
import subprocess
import sys
import tempfile

from sources import ROOT, report

FOLDERS = ("tests/unit/translator", "tests/unit/monitor", "tests/interaction")
ROW = re.compile(r'^\s*(?:[\w.>()-]*\(|[^"]*?)?"((?:[0-9a-f]{2} ?)+)"[^"]*?//\s*(.+?)\s*$')
BEGINS = re.compile(r"\b(load|put|run_snippet|write_code)\(")  # each is a snippet of its own
NOTE = re.compile(r" \([^)]*\)")  # behind an instruction: what it is there for
NUMBER = re.compile(r"\b0x[0-9a-fA-F]{3,8}\b")


def snippets(text):
    """(first line, [(bytes, instruction)]) of each run of rows."""
    run, first = [], 0
    for number, line in enumerate(text.splitlines(), 1):
        match = ROW.match(line)
        if run and (not match or BEGINS.search(line)):
            yield first, run
            run = []
        if match:
            if not run:
                first = number
            run.append((match.group(1).split(), NOTE.sub("", match.group(2))))
    if run:
        yield first, run


def assemble(rows, origin, optimization, folder):
    instructions = [each.strip() for _, text in rows for each in text.split(";")]
    source, image = f"{folder}/snippet.asm", f"{folder}/snippet.bin"
    with open(source, "w", encoding="utf-8") as file:
        file.write(f"bits 32\norg {origin}\nstart:\n" + "\n".join(instructions) + "\n")
    done = subprocess.run(["nasm", "-f", "bin", optimization, "-w-all", "-o", image, source],
                          capture_output=True, text=True, check=False)
    if done.returncode:
        return None, done.stderr.strip().splitlines()[0]
    with open(image, "rb") as file:
        return file.read(), ""


def disassemble(code, origin, folder):
    path = f"{folder}/code.bin"
    with open(path, "wb") as file:
        file.write(code)
    listing = subprocess.run(["ndisasm", "-b", "32", "-o", origin, path], capture_output=True, text=True, check=True)
    # How far a branch's operand reaches and how long an address is, the bytes alone decide.
    return [re.sub(r" (short|near)|dword (?=0x[0-9a-f]+\])", "", line[28:])
            for line in listing.stdout.splitlines()]


def difference(given, rows, origin, folder):
    """Returns the mistake if the snippet lies at `origin`; None: there is none."""
    # Branches as short as they can be, or each as it is spelled.
    for optimization in ("-Ox", "-O1"):
        assembled, trouble = assemble(rows, origin, optimization, folder)
        if assembled is None:
            return f"no instruction beside its bytes: {trouble}"
        if assembled == given:
            return None
    left, right = (disassemble(code, origin, folder) for code in (given, assembled))
    for mine, theirs in zip(left + ["nothing"], right + ["nothing"]):
        if mine != theirs:
            return f"the bytes are {mine}, the text says {theirs}"
    return None


def check(name, first, rows, origins, folder, problems):
    """Branches say where they lead: at one of the addresses that the test names it is true."""
    given = bytes(int(byte, 16) for row, _ in rows for byte in row)
    found = [difference(given, rows, "0x1000", folder)]
    for origin in origins if found[0] else []:
        found.append(difference(given, rows, origin, folder))
        if found[-1] is None:
            return
    if found[0]:
        problems.append(f"{name}:{first}: {found[0]}")


def main():
    problems, count = [], 0
    with tempfile.TemporaryDirectory() as folder:
        for part in FOLDERS:
            for path in sorted((ROOT / part).rglob("*.cpp")):
                name = str(path.relative_to(ROOT))
                text = path.read_text()
                origins = ["0"] + sorted(set(NUMBER.findall(text)))
                for first, rows in snippets(text):
                    count += 1
                    check(name, first, rows, origins, folder, problems)
    if count < 100:
        problems.append(f"only {count} snippets: they are looked for in the wrong way")
    return report(problems)


if __name__ == "__main__":
    sys.exit(main())
