#include "monitor/command/qemu/qemu_line.h"

#include <algorithm>

#include "monitor/command/options/option_items.h"

namespace ringshift::qemu {
std::vector<Item> items_of(const std::string& text, const char* implied_key) {
  std::vector<Item> items;
  if (text.empty()) return items;
  for (const std::string& piece : split_at_commas(text)) {
    const size_t equals = piece.find('=');
    const bool may_imply = items.empty() && *implied_key != '\0';
    if (equals != std::string::npos) {
      items.push_back({piece.substr(0, equals), piece.substr(equals + 1)});
    } else if (may_imply) {
      items.push_back({implied_key, piece});
    } else {
      items.push_back({piece, "on"});
    }
  }
  return items;
}

std::string value_of(const std::vector<Item>& items, const char* key) {
  for (const Item& item : items) {
    if (item.key == key) return item.value;
  }
  return "";
}

std::string Target::text() const {
  switch (kind) {
    case Kind::Console:
      return "console";
    case Kind::None:
      return "none";
    case Kind::File:
      return "file=" + path;
    case Kind::Socket:
      return path;
  }
  return "none";
}

void QemuLine::add(const std::string& name, const std::string& value) {
  if (!value.empty() && value[0] == '-') {
    words.push_back(name + "=" + value);
  } else {
    words.push_back(name);
    words.push_back(value);
  }
}

bool QemuLine::has(const std::string& name) const {
  return std::any_of(words.begin(), words.end(), [&](const std::string& word) {
    return word == name || word.rfind(name + "=", 0) == 0;
  });
}

bool QemuLine::finish() {
  return problem.empty() && finish_ports() && finish_drives() && finish_network();
}

// The first port can be this terminal, the second cannot; QEMU has two more.
bool QemuLine::finish_ports() {
  if (serial_ports.empty() && without_defaults && !has("--serial") && !has("--nographic")) {
    add("--serial", "none");
  }
  for (size_t i = 0; i < serial_ports.size(); ++i) {
    Target target;
    if (!read_target(this, "-serial", serial_ports[i], &target)) return false;
    if (i == 0) {
      add("--serial", target.text());
    } else if (i == 1 && target.kind != Target::Kind::Console) {
      add("--serial2", target.text());
    } else if (target.kind != Target::Kind::None) {
      return refuse("-serial " + serial_ports[i] +
                    ": there are two serial ports, and this terminal can be the first one's");
    }
  }
  if (debug_console.empty()) return true;
  Target target;
  if (!read_target(this, "-debugcon", debug_console, &target)) return false;
  if (!debug_console_is_firmwares) {
    add("--debugcon", target.text());
  } else if (target.kind == Target::Kind::File) {
    add("--firmware-log", target.path);
  } else if (target.kind != Target::Kind::None) {
    return refuse("-debugcon " + debug_console +
                  ": what firmware prints at port 0x402 can go to a file only");
  }
  return true;
}

bool QemuLine::finish_drives() {
  constexpr const char* kNames[] = {"--hda", "--hdb", "--hdc", "--hdd"};
  for (Drive& drive : unplaced) {
    size_t at = 0;
    while (at < ide.size() && (ide[at] || has(kNames[at]) || (at == 2 && has("--cdrom")))) ++at;
    if (at == ide.size()) return refuse("-drive: there are four IDE drives at most");
    ide[at] = std::move(drive);
  }
  unplaced.clear();
  for (size_t i = 0; i < ide.size(); ++i) {
    if (!ide[i]) continue;
    if (ide[i]->file.empty() && !ide[i]->is_cdrom) {
      return refuse("-drive: a hard disk needs file=");
    }
    if (ide[i]->file.empty()) continue;  // a drive without a disc, as there is one anyway
    const bool is_usual = i == 2 && ide[i]->is_cdrom;  // where --cdrom puts one
    const char* more = ide[i]->is_cdrom && !is_usual ? ",media=cdrom" : "";
    add(is_usual ? "--cdrom" : kNames[i], ide[i]->file + ide[i]->items + more);
  }
  virtio_disks.insert(virtio_disks.end(), implied_virtio_disks.begin(), implied_virtio_disks.end());
  for (const Drive& disk : virtio_disks) {
    if (disk.is_cdrom || disk.file.empty()) return refuse("-drive: a virtio disk needs file=");
    add("--virtio-disk", disk.file + disk.items);
  }
  if (floppies[1] && !floppies[1]->file.empty()) {
    return refuse("-fdb: there is one floppy drive (docs/limitations.md, L20)");
  }
  if (floppies[0] && !floppies[0]->file.empty()) {
    add("--fda", floppies[0]->file + floppies[0]->items);
  }
  return true;
}

}  // namespace ringshift::qemu
