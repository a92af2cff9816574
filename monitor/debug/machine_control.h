// MachineControl: a running machine as a control program sees it (ControlTarget). Owns: the keys on
// their way to the guest, the mouse buttons held, news of trays. A machine outlives it. Files are
// those that the command line names, and those in its control folder. See docs/control.md.
#pragma once

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "devices/input/key_queue.h"
#include "monitor/debug/control_target.h"
#include "monitor/machine/machine.h"

namespace ringshift::debug {

// The command line's permissions, and the object that knows whether the guest runs.
struct ControlSurroundings {
  MachineFacts facts;
  std::string folder;      // --control-folder; empty: none
  std::string screendump;  // --screendump; empty: none
  std::function<RunState()> run_state;
  std::function<void()> stop;
  std::function<bool(std::string* error)> go_on;
};

class MachineControl final : public ControlTarget {
 public:
  MachineControl(Machine& machine, ExecutionControl& control, ControlSurroundings around);

  [[nodiscard]] RunState run_state() const override { return around_.run_state(); }
  [[nodiscard]] const MachineFacts& facts() const override { return around_.facts; }
  void stop() override;
  [[nodiscard]] bool go_on(std::string* error) override;
  void reset() override;
  [[nodiscard]] bool press_power_button(std::string* error) override;
  void quit() override;
  [[nodiscard]] bool press_keys(std::span<const KeyCode> keys, Nanoseconds hold,
                                std::string* error) override;
  [[nodiscard]] bool put_input(std::span<const InputEvent> events, std::string* error) override;
  [[nodiscard]] bool write_screen(const std::string& file, Picture format,
                                  std::string* error) override;
  [[nodiscard]] bool save(const std::string& file, std::string* error) override;
  [[nodiscard]] MigrationControl* migration() override { return machine_.migration(); }
  [[nodiscard]] CloneControl* clone() override { return &machine_.clone(); }
  [[nodiscard]] bool set_balloon(uint64_t bytes, std::string* error) override;
  [[nodiscard]] std::optional<uint64_t> balloon() override;
  [[nodiscard]] std::vector<MemoryFigure> balloon_figures() override;
  [[nodiscard]] std::optional<NetworkInfo> network() override;
  [[nodiscard]] std::vector<DriveInfo> drives() override;
  [[nodiscard]] bool move_tray(const std::string& device, Tray move, std::string* error) override;
  [[nodiscard]] bool insert_medium(const std::string& device, const std::string& file,
                                   std::string* error) override;
  [[nodiscard]] bool remove_medium(const std::string& device, std::string* error) override;
  [[nodiscard]] size_t read_physical(uint64_t address, std::span<uint8_t> bytes) override;
  [[nodiscard]] size_t read_linear(uint32_t address, std::span<uint8_t> bytes) override;
  [[nodiscard]] bool register_value(const std::string& name, uint32_t* value) override;
  [[nodiscard]] std::string inspect(const std::string& line) override;

  // The events since the last call; the oldest are forgotten if nobody asks.
  struct News {
    enum class Kind : uint8_t {
      Tray,
      PowerButton,
      ResetAsked,
      EndAsked,
      Balloon,
      Panicked,
      CrashLoaded,
      Watchdog,
      Migration,
    };
    Kind kind = Kind::Tray;
    std::string device;    // Tray: any move; Panicked to Watchdog: the action; Migration:
                           // its status
    bool is_open = false;  // Tray
  };
  [[nodiscard]] std::vector<News> take_news();

 private:
  // The path by which a file that a client names may be opened; empty with a line in *error: it may
  // not be.
  [[nodiscard]] std::string file_allowed(const std::string& file, const std::string& named,
                                         std::string* error) const;
  // Null with a line in *error. *place: on the IDE cables.
  [[nodiscard]] AtapiCdrom* find_cdrom(const std::string& device, unsigned* place,
                                       std::string* error);
  [[nodiscard]] VirtioBalloon* find_balloon() const;
  void note(News news);
  [[nodiscard]] bool is_leaving() const;
  [[nodiscard]] bool is_on_tape(std::string* error) const;
  void put_one(const InputEvent& event);

  Machine& machine_;
  ExecutionControl& control_;
  ControlSurroundings around_;
  KeyQueue keys_;
  uint8_t buttons_ = 0;
  std::vector<News> news_;
};

}  // namespace ringshift::debug
