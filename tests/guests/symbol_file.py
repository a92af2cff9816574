"""Symbols of a stripped kernel as a file that gdb reads: an ELF with a symbol table and no contents."""

import struct

SHT_SYMTAB, SHT_STRTAB, SHT_NOBITS = 2, 3, 8
SHF_ALLOC, SHF_EXECINSTR = 2, 4
STT_OBJECT, STT_FUNC, GLOBAL = 1, 2, 1 << 4
EM_386, ET_EXEC = 3, 2
HEADER, SECTION_HEADER, SYMBOL = 52, 40, 16


def section(name, kind, flags, address, offset, size, link=0, info=0, entry=0):
    return struct.pack("<10I", name, kind, flags, address, offset, size, link, info, 4, entry)


def write_symbol_file(path, functions, variables=None):
    """functions, variables: {name: address}."""
    variables = variables or {}
    names, table = b"\0", bytes(SYMBOL)
    everything = [(name, address, STT_FUNC) for name, address in functions.items()]
    everything += [(name, address, STT_OBJECT) for name, address in variables.items()]
    for name, address, kind in sorted(everything, key=lambda symbol: symbol[1]):
        table += struct.pack("<IIIBBH", len(names), address, 4 if kind == STT_OBJECT else 0,
                             GLOBAL | kind, 0, 1)
        names += name.encode() + b"\0"
    addresses = list(functions.values()) + list(variables.values())
    first = min(addresses) & ~0xfff
    size = (max(addresses) + 0x10000 - first) & ~0xfff
    section_names = b"\0.text\0.symtab\0.strtab\0.shstrtab\0"
    table_at = HEADER
    names_at = table_at + len(table)
    section_names_at = names_at + len(names)
    headers_at = section_names_at + len(section_names)
    headers = section(0, 0, 0, 0, 0, 0)
    headers += section(1, SHT_NOBITS, SHF_ALLOC | SHF_EXECINSTR, first, 0, size)
    headers += section(7, SHT_SYMTAB, 0, 0, table_at, len(table), link=3, info=1, entry=SYMBOL)
    headers += section(15, SHT_STRTAB, 0, 0, names_at, len(names))
    headers += section(23, SHT_STRTAB, 0, 0, section_names_at, len(section_names))
    header = b"\x7fELF\1\1\1" + bytes(9)
    header += struct.pack("<HHIIIIIHHHHHH", ET_EXEC, EM_386, 1, first, 0, headers_at, 0, HEADER, 0, 0,
                          SECTION_HEADER, 5, 4)
    path.write_bytes(header + table + names + section_names + headers)
