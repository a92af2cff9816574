#!/usr/bin/env python3
"""The laboratory from the command line: what each part prints, and what it refuses."""
import argparse
import html.parser
import json
import pathlib
import re
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "guests"))
from lab_guests import assemble  # noqa: E402
from harness import guest_file  # noqa: E402  the cached guests; the test is skipped without them


class Failure(Exception):
    pass


def expect(condition, what):
    if not condition:
        raise Failure(what)


class Page(html.parser.HTMLParser):
    """A page's text; fails on anything fetched from elsewhere and on tags that do not close."""
    VOID = ("meta", "br", "hr", "input", "line", "rect", "path", "circle", "polygon")

    def __init__(self, text, siblings=()):
        super().__init__()
        self.open, self.text, self.ids, self.targets, self.siblings = [], "", set(), set(), siblings
        self.data = None
        self.feed(text)
        expect(not self.open, f"unclosed: {self.open}")
        expect(self.targets <= self.ids, f"leads nowhere: {self.targets - self.ids}")

    def handle_starttag(self, tag, attrs):
        expect(tag not in ("link", "img", "iframe", "object", "base"), f"the page has a <{tag}>")
        for name, value in attrs:
            expect(name not in ("src", "srcset", "action"), f"the page fetches {value}")
            if name == "id":
                expect(value not in self.ids, f"two elements are {value}")
                self.ids.add(value)
            if name == "href" and value.startswith("#"):
                self.targets.add(value[1:])
            elif name == "href":
                expect(value.split("#")[0] in self.siblings, f"leads to {value}")
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag not in self.VOID:
            expect(self.open and self.open[-1] == tag, f"</{tag}> closes {self.open[-1:]}")
            self.open.pop()

    def handle_data(self, data):
        if self.open and self.open[-1] == "script":
            self.data = self.data or json.loads(data)
        elif "style" not in self.open:
            self.text += data


class Lab:
    def __init__(self, ringshift, folder):
        self.ringshift, self.folder = ringshift, pathlib.Path(folder)

    def run(self, *words, code=0, seconds=120):
        done = subprocess.run([self.ringshift, "lab", *map(str, words)], capture_output=True,
                              text=True, timeout=seconds, stdin=subprocess.DEVNULL, check=False)
        expect(done.returncode == code,
               f"lab {' '.join(map(str, words))}: exit code {done.returncode}: {done.stderr}")
        return done

    def assemble(self, source):
        return assemble(source, self.folder)

    def refused(self, *words):
        done = self.run(*words, code=2)
        expect(done.stdout == "" and done.stderr.startswith("ringshift: ") and
               done.stderr.count("\n") == 1, f"not one line: {done.stderr!r}")
        return done.stderr

    def page(self, *words):
        path = self.folder / "page.html"
        done = self.run(*words, "--html", path)
        text = path.read_text()
        expect("prefers-color-scheme: dark" in text and "@media print" in text, "no dark form")
        return done.stdout, Page(text)


def test_matrix(lab):
    text, page = lab.page("matrix")
    matrix = json.loads(lab.run("matrix", "--json").stdout)
    rows = {row["name"]: row for row in matrix["instructions"]}
    expect([row["name"] for row in page.data["instructions"]] == list(rows), "the page's data")
    expect(rows["POPF"]["bytes"] == "9d" and rows["CPUID"]["bytes"] == "0f a2", "bytes")
    expect("i-popf" in page.ids and "i-popf" in page.targets, "no dot leads to POPF's row")
    mnemonics = ("SGDT SIDT SLDT SMSW PUSHF POPF LAR LSL VERR VERW STR INT3 IRET CPUID RDTSC RDPMC "
                 "RDMSR XGETBV WRFSBASE RDFSBASE SYSENTER CLI HLT LGDT IN OUT").split()
    for name in mnemonics + ["POP DS", "PUSH CS", "MOV GS, r", "CALL far", "JMP far", "RET far",
                             "INT n", "MOV CR3, r"]:
        expect(name in rows, f"no row for {name}")
        expect(name in text and name in page.text, f"{name} is not in every form")
    for name, row in rows.items():
        expect(row["translation_agrees"], f"{name} translated: {row['translation_differs']}")
        expect(row["reason"] and row["host_code"], f"{name} is not explained")
    if matrix["not_run_deprivileged"]:
        expect(all(row["privileged"] is None and row["verdict"] == "not measured"
                   for row in rows.values()), "a verdict without a measurement")
        return
    for name in ("CLI", "HLT", "LGDT", "MOV CR3, r", "IN", "WRMSR"):
        expect(rows[name]["privileged"] and rows[name]["verdict"] == "holds", f"{name} is no trap")
    for name in ("PUSHF", "POPF", "LAR", "PUSH CS"):
        expect(rows[name]["verdict"] == "VIOLATES" and not rows[name]["privileged"],
               f"{name} does not violate: {rows[name]['verdict']}")
    for name in ("ADD", "MOV [m], r"):
        expect(rows[name]["verdict"] == "innocuous", f"{name}: {rows[name]['verdict']}")
    violating = sum(row["verdict"] == "VIOLATES" for row in rows.values())
    expect(f"{violating} of {len(rows)} instructions" in text, "the conclusion does not count")


