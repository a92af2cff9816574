#include "monitor/command/lasting/tape_options.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <nlohmann/json.hpp>

#include "monitor/command/options/options.h"
#include "monitor/command/options/port_options.h"
#include "monitor/command/reports/exit_code.h"
#include "monitor/host/exit_codes.h"
#include "monitor/replay/tape_player.h"
#include "monitor/replay/tape_recorder.h"
#include "shadowmmu/base/hash.h"
#include "shadowmmu/base/open_file.h"

namespace ringshift {
namespace {

using nlohmann::json;

constexpr int kFormat = 3;
constexpr const char* kDiskFailure = "the host cannot read or write a disk's image";
constexpr const char* kNoDescription = "what describes the run makes no sense";
constexpr size_t kMostDescription = size_t{1} << 20;

std::string description_path(const std::string& folder) { return folder + "/run.json"; }
std::string tape_path(const std::string& folder) { return folder + "/tape"; }

// False with errno: it cannot be read to its end, or has more than `most` bytes.
bool read_file(const std::string& path, size_t most, std::vector<uint8_t>* bytes) {
  const OpenFile file(path, FileUse::Read);
  if (!file.is_open()) return false;
  struct stat facts {};
  if (fstat(file.descriptor(), &facts) != 0) return false;
  if (facts.st_size < 0 || static_cast<uint64_t>(facts.st_size) > most) {
    errno = EFBIG;
    return false;
  }
  bytes->resize(static_cast<size_t>(facts.st_size));
  size_t done = 0;
  while (done < bytes->size()) {
    const ssize_t now = read(file.descriptor(), bytes->data() + done, bytes->size() - done);
    if (now <= 0) return false;
    done += static_cast<size_t>(now);
  }
  return true;
}

// The files that the guest begins with. Disks are not read for it.
std::vector<std::string> first_files(const MachineConfig& machine) {
  std::vector<std::string> files = {machine.boot.kernel_path, machine.boot.initrd_path,
                                    machine.firmware.bios_path};
  for (const BootModule& module : machine.boot.modules) files.push_back(module.path);
  std::erase(files, "");
  return files;
}

// Nothing: it cannot be read.
std::optional<std::string> hash_of_file(const std::string& path) {
  constexpr size_t kMost = size_t{4} << 30;
  std::vector<uint8_t> bytes;
  if (!read_file(path, kMost, &bytes)) return std::nullopt;
  return fmt::format("{:016x}", hash_bytes(bytes, bytes.size()));
}

std::string obstacle(const RunOptions& options) {
  for (const PortTarget* port : all_ports(options.machine.ports)) {
    if (port->kind == PortTarget::Kind::Socket) return port->request.option + " at a socket";
  }
  return unrecorded(options);
}

json described(const std::vector<TapeDisk>& disks) {
  json all = json::array();
  for (const TapeDisk& disk : disks) {
    all.push_back({{"place", disk.place},
                   {"path", disk.path},
                   {"kept", disk.is_kept},
                   {"bytes", disk.bytes},
                   {"changed", disk.changed}});
  }
  return all;
}

// Places are file names: a name that is none of ours is not used (use_kept_disks).
std::vector<TapeDisk> described_disks(const json& all) {
  std::vector<TapeDisk> disks;
  for (const json& disk : all) {
    disks.push_back({.place = disk.at("place").get<std::string>(),
                     .path = disk.at("path").get<std::string>(),
                     .is_kept = disk.at("kept").get<bool>(),
                     .bytes = disk.at("bytes").get<uint64_t>(),
                     .changed = disk.at("changed").get<uint64_t>()});
  }
  return disks;
}

bool write_description(const RunOptions& options, const std::vector<TapeDisk>& disks,
                       std::string* error) {
  const std::string path = description_path(options.record);
  const std::string text = run_description(options, options.machine.save.words, disks);
  const OpenFile file(path, FileUse::Replace);
  if (file.is_open() &&
      write(file.descriptor(), text.data(), text.size()) == static_cast<ssize_t>(text.size())) {
    return true;
  }
  *error = "--record: cannot write " + path + ": " + std::strerror(errno);
  return false;
}

// False with one line in *problem.
bool read_description(const std::string& folder, std::vector<std::string>* words,
                      ReplayRequest* request, std::string* problem) {
  std::vector<uint8_t> bytes;
  if (!read_file(description_path(folder), kMostDescription, &bytes)) {
    *problem = "replay: cannot read " + description_path(folder) + ": " + std::strerror(errno);
    return false;
  }
  if (read_run_description(bytes, words, request, problem)) return true;
  if (*problem == kNoDescription) {
    *problem = description_path(folder) + " does not describe a recording";
  }
  *problem = "replay: " + *problem;
  return false;
}

bool parse_count(const std::string& text, std::optional<uint64_t>* count) {
  if (text.empty() || text.size() > 18) return false;
  if (text.find_first_not_of("0123456789") != std::string::npos) return false;
  *count = std::stoull(text);
  return true;
}

// A word of `replay` itself. False: it is one of the run's.
bool take_own_word(const std::vector<std::string>& words, size_t* at, ReplayRequest* request,
                   std::string* problem) {
  constexpr const char* kUntil = "--until=";
  std::string word = words[*at];
  if (word == "--verify") {
    request->hashes_memory = true;
    return true;
  }
  if (word == "--until" && *at + 1 < words.size()) word = kUntil + words[++*at];
  if (!word.starts_with(kUntil)) return false;
  if (!parse_count(word.substr(std::strlen(kUntil)), &request->until)) {
    *problem = "replay: " + word + ": not a number of events";
  }
  return true;
}

}  // namespace

std::string kept_machine_path(const std::string& folder) { return folder + "/machine"; }

std::string unrecorded(const RunOptions& options) {
  const MachineConfig& machine = options.machine;
  if (options.limits.disk_rate != 0) return "--limit disk";
  if (!machine.resume_descriptors.empty()) return "a clone";
  if (!options.migration.incoming.empty() || !options.migration.to.empty()) return "migration";
  if (options.display_request.has_web) return "--display web";  // its buttons
  if (!options.gdb.empty() || options.default_gdb) return "--gdb";
  if (options.debug.starts_paused) return "--paused";  // a replay has nobody who lets it go
  return unkept_disk(options.media);
}

std::string run_description(const RunOptions& options, const std::vector<std::string>& words,
                            const std::vector<TapeDisk>& disks) {
  json files = json::object();
  for (const std::string& path : first_files(options.machine)) {
    if (const auto hash = hash_of_file(path)) files[path] = *hash;
  }
  const json description = {{"format", kFormat},
                            {"words", words},
                            {"epoch", options.machine.event_clock.epoch_seconds},
                            {"files", files},
                            {"resumed", !options.machine.resume_path.empty()},
                            {"disks", described(disks)}};
  return description.dump(1) + "\n";
}

bool read_run_description(const std::vector<uint8_t>& text, std::vector<std::string>* words,
                          ReplayRequest* request, std::string* problem) {
  try {
    const json description = json::parse(text);
    if (description.at("format").get<int>() != kFormat) {
      *problem = "the recording is of another format";
      return false;
    }
    *words = description.at("words").get<std::vector<std::string>>();
    request->epoch_seconds = description.at("epoch").get<int64_t>();
    request->disks = described_disks(description.at("disks"));
    request->is_resumed = description.at("resumed").get<bool>();
    for (const auto& [path, hash] : description.at("files").items()) {
      if (hash_of_file(path) == hash.get<std::string>()) continue;
      *problem = path + " is not what it was when the run was recorded";
      return false;
    }
  } catch (const json::exception&) {
    *problem = kNoDescription;
    return false;
  }
  if (!words->empty() && words->front() == "run") return true;
  *problem = "the recording does not say how it was started";
  return false;
}

bool replayed_words(std::vector<std::string>* words, ReplayRequest* request, std::string* problem) {
  if (words->size() < 2 || (*words)[1].empty() || (*words)[1][0] == '-') {
    *problem = "replay: needs the folder of a recording (ringshift replay FOLDER [OPTION...])";
    return false;
  }
  request->folder = (*words)[1];
  std::vector<std::string> recorded;
  if (!read_description(request->folder, &recorded, request, problem)) return false;
  for (size_t i = 2; i < words->size() && problem->empty(); ++i) {
    if (!take_own_word(*words, &i, request, problem)) recorded.push_back((*words)[i]);
  }
  *words = recorded;
  return problem->empty();
}

namespace {

// The recorded machine's disks, and the saved machine that it began as.
bool apply_replay(RunOptions* options, std::string* problem) {
  const ReplayRequest& request = options->replay;
  options->machine.raw_console = false;
  if (!options->record.empty()) {
    *problem = "--record: a replay is not recorded again";
    return false;
  }
  if (!use_kept_disks(request.disks, request.folder, &options->media, problem)) return false;
  if (!request.is_resumed) return true;
  options->machine.resume_path = kept_machine_path(request.folder);
  options->media.may_have_changed = true;  // copies have; the others have just been looked at
  return true;
}

}  // namespace

bool began_by_host_clock(const RunOptions& options) {
  return !options.machine.resume_path.empty() && options.time != "events" &&
         !options.clock.starts_with("events");
}

bool apply_tape(RunOptions* options, std::string* problem) {
  const bool is_replay = !options->replay.folder.empty();
  if (options->record.empty() && !is_replay) return true;
  if (!is_replay && began_by_host_clock(*options)) {
    *problem =
        "--record of a machine that was saved by the host's clock: its time-stamp counter would "
        "change its rate (save it under --clock events)";
    return false;
  }
  if (options->clock.empty() || options->clock == "host") options->clock = "events,idle=wait";
  if (is_replay) return apply_replay(options, problem);
  const std::string what = obstacle(*options);
  if (what.empty()) return true;
  *problem = "--record cannot be used with " + what + ": it is not on the tape";
  return false;
}

RunTape::RunTape() = default;
RunTape::~RunTape() = default;

bool RunTape::open(RunOptions* options, std::string* error) {
  if (!options->record.empty()) return open_recorder(options, error);
  return options->replay.folder.empty() || open_player(options, error);
}

bool RunTape::open_recorder(RunOptions* options, std::string* error) {
  if (mkdir(options->record.c_str(), 0700) != 0 && errno != EEXIST) {
    *error = "--record: cannot make " + options->record + ": " + std::strerror(errno);
    return false;
  }
  const std::string path = tape_path(options->record);
  const int descriptor = open_host_file(path, FileUse::Replace);
  if (descriptor < 0) {
    *error = "--record: cannot write " + path + ": " + std::strerror(errno);
    return false;
  }
  recorder_ = TapeRecorder::create(descriptor, error);
  options->machine.tape = recorder_.get();
  // It goes on from the copy, whatever becomes of the file.
  std::string& saved = options->machine.resume_path;
  if (!saved.empty()) {
    const std::string copy = kept_machine_path(options->record);
    if (!keep_file(saved, copy, error)) return false;
    saved = copy;
  }
  std::vector<TapeDisk> disks;
  if (recorder_ == nullptr || !keep_disks(options->media, options->record, &disks, error) ||
      !write_description(*options, disks, error)) {
    return false;
  }
  make_exact(&options->machine.media, [this] { recorder_->give_up(kDiskFailure); });
  return true;
}

bool RunTape::open_player(RunOptions* options, std::string* error) {
  const ReplayRequest& request = options->replay;
  options->machine.event_clock.idle = IdleTime::Skip;
  options->machine.event_clock.epoch_seconds = request.epoch_seconds;
  const std::string path = tape_path(request.folder);
  const int descriptor = open_host_file(path, FileUse::Read);
  if (descriptor < 0) {
    *error = "replay: cannot read " + path + ": " + std::strerror(errno);
    return false;
  }
  player_ = TapePlayer::create(
      descriptor, {.until = request.until, .hashes_memory = request.hashes_memory}, error);
  if (player_ == nullptr) *error = "replay: " + path + ": " + *error;
  options->machine.tape = player_.get();
  if (player_ == nullptr) return false;
  make_exact(&options->machine.media, [this] { player_->give_up(kDiskFailure); });
  return true;
}

int RunTape::finish(int exit_code) {
  if (recorder_ != nullptr && !recorder_->problem().empty()) {
    std::fprintf(stderr, "ringshift: %s\n", recorder_->problem().c_str());
  }
  if (player_ == nullptr) return exit_code;
  std::fprintf(stderr, "ringshift: %s\n", player_->report().c_str());
  if (!player_->agrees()) {
    std::fprintf(stderr, "ringshift: %s\n", player_->problem().c_str());
    return kExitDiverged;
  }
  return exit_code == kExitQuit ? kExitPowerOff : exit_code;
}

}  // namespace ringshift
