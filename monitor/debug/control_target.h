// ControlTarget: the operations that a person or a program may do on a machine from outside: by
// QMP, at the prompt, on a monitor's socket. Declared for monitor_commands and the sessions of
// monitor/control; implemented by machine_control, and by a fake in tests. All of it is called
// between two guest instructions. See docs/control.md.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "devices/bus/virtual_clock.h"
#include "devices/input/key_codes.h"
#include "monitor/migration/clone_control.h"
#include "monitor/migration/migration_control.h"

namespace ringshift::debug {

enum class RunState : uint8_t {
  Running,
  Paused,     // stopped, or a person is at the prompt
  Debug,      // a debugger has stopped it
  Prelaunch,  // it was started with --paused, and nobody has let it go yet
};

// A drive and its medium.
struct DriveInfo {
  std::string device;  // "ide1-cd0", "floppy0", "virtio0"...
  bool is_cdrom = false;
  bool is_open = false, is_locked = false;  // of a CD-ROM drive
  bool has_medium = false;
  bool is_read_only = false;
  std::string file;
  uint64_t bytes = 0;
};

// A hand on keyboard or mouse.
struct InputEvent {
  enum class Kind : uint8_t { Key, Button, Move, Wheel };
  Kind kind = Kind::Key;
  KeyCode key;
  bool down = false;       // Key, Button
  uint8_t button = 0;      // Button: 1 left, 2 right, 4 middle
  int right = 0, up = 0;   // Move: counts
  int towards_person = 0;  // Wheel: steps
};

// The network card and its cable.
struct NetworkInfo {
  std::string model;    // "virtio-net-pci"
  std::string address;  // "52:54:00:12:34:56"
  std::string kind;     // of the network: "user", "stream"
  std::string details;  // "net=10.0.2.0,restrict=off"
  bool is_up = false;
  uint64_t sent_frames = 0, sent_bytes = 0, received_frames = 0, received_bytes = 0;
};

// One figure that the guest tells about its memory: "free_mem" and bytes, or "minor_page_faults"
// and a count.
struct MemoryFigure {
  std::string name;
  uint64_t value = 0;
};

enum class Picture : uint8_t { Ppm, Png };
enum class Tray : uint8_t { Open, OpenByForce, Close };

struct MachineFacts {
  std::string name;     // empty: it has none
  std::string version;  // of this program: three numbers with dots between
};

class ControlTarget {
 public:
  virtual ~ControlTarget() = default;

  [[nodiscard]] virtual RunState run_state() const = 0;
  [[nodiscard]] virtual const MachineFacts& facts() const = 0;
  // The guest stands, until go_on().
  virtual void stop() = 0;
  // These, and all below, are false with one line in *error if it cannot be done.
  [[nodiscard]] virtual bool go_on(std::string* error) = 0;
  virtual void reset() = 0;
  [[nodiscard]] virtual bool press_power_button(std::string* error) = 0;
  // The machine ends before the next instruction.
  virtual void quit() = 0;

  // All of them down, and up again after `hold`.
  [[nodiscard]] virtual bool press_keys(std::span<const KeyCode> keys, Nanoseconds hold,
                                        std::string* error) = 0;
  [[nodiscard]] virtual bool put_input(std::span<const InputEvent> events, std::string* error) = 0;

  [[nodiscard]] virtual bool write_screen(const std::string& file, Picture format,
                                          std::string* error) = 0;
  [[nodiscard]] virtual bool save(const std::string& file, std::string* error) = 0;

  // How it moves to another process. Null: it cannot.
  [[nodiscard]] virtual MigrationControl* migration() { return nullptr; }
  // How it is cloned while it runs. Null: it cannot be.
  [[nodiscard]] virtual CloneControl* clone() { return nullptr; }
  // The bytes of its RAM that a guest with a balloon is asked to keep, and those that it has kept.
  // Nothing: there is no balloon.
  [[nodiscard]] virtual bool set_balloon(uint64_t bytes, std::string* error) = 0;
  [[nodiscard]] virtual std::optional<uint64_t> balloon() = 0;
  // As its driver told last; asking makes it tell anew. Empty: it has not told yet.
  [[nodiscard]] virtual std::vector<MemoryFigure> balloon_figures() { return {}; }
  // Nothing: there is no network card.
  [[nodiscard]] virtual std::optional<NetworkInfo> network() { return std::nullopt; }

  [[nodiscard]] virtual std::vector<DriveInfo> drives() = 0;
  [[nodiscard]] virtual bool move_tray(const std::string& device, Tray move,
                                       std::string* error) = 0;
  // Pre of both: nothing. The tray must be open.
  [[nodiscard]] virtual bool insert_medium(const std::string& device, const std::string& file,
                                           std::string* error) = 0;
  [[nodiscard]] virtual bool remove_medium(const std::string& device, std::string* error) = 0;

  // Bytes of guest-physical memory, as far as RAM or ROM is there.
  [[nodiscard]] virtual size_t read_physical(uint64_t address, std::span<uint8_t> bytes) = 0;
  // The same of linear addresses, by the guest's tables.
  [[nodiscard]] virtual size_t read_linear(uint32_t address, std::span<uint8_t> bytes) = 0;
  // The value of a register by its name; false: there is none of this name.
  [[nodiscard]] virtual bool register_value(const std::string& name, uint32_t* value) = 0;
  // The answer of commands.h to a line.
  [[nodiscard]] virtual std::string inspect(const std::string& line) = 0;
};

// The tray's ways that QMP's and the prompt's words come to: a medium out, or another one in.
[[nodiscard]] bool eject(ControlTarget& target, const std::string& device, bool force,
                         std::string* error);
[[nodiscard]] bool change_medium(ControlTarget& target, const std::string& device,
                                 const std::string& file, bool force, std::string* error);

}  // namespace ringshift::debug
