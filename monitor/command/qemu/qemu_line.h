// QemuLine: the part of a command line in QEMU's spelling that has been read, and the words of ours
// that it becomes. Parts that belong together in ours and apart in QEMU's (drives and their
// devices, ports and their character devices) are gathered here until the line ends. See
// docs/usage.md.
#pragma once

#include <algorithm>
#include <array>
#include <iterator>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace ringshift::qemu {

// One of "key=value,key=value"; a key without a value is "on", as in QEMU.
struct Item {
  std::string key;
  std::string value;
};
// A comma within a value is written twice. The first item may leave its key out, if there is one to
// be implied.
[[nodiscard]] std::vector<Item> items_of(const std::string& text, const char* implied_key = "");

// Whether a table of names has this one.
template <typename Names>
[[nodiscard]] bool among(const Names& names, std::string_view name) {
  return std::find(std::begin(names), std::end(names), name) != std::end(names);
}

// The value of the first item with this key; empty: there is none.
[[nodiscard]] std::string value_of(const std::vector<Item>& items, const char* key);

// The ends that a port can be connected to here.
struct Target {
  enum class Kind : uint8_t { Console, None, File, Socket };
  Kind kind = Kind::None;
  std::string path;                        // Kind::File; Kind::Socket: as --serial takes it
  [[nodiscard]] std::string text() const;  // as --serial takes it
};

struct Drive {
  std::string file;
  std::string items;  // as --hda takes them, each with its comma
  bool is_cdrom = false;
};

struct Card {
  std::string model;    // as --net has it; empty: the usual one
  std::string network;  // the id of one; "-net": the hub's
  std::string mac;
};

class QemuLine {
 public:
  // refuse() and ignore() may end a line of a table: they return the value that a reader returns.
  bool refuse(const std::string& why) {
    if (problem.empty()) problem = why;
    return false;
  }
  bool ignore(const std::string& word, const std::string& why) {
    idle.push_back(word + " (" + why + ")");
    return true;
  }
  // `--name=value`, or in two words where one would not do.
  void add(const std::string& name, const std::string& value);
  void add(const std::string& name) { words.push_back(name); }
  [[nodiscard]] bool has(const std::string& name) const;

  // The end of the line: the gathered parts become words. False: refused.
  [[nodiscard]] bool finish();

  std::vector<std::string> words;
  std::vector<std::string> idle;
  std::string problem;

  std::map<std::string, Target> character_devices;  // by id
  std::vector<std::string> serial_ports;            // as typed
  std::string debug_console;                        // as typed; empty: not mentioned
  bool debug_console_is_firmwares = false;          // at port 0x402
  bool without_defaults = false;
  std::map<std::string, Drive> loose_drives;  // if=none by id, -blockdev by name
  std::array<std::optional<Drive>, 4> ide;    // by place
  std::array<std::optional<Drive>, 2> floppies;
  std::vector<Drive> virtio_disks;              // of -device
  std::vector<Drive> implied_virtio_disks;      // of if=virtio: behind those, as QEMU has them
  std::map<std::string, std::string> networks;  // by id: the text of --net
  std::vector<Card> cards;
  std::vector<std::string> random_sources;     // of -object, by id
  std::map<std::string, std::string> folders;  // by id: the text of --share, without its tag
  std::vector<Drive> unplaced;                 // IDE, in the first place that is free at the end

 private:
  [[nodiscard]] bool finish_ports();
  [[nodiscard]] bool finish_drives();
  [[nodiscard]] bool finish_network();
};

// A socket as --qmp and --serial take it. QEMU connects unless it is told to be the server, and a
// server waits unless it is told not to.
[[nodiscard]] std::string with_defaults(const std::string& text);

// One of -serial, -monitor... False: refused, with a line that begins with `option`.
[[nodiscard]] bool read_target(QemuLine* line, const std::string& option, const std::string& text,
                               Target* target);

// A card of -device, a shared folder, a port of a virtio console.
bool put_network_card(QemuLine* line, const std::vector<Item>& items);
bool put_folder(QemuLine* line, const std::vector<Item>& items);
bool put_virtio_console(QemuLine* line, const std::vector<Item>& items);

// Readers of words whose value has a language of its own. False: refused.
using Reader = bool (*)(QemuLine*, const std::string& value);
bool read_bare_image(QemuLine* line, const std::string& value);
bool read_drive(QemuLine* line, const std::string& value);
bool read_block_device(QemuLine* line, const std::string& value);
bool read_hda(QemuLine* line, const std::string& value);
bool read_hdb(QemuLine* line, const std::string& value);
bool read_hdc(QemuLine* line, const std::string& value);
bool read_hdd(QemuLine* line, const std::string& value);
bool read_fda(QemuLine* line, const std::string& value);
bool read_fdb(QemuLine* line, const std::string& value);
bool read_cdrom(QemuLine* line, const std::string& value);
bool read_boot(QemuLine* line, const std::string& value);
bool read_device(QemuLine* line, const std::string& value);
bool read_global(QemuLine* line, const std::string& value);
bool read_character_device(QemuLine* line, const std::string& value);
bool read_serial(QemuLine* line, const std::string& value);
bool read_debugcon(QemuLine* line, const std::string& value);
bool read_monitor(QemuLine* line, const std::string& value);
bool read_monitor_device(QemuLine* line, const std::string& value);
bool read_name(QemuLine* line, const std::string& value);
bool read_qmp(QemuLine* line, const std::string& value);
bool read_qmp_pretty(QemuLine* line, const std::string& value);
bool read_parallel(QemuLine* line, const std::string& value);
bool read_machine(QemuLine* line, const std::string& value);
bool read_accelerator(QemuLine* line, const std::string& value);
bool read_cpu(QemuLine* line, const std::string& value);
bool read_processors(QemuLine* line, const std::string& value);
bool read_memory(QemuLine* line, const std::string& value);
bool read_icount(QemuLine* line, const std::string& value);
bool read_display(QemuLine* line, const std::string& value);
bool read_vga(QemuLine* line, const std::string& value);
bool read_vnc(QemuLine* line, const std::string& value);
bool read_netdev(QemuLine* line, const std::string& value);
bool read_nic(QemuLine* line, const std::string& value);
bool read_net(QemuLine* line, const std::string& value);
bool read_virtfs(QemuLine* line, const std::string& value);
bool read_fsdev(QemuLine* line, const std::string& value);
bool read_watchdog(QemuLine* line, const std::string& value);
bool read_object(QemuLine* line, const std::string& value);
bool read_rtc(QemuLine* line, const std::string& value);
bool read_action(QemuLine* line, const std::string& value);
bool read_log_items(QemuLine* line, const std::string& value);
bool read_log_file(QemuLine* line, const std::string& value);
bool read_audio(QemuLine* line, const std::string& value);
bool read_usb_device(QemuLine* line, const std::string& value);
bool read_sandbox(QemuLine* line, const std::string& value);

}  // namespace ringshift::qemu