def test_census(lab):
    image = lab.assemble("counted")
    _, page = lab.page("census", image, "--run", 20)
    census = json.loads(lab.run("census", image, "--run", 20, "--json").stdout)
    rows = {row["name"]: row for row in census["instructions"]}
    expect(census["kind"] == "Multiboot, flat", census["kind"])
    for name, linear, reached, executed, treatment in (
            ("PUSHFD", 1, 1, 1000, "inline"), ("POPFD", 1, 1, 1000, "inline"),
            ("MOV r, Sreg", 1, 1, 1000, "inline"), ("CLI", 1, 1, 1, "inline"),
            ("SMSW", 1, 1, 1, "callout"), ("OUT", 1, 1, 1, "callout"),
            ("SGDT", 2, 2, 0, "callout"), ("STR", 1, 1, 0, "callout")):
        row = rows[name]
        expect(row["linear"] >= linear and row["reached"] == reached and
               row["executed"] == executed and row["treatment"] == treatment, f"{name}: {row}")
        expect((row["cycles"] > 0) == (executed > 0), f"{name}: {row['cycles']} cycles")
        expect(name in page.text, f"{name} is not on the page")
    expect(census["run"]["end"] == "the guest ended the run", census["run"]["end"])
    slow = lab.run("census", lab.assemble("sleeping"), "--run", 3)
    expect("ringshift: lab census: runs the guest, and counts, 2 s\n" in slow.stderr,
           f"no sign of life: {slow.stderr}")
    static = json.loads(lab.run("census", image, "--json").stdout)
    expect("run" not in static and all(row["executed"] == 0 for row in static["instructions"]),
           "executions without a run")
    for name in ("identical", "memory", "inline", "callout", "interpret"):
        row = census["treatments"][name]
        expect(row["linear"] >= row["reached"] >= 0, f"{name}: {row}")
        expect(row["executed"] == sum(other["executed"] for other in census["instructions"]
                                      if other["treatment"] == name), f"{name}: {row}")
    expect(census["treatments"]["identical"]["linear"] > 10, "nothing identical")
    for name, row in census["treatments"].items():
        expect(row["linear"] == sum(sum(section["instructions"][name].values())
                                    for section in census["sections"]), f"{name} by section")
    expect({"tree-image", "tree-helped"} <= page.ids, f"no areas: {page.ids}")
    expect(abs(sum(row["share"] for row in census["instructions"]) - 100) < 0.01, "shares")
    costs = census["costs"]
    # Measured on this machine as it is now: no more than that something has been measured.
    expect(costs["callout_cycles"] > 20 and costs["trap_nanoseconds"] > 100 and
           costs["inline_cycles"]["POPFD"] > 0 and min(costs["inline_cycles"].values()) >= 0,
           f"costs: {costs}")
    expect("cannot be opened" in lab.refused("census", "/nonexistent"), "a missing file")
    noise = lab.folder / "noise"
    noise.write_bytes(b"no image " * 5000)
    expect("is neither ELF" in lab.refused("census", noise), "not an image")
    expect("64-bit ELF" in lab.refused("census", lab.ringshift), "a 64-bit program")
    for end in (4, 52, 60, 200):
        broken = lab.folder / "broken"
        broken.write_bytes((b"\x7fELF\x01\x01\x01" + bytes(9) + b"\x02\0\x03\0" +
                            b"\xff" * 400)[:end])
        lab.refused("census", broken)


