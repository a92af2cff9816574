// Ports and devices in QEMU's spelling: -serial, -chardev, -debugcon, -monitor, -device.
#include <algorithm>
#include <iterator>
#include <string_view>

#include "monitor/command/qemu/qemu_line.h"

namespace ringshift::qemu {
namespace {

struct BackendRow {
  const char* name;  // the part before the first colon; a -chardev's first word
  Target::Kind kind;
  const char* why_not;  // not null: it is refused
};
constexpr const char* kNoWebSocket =
    "a port does not speak the WebSocket protocol here; use tcp:HOST:PORT with a gateway, or "
    "--display web, whose page has the serial port";
constexpr BackendRow kBackends[] = {
    {"stdio", Target::Kind::Console, nullptr},
    {"console", Target::Kind::Console, nullptr},
    {"null", Target::Kind::None, nullptr},
    {"none", Target::Kind::None, nullptr},
    {"vc", Target::Kind::None, nullptr},
    {"file", Target::Kind::File, nullptr},
    {"pty", Target::Kind::Socket, nullptr},
    {"tcp", Target::Kind::Socket, nullptr},
    {"telnet", Target::Kind::Socket, nullptr},
    {"unix", Target::Kind::Socket, nullptr},
    {"websocket", Target::Kind::None, kNoWebSocket},
    {"udp", Target::Kind::Socket, nullptr},
    {"pipe", Target::Kind::Socket, nullptr},
    {"ringbuf", Target::Kind::None, "there is no ring buffer to be read; use file:FILE"},
    {"braille", Target::Kind::None, "there is no braille display"},
    {"msmouse", Target::Kind::None, "there is no serial mouse; there is a PS/2 mouse"},
    {"spicevmc", Target::Kind::None, "there is no SPICE"},
};

// Behind a socket's address.
bool is_asked_for(const std::string& text, const char* key) {
  const std::vector<Item> items = items_of(text, "where");
  return std::any_of(items.begin(), items.end(),
                     [key](const Item& item) { return item.key == key && item.value != "off"; });
}

const BackendRow* find_backend(const std::string& name) {
  const auto* row = std::find_if(std::begin(kBackends), std::end(kBackends),
                                 [&](const BackendRow& one) { return name == one.name; });
  return row != std::end(kBackends) ? row : nullptr;
}

// `text` is all of it, `path` the part behind the name.
bool take_backend(QemuLine* line, const std::string& option, const std::string& text,
                  const std::string& name, const std::string& path, Target* target) {
  const BackendRow* row = find_backend(name);
  if (row == nullptr) {
    const bool is_device = name.rfind("/dev/", 0) == 0;
    return line->refuse(
        option + " " + name + ": " +
        (is_device ? "a port cannot be a device of the host's here"
                   : "there is no such place (stdio, file:FILE, null, pty, "
                     "pipe:PATH, tcp:HOST:PORT, telnet:HOST:PORT, udp:HOST:PORT, unix:PATH)"));
  }
  if (row->why_not != nullptr) return line->refuse(option + " " + name + ": " + row->why_not);
  const bool is_pipe = name == "pipe";
  if ((row->kind == Target::Kind::File || is_pipe) && path.empty()) {
    return line->refuse(option + " " + name + ": needs the file's name");
  }
  if (is_asked_for(text, "websocket"))
    return line->refuse(option + " " + name + ": " + kNoWebSocket);
  *target = {row->kind, row->kind == Target::Kind::File ? path : ""};
  if (row->kind != Target::Kind::Socket) return true;
  const bool has_items = name != "pty" && name != "udp" && !is_pipe;
  target->path = has_items ? with_defaults(text) : name == "pty" ? name : text;
  return true;
}

// A device that is a port with a character device behind it, or a drive at a place.
bool find_character_device(QemuLine* line, const std::string& option, const std::string& id,
                           Target* target) {
  const auto found = line->character_devices.find(id);
  if (found == line->character_devices.end()) {
    return line->refuse(option + ": there is no -chardev with id=" + id);
  }
  *target = found->second;
  return true;
}

bool put_serial(QemuLine* line, const std::vector<Item>& items) {
  line->serial_ports.push_back("chardev:" + value_of(items, "chardev"));
  return true;
}

bool put_debug_console(QemuLine* line, const std::vector<Item>& items) {
  const std::string port = value_of(items, "iobase");
  if (!port.empty() && port != "0xe9" && port != "0x402") {
    return line->refuse("-device isa-debugcon: its port is 0xe9, or the BIOS's 0x402");
  }
  line->debug_console = "chardev:" + value_of(items, "chardev");
  line->debug_console_is_firmwares = port == "0x402";
  return true;
}

bool put_ide(QemuLine* line, const std::vector<Item>& items, bool is_cdrom) {
  const auto loose = line->loose_drives.find(value_of(items, "drive"));
  if (loose == line->loose_drives.end()) {
    return line->refuse("-device: an IDE drive needs drive=ID of a -drive if=none,id=ID");
  }
  Drive drive = loose->second;
  drive.is_cdrom = is_cdrom || drive.is_cdrom;
  const std::string bus = value_of(items, "bus");
  if (bus.empty()) {
    line->unplaced.push_back(drive);
    return true;
  }
  const std::string unit = value_of(items, "unit");
  if ((bus != "ide.0" && bus != "ide.1") || (!unit.empty() && unit != "0" && unit != "1")) {
    return line->refuse("-device: an IDE drive is at bus=ide.0 or ide.1, unit=0 or 1");
  }
  std::optional<Drive>& place = line->ide[(bus == "ide.1" ? 2U : 0U) + (unit == "1" ? 1U : 0U)];
  if (place) return line->refuse("-device: " + bus + " has a drive there already");
  place = drive;
  return true;
}

bool put_hard_disk(QemuLine* line, const std::vector<Item>& items) {
  return put_ide(line, items, false);
}
bool put_cdrom(QemuLine* line, const std::vector<Item>& items) {
  return put_ide(line, items, true);
}
bool put_virtio_disk(QemuLine* line, const std::vector<Item>& items) {
  const auto loose = line->loose_drives.find(value_of(items, "drive"));
  if (loose == line->loose_drives.end()) {
    return line->refuse("-device: a virtio disk needs drive=ID of a -drive if=none,id=ID");
  }
  line->virtio_disks.push_back(loose->second);
  return true;
}
bool put_floppy(QemuLine* line, const std::vector<Item>& items) {
  const auto loose = line->loose_drives.find(value_of(items, "drive"));
  if (loose == line->loose_drives.end() || line->floppies[0]) {
    return line->refuse("-device floppy: needs drive=ID of a -drive if=none,id=ID, once");
  }
  line->floppies[0] = loose->second;
  return true;
}

// The device that a virtconsole is a port of.
bool put_nothing(QemuLine*, const std::vector<Item>&) { return true; }
// All sources of random numbers are the same here; a source that is named must exist.
bool put_random_source(QemuLine* line, const std::vector<Item>& items) {
  const std::string id = value_of(items, "rng");
  const auto& known = line->random_sources;
  if (!id.empty() && std::find(known.begin(), known.end(), id) == known.end()) {
    return line->refuse("-device " + items[0].value +
                        ": there is no -object rng-random with id=" + id);
  }
  line->add("--device", "virtio-rng-pci");
  return true;
}
bool put_balloon(QemuLine* line, const std::vector<Item>&) {
  line->add("--device", "virtio-balloon-pci");
  return true;
}

// Devices that every machine here has, or that only change where the host's pointer is.
bool is_there_anyway(QemuLine* line, const std::string& name) {
  constexpr const char* kOnTheBoard[] = {"VGA", "piix3-ide", "isa-fdc", "i8042", "mc146818rtc"};
  constexpr const char* kInputs[] = {"usb-tablet", "usb-mouse", "usb-kbd",     "piix3-usb-uhci",
                                     "usb-ehci",   "qemu-xhci", "nec-usb-xhci"};
  if (among(kOnTheBoard, name)) return line->ignore("-device " + name, "every machine has it");
  return among(kInputs, name) &&
         line->ignore("-device " + name, "there is no USB; keyboard and mouse are PS/2");
}

struct DeviceRow {
  const char* name;
  bool (*put)(QemuLine*, const std::vector<Item>&);
  const char* why_not;
};
constexpr const char* kNoCard =
    "there is no such network card; use virtio-net-pci, e1000 or ne2k_pci";
constexpr const char* kNoVirtio =
    "of virtio there are disks, a network card, a console, a shared folder, a balloon and a source "
    "of random numbers";
constexpr const char* kNoPorts = "of virtio's serial ports there is the console (virtconsole)";
constexpr const char* kNoUsb = "there is no USB";
constexpr const char* kNoSound = "there is no sound card";
constexpr const char* kOneScreen = "the screen is a standard VGA";
constexpr DeviceRow kDevices[] = {
    {"isa-serial", put_serial, nullptr},
    {"isa-debugcon", put_debug_console, nullptr},
    {"ide-hd", put_hard_disk, nullptr},
    {"ide-drive", put_hard_disk, nullptr},
    {"ide-cd", put_cdrom, nullptr},
    {"floppy", put_floppy, nullptr},
    {"e1000", put_network_card, nullptr},
    {"e1000-82540em", put_network_card, nullptr},
    {"ne2k_pci", put_network_card, nullptr},
    {"rtl8139", nullptr, kNoCard},
    {"ne2k_isa", nullptr, kNoCard},
    {"pcnet", nullptr, kNoCard},
    {"i82559er", nullptr, kNoCard},
    {"virtio-net-pci", put_network_card, nullptr},
    {"virtio-net-pci-transitional", put_network_card, nullptr},
    {"virtio-net-pci-non-transitional", put_network_card, nullptr},
    {"virtio-blk-pci", put_virtio_disk, nullptr},
    {"virtio-blk", put_virtio_disk, nullptr},
    {"virtio-scsi-pci", nullptr, kNoVirtio},
    {"virtio-serial-pci", put_nothing, nullptr},
    {"virtio-serial", put_nothing, nullptr},
    {"virtio-balloon", put_balloon, nullptr},
    {"virtio-rng", put_random_source, nullptr},
    {"virtio-rng-pci", put_random_source, nullptr},
    {"virtio-9p-pci", put_folder, nullptr},
    {"virtconsole", put_virtio_console, nullptr},
    {"virtserialport", nullptr, kNoPorts},
    {"virtio-vga", nullptr, kOneScreen},
    {"virtio-gpu-pci", nullptr, kOneScreen},
    {"cirrus-vga", nullptr, kOneScreen},
    {"vmware-svga", nullptr, kOneScreen},
    {"qxl-vga", nullptr, kOneScreen},
    {"bochs-display", nullptr, kOneScreen},
    {"usb-storage", nullptr, kNoUsb},
    {"usb-net", nullptr, kNoUsb},
    {"AC97", nullptr, kNoSound},
    {"ac97", nullptr, kNoSound},
    {"ES1370", nullptr, kNoSound},
    {"sb16", nullptr, kNoSound},
    {"adlib", nullptr, kNoSound},
    {"intel-hda", nullptr, kNoSound},
    {"hda-duplex", nullptr, kNoSound},
    {"ich9-ahci", nullptr, "there is no AHCI; disks are IDE"},
    {"ahci", nullptr, "there is no AHCI; disks are IDE"},
    {"nvme", nullptr, "there is no NVMe; disks are IDE"},
    {"lsi53c895a", nullptr, "there is no SCSI; disks are IDE"},
    {"edu", nullptr, "there is no such teaching device"},
    {"ivshmem-plain", nullptr, "there is no shared memory device"},
    {"vfio-pci", nullptr, "no device of the host's is handed to a guest"},
    {"ib700", nullptr, "of watchdogs there is the i6300esb"},
    {"loader", nullptr, "nothing is put into memory but kernels and their modules"},
};

// Checks the items of devices that are put together here. The guest itself chooses which form of
// virtio it uses.
bool has_known_items(QemuLine* line, const std::vector<Item>& items) {
  constexpr std::string_view kKnown[] = {
      "driver", "id",     "drive",     "bus",  "unit",           "chardev",        "iobase",
      "irq",    "serial", "bootindex", "addr", "disable-legacy", "disable-modern", "index",
      "ver",    "scsi",   "netdev",    "mac",  "romfile",        "fsdev",          "mount_tag",
      "name",   "nr",     "max_ports", "rng"};
  // The host's way of working, and its speed; features that a driver may use, and does without.
  constexpr std::string_view kIdle[] = {
      "iothread",     "ioeventfd",     "vectors",       "num-queues",    "queue-size", "mq",
      "packed",       "event_idx",     "rombar",        "write-cache",   "share-rw",   "max-bytes",
      "period",       "rx_queue_size", "tx_queue_size", "rotation_rate", "model",      "acpi-index",
      "multifunction"};
  for (const Item& item : items) {
    if (among(kKnown, item.key)) continue;
    if (among(kIdle, item.key)) {
      (void)line->ignore("-device " + items[0].value + "," + item.key + "=" + item.value,
                         "the device is as it is");
      continue;
    }
    return line->refuse("-device " + items[0].value + ": cannot use '" + item.key + "'");
  }
  return true;
}

}  // namespace

bool read_target(QemuLine* line, const std::string& option, const std::string& text,
                 Target* target) {
  std::string name = text;
  const bool is_monitors_too = name.rfind("mon:", 0) == 0;
  if (is_monitors_too) name.erase(0, 4);
  const std::string whole = name;
  const size_t colon = name.find_first_of(":=");
  const std::string rest = colon == std::string::npos ? "" : name.substr(colon + 1);
  if (name.rfind("/dev/", 0) != 0) name = name.substr(0, colon);
  if (name == "chardev") return find_character_device(line, option, rest, target);
  if (!take_backend(line, option, whole, name, rest, target)) return false;
  if (!is_monitors_too || target->kind != Target::Kind::Socket) return true;
  return line->refuse(option + " " + text + ": a socket is the port's alone; the monitor has " +
                      "-monitor unix:PATH or tcp:HOST:PORT");
}

bool read_serial(QemuLine* line, const std::string& value) {
  line->serial_ports.push_back(value);
  return true;
}

bool read_debugcon(QemuLine* line, const std::string& value) {
  line->debug_console = value;
  return true;
}

bool read_parallel(QemuLine* line, const std::string& value) {
  if (value == "none" || value == "null") return true;
  return line->refuse("-parallel " + value + ": there is no parallel port");
}

// An unknown name is --device's to refuse, which knows what there is.
bool read_device(QemuLine* line, const std::string& value) {
  const std::vector<Item> items = items_of(value, "driver");
  const std::string name = value_of(items, "driver");
  if (is_there_anyway(line, name)) return true;
  for (const DeviceRow& row : kDevices) {
    if (name != row.name) continue;
    if (row.put != nullptr) return has_known_items(line, items) && row.put(line, items);
    return line->refuse("-device " + name + " is not supported: " + row.why_not);
  }
  line->add("--device", value);
  return true;
}

bool read_global(QemuLine* line, const std::string& value) {
  if (value == "isa-debugcon.iobase=0x402") {
    line->debug_console_is_firmwares = true;
    return true;
  }
  if (value == "isa-debugcon.iobase=0xe9") return true;
  return line->refuse("-global " + value + ": nothing of the kind can be set here");
}

}  // namespace ringshift::qemu
