#include "monitor/command/qemu/words.h"

namespace ringshift::qemu {
namespace {

constexpr Word ours(const char* name, const char* word) {
  return {name, true, Meaning::Ours, word, nullptr};
}
constexpr Word our_flag(const char* name, const char* word) {
  return {name, false, Meaning::Ours, word, nullptr};
}
constexpr Word idle(const char* name, const char* why) {
  return {name, false, Meaning::Idle, why, nullptr};
}
constexpr Word idle_with_value(const char* name, const char* why) {
  return {name, true, Meaning::Idle, why, nullptr};
}
constexpr Word refused(const char* name, const char* why) {
  return {name, false, Meaning::Refused, why, nullptr};
}
constexpr Word read(const char* name, Reader reader) {
  return {name, true, Meaning::Read, nullptr, reader};
}
constexpr Word read_last(const char* name, Reader reader) {
  return {name, true, Meaning::ReadLast, nullptr, reader};
}

constexpr char kNoNuma[] = "there is one processor, and one memory";
constexpr char kHostMemory[] = "guest memory is the host's to place";
constexpr char kNotATable[] = "the machine's tables are as they are";

constexpr Word kWords[] = {
    // The guest.
    ours("-kernel", "--kernel"),
    ours("-initrd", "--initrd"),
    ours("-append", "--append"),
    ours("-bios", "--bios"),
    read("-boot", read_boot),
    refused("-dtb", "a PC has no device tree"),
    refused("-option-rom", "no ROM can be added"),
    refused("-pflash", "the BIOS is no flash memory; use -bios FILE"),
    refused("-shim", "there is no UEFI"),
    // The machine.
    read("-M", read_machine),
    read("-machine", read_machine),
    read("-accel", read_accelerator),
    idle("-enable-kvm", "guests run by binary translation"),
    idle("-no-kvm", "guests run by binary translation"),
    read("-cpu", read_cpu),
    read("-smp", read_processors),
    read("-m", read_memory),
    read("-rtc", read_rtc),
    {"-localtime", false, Meaning::Read, nullptr,
     [](QemuLine* line, const std::string&) { return read_rtc(line, "base=localtime"); }},
    {"-no-acpi", false, Meaning::Read, nullptr,
     [](QemuLine* line, const std::string&) { return read_machine(line, "acpi=off"); }},
    {"-no-hpet", false, Meaning::Read, nullptr,
     [](QemuLine* line, const std::string&) { return read_machine(line, "hpet=off"); }},
    read_last("-device", read_device),
    read("-global", read_global),
    idle_with_value("-uuid", kNotATable),
    idle_with_value("-smbios", kNotATable),
    refused("-acpitable", kNotATable),
    ours("-fw_cfg", "--fw-cfg"),
    refused("-numa", kNoNuma),
    read("-object", read_object),
    idle_with_value("-mem-path", kHostMemory),
    idle("-mem-prealloc", kHostMemory),
    idle_with_value("-overcommit", kHostMemory),
    read("-icount", read_icount),
    refused("-tpmdev", "there is no TPM"),
    read("-watchdog", read_watchdog),
    {"-watchdog-action", true, Meaning::Read, nullptr,
     [](QemuLine* line, const std::string& value) {
       return read_action(line, "watchdog=" + value);
     }},
    // Drives.
    read("-drive", read_drive),
    read("-hda", read_hda),
    read("-hdb", read_hdb),
    read("-hdc", read_hdc),
    read("-hdd", read_hdd),
    read("-fda", read_fda),
    read("-fdb", read_fdb),
    read("-cdrom", read_cdrom),
    our_flag("-snapshot", "--snapshot"),
    idle("-no-fd-bootchk", "any floppy is tried"),
    read("-blockdev", read_block_device),
    refused("-sd", "a PC has no SD card reader; use -hda"),
    refused("-mtdblock", "a PC has no such flash memory; use -hda"),
    refused("-iscsi", "there is no iSCSI; use -hda with an NBD server"),
    read("-virtfs", read_virtfs),
    read("-fsdev", read_fsdev),
    // Ports, screen, sound, network.
    our_flag("-nographic", "--nographic"),
    read("-serial", read_serial),
    read("-chardev", read_character_device),
    read("-debugcon", read_debugcon),
    read("-parallel", read_parallel),
    read("-monitor", read_monitor),
    read_last("-mon", read_monitor_device),
    read("-qmp", read_qmp),
    read("-qmp-pretty", read_qmp_pretty),
    read("-display", read_display),
    {"-curses", false, Meaning::Read, nullptr,
     [](QemuLine* line, const std::string&) { return read_display(line, "curses"); }},
    refused("-sdl", "there is no window; -curses shows the text screen"),
    refused("-spice", "there is no SPICE; -curses shows the text screen"),
    read("-vnc", read_vnc),
    read("-vga", read_vga),
    idle("-full-screen", "there is no window"),
    idle("-no-frame", "there is no window"),
    idle("-no-quit", "there is no window"),
    idle("-alt-grab", "there is no window"),
    idle("-ctrl-grab", "there is no window"),
    idle("-portrait", "there is no window"),
    idle_with_value("-rotate", "there is no window"),
    idle_with_value("-g", "the guest chooses the screen's size"),
    idle_with_value("-k", "keys are typed as on a US keyboard"),
    idle("-usb", "there is no USB; keyboard and mouse are PS/2"),
    read("-usbdevice", read_usb_device),
    refused("-soundhw", "there is no sound card"),
    read("-audio", read_audio),
    read("-audiodev", read_audio),
    read("-net", read_net),
    read("-nic", read_nic),
    read("-netdev", read_netdev),
    // The run.
    our_flag("-no-reboot", "--no-reboot"),
    idle("-no-shutdown", "the run ends when the guest powers off"),
    read("-action", read_action),
    ours("-gdb", "--gdb"),
    our_flag("-s", "-s"),
    our_flag("-S", "--paused"),
    ours("-pidfile", "--pidfile"),
    our_flag("-daemonize", "--daemonize"),
    read("-name", read_name),
    {"-nodefaults", false, Meaning::Read, nullptr,
     [](QemuLine* line, const std::string&) { return line->without_defaults = true; }},
    idle("-no-user-config", "there are no configuration files"),
    idle("-nodefconfig", "there are no configuration files"),
    refused("-readconfig", "there are no configuration files"),
    idle_with_value("-L", "the BIOS is Debian's, or --bios FILE"),
    idle_with_value("-msg", "messages are one line"),
    idle_with_value("-seed", "nothing is random"),
    idle_with_value("-compat", "there is one version"),
    idle("-win2k-hack", "no disk is too fast"),
    idle("-rtc-td-hack", "no tick is lost"),
    idle("-only-migratable", "every machine can be saved"),
    idle("-enable-fips", "there is no cryptography"),
    idle_with_value("-tb-size", "--translator arena= is the translator's memory"),
    idle("-singlestep", "--translator unit-max=1 is the nearest"),
    idle("-one-insn-per-tb", "--translator unit-max=1 is the nearest"),
    read("-sandbox", read_sandbox),
    refused("-runas", "start it as that user"),
    refused("-chroot", "start it there"),
    refused("-loadvm", "machines are saved by --save and resumed by ringshift resume"),
    refused("-incoming", "machines are saved by --save and resumed by ringshift resume"),
    refused("-add-fd", "no descriptor is handed over"),
    refused("-set", "say it where the thing is made"),
    refused("-writeconfig", "there are no configuration files"),
    refused("-echr", "the escape key is Ctrl-A"),
    refused("-semihosting", "there is none for this processor"),
    refused("-plugin", "there are no plugins"),
    refused("-trace", "--trace prints the ends of translated code"),
    our_flag("-perfmap", "--perf-map"),
    read("-d", read_log_items),
    read("-D", read_log_file),
    refused("-dfilter", "nothing is logged by address"),
    our_flag("-h", "--help"),
    our_flag("-help", "--help"),
    our_flag("-version", "--version"),
};

}  // namespace

std::span<const Word> all_words() { return kWords; }

}  // namespace ringshift::qemu
