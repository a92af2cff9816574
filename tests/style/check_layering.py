#!/usr/bin/env python3
"""Includes point one way, and each facility of the host is used in one place only.

Both tables are those of docs/architecture.md. A new edge or a new home is a decision: make it there.
"""

import fnmatch
import re
import sys

from sources import ALL_FOLDERS, SOURCE_FOLDERS, code_only, cpp_files, line_of, report

# folder -> what it may include of the project (a folder, or one named header).
ALLOWED = {
    "shadowmmu": ("shadowmmu/",),
    # paging_mode.h for the words Privilege and AccessKind; the translator never sees a page table.
    "translator": ("translator/", "shadowmmu/base/", "shadowmmu/paging_mode.h"),
    "devices": ("devices/", "shadowmmu/base/", "shadowmmu/guest_memory.h"),
    "monitor": ("monitor/", "translator/", "shadowmmu/", "devices/"),
    "tests": tuple(folder + "/" for folder in ALL_FOLDERS),
    "bench": tuple(folder + "/" for folder in ALL_FOLDERS),
}

# The rooms of a folder, top floor first: a room includes itself and those below it. The files in
# the folder itself are above them all.
ROOMS = {
    "monitor": ("lab", "manager", "command", "control", "debug", "machine", "replication", "migration", "replay", "vcpu", "trap", "interpreter", "spaces",
                "direct", "paravirt", "cpu", "memory", "boot", "network", "share", "host"),
    "monitor/lab": ("explorer", "census", "ways", "matrix", "lockstep", "neighbours", "clocks", "parts"),
    "devices": ("board", "host", "screen", "network", "virtio", "storage", "pci", "input", "chips", "timers",
                "interrupts", "bus"),
}

# (facility, pattern of an #include, its only homes)
INCLUDE_HOMES = (
    ("Zydis", r"Zydis/", ("translator/decode*",)),
    ("asmjit", r"asmjit/", ("translator/emit*", "translator/gate*", "translator/fpu_unit*",
                            "translator/stubs*", "translator/host_registers.h",
                            "translator/host_processor.cpp")),
    ("host signals", r"(sys/)?ucontext\.h$",
     ("monitor/host/host_signals.*", "monitor/host/time/host_sampling.*", "monitor/command/reports/host_probes.cpp", "monitor/direct/direct_*",
      "monitor/lab/matrix/silicon.cpp", "monitor/trap/tracee.cpp")),
    ("network block devices", r"libnbd\.h$", ("devices/host/nbd_disk.cpp",)),
    ("terminals", r"termios\.h$", ("devices/host/host_console.cpp", "devices/host/pseudo_terminal.cpp")),
    ("Telnet", r"libtelnet\.h$", ("monitor/host/sockets/telnet_line.cpp",)),
    ("sockets", r"sys/socket\.h$", ("shadowmmu/base/host_connection.cpp", "devices/host/deserted_socket.cpp", "devices/host/screen/rfb_server.cpp", "monitor/host/sandbox/file_broker.cpp",
                                    "monitor/host/children/image_server.cpp", "monitor/network/*", "monitor/share/*")),
    ("TOML", r"toml\+\+/", ("monitor/manager/toml_file.cpp",)),
    ("WebSockets", r"libwebsockets\.h$", ("devices/host/screen/web_server.cpp", "devices/host/web_access.cpp", "devices/host/page_server.cpp")),
    ("address translation", r"slirp/", ("monitor/network/slirp_server.cpp",)),
    ("filters of system calls", r"seccomp\.h$",
     ("monitor/host/sandbox/confinement.cpp", "monitor/host/sandbox/file_broker.cpp", "monitor/direct/direct_sandbox.cpp",
      "monitor/network/slirp_sandbox.cpp", "monitor/share/share_walls.cpp")),
    ("host mappings", r"sys/mman\.h$",
     ("translator/code_arena.cpp", "translator/gate.cpp", "shadowmmu/host_mapping.cpp",
      "shadowmmu/guest_memory.cpp", "monitor/command/reports/host_probes.cpp", "monitor/direct/direct_*",
      "monitor/lab/matrix/silicon.cpp", "monitor/trap/tracee.cpp")),
)

