#include "monitor/command/options/options.h"

#include <CLI/CLI.hpp>

#include "monitor/command/options/device_options.h"

namespace ringshift {
namespace {

void add_guest_options(CLI::App& command, RunOptions* options) {
  BootRequest& boot = options->machine.boot;
  command.add_option("--kernel", boot.kernel_path, "Linux bzImage or Multiboot image")
      ->type_name("IMAGE")
      ->group("Guest");
  command.add_option("--initrd", boot.initrd_path, "initial RAM disk (Linux)")
      ->type_name("FILE")
      ->group("Guest");
  command.add_option("--append", boot.command_line, "kernel command line")
      ->type_name("TEXT")
      ->group("Guest");
  command
      .add_option("--module", options->modules,
                  "Multiboot module: 'FILE' or 'FILE arguments'; may be repeated")
      ->type_name("TEXT")
      ->allow_extra_args(false)
      ->group("Guest");
  command.add_option("--memory,-m", options->memory, "guest RAM, 4M to 3584M (default 128M)")
      ->type_name("SIZE")
      ->group("Guest");
  command
      .add_option("--cpu", options->cpu,
                  "processor shown to the guest: model=core|pentium3;\n"
                  "pae, nx, meltdown, sysenter, bmi1 = on|off")
      ->type_name("KEY=VALUE,...")
      ->delimiter(',')
      ->allow_extra_args(false)
      ->group("Processor");
  command
      .add_option("--machine", options->parts, "what is on the board: apic, hpet, acpi = on|off")
      ->type_name("KEY=VALUE,...")
      ->delimiter(',')
      ->allow_extra_args(false)
      ->group("Devices");
  command
      .add_option("--translator", options->translator,
                  "for measurements and tests: arena=SIZE, unit-max=N, links=on|off,\n"
                  "callouts=on|off, relocate=on|off, drop-every=N, verify-every=N,\n"
                  "refuse-every=N, share-every=N")
      ->type_name("KEY=VALUE,...")
      ->delimiter(',')
      ->allow_extra_args(false)
      ->group("Processor");
}

void add_firmware_options(CLI::App& command, RunOptions* options) {
  FirmwareRequest& firmware = options->machine.firmware;
  const auto medium = [&](const char* name, MediaSlot slot, const char* what) {
    command.add_option(name, options->media.text[static_cast<size_t>(slot)], what)
        ->type_name("FILE[,KEY=on]")
        ->group("Disks");
  };
  medium("--hda", MediaSlot::FirstDisk,
         "image of the first hard disk; snapshot=on, readonly=on, format=raw|qcow2...");
  medium("--hdb", MediaSlot::SecondDisk, "of the second");
  medium("--hdc", MediaSlot::ThirdDisk, "of the third, in the place of the CD-ROM drive");
  medium("--hdd", MediaSlot::FourthDisk, "of the fourth; media=cdrom: it is a CD-ROM");
  medium("--fda", MediaSlot::Floppy, "image of a floppy disk");
  medium("--cdrom", MediaSlot::Cdrom, "image of a CD-ROM");
  command
      .add_option("--virtio-disk", options->media.virtio,
                  "image of a virtio disk; may be repeated, up to eight times")
      ->type_name("FILE[,KEY=on]")
      ->allow_extra_args(false)
      ->group("Disks");
  command.add_flag("--snapshot", options->media.snapshot, "write to no image: changes are lost")
      ->group("Disks");
  command
      .add_flag("--changed-disks", options->media.may_have_changed,
                "resume although an image has been written to since the machine was saved")
      ->group("Disks");
  command
      .add_option("--boot", options->boot,
                  "what to boot from: a floppy, c disk, d CD-ROM, n network\n"
                  "(default cad); menu=on")
      ->type_name("ORDER")
      ->group("Disks");
  command
      .add_option("--bios", firmware.bios_path,
                  "BIOS image to begin with, in place of a kernel (default with a disk:\n"
                  "Debian's /usr/share/seabios/bios-256k.bin)")
      ->type_name("FILE")
      ->group("Guest");
  command
      .add_option("--fw-cfg", options->firmware_files,
                  "something for the guest to read at the firmware configuration port:\n"
                  "name=opt/NAME,file=FILE or name=opt/NAME,string=TEXT; may be repeated")
      ->type_name("ITEMS")
      ->allow_extra_args(false)
      ->group("Guest");
  command
      .add_option("--screendump", options->screendump,
                  "write the screen there when the run ends, as a PNG picture")
      ->type_name("FILE")
      ->group("Reports");
  command
      .add_option("--display", options->displays,
                  "none (default); text: the text screen and the keyboard on this\n"
                  "terminal, in place of the serial port; vnc=[HOST]:N or vnc=unix:PATH: a\n"
                  "VNC server, ,password=TEXT or ,password-file=FILE; web[=[HOST:]PORT]: a\n"
                  "page for a browser. May be repeated")
      ->type_name("NAME[=WHERE]")
      ->allow_extra_args(false)
      ->group("Devices");
  command
      .add_option("--type", options->keys,
                  "press these keys: text, <enter>, <esc>, <up>, <f12>, <ctrl-x>...,\n"
                  "<wait:SECONDS>, <until:TEXT ON THE SCREEN>")
      ->type_name("KEYS")
      ->group("Devices");
  command
      .add_option("--firmware-log", options->machine.firmware_log,
                  "write there what the BIOS prints at port 0x402")
      ->type_name("FILE")
      ->group("Reports");
}

void add_debug_options(CLI::App& command, RunOptions* options) {
  command
      .add_option("--gdb", options->gdb,
                  "let gdb connect: tcp=[HOST]:PORT (HOST 127.0.0.1 if left out),\n"
                  "unix=PATH; ,wait begins paused")
      ->type_name("WHERE[,wait]")
      ->group("Debugging");
  command.add_flag("-s", options->default_gdb, "the same as --gdb tcp=:1234")->group("Debugging");
  command
      .add_flag("--paused,-S", options->debug.starts_paused,
                "begin paused: gdb, or the prompt of Ctrl-A c, lets the guest go")
      ->group("Debugging");
}

void add_host_options(CLI::App& command, RunOptions* options) {
  command
      .add_option("--paravirt", options->paravirt,
                  "a hypervisor that the guest may know of: none (default), kvm (its clock,\n"
                  "steal time), vmware (clock rates, steal time) or ringshift (our own calls)")
      ->type_name("NAME")
      ->group("Processor");
  command
      .add_option("--limit", options->limit,
                  "what the machine gets at most: cpu=25% of a host CPU's time, memory=SIZE of\n"
                  "all its memory (and at least memory-min=SIZE of RAM), disk=RATE and "
                  "network=RATE in bytes a second; shares=50: half\n"
                  "of what another one gets where both want the processor; group=off or\n"
                  "group=FOLDER: no control group, or one in that one")
      ->type_name("KEY=VALUE,...")
      ->group("Guest");
}

void add_replica_options(CLI::App& command, ReplicaOptions* options) {
  command
      .add_option("--replicate-to", options->to,
                  "have a second machine there (ringshift backup WHERE) follow this one,\n"
                  "which takes over when this one dies; taken for dead after MS of silence; a\n"
                  "backup that has gone is replaced by one that is found there later")
      ->type_name("WHERE[,timeout=MS][,reconnect=SECONDS]")
      ->group("Replication");
  command
      .add_option("--tie-breaker", options->tie_breaker,
                  "a file that both machines of a pair can reach: who writes it first goes on\n"
                  "when they lose each other")
      ->type_name("FILE")
      ->group("Replication");
}

void add_report_options(CLI::App& command, RunOptions* options) {
  command
      .add_option("--stats", options->stats_text,
                  "print counters and costs when the run ends: text (what is not zero),\n"
                  "all or json")
      ->type_name("[FORMAT]")
      ->expected(0, 1)
      ->default_str("text")
      ->group("Reports");
  command
      .add_option("--stats-file", options->stats_path,
                  "write them there, not to standard error; json unless --stats says\n"
                  "otherwise")
      ->type_name("FILE")
      ->group("Reports");
  command
      .add_flag("--trace", options->machine.vcpu.trace_exits,
                "print each return from translated code on standard error")
      ->group("Reports");
  command
      .add_flag("--perf-map", options->machine.translator.perf_map,
                "name translated code for perf, in /tmp/perf-PID.map")
      ->group("Reports");
  command
      .add_flag("--dump-screen", options->dump_screen,
                "print the text screen on standard error when the run ends")
      ->group("Reports");
}

}  // namespace

void add_run_options(CLI::App& command, RunOptions* options) {
  add_guest_options(command, options);
  command
      .add_option("--engine", options->engine,
                  "translate (default), interpret, or trap: classical trap and\n"
                  "emulate, which is wrong on purpose (docs/lab.md)")
      ->type_name("NAME")
      ->group("Processor");
  command
      .add_option("--user", options->user,
                  "guest user code: auto (default), direct (on the processor) or\n"
                  "translate; ,cpuid=fault or ,cpuid=sweep after it: how CPUID is kept\n"
                  "from answering for the host")
      ->type_name("HOW")
      ->group("Processor");
  command
      .add_option("--shadow", options->shadow,
                  "how shadow page tables follow the guest's: tlb (compared at each\n"
                  "flush), trace (the guest's tables are write-protected), auto (default:\n"
                  "those that are compared again and again)")
      ->type_name("HOW")
      ->group("Processor");
  add_host_options(command, options);
  add_device_options(command, options);
  command
      .add_option("--sandbox", options->sandbox_text,
                  "give up what a running machine does not need: on (default), off (for\n"
                  "tools that trace from inside), require (all of it, or do not run)")
      ->type_name("HOW")
      ->group("Guest");
  command.add_flag("--no-reboot", options->no_reboot, "end when the guest resets (exit code 6)")
      ->group("Guest");
  command
      .add_flag("--daemonize", options->daemonize,
                "go on in the background once the machine is there")
      ->group("Guest");
  command
      .add_option("--pidfile", options->pid_file,
                  "a file with the number of the process, while it runs")
      ->type_name("FILE")
      ->group("Guest");
  command
      .add_option("--save", options->save,
                  "on SIGUSR2 the machine is written to FILE, and ends (exit code 0);\n"
                  "then=run: it goes on; after=SECONDS, at=TEXT (on the serial port): also by\n"
                  "itself")
      ->type_name("FILE[,then=run][,after=SECONDS][,at=TEXT]")
      ->group("Guest");
  command
      .add_option("--verify-ram", options->verify_ram,
                  "of resume: compare the saved RAM with its checksums first, later (default;\n"
                  "while the guest runs, and damage ends it) or not at all (off)")
      ->type_name("WHEN")
      ->group("Guest");
  command
      .add_option("--share-pages", options->share_pages,
                  "of a machine that was resumed or cloned: look for pages that have become\n"
                  "equal to one of the base's, and share them: off (default), on (2000 pages a\n"
                  "second)")
      ->type_name("on|off|rate=N")
      ->group("Guest");
  add_firmware_options(command, options);
  add_debug_options(command, options);
  add_control_options(command, &options->control);
  add_migration_options(command, &options->migration);
  add_replica_options(command, &options->replica);
  add_report_options(command, options);
}

void add_translate_options(CLI::App& command, TranslateOptions* options) {
  add_guest_options(command, &options->guest);
  command.add_option("--raw", options->raw_path, "a file of 32-bit code, instead of --kernel")
      ->type_name("FILE")
      ->group("Code");
  command.add_option("--base", options->base, "linear address of --raw (default 0x1000)")
      ->type_name("ADDRESS")
      ->group("Code");
  command.add_option("--at", options->at, "linear address to begin at")
      ->type_name("ADDRESS")
      ->group("Code");
  command.add_flag("--entry", options->entry, "begin at the entry point (the default)")
      ->group("Code");
  command.add_option("--blocks", options->blocks, "blocks at most (default 8)")
      ->type_name("N")
      ->group("Code");
  command.add_option("--count", options->count, "instructions at most (default: no limit)")
      ->type_name("N")
      ->group("Code");
  command
      .add_option("--style", options->style,
                  "memory accesses: window (default in ring 0) or soft (in ring 3)")
      ->type_name("NAME")
      ->group("Code");
  command.add_option("--ring", options->ring, "privilege level of the code: 0 (default) or 3")
      ->type_name("N")
      ->group("Code");
}

}  // namespace ringshift
