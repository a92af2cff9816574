// Shared folders in QEMU's spelling: -virtfs, -fsdev with its device; and two short ones: the
// watchdog, the virtio console.
#include <fmt/format.h>

#include "monitor/command/qemu/qemu_line.h"

namespace ringshift::qemu {
namespace {

// A comma of a path is written twice.
std::string doubled(const std::string& value) {
  std::string text;
  for (const char c : value) text += c == ',' ? std::string(",,") : std::string(1, c);
  return text;
}

struct Folder {
  std::string path, id, tag;
  bool read_only = false;
  [[nodiscard]] std::string text() const { return doubled(path) + (read_only ? ",readonly" : ""); }
};

bool take_model(QemuLine* line, const std::string& option, const std::string& model) {
  if (model == "none" || model == "passthrough") return true;
  if (model == "mapped" || model == "mapped-xattr" || model == "mapped-file") {
    return line->ignore(option + " security_model=" + model,
                        "files belong to whoever runs this, whatever the guest's user");
  }
  return line->refuse(option + ": there is no security model '" + model + "'");
}

bool take_folder(QemuLine* line, const std::string& option, const std::string& value,
                 Folder* folder) {
  const std::vector<Item> items = items_of(value, "driver");
  const std::string driver = items.empty() ? "" : items[0].value;
  if (items.empty() || items[0].key != "driver" || driver != "local") {
    return line->refuse(option + " " + driver + ": a folder of this host is shared (local)");
  }
  for (size_t i = 1; i < items.size(); ++i) {
    const auto& [key, what] = items[i];
    if (key == "path") {
      folder->path = what;
    } else if (key == "id") {
      folder->id = what;
    } else if (key == "mount_tag") {
      folder->tag = what;
    } else if (key == "readonly") {
      folder->read_only = what == "on";
    } else if (key == "security_model") {
      if (!take_model(line, option, what)) return false;
    } else if (key != "writeout" && key != "multidevs" && key != "fmode" && key != "dmode") {
      return line->refuse(
          fmt::format("{}: cannot use '{}' (path, mount_tag, readonly)", option, key));
    }
  }
  return !folder->path.empty() || line->refuse(option + ": needs path=");
}

bool add_share(QemuLine* line, const std::string& option, const std::string& text,
               const std::string& tag) {
  if (tag.empty()) return line->refuse(option + ": needs mount_tag=");
  line->add("--share", text + ",tag=" + doubled(tag));
  return true;
}

}  // namespace

bool read_virtfs(QemuLine* line, const std::string& value) {
  Folder folder;
  return take_folder(line, "-virtfs", value, &folder) &&
         add_share(line, "-virtfs", folder.text(), folder.tag);
}

bool read_fsdev(QemuLine* line, const std::string& value) {
  Folder folder;
  if (!take_folder(line, "-fsdev", value, &folder)) return false;
  if (folder.id.empty()) return line->refuse("-fsdev: needs id=");
  line->folders[folder.id] = folder.text();
  return true;
}

bool put_folder(QemuLine* line, const std::vector<Item>& items) {
  const auto found = line->folders.find(value_of(items, "fsdev"));
  if (found == line->folders.end()) {
    return line->refuse("-device virtio-9p-pci: needs fsdev=ID of a -fsdev with that id");
  }
  return add_share(line, "-device virtio-9p-pci", found->second, value_of(items, "mount_tag"));
}

bool read_watchdog(QemuLine* line, const std::string& value) {
  if (value != "i6300esb") {
    return line->refuse("-watchdog " + value + " is not supported: there is the i6300esb");
  }
  line->add("--device", value);
  return true;
}

bool put_virtio_console(QemuLine* line, const std::vector<Item>& items) {
  Target target;
  const std::string name = value_of(items, "chardev");
  if (name.empty()) return line->refuse("-device virtconsole: needs chardev=ID of a -chardev");
  if (!read_target(line, "-device virtconsole", "chardev:" + name, &target)) return false;
  if (line->has("--virtio-console")) {
    return line->refuse("-device virtconsole: there is one virtio console");
  }
  const bool is_nowhere = target.kind == Target::Kind::None;
  line->add("--virtio-console", is_nowhere ? "null" : target.text());
  return true;
}

}  // namespace ringshift::qemu