# (facility, pattern of a call or name in code, its only homes)
CODE_HOMES = (
    # confinement.cpp: SIGSYS, and the names of what it allows; file_broker.cpp: in its own process.
    ("host signals", r"\b(sigaction|sigaltstack|ucontext_t|mcontext_t|signal\s*\()",
     ("monitor/host/host_signals.*", "monitor/host/time/host_sampling.*", "monitor/host/sandbox/confinement.cpp", "monitor/host/sandbox/file_broker.cpp",
      "monitor/network/slirp_process.cpp",
      "monitor/command/reports/host_probes.cpp", "monitor/direct/direct_*",
      "shadowmmu/base/interruption.cpp", "monitor/host/sandbox/host_limits.cpp",
      "monitor/lab/matrix/silicon.cpp", "monitor/trap/tracee.cpp")),
    ("host mappings", r"\b(mmap|mprotect|munmap|mremap|madvise|memfd_create)\s*\(",
     ("translator/code_arena.cpp", "translator/gate.cpp", "shadowmmu/host_mapping.cpp",
      "shadowmmu/guest_memory.cpp", "monitor/command/reports/host_probes.cpp", "monitor/direct/direct_*",
      "monitor/lab/matrix/silicon.cpp", "monitor/trap/tracee.cpp")),
    ("host clocks and timers",
     r"\b(clock_gettime|clock_nanosleep|gettimeofday|nanosleep|timer_create|timer_settime"
     r"|timerfd_create|setitimer|steady_clock|system_clock|high_resolution_clock)\b",
     ("monitor/host/time/host_clock.cpp", "monitor/host/sandbox/confinement.cpp", "monitor/host/host_signals.cpp", "monitor/host/time/host_sampling.*",
      "devices/host/nbd_disk.cpp", "devices/host/screen/picture_feed.*", "devices/host/screen/rfb_server.*",
      "monitor/network/slirp_sandbox.cpp", "monitor/host/sockets/host_socket.*", "monitor/direct/direct_sandbox.cpp")),
    ("host segments", r"\b(arch_prctl|modify_ldt|SYS_arch_prctl|SYS_modify_ldt|_writegsbase_u64"
     r"|_writefsbase_u64)\b",
     ("monitor/host/cpuid_faulting.cpp", "monitor/host/sandbox/confinement.cpp", "monitor/command/reports/host_probes.cpp",
      "monitor/direct/direct_*",
      "monitor/lab/matrix/silicon.cpp", "monitor/trap/tracee.cpp")),
    # Code that opens a file by itself does so before the run is confined, or is not part of a run.
    ("files opened by name", r"\b(fopen|ifstream|ofstream|fstream)\b|(?<!\w)::open\s*\(",
     ("shadowmmu/base/host_files.cpp", "shadowmmu/host_mapping.cpp", "devices/host/host_disk.cpp", "devices/host/pseudo_terminal.cpp", "monitor/host/sockets/fifo_pair.cpp",
      "monitor/replication/tie_breaker.cpp", "monitor/command_line.cpp", "monitor/command/reports/run_report.cpp",
      "monitor/command/reports/host_facts.cpp", "monitor/command/translate_command.cpp", "monitor/lab/*")),
    ("random numbers", r"\b(getrandom|getentropy)\b", ("devices/host/host_random.cpp", "monitor/host/sandbox/confinement.cpp",
                                                       "monitor/network/slirp_sandbox.cpp")),
    ("terminals", r"\b(tcsetattr|tcgetattr|cfmakeraw)\b", ("devices/host/host_console.cpp", "devices/host/pseudo_terminal.cpp")),
    ("disk image files", r"\b(pread|pwrite|pread64|pwrite64|fsync|fdatasync)\s*\(",
     ("devices/host/host_disk.cpp", "monitor/boot/boot_image.cpp", "monitor/machine/media/snapshot.cpp",
      "shadowmmu/host_mapping.cpp")),
)

# Headers of these cost a second or more of each source that parses them, by whatever way.
MOST_SOURCES = {"asmjit/": 14, "nlohmann/": 16, "CLI/": 9, "toml++/": 1}

INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*([<"])([^>"]+)[>"]', re.MULTILINE)


def at_home(name, homes):
    return any(fnmatch.fnmatch(name, home) for home in homes)


def floor_of(name, folder):
    """The room of a file in the folder: the higher the number, the lower the room."""
    rest = name[len(folder) + 1:].split("/")
    return ROOMS[folder].index(rest[0]) if len(rest) > 1 else -1


def check_room(name, included, where, problems):
    for folder in ROOMS:
        both_in_it = all(each.startswith(folder + "/") for each in (name, included))
        if both_in_it and floor_of(included, folder) < floor_of(name, folder):
            problems.append(f"{where}: {included} is in a room above")


def check_includes(name, text, problems):
    folder = name.split("/")[0]
    for match in INCLUDE.finditer(text):
        included, where = match.group(2), f"{name}:{line_of(text, match.start())}"
        if match.group(1) == '"' and included.split("/")[0] in ALL_FOLDERS:
            if not included.startswith(ALLOWED[folder]):
                problems.append(f"{where}: {folder} may not include {included}")
            elif folder in SOURCE_FOLDERS:
                check_room(name, included, where, problems)
        elif match.group(1) == '"' and folder in SOURCE_FOLDERS:
            problems.append(f'{where}: "{included}" is not a path from the root')
        if folder in SOURCE_FOLDERS:
            for facility, pattern, homes in INCLUDE_HOMES:
                if re.match(pattern, included) and not at_home(name, homes):
                    problems.append(f"{where}: <{included}>: {facility} is at home in "
                                    f"{', '.join(homes)} only")


def check_calls(name, text, problems):
    code = code_only(text)
    for facility, pattern, homes in CODE_HOMES:
        if at_home(name, homes):
            continue
        for match in re.finditer(pattern, code):
            problems.append(f"{name}:{line_of(code, match.start())}: {match.group().rstrip('( ')}: "
                            f"{facility} at home in {', '.join(homes)} only")


def check_reach(texts, problems):
    """Follows the include lines: how many of the product's sources parse a heavy library."""
    known = {}

    def reach(name):
        if name not in known:
            known[name] = set()  # of a circle, which the compiler would refuse
            for match in INCLUDE.finditer(texts[name]):
                included = match.group(2)
                known[name] |= reach(included) if included in texts else {included}
        return known[name]

    for library, most in MOST_SOURCES.items():
        sources = [name for name in texts
                   if name.endswith(".cpp") and name.split("/")[0] in SOURCE_FOLDERS
                   and any(included.startswith(library) for included in reach(name))]
        if len(sources) > most:
            problems.append(f"{len(sources)} sources parse {library}, {most} are the most: "
                            f"{', '.join(sorted(sources))}")


def main():
    problems = []
    check_reach(dict(cpp_files()), problems)
    for name, text in cpp_files():
        check_includes(name, text, problems)
        if name.split("/")[0] in SOURCE_FOLDERS:
            check_calls(name, text, problems)
    return report(problems)


if __name__ == "__main__":
    sys.exit(main())
