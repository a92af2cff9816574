// Drives in QEMU's spelling: -drive, -hda and its like, and -device ide-hd with a drive of its own.
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <iterator>

#include "monitor/command/options/option_items.h"
#include "monitor/command/qemu/qemu_line.h"

namespace ringshift::qemu {
namespace {

// Items of -drive that tell the host how to work, and show neither in the guest nor in an image.
constexpr const char* kIdleItems[] = {"aio",
                                      "bps",
                                      "cache",
                                      "cache.direct",
                                      "cache.no-flush",
                                      "cache.writeback",
                                      "cyls",
                                      "detect-zeroes",
                                      "discard",
                                      "heads",
                                      "id",
                                      "iops",
                                      "l2-cache-size",
                                      "lazy-refcounts",
                                      "locking",
                                      "rerror",
                                      "secs",
                                      "serial",
                                      "trans",
                                      "werror",
                                      "file.locking",
                                      "auto-read-only",
                                      "addr",
                                      "node-name",
                                      "copy-on-read"};

constexpr const char* kFormats[] = {"raw",  "qcow2", "qcow",      "vmdk", "vdi",   "vpc",
                                    "vhdx", "qed",   "parallels", "dmg",  "bochs", "cloop"};

struct Wanted {
  Drive drive;
  std::string interface = "ide";
  std::string id;
  std::optional<uint32_t> index, bus, unit;
};

bool to_number(const std::string& text, std::optional<uint32_t>* number) {
  uint32_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  *number = value;
  return error == std::errc() && end == text.data() + text.size() && !text.empty();
}

// The protocols by which QEMU reaches data that is not in the host's files, known by the word
// before the colon.
struct ProtocolRow {
  const char* name;
  const char* why_not;
};
constexpr ProtocolRow kProtocols[] = {
    {"fat", "no disk is made of a folder; --share shows a guest a folder"},
    {"json", "images are named by a file or an NBD address"},
    {"http", "images are files or come from NBD servers"},
    {"https", "images are files or come from NBD servers"},
    {"ftp", "images are files or come from NBD servers"},
    {"ftps", "images are files or come from NBD servers"},
    {"ssh", "images are files or come from NBD servers"},
    {"iscsi", "there is no iSCSI; images are files or come from NBD servers"},
    {"rbd", "images are files or come from NBD servers"},
    {"gluster", "images are files or come from NBD servers"},
};

// A file's name as we take it. False: it is none.
bool take_file(QemuLine* line, const std::string& typed, std::string* file) {
  const size_t colon = typed.find(':');
  const std::string protocol = colon == std::string::npos ? "" : typed.substr(0, colon);
  const std::string rest = colon == std::string::npos ? "" : typed.substr(colon + 1);
  for (const ProtocolRow& row : kProtocols) {
    if (protocol == row.name) {
      return line->refuse(
          fmt::format("{}: QEMU's {}: is not supported: {}", typed, protocol, row.why_not));
    }
  }
  *file = protocol == "file" ? rest : typed;
  // The older way to say it: nbd:unix:PATH, nbd:HOST:PORT, :exportname=NAME behind either.
  if (protocol != "nbd" || rest.rfind("//", 0) == 0) return true;
  const size_t name_at = rest.find(":exportname=");
  const std::string where = rest.substr(0, name_at);
  const std::string name = name_at == std::string::npos ? "" : rest.substr(name_at + 12);
  *file = where.rfind("unix:", 0) == 0
              ? fmt::format("nbd+unix:///{}?socket={}", name, where.substr(5))
              : fmt::format("nbd://{}/{}", where, name);
  return true;
}

// False: there is no such item, or it cannot have this value.
bool take_drive_item(const Item& item, Wanted* wanted) {
  const auto& [key, value] = item;
  if (key == "file") {
    wanted->drive.file = value;
  } else if (key == "if") {
    wanted->interface = value;
  } else if (key == "index") {
    return to_number(value, &wanted->index);
  } else if (key == "bus") {
    return to_number(value, &wanted->bus);
  } else if (key == "unit") {
    return to_number(value, &wanted->unit);
  } else if (key == "media") {
    wanted->drive.is_cdrom = value == "cdrom";
    return value == "cdrom" || value == "disk";
  } else if (key == "format" || key == "driver") {
    wanted->drive.items += ",format=" + value;
    return among(kFormats, value);
  } else if (key == "snapshot" || key == "readonly" || key == "read-only") {
    bool is_on = false;
    if (!parse_on_off(value, &is_on)) return false;
    const std::string ours = key == "snapshot" ? ",snapshot=" : ",readonly=";
    wanted->drive.items += ours + (is_on ? "on" : "off");
  } else {
    if (key == "id") wanted->id = value;
    return among(kIdleItems, key);
  }
  return true;
}

bool place(QemuLine* line, std::optional<Drive>* where, Drive drive, const std::string& what) {
  if (*where) return line->refuse(what + ": that place has a drive already");
  *where = std::move(drive);
  return true;
}

bool place_ide(QemuLine* line, const Wanted& wanted) {
  if (!wanted.index && !wanted.bus && !wanted.unit) {
    line->unplaced.push_back(wanted.drive);
    return true;
  }
  const uint32_t at =
      wanted.index ? *wanted.index : wanted.bus.value_or(0) * 2 + wanted.unit.value_or(0);
  if (at >= line->ide.size()) {
    return line->refuse("-drive: there are four IDE drives, index 0 to 3");
  }
  return place(line, &line->ide[at], wanted.drive, "-drive index=" + std::to_string(at));
}

struct InterfaceRow {
  const char* name;
  const char* why_not;  // null: it is one of ours
};
constexpr InterfaceRow kInterfaces[] = {
    {"ide", nullptr},
    {"floppy", nullptr},
    {"none", nullptr},
    {"virtio", nullptr},
    {"scsi", "there is no SCSI; use if=ide"},
    {"sd", "a PC has no SD card reader; use if=ide"},
    {"mtd", "a PC has no such flash memory; use if=ide"},
    {"pflash", "the BIOS is no flash memory; use -bios FILE"},
    {"xen", "there is no Xen; use if=ide"},
};

bool put_at_interface(QemuLine* line, const Wanted& wanted) {
  for (const InterfaceRow& row : kInterfaces) {
    if (wanted.interface != row.name) continue;
    if (row.why_not != nullptr) {
      return line->refuse("-drive: if=" + wanted.interface + " is not supported: " + row.why_not);
    }
    if (wanted.interface == "ide") return place_ide(line, wanted);
    if (wanted.interface == "virtio") {
      line->implied_virtio_disks.push_back(wanted.drive);
      return true;
    }
    if (wanted.interface == "none") {
      line->loose_drives[wanted.id] = wanted.drive;
      return true;
    }
    const uint32_t at = wanted.index.value_or(wanted.unit.value_or(0));
    if (at >= line->floppies.size()) return line->refuse("-drive: there are two floppy drives");
    return place(line, &line->floppies[at], wanted.drive, "-drive if=floppy");
  }
  return line->refuse("-drive: there is no if=" + wanted.interface);
}

// A drive that is nothing but its file.
bool place_file(QemuLine* line, std::optional<Drive>* where, const std::string& typed,
                bool is_cdrom, const char* what) {
  Drive drive;
  drive.is_cdrom = is_cdrom;
  return take_file(line, typed, &drive.file) && place(line, where, std::move(drive), what);
}

bool read_place(QemuLine* line, size_t at, const std::string& file) {
  constexpr const char* kNames[] = {"-hda", "-hdb", "-hdc", "-hdd"};
  return place_file(line, &line->ide[at], file, false, kNames[at]);
}

bool read_floppy(QemuLine* line, size_t at, const std::string& file) {
  return place_file(line, &line->floppies[at], file, false, at == 0 ? "-fda" : "-fdb");
}

}  // namespace

bool read_drive(QemuLine* line, const std::string& value) {
  Wanted wanted;
  for (const Item& item : items_of(value)) {
    if (!take_drive_item(item, &wanted)) {
      return line->refuse(
          "-drive: cannot use '" + item.key + "=" + item.value +
          "' (file, if=ide|virtio|floppy|none, index, bus, unit, media=disk|cdrom, format, "
          "snapshot, readonly)");
    }
  }
  return take_file(line, wanted.drive.file, &wanted.drive.file) && put_at_interface(line, wanted);
}

// A node that is a file or a server, or the format of another node.
bool read_block_device(QemuLine* line, const std::string& value) {
  if (!value.empty() && value[0] == '{') {
    return line->refuse("-blockdev: JSON is not read here; use driver=...,node-name=...");
  }
  const std::vector<Item> items = items_of(value, "driver");
  const std::string driver = value_of(items, "driver"), name = value_of(items, "node-name");
  Drive drive;
  if (driver == "file" || driver == "host_device") {
    drive.file = value_of(items, "filename");
  } else if (driver == "nbd") {
    const std::string path = value_of(items, "server.path"), what = value_of(items, "export");
    drive.file = path.empty() ? fmt::format("nbd://{}:{}/{}", value_of(items, "server.host"),
                                            value_of(items, "server.port"), what)
                              : fmt::format("nbd+unix:///{}?socket={}", what, path);
  } else if (among(kFormats, driver)) {
    const auto below = line->loose_drives.find(value_of(items, "file"));
    if (below != line->loose_drives.end()) drive = below->second;
    if (drive.file.empty()) drive.file = value_of(items, "file.filename");
    drive.items += ",format=" + driver;
  } else {
    return line->refuse("-blockdev: there is no driver " + driver +
                        " (file, host_device, nbd, raw, qcow2...)");
  }
  if (drive.file.empty() || name.empty()) {
    return line->refuse(
        "-blockdev: needs node-name= and a file (filename=, file.filename=, or file= "
        "with the name of a -blockdev before it)");
  }
  constexpr const char* kUsed[] = {"driver",      "node-name",     "filename",    "file",
                                   "file.driver", "file.filename", "server.type", "server.host",
                                   "server.port", "server.path",   "export"};
  for (const Item& item : items) {
    bool is_read_only = false;
    const bool says_it = item.key == "read-only" && parse_on_off(item.value, &is_read_only);
    if (is_read_only) drive.items += ",readonly=on";
    if (says_it || among(kUsed, item.key) || among(kIdleItems, item.key)) continue;
    return line->refuse("-blockdev: cannot use '" + item.key + "=" + item.value + "'");
  }
  line->loose_drives[name] = drive;
  return true;
}

bool read_bare_image(QemuLine* line, const std::string& value) {
  return read_place(line, 0, value);
}
bool read_hda(QemuLine* line, const std::string& value) { return read_place(line, 0, value); }
bool read_hdb(QemuLine* line, const std::string& value) { return read_place(line, 1, value); }
bool read_hdc(QemuLine* line, const std::string& value) { return read_place(line, 2, value); }
bool read_hdd(QemuLine* line, const std::string& value) { return read_place(line, 3, value); }
bool read_fda(QemuLine* line, const std::string& value) { return read_floppy(line, 0, value); }
bool read_fdb(QemuLine* line, const std::string& value) { return read_floppy(line, 1, value); }
bool read_cdrom(QemuLine* line, const std::string& value) {
  return place_file(line, &line->ide[2], value, true, "-cdrom");
}

// The keys that SeaBIOS is not told here do not change which medium boots, except `strict`.
bool read_boot(QemuLine* line, const std::string& value) {
  std::string kept;
  for (const Item& item : items_of(value, "order")) {
    const auto& [key, what] = item;
    if (key == "order" || key == "once" || key == "menu") {
      kept += fmt::format("{}{}={}", kept.empty() ? "" : ",", key, what);
    } else if (key == "strict" || key == "splash" || key == "splash-time" ||
               key == "reboot-timeout") {
      (void)line->ignore("-boot " + key, "the BIOS is not told");
    } else {
      return line->refuse("-boot: there is no '" + key + "' (order, once, menu)");
    }
  }
  if (!kept.empty()) line->add("--boot", kept);
  return true;
}

}  // namespace ringshift::qemu
