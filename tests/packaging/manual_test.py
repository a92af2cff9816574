#!/usr/bin/env python3
"""The manual page says what help says, option by option, and man(1) can show it."""

import re
import subprocess
import sys

from support import OPTION, expect, need, output, parser


def help_texts(ringshift):
    """{command: its help} of the program and all that it lists."""
    texts = {"": output([ringshift, "--help"])}
    for command in re.findall(r"^  ([a-z]+) {2,}", texts[""], re.MULTILINE):
        texts[command] = output([ringshift, command, "--help"])
    for part in re.findall(r"^  ([a-z]+) {2,}", texts["lab"].split("Subcommands:")[1], re.MULTILINE):
        texts[f"lab {part}"] = output([ringshift, "lab", part, "--help"])
    return texts


def listed(text):
    """The options that a help text lists, not those that it mentions."""
    return {option for line in re.findall(r"^  (-\S.*)", text, re.MULTILINE)
            for option in re.findall(r"(?<!\S)-{1,2}[A-Za-z][\w-]*", re.split(r" {2,}", line)[0])}


def main():
    ringshift = parser(__doc__).parse_args().ringshift
    need("groff")
    source = output([ringshift, "describe", "man"])
    shown = subprocess.run(["groff", "-man", "-Tutf8", "-ww", "-P-cbou", "-rLL=100n"], input=source,
                           capture_output=True, text=True, check=False)
    expect(shown.returncode == 0 and not shown.stderr, f"groff complains:\n{shown.stderr}")
    page = shown.stdout.replace("\u2212", "-").replace("\u2010", "-")
    commands = re.split(r"^QEMU'S SPELLING$", page, flags=re.MULTILINE)[0]
    sections = re.split(r"^   ringshift (.*)$", commands, flags=re.MULTILINE)
    parts = {"": sections[0]}
    for name, text in zip(sections[1::2], sections[2::2]):
        parts[re.sub(r" [A-Z].*", "", name)] = text
    texts = help_texts(ringshift)
    expect(set(parts) == set(texts), f"the page has {sorted(parts)}, help {sorted(texts)}")
    count = 0
    for command, text in texts.items():
        tags = {option for line in re.findall(r"^       (-.*)", parts[command], re.MULTILINE)
                for option in re.findall(r"(?<![\w-])--?[A-Za-z][\w-]*", line)}
        tags = {tag for tag in tags if tag.startswith("--") or len(tag) == 2}
        expect(listed(text) <= tags, f"{command}: not in the page: {listed(text) - tags}")
        known = listed(text) | set(OPTION.findall(text))
        expect(tags <= known, f"{command}: not in help: {tags - known}")
        count += len(listed(text))
    expect(count > 80, f"only {count} options were compared")
    for heading in ("NAME", "SYNOPSIS", "EXIT STATUS", "Refused", "SEE ALSO"):
        expect(re.search(rf"^ *{heading}$", page, re.MULTILINE), f"no heading {heading}")
    expect("-fw_cfg" in page and "-enable-kvm" in page, "QEMU's words are missing")
    print(f"{count} options of {len(texts)} commands are in the page as they are in help")
    return 0


if __name__ == "__main__":
    sys.exit(main())