def test_census_linux(lab):
    """A packed kernel is counted without running it: decoded from end to end, and as reached."""
    kernel, *guest = linux_guest()
    census = json.loads(lab.run("census", kernel, "--json").stdout)
    rows = {row["name"]: row for row in census["instructions"]}
    expect(census["kind"].startswith("Linux bzImage, unpacked ("), census["kind"])
    linear, reached = census["linear"]["instructions"], census["reached"]["instructions"]
    expect(linear > 1000000 and linear >= reached > linear / 2, f"{linear} linear, {reached}")
    expect(0 < census["reached"]["by_direct_branches"] < reached, "reached by direct branches")
    sections = {section["name"]: section["instructions"] for section in census["sections"]}
    expect(sections[".text"]["inline"]["PUSHFD"] > 100 and ".init.text" in sections, f"{list(sections)}")
    for name in ("PUSHFD", "POPFD", "CLI", "STI", "LTR", "IRETD", "MOV Sreg, r", "MOV CRn, r"):
        expect(rows[name]["linear"] >= 1 and rows[name]["reached"] >= 1, f"{name}: {rows[name]}")
    run = json.loads(lab.run("census", kernel, *guest, "--run", 3, "--json").stdout)
    executed = {row["name"]: row for row in run["instructions"]}
    expect(executed["PUSHFD"]["executed"] > 100 and executed["CLI"]["executed"] > 10, "the run")
    image = kernel.read_bytes()
    broken = lab.folder / "broken"
    for end in (600, 20000, len(image) // 2):
        broken.write_bytes(image[:end])
        lab.refused("census", broken)
    broken.write_bytes(image[:200000] + bytes(3000) + image[203000:])
    expect("damaged payload" in lab.refused("census", broken), "a damaged payload")


def deprivileged_is_possible(lab):
    return not json.loads(lab.run("trap", "--json").stdout)["not_run_deprivileged"]


def test_trap(lab):
    text, page = lab.page("trap")
    report = json.loads(lab.run("trap", "--json").stdout)
    answers = {answer["question"]: answer for answer in report["answers"]}
    expect(len(answers) >= 14, f"only {len(answers)} answers")
    expect(all(answer["interpret"] for answer in answers.values()), "no truth to compare with")
    for question, answer in answers.items():
        expect(answer["interpret"] == answer["translate"], f"translate is wrong: {question}")
        expect(question in text and question in page.text, f"{question} is missing")
    for run in ("interpret", "translate"):
        expect(report["runs"][run]["end"] == "ended the run with 0", report["runs"][run]["end"])
    if report["not_run_deprivileged"]:
        expect(report["not_run_deprivileged"] in text, "the refusal is not told")
        return
    expect(report["runs"]["trap"]["end"] == "ended the run with 0", report["runs"]["trap"]["end"])
    for start, truth in (("POPF", "00000000"), ("PUSHF", "00000000"), ("PUSH CS", "00000008"),
                         ("MOV r, SS", "00000010"), ("STR", "00000028"), ("LAR", "00c09300"),
                         ("VERW", "00000001"), ("MOV GS", "0000600d")):
        answer = next(answer for question, answer in answers.items() if question.startswith(start))
        expect(answer["interpret"] == truth, f"{start} interpreted: {answer['interpret']}")
        expect(answer["trap"] != truth, f"{start} is right under trap")
    first = report["first_wrong"]
    expect(first["found"] and 0 < first["right_for_instructions"] < 5000 and first["what"],
           f"the first wrong instruction: {first}")
    expect(first["sensitive_instructions_there"] and first["name"] in ("POPFD", "PUSHFD"),
           f"named: {first}")
    expect("first" in page.targets, "the picture does not lead to the first wrong instruction")
    truth, wrong, again = (report["runs"][name]["moments"]
                           for name in ("interpret", "trap", "translate"))
    expect(len(truth) == len(wrong) == len(again) == 4 + len(answers), f"moments: {len(truth)}")
    # After POPF interrupts are off in truth, and on in the monitor that was not asked.
    expect([moment["if"] for moment in truth[:4]] == [False, True, False, False], f"{truth[:4]}")
    expect([moment["if"] for moment in again[:4]] == [False, True, False, False], f"{again[:4]}")
    expect([moment["if"] for moment in wrong[:4]] == [False, True, True, True], f"{wrong[:4]}")
    expect(truth[3]["interrupts"] == truth[2]["interrupts"] and
           wrong[3]["interrupts"] > wrong[2]["interrupts"], "the clock")
    expect(all(moment["ring_by_push_cs"] == 0 for moment in truth[4:] + again[4:]), "ring 0")
    expect(all(moment["ring_by_push_cs"] == 3 for moment in wrong[4:]), f"ring 3: {wrong[4]}")


def test_trap_right(lab):
    """A guest whose every sensitive instruction traps is right under trap, too."""
    if not deprivileged_is_possible(lab):
        return
    image = lab.assemble("virtualizable")
    report = json.loads(lab.run("trap", image, "--json").stdout)
    expect(not report["first_wrong"]["found"], f"wrong: {report['first_wrong']}")
    expect(report["first_wrong"]["right_for_instructions"] > 3000, "too few instructions in step")
    for run in report["runs"].values():
        expect(run["end"] == "ended the run with 9", f"{run['end']}")
    expect(report["runs"]["trap"]["interpreted"] < 100, "most of it was interpreted")


def first_wrong_of(lab, *words):
    """How far a kernel gets under trap; what the report says of it is in every form."""
    text, page = lab.page("trap", *words)
    last = text.strip().splitlines()[-1]
    expect(last.startswith("In step with the interpreter"), f"no result: {last}")
    expect(last in page.text, "the page does not have the result")
    for engine in ("interpret", "trap", "translate"):
        expect(any(line.startswith(engine) and " emulated" in line for line in text.splitlines()),
               f"nothing of {engine}: {text}")
    return last


def expect_one_named(last, names):
    """Found between two traps, the first wrong instruction is looked for, and named alone."""
    right = re.search(r"is right for (\d+) instructions and wrong 1 later, after (.*?): (.*)", last)
    expect(right, f"not found exactly: {last}")
    expect(int(right.group(1)) > 1000, f"how far: {last}")
    expect(re.fullmatch(names + " at [0-9a-f]{8}", right.group(2)), f"no instruction: {last}")


def test_trap_gnumach(lab):
    """A real kernel goes wrong under trap, on an instruction that does not trap on any host."""
    image = guest_file("gnumach-image")
    if not deprivileged_is_possible(lab):
        return
    last = first_wrong_of(lab, image, "--seconds", 10)
    if "never wrong" in last:  # a busy host: the clock has not interrupted the guest yet
        last = first_wrong_of(lab, image, "--seconds", 30)
    # FXSAVE on processors that have more bits in MXCSR than the guest's (AMD).
    expect_one_named(last, r"(PUSH Sreg|MOV .*Sreg|PUSHFD|POPFD|STR|S[GIL]DT|CPUID|RDTSC|L[AS][RL]|"
                           r"FXSAVE)")


def test_trap_linux(lab):
    """Linux is right under trap for a while, the longer it is followed the farther."""
    guest = linux_guest()
    if not deprivileged_is_possible(lab):
        return
    last = first_wrong_of(lab, *guest, "--seconds", 5)
    if "never wrong" not in last:
        # A loader that moves the kernel asks for the processor's features; the host answers.
        return expect_one_named(last, r"(CPUID|RDTSC|PUSHFD|POPFD|MOV .*Sreg|PUSH Sreg)")
    count = re.search(r"for (\d+) instructions", last)
    expect(count and int(count.group(1)) > 1000, f"how far: {last}")


def test_trap_sleeping(lab):
    """A guest that sleeps for ever is woken up to be ended."""
    if not deprivileged_is_possible(lab):
        return
    report = json.loads(lab.run("trap", lab.assemble("sleeping"), "--seconds", 1, "--json").stdout)
    for engine, run in report["runs"].items():
        expect("time was up" in run["end"], f"{engine}: {run['end']}")


def test_trap_decisions(lab):
    """An instruction that traps is emulated where it is legal, and the guest's own fault where it
    is not."""
    report = json.loads(lab.run("trap", lab.assemble("ring3"), "--json").stdout)
    for engine, run in report["runs"].items():
        if engine == "trap" and report["not_run_deprivileged"]:
            continue
        expect(run["end"] == "ended the run with 3", f"{engine}: {run['end']}")
        expect(run["refused"] == {"#GP at CPL 3": 1}, f"{engine}: {run['refused']}")
        expect(run["interpreted"] > 3, f"{engine}: {run}")


def test_three(lab):
    text, page = lab.page("three")
    report = json.loads(lab.run("three", "--json", "--every", 1000000).stdout)
    same, control, speed = (report[key] for key in
                            ("equivalence", "resource_control", "efficiency"))
    expect(same["equal"], f"different: {same['difference']}")
    expect(same["instructions"] > 1000000 and same["boundaries"] > 100, f"too little: {same}")
    expect(same["ram_comparisons"] >= 2, f"RAM compared {same['ram_comparisons']} times")
    expect(control["guest_ram_mappings"] > 0 and control["other_mappings"] == 0 and
           control["executable_mappings"] == 0, f"mappings: {control}")
    expect(control["port_accesses"] > 50, f"ports: {control}")
    expect(speed["native_percent"] > 90 and speed["inline"] > 0, f"efficiency: {speed}")
    treatments = sum(speed[name] for name in ("identical", "memory", "direct-branch",
                                              "indirect-branch", "inline", "callout", "interpret"))
    expect(treatments == same["instructions"], "treatments do not add up")
    expect("equal at" in text and "equal at" in page.text, "not said")
    # The guest of ours works: it computes, traps and pages, and is refused what it may not.
    expect(report["end"] == "ended the run with 0", report["end"])
    expect(0.5 < same["user_instructions"] / same["instructions"] < 1, f"at CPL 3: {same}")
    work = speed["identical"], speed["memory"], speed["direct-branch"], speed["indirect-branch"]
    expect(min(work) > 100 and max(work) < 0.8 * same["instructions"], f"no mixture: {work}")
    expect(speed["native_percent"] < 99.999 and speed["interpreted"] > 100, f"no traps: {speed}")
    refused = {refusal["tried"]: refusal for refusal in control["refusals"]}
    for tried in ("cli", "hlt", "in al, 0x60", "mov eax, cr0", "wrmsr", "lgdt [esi]"):
        expect(tried in refused and refused[tried]["fault"] == "#GP at CPL 3", f"{tried}: {refused}")
        expect(tried in page.text and tried in text, f"{tried} is not told")
    paged = [refusal for refusal in control["refusals"] if refusal["fault"] == "#PF at CPL 3"]
    expect(sum(refusal["count"] for refusal in paged) > 100, f"no paging: {paged}")
    expect({0x100000, 0x800000} <= {refusal["address"] for refusal in paged}, f"kernel's page: {paged}")
    expect("cannot be opened" in lab.refused("three", "/nonexistent"), "a missing file")
    check_neighbours(control["neighbours"], text, page.text)


def check_neighbours(runs, text, page):
    """The host counts each one's time: whatever else the host does, an attacker has no more than its part."""
    alone, *others = runs
    expect(alone["doing"] == "nothing" and alone["neighbours_seconds"] == 0 and len(others) > 4, f"{runs}")
    for run in others:
        expect(run["doing"] in text and run["doing"] in page, f"{run['doing']} is not told")
        expect(run["rounds"] > 0 and run["neighbours_rounds"] > 0, f"one has done nothing: {run}")
        if run["limit_percent"]:
            most = run["seconds"] * run["limit_percent"] / 100 + 0.05
            expect(run["neighbours_seconds"] < most, f"more than its limit: {run}")
        else:
            expect(run["neighbours_seconds"] < 1.25 * run["own_seconds"] + 0.05, f"more than its part: {run}")


def test_three_memory_loop(lab):
    """Turns of a loop that only memory tells apart are not taken for each other."""
    report = json.loads(lab.run("three", lab.assemble("memory_loop"), "--seconds", 120,
                                "--json").stdout)
    same = report["equivalence"]
    expect(same["equal"], f"different: {same['difference']}")
    expect(report["end"] == "ended the run with 7", report["end"])
    expect(same["instructions"] > 48000000 and same["boundaries"] > 3, f"too little: {same}")


def test_three_joined_later(lab):
    """The interpreter joins with what the processor holds outside its state: model-specific registers."""
    report = json.loads(lab.run("three", lab.assemble("model_specific"), "--skip", 0.5, "--seconds",
                                120, "--json").stdout)
    same = report["equivalence"]
    expect(report["end"] == "ended the run with 9", report["end"])
    expect(same["equal"] and same["instructions"] > 1000, f"different: {same}")


def linux_guest():
    return (guest_file("linux-686/vmlinuz"), "--initrd", guest_file("initramfs.cpio.gz"),
            "--append", "console=ttyS0 ringshift.script=self-test", "--memory", "64M")


def test_three_linux(lab):
    """A stock kernel, from its first instruction and from within its boot, for as long as asked."""
    began = time.monotonic()
    report = json.loads(lab.run("three", *linux_guest(), "--seconds", 8, "--json").stdout)
    same = report["equivalence"]
    expect(time.monotonic() - began < 40, "the time limit is not kept")
    expect(same["equal"] and not same["gave_up"], f"different: {same['difference']}")
    expect(same["first_eip"] == 0x100000 and same["instructions"] > 10000000 and
           same["boundaries"] > 10 and same["ram_comparisons"] > 1, f"covered too little: {same}")
    text, page = lab.page("three", *linux_guest(), "--seconds", 10, "--skip", 1)
    covered = [line for line in text.splitlines() if "covered: from" in line]
    expect(covered and "from 00100000" not in covered[0], f"not skipped: {text}")
    expect("DIFFERENT" not in text and "equal at" in text and "given up" not in text, text)
    expect("covered: from" in page.text, "the page does not say what was covered")


def test_paging(lab):
    text, page = lab.page("paging")
    report = json.loads(lab.run("paging", "--json").stdout)
    expect(report["end"] == "ended the run with 0", report["end"])

    def events(kind, address=None):
        return [event for event in report["events"] if event["kind"] == kind and
                (address is None or event["address"] >> 12 == address >> 12)]

    expect(len(events("true fault", 0x800000)) == 2, "00800000 faults, and again after INVLPG")
    expect(not events("trace fault", 0x800000), "a true fault is no trace fault")
    expect(len(events("true fault", 0x801000)) == 1, "00801000 faults once")
    hidden = events("hidden fault", 0x300000)
    expect(len(hidden) >= 2 and not hidden[0]["write"] and not hidden[0]["writable"] and
           hidden[1]["write"] and hidden[1]["writable"], f"read-only, then writable: {hidden}")
    expect(events("trace fault", 0x310000) and events("code changed"), "the store into code")
    expect(len(events("INVLPG", 0x800000)) == 1 and len(events("flush")) >= 1, "flushes")
    expect(0x310000 in report["traced"], "code is watched")
    tables = {(run["linear"], run["physical"]) for run in report["guest_tables"]}
    expect((0x800000, 0x400000) in tables, f"the guest's tables: {tables}")
    for run in report["shadow"]:
        expect(any(table["linear"] <= run["linear"] and
                   run["linear"] + run["pages"] * 4096 <= table["linear"] + table["pages"] * 4096
                   and run["physical"] - run["linear"] == table["physical"] - table["linear"]
                   for table in merged(report["guest_tables"])),
               f"the shadow grants what the guest's tables do not: {run}")
    # Accessed and dirty bits, as each event leaves them (SDM 3A 4.8).
    accessed, dirty = 1 << 5, 1 << 6
    place = report["pages"].index(0x300000)
    states = [(event, event["state"][place]) for event in report["events"]]
    first, second = [state for event, state in states
                     if event["kind"] == "hidden fault" and event["address"] == 0x300000][:2]
    expect(first["table"] & accessed and not first["table"] & dirty, f"after a read: {first}")
    expect(second["table"] & dirty and second["writable"], f"after a write: {second}")
    expect(first["shadow"] == 0x300000 and first["writable"] is False, f"the shadow: {first}")
    stores = {event["instruction"] for event in report["events"] if event["address"] == 0x300000}
    expect(len(stores) >= 2 and all("mov" in store for store in stores), f"instructions: {stores}")
    for word in ("hidden fault", "true fault", "trace fault"):
        expect(word in text and word in page.text, f"{word} is missing")


def test_memory(lab):
    text, page = lab.page("memory")
    report = json.loads(lab.run("memory", "--json").stdout)
    expect(report["end"] == "ended the run with 0", report["end"])
    pages, grain_pages = report["pages"], report["grain_bytes"] // 4096
    expect(sum(pages.values()) == report["ram_pages"] == 4096, f"not all of RAM: {pages}")
    for kind, count in pages.items():
        expect(report["grains"].count(kind) * grain_pages == count, f"{kind}: {count}")
        expect(f"{count} pages {kind}" in " ".join(text.split()), f"{kind} is not in the text")
    expect(all(pages[kind] > 0 for kind in ("shared", "copied", "fresh", "zero")), f"{pages}")
    # The host's own figures.
    host = report["host"]
    expect(host["mapped_shared"] == pages["shared"], f"{host}")
    expect(host["mapped_own"] == report["ram_pages"] - pages["shared"], f"{host}")
    expect(0 < host["own_bytes"] <= (pages["copied"] + pages["fresh"]) * 4096, f"{host}")
    expect(host["shared_bytes"] > 0 and host["first_bytes"] < host["shared_bytes"], f"{host}")
    # Each way leads to the kind of its grain, and what was copied was written by an instruction.
    for way in report["ways"]:
        expect(report["grains"][way["physical"] // report["grain_bytes"]] == way["machine"], f"{way}")
    copied = {index * report["grain_bytes"] for index, kind in enumerate(report["grains"]) if kind == "copied"}
    seen = {copy["grain"] for copy in report["copies"]}
    expect(seen == copied or report["copies_left_out"], f"{copied} are copied, {seen} were seen to be")
    expect(report["ballooned_bytes"] is None and "no balloon" in text, "a balloon")
    for word in ("shared", "copied", "fresh", "zero"):
        expect(word in page.text, f"{word} is missing")


def test_paravirt(lab):
    """Right by translation and by calls; wrong in one operation by trap-and-emulate."""
    text, page = lab.page("paravirt", "--seconds", 60)
    report = page.data
    expect(report["finding"] in text and report["finding"] in page.text, "no finding")
    operations = {operation["name"]: operation["ways"] for operation in report["operations"]}
    expect(list(operations) == ["mask", "call", "map", "switch", "timer", "print"], f"{list(operations)}")
    problems = {way["name"]: way["problem"] for way in report["ways"]}
    for name, ways in operations.items():
        for way, cell in ways.items():
            if problems[way]:
                continue
            expect(cell["right"] == ((way, name) != ("trap-and-emulate", "mask")), f"{name}, {way}: {cell}")
    for way in ("translated", "calling, translated"):
        expect(not problems[way] and operations["mask"][way]["entries"] < 0.1, f"{operations['mask']}")
    if not problems["calling, deprivileged"]:
        expect(operations["mask"]["calling, deprivileged"]["entries"] < 0.1, f"{operations['mask']}")
        expect(operations["mask"]["trap-and-emulate"]["entries"] >= 1, "CLI traps")
    for name, least in (("map", 64), ("print", 64)):
        expect(operations[name]["translated"]["entries"] >= least, f"{name}: {operations[name]}")
    expect(operations["print"]["calling, translated"]["entries"] < 4, f"{operations['print']}")
    expect(operations["map"]["calling, translated"]["entries"] < operations["map"]["translated"]["entries"],
           f"{operations['map']}")
    expect("cited" in text and "SDM" in page.text, "the sources are not named")
def test_time(lab):
    text, page = lab.page("time")
    report = json.loads(lab.run("time", "--json").stdout)
    runs = {run["time"]: run for run in report["runs"]}
    expect(list(runs) == ["usual", "real", "lazy", "scaled=0.5"], f"{list(runs)}")
    for name, run in runs.items():
        expect(all(later[i] >= before[i] for before, later in zip(run["samples"], run["samples"][1:]) for i in range(4)),
               f"{name}: a clock goes back")
        expect(f"--time {name}" in page.text and name in text, f"{name} is missing")
    # Milliseconds. The guest is not run for 400, and stopped for 400.
    behind = {name: (run["clock_behind_ms"], run["ticks_behind_ms"]) for name, run in runs.items()}
    expect(behind["usual"][0] >= 400, f"usual: a stop is not left out: {behind}")
    expect(abs(behind["real"][0]) < 1 and behind["real"][1] < 100, f"real: {behind}")
    expect(abs(behind["lazy"][0]) < 1 and behind["lazy"][1] >= 750, f"lazy: {behind}")
    host, clock = runs["scaled=0.5"]["samples"][-1][:2]
    stopped = report["stopped"][1] - report["stopped"][0]
    expect(0.45 * (host - stopped) < clock <= 0.5 * (host - stopped), f"scaled: {clock} of {host} ns")


def test_paging_pae(lab):
    """Entries of eight bytes, a large page among them, and their A and D bits."""
    report = json.loads(lab.run("paging", lab.assemble("pae"), "--json").stdout)
    expect(report["end"] == "ended the run with 6", report["end"])
    faults = [event for event in report["events"] if event["state"][0]["levels"]]
    small, large = (report["pages"].index(page) for page in (0x240000, 0x1a0000))
    seen = [(event["write"], event["state"][small]["table"], event["state"][large]["directory"])
            for event in faults if event["kind"] == "hidden fault"]
    expect(seen == [(False, 0x240023, 0xa3), (True, 0x240063, 0xa3), (False, 0x240063, 0xa3),
                    (True, 0x240063, 0xe3)], f"A and D: {[list(map(hex, each)) for each in seen]}")
    last = faults[-1]["state"]
    expect((last[small]["levels"], last[large]["levels"]) == (2, 1), f"levels: {last}")
    expect(last[small]["frame"] == last[small]["shadow"] == 0x240000 and
           last[large]["frame"] == last[large]["shadow"] == 0x1a0000, f"frames: {last}")


def merged(runs):
    """Runs that differ in rights only, joined."""
    out = []
    for run in runs:
        last = out[-1] if out else None
        if last and last["linear"] + last["pages"] * 4096 == run["linear"] and \
                last["physical"] + last["pages"] * 4096 == run["physical"]:
            last["pages"] += run["pages"]
        else:
            out.append(dict(run))
    return out


def test_translate(lab):
    """Guest code beside its host code: from the entry point, and what executes most."""
    image = lab.assemble("counted")
    text, page = lab.page("translate", image, "--blocks", 6)
    still = json.loads(lab.run("translate", image, "--blocks", 6, "--json").stdout)
    expect(2 <= len(still["blocks"]) <= 6 and not still["run"], f"{len(still['blocks'])} blocks")
    expect(page.data["blocks"] == still["blocks"], "the page's data")
    expect(still["blocks"][0]["landmark"] == "entry point", "where it begins")
    for block in still["blocks"]:
        expect(f"b-kernel-{block['eip']:x}" in page.ids, "a block is not on the page")
        for instruction in block["instructions"]:
            expect(instruction["host"] and instruction["text"] in page.text and
                   instruction["text"] in text, f"{instruction}")
    links = {link for block in still["blocks"] for link in block["links"]}
    expect(links & {block["eip"] for block in still["blocks"]}, "no block leads to another")
    one = json.loads(lab.run("translate", image, "--blocks", 1, "--json").stdout)
    expect(len(one["blocks"]) == 1, "more than asked for")
    counted = json.loads(lab.run("translate", image, "--run", 5, "--json").stdout)
    times = {instruction["text"]: instruction["executed"] for block in counted["blocks"]
             for instruction in block["instructions"]}
    expect(times["pushfd"] == times["popfd"] == 1000 and times["cli"] == 1, f"counts: {times}")
    ran = json.loads(lab.run("translate", "--json").stdout)
    expect(ran["end"] == "ended the run with 0" and not ran["difference"], f"{ran['end']}")
    executed = [block["executed"] for block in ran["blocks"]]
    expect(executed == sorted(executed, reverse=True) and executed[0] > 100000, f"{executed}")
    expect(0.9 * ran["instructions"] < sum(executed) <= ran["instructions"],
           "what is shown is not what executes")
    hot = ran["blocks"][0]
    expect(hot["ring"] == "user" and hot["executed"] > 1000000, f"the sieve is hot: {hot['eip']:x}")
    sampling = ran["sampling"]
    parts = sum(sampling[name] for name in ("in_code", "in_stubs", "outside", "untold"))
    expect(sampling["runs"] > 0 and sampling["samples"] == parts > 100, f"sampled: {sampling}")
    in_blocks = sum(block["samples"] for block in ran["blocks"])
    expect(0.8 * sampling["in_code"] <= in_blocks <= sampling["in_code"], f"{in_blocks}: {sampling}")
    landmarks = {block["landmark"] for block in ran["blocks"]}
    expect({"page-fault handler", "system call, INT 0x80"} <= landmarks, f"{landmarks}")
    expect("cannot be opened" in lab.refused("translate", "/nonexistent"), "a missing file")
    lab.refused("translate", "--blocks", 0)


def test_translate_linux(lab):
    """A stock kernel's spin lock and where it handles page faults and system calls are shown."""
    for seconds in (8, 30, 90):  # a host that is busy does not come as far in the first
        text, page = lab.page("translate", *linux_guest(), "--run", seconds, "--skip", 1)
        landmarks = {block["landmark"]: block for block in page.data["blocks"]}
        if {"page-fault handler", "spin lock"} <= set(landmarks):
            break
    expect({"page-fault handler", "spin lock"} <= set(landmarks) and
           any(name.startswith("system call") for name in landmarks), f"{list(landmarks)}")
    lock = landmarks["spin lock"]
    expect(any("cmpxchg" in instruction["text"] for instruction in lock["instructions"]), f"{lock}")
    links = {link for block in page.data["blocks"] for link in block["links"]}
    expect(set(landmarks["page-fault handler"]["links"]) & {block["eip"] for block in page.data["blocks"]},
           "nothing to follow")
    expect(links and page.data["sampling"]["in_code"] > 10, f"{page.data['sampling']}")
    expect("looked at once in" in text and "looked at once in" in page.text, "the cycles are not told")


def test_all(lab):
    """Every page in one folder, each led to from each, and the pictures as files."""
    folder = lab.folder / "pages"
    done = lab.run("all", lab.assemble("counted"), "--html", folder, "--seconds", 10)
    expect(done.stdout == f"{folder}/index.html\n", done.stdout)
    names = ["index", "matrix", "trap", "census", "three", "paging", "memory", "time", "translate", "paravirt"]
    expect(all(f"lab {name}" in done.stderr for name in names[1:]), f"no sign of life: {done.stderr}")
    files = {path.name for path in folder.iterdir()}
    expect({f"{name}.html" for name in names} <= files, f"{files}")
    pages = {name: Page((folder / f"{name}.html").read_text(), files) for name in names}
    counted = {row["name"]: row for row in pages["census"].data["instructions"]}
    expect(counted["PUSHFD"]["executed"] == 1000, f"the image is counted: {counted['PUSHFD']}")
    places = [pages["index"].text.index(f"{number}. ") for number in range(1, 9)]
    expect(places == sorted(places), "the story is not in order")
    for finding in pages["index"].data:
        expect(finding["finding"] in pages["index"].text and
               finding["finding"] in pages[finding["page"]].text, f"{finding}")
    if pages["trap"].data["first_wrong"]["found"]:
        trap = (folder / "trap.html").read_text()
        row = re.search(r'href="matrix.html#(i-[a-z0-9-]+)"', trap)
        expect(row and row.group(1) in pages["matrix"].ids, "no link to the matrix's row")
    pictures = sorted(path for path in folder.iterdir() if path.suffix == ".svg")
    expect(len(pictures) >= 6, f"{pictures}")
    for picture in pictures:
        root = xml.etree.ElementTree.parse(picture).getroot()
        expect(root.tag == "{http://www.w3.org/2000/svg}svg" and len(root) > 8, f"{picture}")
        expect("var(" not in picture.read_text() and "href" not in picture.read_text(),
               f"{picture} needs a page")
    lab.refused("all")
    blocked = lab.folder / "file"
    blocked.write_text("")
    expect("cannot make" in lab.run("all", "--html", blocked / "x", code=2).stderr, "no folder")


def test_usage(lab):
    expect("needs a part" in lab.refused(), "no part")
    lab.refused("alchemy")
    lab.refused("matrix", "--no-such-option")
    done = lab.run("matrix", "--html", "/nonexistent/page.html", code=2)
    expect("cannot write /nonexistent/page.html" in done.stderr, done.stderr)


TESTS = {name[5:]: test for name, test in list(globals().items()) if name.startswith("test_")}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ringshift", required=True)
    parser.add_argument("part", choices=TESTS)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        try:
            TESTS[arguments.part](Lab(arguments.ringshift, folder))
        except Failure as failure:
            print(f"FAIL {arguments.part}: {failure}")
            return 1
    print(f"pass {arguments.part}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
