#include "monitor/debug/machine_control.h"

#include <algorithm>
#include <array>

#include "monitor/debug/gdb/quiet_memory.h"
#include "monitor/debug/prompt/commands.h"
#include "monitor/debug/travel_commands.h"
#include "shadowmmu/base/host_files.h"

namespace ringshift::debug {
namespace {

constexpr unsigned kIdePlaces = 4;
constexpr size_t kMostNews = 64;

std::string ide_name(unsigned place, bool is_cdrom) {
  return "ide" + std::to_string(place / 2) + (is_cdrom ? "-cd" : "-hd") + std::to_string(place % 2);
}

bool fail(std::string why, std::string* error) {
  *error = std::move(why);
  return false;
}

DriveInfo medium_info(std::string device, const DiskBackend* medium, const std::string& file) {
  DriveInfo info;
  info.device = std::move(device);
  info.has_medium = medium != nullptr;
  if (medium == nullptr) return info;
  info.file = file;
  info.bytes = medium->bytes();
  info.is_read_only = medium->read_only();
  return info;
}

}  // namespace

bool eject(ControlTarget& target, const std::string& device, bool force, std::string* error) {
  return target.move_tray(device, force ? Tray::OpenByForce : Tray::Open, error) &&
         target.remove_medium(device, error);
}

bool change_medium(ControlTarget& target, const std::string& device, const std::string& file,
                   bool force, std::string* error) {
  return target.move_tray(device, force ? Tray::OpenByForce : Tray::Open, error) &&
         target.insert_medium(device, file, error) && target.move_tray(device, Tray::Close, error);
}

MachineControl::MachineControl(Machine& machine, ExecutionControl& control,
                               ControlSurroundings around)
    : machine_(machine),
      control_(control),
      around_(std::move(around)),
      keys_(machine.clock(), machine.board().keyboard_controller()) {
  for (unsigned place = 0; machine.pci() != nullptr && place < kIdePlaces; ++place) {
    AtapiCdrom* drive = machine.pci()->ide().cdrom(place);
    if (drive == nullptr) continue;
    drive->set_on_tray([this, place](bool is_open) {
      note({News::Kind::Tray, ide_name(place, true), is_open});
      machine_.inbox().wake();
    });
  }
  machine.set_on_event([this](const GuestEvent& event) {
    constexpr News::Kind kKinds[] = {News::Kind::Panicked, News::Kind::CrashLoaded,
                                     News::Kind::Watchdog};
    note({kKinds[static_cast<unsigned>(event.kind)], event.action, false});
    machine_.inbox().wake();
  });
  if (find_balloon() == nullptr) return;
  find_balloon()->set_on_change([this] {
    note({News::Kind::Balloon, "", false});
    machine_.inbox().wake();
  });
}

VirtioBalloon* MachineControl::find_balloon() const {
  return machine_.pci() != nullptr ? machine_.pci()->balloon() : nullptr;
}

bool MachineControl::set_balloon(uint64_t bytes, std::string* error) {
  VirtioBalloon* const balloon = find_balloon();
  if (balloon == nullptr) {
    return fail("there is no balloon: --device virtio-balloon-pci brings one", error);
  }
  if (is_on_tape(error)) return false;
  if (bytes == 0) return fail("a guest keeps something of its RAM", error);
  const uint64_t least = machine_.config().memory_min;
  if (bytes < least) {
    return fail("the machine keeps memory-min=" + std::to_string(least >> 20) + "M (--limit)",
                error);
  }
  balloon->set_target(bytes);
  machine_.attention().raise();
  return true;
}

std::optional<uint64_t> MachineControl::balloon() {
  VirtioBalloon* const balloon = find_balloon();
  if (balloon == nullptr) return std::nullopt;
  return balloon->kept_bytes();
}

void MachineControl::note(News news) {
  if (news_.size() >= kMostNews) news_.erase(news_.begin());
  news_.push_back(std::move(news));
}

std::vector<MachineControl::News> MachineControl::take_news() {
  if (machine_.migration() != nullptr) {
    for (const MigrationStatus status : machine_.migration()->take_news()) {
      note({News::Kind::Migration, migration_status_name(status), false});
    }
  }
  return std::exchange(news_, {});
}

// It is on its way to another process, which has its state: nothing may change here.
bool MachineControl::is_leaving() const {
  return machine_.migration() != nullptr && machine_.migration()->is_handing_over();
}

void MachineControl::stop() {
  if (!is_leaving()) around_.stop();
}

bool MachineControl::go_on(std::string* error) {
  if (is_leaving()) return fail("the machine is on its way to another process", error);
  return around_.go_on(error);
}

// Called by each request that changes the guest. True: the change would not be on the machine's
// tape, so it is refused.
bool MachineControl::is_on_tape(std::string* error) const {
  if (machine_.config().tape == nullptr) return false;
  *error = "the machine is recorded, or has a backup, and this would not be on the tape";
  return true;
}

void MachineControl::reset() {
  // Only if it stays; and where there is a tape, at the next event.
  const bool is_taped = machine_.config().tape != nullptr;
  if (is_taped) note({News::Kind::ResetAsked, "", false});
  if (is_leaving() || is_taped) return machine_.inbox().put({HostInput::Kind::Reset, 0, {}});
  note({News::Kind::ResetAsked, "", false});
  machine_.request_stop(StopReason::Reset);
}

void MachineControl::quit() {
  note({News::Kind::EndAsked, "", false});
  machine_.request_stop(StopReason::Quit);
}

bool MachineControl::press_power_button(std::string* error) {
  if (machine_.pci() == nullptr) {
    return fail("the board has no power button: --machine acpi=on, or a disk, brings one", error);
  }
  if (machine_.config().tape != nullptr) {
    machine_.inbox().put({HostInput::Kind::PowerButton, 0, {}});
  } else {
    machine_.pci()->press_power_button();
  }
  note({News::Kind::PowerButton, "", false});
  machine_.attention().raise();
  return true;
}

// ---- files ----

std::string MachineControl::file_allowed(const std::string& file, const std::string& named,
                                         std::string* error) const {
  if (!file.empty() && file == named) return file;
  const std::string& folder = around_.folder;
  if (folder.empty()) {
    *error = "no folder is open to whoever controls the machine (--control-folder DIR)";
    return "";
  }
  const std::string_view name = is_plain_name(file) ? file : name_in_folder(file, folder);
  if (!name.empty()) return folder + "/" + std::string(name);
  *error = "'" + file.substr(0, kLongestPlainName) + "' is no plain name in " + folder +
           " (--control-folder)";
  return "";
}

bool MachineControl::write_screen(const std::string& file, Picture format, std::string* error) {
  const std::string path = file_allowed(file, around_.screendump, error);
  if (path.empty()) return false;
  const ScreenImage image = machine_.screen();
  return format == Picture::Png ? write_png(image, path, error) : write_ppm(image, path, error);
}

bool MachineControl::save(const std::string& file, std::string* error) {
  const std::string path = file_allowed(file, machine_.config().save.path, error);
  return !path.empty() && machine_.save(path, error);
}

// ---- drives ----

std::vector<DriveInfo> MachineControl::drives() {
  std::vector<DriveInfo> all;
  const Media& media = machine_.config().media;
  for (unsigned place = 0; machine_.pci() != nullptr && place < kIdePlaces; ++place) {
    const AtapiCdrom* drive = machine_.pci()->ide().cdrom(place);
    if (drive == nullptr && media.slot[place] == nullptr) continue;
    if (drive == nullptr) {
      all.push_back(
          medium_info(ide_name(place, false), media.slot[place].get(), media.name[place]));
      continue;
    }
    const size_t slot = media.is_disc[place] ? place : static_cast<size_t>(MediaSlot::Cdrom);
    DriveInfo info = medium_info(ide_name(place, true), drive->medium(), media.name[slot]);
    info.is_cdrom = true;
    info.is_open = drive->is_open();
    info.is_locked = drive->is_locked();
    all.push_back(info);
  }
  constexpr auto kFloppy = static_cast<size_t>(MediaSlot::Floppy);
  if (media.slot[kFloppy] != nullptr) {
    all.push_back(medium_info("floppy0", media.slot[kFloppy].get(), media.name[kFloppy]));
  }
  for (size_t i = 0; i < media.virtio.size(); ++i) {
    all.push_back(
        medium_info("virtio" + std::to_string(i), media.virtio[i].get(), media.virtio_name[i]));
  }
  return all;
}

AtapiCdrom* MachineControl::find_cdrom(const std::string& device, unsigned* place,
                                       std::string* error) {
  for (*place = 0; machine_.pci() != nullptr && *place < kIdePlaces; ++*place) {
    AtapiCdrom* drive = machine_.pci()->ide().cdrom(*place);
    if (drive != nullptr && device == ide_name(*place, true)) return drive;
  }
  const std::vector<DriveInfo> all = drives();
  const bool is_there = std::any_of(all.begin(), all.end(),
                                    [&](const DriveInfo& one) { return one.device == device; });
  *error = "Device '" + device.substr(0, kLongestPlainName) + "' " +
           (is_there ? "is not removable" : "not found");
  return nullptr;
}

bool MachineControl::move_tray(const std::string& device, Tray move, std::string* error) {
  unsigned place = 0;
  AtapiCdrom* drive = find_cdrom(device, &place, error);
  if (drive == nullptr || is_on_tape(error)) return false;
  if (move == Tray::Close) {
    drive->close_tray();
    return true;
  }
  if (move == Tray::Open && drive->is_locked() && !drive->is_open()) {
    drive->press_eject_button();
    return fail("Device '" + device +
                    "' is locked and force was not specified, wait for tray to open and try again",
                error);
  }
  drive->open_tray();
  return true;
}

bool MachineControl::insert_medium(const std::string& device, const std::string& file,
                                   std::string* error) {
  unsigned place = 0;
  const AtapiCdrom* drive = find_cdrom(device, &place, error);
  if (drive == nullptr || is_on_tape(error)) return false;
  if (!drive->is_open()) return fail("Tray of device '" + device + "' is not open", error);
  const std::string path = file_allowed(file, "", error);
  if (path.empty()) return false;
  std::shared_ptr<DiskBackend> disc = open_disc(path, error);
  if (disc == nullptr) return false;
  machine_.change_disc(place, std::move(disc), path);
  return true;
}

bool MachineControl::remove_medium(const std::string& device, std::string* error) {
  unsigned place = 0;
  const AtapiCdrom* drive = find_cdrom(device, &place, error);
  if (drive == nullptr || is_on_tape(error)) return false;
  if (!drive->is_open()) return fail("Tray of device '" + device + "' is not open", error);
  if (drive->medium() != nullptr) machine_.change_disc(place, nullptr, "");
  return true;
}

// ---- looking ----

size_t MachineControl::read_physical(uint64_t address, std::span<uint8_t> bytes) {
  return read_physical_quietly(machine_, GuestPhysical(address), bytes);
}

size_t MachineControl::read_linear(uint32_t address, std::span<uint8_t> bytes) {
  return read_linear_quietly(machine_, GuestVirtual(address), bytes);
}

bool MachineControl::register_value(const std::string& name, uint32_t* value) {
  const GuestState& state = machine_.state();
  static constexpr std::array<const char*, 8> kNames = {"eax", "ecx", "edx", "ebx",
                                                        "esp", "ebp", "esi", "edi"};
  for (size_t i = 0; i < kNames.size(); ++i) {
    if (name != kNames[i]) continue;
    *value = state.gpr[i];
    return true;
  }
  if (name == "eip" || name == "pc") {
    *value = state.code_address().value();
  } else if (name == "eflags") {
    *value = state.eflags;
  } else if (name == "cr0" || name == "cr2" || name == "cr3" || name == "cr4") {
    *value = name == "cr0"   ? state.cr0
             : name == "cr2" ? state.cr2
             : name == "cr3" ? state.cr3
                             : state.cr4;
  } else {
    return false;
  }
  return true;
}

std::string MachineControl::inspect(const std::string& line) {
  if (const auto answer = run_travel_line(machine_, line)) return *answer;
  return run_command(machine_, control_, line);
}

}  // namespace ringshift::debug
