// FakeControl: a ControlTarget without a machine: it notes what is asked of it, and has one CD-ROM
// drive and a page of memory. Owns: all of it.
#pragma once

#include <algorithm>
#include <array>
#include <string>
#include <vector>

#include "monitor/debug/control_target.h"
#include "tests/support/migration_control_fixture.h"

namespace ringshift::debug {

class FakeControl final : public ControlTarget {
 public:
  static constexpr uint32_t kMemory = 0x1000;  // a page of it; nothing is anywhere else

  [[nodiscard]] RunState run_state() const override {
    return runs ? RunState::Running : RunState::Paused;
  }
  [[nodiscard]] const MachineFacts& facts() const override { return known; }
  void stop() override { runs = false; }
  [[nodiscard]] bool go_on(std::string* error) override {
    if (is_debugged) *error = "a debugger has the guest";
    if (!is_debugged) runs = true;
    return !is_debugged;
  }
  void reset() override { asked.emplace_back("reset"); }
  [[nodiscard]] bool press_power_button(std::string*) override {
    asked.emplace_back("power");
    return true;
  }
  void quit() override { asked.emplace_back("quit"); }
  [[nodiscard]] bool set_balloon(uint64_t bytes, std::string* error) override {
    asked.emplace_back("balloon " + std::to_string(bytes));
    if (!balloon_bytes) *error = "none";
    return balloon_bytes.has_value();
  }
  [[nodiscard]] std::optional<uint64_t> balloon() override { return balloon_bytes; }
  std::optional<uint64_t> balloon_bytes;
  [[nodiscard]] std::vector<MemoryFigure> balloon_figures() override { return figures; }
  std::vector<MemoryFigure> figures;
  [[nodiscard]] std::optional<NetworkInfo> network() override { return card; }
  std::optional<NetworkInfo> card;
  [[nodiscard]] bool press_keys(std::span<const KeyCode> keys, Nanoseconds hold,
                                std::string*) override {
    std::string all = "keys";
    for (const KeyCode& key : keys) all += " " + std::to_string(key.code);
    asked.push_back(all + " for " + std::to_string(hold / 1'000'000));
    return true;
  }
  [[nodiscard]] bool put_input(std::span<const InputEvent> events, std::string*) override {
    input.insert(input.end(), events.begin(), events.end());
    return true;
  }
  [[nodiscard]] bool write_screen(const std::string& file, Picture format,
                                  std::string* error) override {
    asked.push_back("screen " + file + (format == Picture::Png ? " png" : " ppm"));
    if (file == "full") *error = "no room";
    return file != "full";
  }
  [[nodiscard]] bool save(const std::string& file, std::string*) override {
    asked.push_back("save " + file);
    return true;
  }
  [[nodiscard]] MigrationControl* migration() override { return can_move ? &moving : nullptr; }
  [[nodiscard]] std::vector<DriveInfo> drives() override { return {drive}; }
  [[nodiscard]] bool move_tray(const std::string& device, Tray move, std::string* error) override {
    if (device != drive.device) {
      *error = "Device '" + device + "' not found";
      return false;
    }
    if (move == Tray::Open && drive.is_locked) {
      *error = "it is locked";
      return false;
    }
    drive.is_open = move != Tray::Close;
    return true;
  }
  [[nodiscard]] bool insert_medium(const std::string&, const std::string& file,
                                   std::string*) override {
    drive.has_medium = true;
    drive.file = file;
    return true;
  }
  [[nodiscard]] bool remove_medium(const std::string&, std::string*) override {
    drive.has_medium = false;
    return true;
  }
  [[nodiscard]] size_t read_physical(uint64_t address, std::span<uint8_t> bytes) override {
    if (address < kMemory || address >= kMemory + memory.size()) return 0;
    const size_t offset = address - kMemory;
    const size_t count = std::min(bytes.size(), memory.size() - offset);
    std::copy_n(memory.begin() + static_cast<ptrdiff_t>(offset), count, bytes.begin());
    return count;
  }
  [[nodiscard]] size_t read_linear(uint32_t address, std::span<uint8_t> bytes) override {
    return read_physical(address, bytes);
  }
  [[nodiscard]] bool register_value(const std::string& name, uint32_t* value) override {
    *value = kMemory + 4;
    return name == "esp";
  }
  [[nodiscard]] std::string inspect(const std::string& line) override {
    return "inspected " + line + "\n";
  }

  FakeMigration moving;
  bool can_move = true;
  MachineFacts known{"box", "1.2.3"};
  bool runs = true;
  bool is_debugged = false;
  std::vector<std::string> asked;  // in words, in their order
  std::vector<InputEvent> input;
  DriveInfo drive{.device = "ide1-cd0",
                  .is_cdrom = true,
                  .has_medium = true,
                  .is_read_only = true,
                  .file = "first.iso",
                  .bytes = 4096};
  std::array<uint8_t, 4096> memory{};
};

}  // namespace ringshift::debug
