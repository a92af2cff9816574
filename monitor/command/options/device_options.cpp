#include "monitor/command/options/device_options.h"

#include <CLI/App.hpp>

#include "monitor/command/options/options.h"

namespace ringshift {
namespace {

void add_port_and_time_options(CLI::App& command, RunOptions* options) {
  command
      .add_option("--serial", options->serial,
                  "the guest's serial port: console (default), none, file=FILE, pty,\n"
                  "pipe:PATH, unix:PATH, tcp:[HOST]:PORT, telnet:[HOST]:PORT, udp:[HOST]:PORT;\n"
                  "wait=on, server=off, reconnect=SECONDS")
      ->type_name("WHERE")
      ->group("Devices");
  command
      .add_option("--serial2", options->second_serial,
                  "its second serial port: none (default), and the same without console")
      ->type_name("WHERE")
      ->group("Devices");
  command
      .add_option("--debugcon", options->debugcon,
                  "what it prints at port 0xe9: the same (default: with the serial port)")
      ->type_name("WHERE")
      ->group("Devices");
  command
      .add_option("--rtc", options->rtc,
                  "the guest's clock: utc (default), localtime, or a date, as\n"
                  "2000-01-31 or 2000-01-31T23:59:59")
      ->type_name("TIME")
      ->group("Devices");
  command
      .add_option("--digest", options->digest,
                  "write the number of events, and hashes of registers and RAM, at the end")
      ->type_name("FILE")
      ->group("Debugging");
  command
      .add_option("--clock", options->clock,
                  "what the guest's time is: host (default), or the number of events it has\n"
                  "come to, so that runs repeat to the bit; idle time is skipped or waited for")
      ->type_name("host|events[,ns=N][,idle=skip|wait]")
      ->group("Devices");
  command
      .add_option("--time", options->time,
                  "how that time goes: usual (default; stands while the guest is stopped), real\n"
                  "(goes on, and all ticks are made up), lazy (goes on, late ticks are dropped),\n"
                  "scaled=F (F times the host's, 0.01 to 100), events (as --clock events)")
      ->type_name("POLICY")
      ->group("Devices");
  command
      .add_option("--record", options->record,
                  "keep what comes to the guest, and when, in this folder, for\n"
                  "`ringshift replay FOLDER`; --clock events,idle=wait, unless it says otherwise")
      ->type_name("FOLDER")
      ->group("Devices");
  command.add_flag("--nographic", options->nographic, "accepted: there is no other way")
      ->group("Devices");
}

}  // namespace

void add_device_options(CLI::App& command, RunOptions* options) {
  command
      .add_option("--device", options->devices,
                  "one more device: pc-testdev, virtio-rng-pci, virtio-balloon-pci,\n"
                  "pvpanic, pvpanic-pci, i6300esb (a watchdog), or\n"
                  "isa-debug-exit,iobase=0x501,iosize=2; may be repeated")
      ->type_name("NAME[,KEY=VALUE,...]")
      ->allow_extra_args(false)
      ->group("Devices");
  command
      .add_option("--action", options->actions,
                  "what is done when the guest's kernel panics (pvpanic):\n"
                  "panic=shutdown (default; exit code 12), pause or none; when its watchdog\n"
                  "runs out: watchdog=reset (default), shutdown, poweroff, pause, debug, none")
      ->type_name("KEY=VALUE,...")
      ->delimiter(',')
      ->allow_extra_args(false)
      ->group("Devices");
  command
      .add_option("--virtio-console", options->virtio_console,
                  "a virtio console (hvc0 of Linux): none (default), console (this terminal,\n"
                  "in place of the serial port), null, and the places of --serial")
      ->type_name("WHERE")
      ->group("Devices");
  command
      .add_option("--net", options->network,
                  "a network card, and what is at its other end: none (default), user (a\n"
                  "network of its own behind the host's; hostfwd=tcp::8080-:80 leads to\n"
                  "the guest), stream (another machine: unix=PATH or tcp=HOST:PORT;\n"
                  "server=on waits for it); model=virtio|e1000|ne2k_pci, mac=ADDRESS")
      ->type_name("KIND[,KEY=VALUE,...]")
      ->group("Devices");
  command
      .add_option("--net-dump", options->machine.network.dump_path,
                  "write all frames of the network there, for tcpdump and wireshark")
      ->type_name("FILE")
      ->group("Reports");
  command
      .add_option("--share", options->share,
                  "a folder of the host's for the guest (9p), by Debian's diod; the guest\n"
                  "mounts it by its tag (default share): mount -t 9p -o trans=virtio,\n"
                  "version=9p2000.L share /mnt")
      ->type_name("FOLDER[,tag=NAME][,readonly]")
      ->allow_extra_args(false)
      ->group("Devices");
  add_port_and_time_options(command, options);
}

}  // namespace ringshift
