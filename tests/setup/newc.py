#!/usr/bin/env python3
"""Writes a gzip-compressed cpio archive in the newc format, the one the Linux kernel unpacks as an
initramfs (kernel documentation: driver-api/early-userspace/buffer-format). Device nodes are only
entries of the archive, so no privilege is needed to make them.

usage: newc.py OUTPUT < LIST       one entry a line, fields separated by blanks:
  dir   NAME MODE
  file  NAME MODE SOURCE
  link  NAME DESTINATION
  node  NAME MODE MAJOR MINOR      (a character device)

The archive depends on its input only: owners and times are zero, so equal input gives equal bytes.
"""

import gzip
import stat
import sys


class NewcArchive:
    def __init__(self):
        self._bytes = bytearray()
        self._inode = 0

    def _pad(self):
        self._bytes += b"\0" * (-len(self._bytes) % 4)

    def _entry(self, name, mode, data=b"", major=0, minor=0, links=1):
        self._inode += 1
        encoded = name.encode() + b"\0"
        fields = (self._inode, mode, 0, 0, links, 0, len(data), 0, 0, major, minor, len(encoded), 0)
        self._bytes += b"070701" + b"".join(b"%08x" % field for field in fields) + encoded
        self._pad()
        self._bytes += data
        self._pad()

    def add_directory(self, name, mode):
        self._entry(name, stat.S_IFDIR | mode, links=2)

    def add_file(self, name, mode, data):
        self._entry(name, stat.S_IFREG | mode, data)

    def add_link(self, name, destination):
        self._entry(name, stat.S_IFLNK | 0o777, destination.encode())

    def add_character_device(self, name, mode, major, minor):
        self._entry(name, stat.S_IFCHR | mode, major=major, minor=minor)

    def finish(self):
        self._entry("TRAILER!!!", 0)
        return bytes(self._bytes)


def add_line(archive, line):
    kind, name, *rest = line.split()
    if kind == "dir":
        archive.add_directory(name, int(rest[0], 8))
    elif kind == "file":
        with open(rest[1], "rb") as source:
            archive.add_file(name, int(rest[0], 8), source.read())
    elif kind == "link":
        archive.add_link(name, rest[0])
    elif kind == "node":
        archive.add_character_device(name, int(rest[0], 8), int(rest[1]), int(rest[2]))
    else:
        raise ValueError(f"unknown kind of entry: {line}")


def main():
    archive = NewcArchive()
    for line in sys.stdin:
        if line.strip():
            add_line(archive, line)
    with open(sys.argv[1], "wb") as output:
        with gzip.GzipFile(filename="", mode="wb", fileobj=output, mtime=0) as compressed:
            compressed.write(archive.finish())


if __name__ == "__main__":
    main()
