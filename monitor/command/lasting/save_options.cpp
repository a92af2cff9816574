#include "monitor/command/lasting/save_options.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <string_view>

#include "monitor/command/options/display_options.h"
#include "monitor/command/options/option_items.h"
#include "monitor/machine/media/snapshot.h"
#include "shadowmmu/base/host_files.h"
#include "shadowmmu/base/number_text.h"

namespace ringshift {
namespace {

bool take_item(const std::string& item, SaveRequest* save) {
  constexpr Nanoseconds kSecond = 1'000'000'000;
  if (item == "then=run" || item == "then=end") {
    save->then_run = item == "then=run";
    return true;
  }
  if (item.rfind("at=", 0) == 0) {
    save->at = item.substr(3);
    return !save->at.empty();
  }
  uint32_t seconds = 0;
  if (item.rfind("after=", 0) != 0 || !parse_number(item.substr(6), &seconds)) return false;
  save->after = seconds * kSecond;
  return seconds != 0;
}

enum class Dropped : uint8_t { Nothing, Word, WithNext };

// The words, except those for which `what` says so; it is given a word and the one behind it.
template <typename What>
std::vector<std::string> without(const std::vector<std::string>& words, const What& what) {
  std::vector<std::string> kept;
  for (size_t i = 0; i < words.size(); ++i) {
    const Dropped dropped = what(words[i], i + 1 < words.size() ? words[i + 1] : "");
    if (dropped == Dropped::Nothing) kept.push_back(words[i]);
    if (dropped == Dropped::WithNext) ++i;
  }
  return kept;
}

// It would listen where the saved machine does, and may have a password in it.
bool is_display_with_server(const std::string& word) {
  constexpr std::string_view kOption = "--display=";
  return word.rfind(kOption, 0) == 0 && is_remote_display(word.substr(kOption.size()));
}

}  // namespace

bool parse_save(const std::string& text, SaveRequest* save, std::string* problem) {
  const std::vector<std::string> items = split_at_commas(text);
  save->path = items[0];
  if (save->path.empty()) {
    *problem = "--save: needs a file";
    return false;
  }
  for (size_t i = 1; i < items.size(); ++i) {
    if (take_item(items[i], save)) continue;
    *problem = "--save: cannot use '" + items[i] + "' (then=run|end, after=SECONDS, at=TEXT)";
    return false;
  }
  return true;
}

bool apply_verify_ram(const std::string& text, MachineConfig* machine, std::string* problem) {
  if (text.empty()) return true;
  if (machine->resume_path.empty()) {
    *problem = "--verify-ram: only a machine that is resumed has RAM to be verified";
    return false;
  }
  if (text == "first") {
    machine->verify_ram = VerifyRam::First;
  } else if (text == "off") {
    machine->verify_ram = VerifyRam::Off;
  } else if (text != "later") {
    *problem = "--verify-ram: '" + text + "' is not first, later or off";
    return false;
  }
  return true;
}

bool apply_share_pages(const std::string& text, MachineConfig* machine, std::string* problem) {
  constexpr uint32_t kUsual = 2000, kMost = 1'000'000;
  constexpr std::string_view kRate = "rate=";
  uint32_t rate = text == "on" ? kUsual : 0;
  if (text.starts_with(kRate)) {
    if (!parse_number(text.substr(kRate.size()), &rate) || rate > kMost) rate = 0;
  }
  if (rate == 0 && text != "off") {
    *problem =
        "--share-pages: '" + text + "' is none of on, off, rate=1 to rate=1000000 (pages a second)";
    return false;
  }
  machine->share_pages_rate = rate;
  return true;
}

std::vector<std::string> words_to_keep(const std::vector<std::string>& words) {
  // A socket cannot be there twice: the user who resumes the machine says where its own is.
  constexpr std::array<std::string_view, 10> kOfThisRun = {
      "--save",     "--verify-ram", "--qmp",           "--qmp-pretty", "--monitor",
      "--incoming", "--migrate-to", "--migration-key", "--record",     "--replicate-to"};
  return without(words, [&](const std::string& word, const std::string& next) {
    const std::string name = word.substr(0, word.find('='));
    const bool is_dropped =
        std::find(kOfThisRun.begin(), kOfThisRun.end(), name) != kOfThisRun.end() ||
        is_display_with_server(word) || (word == "--display" && is_remote_display(next));
    if (!is_dropped) return Dropped::Nothing;
    return name == word ? Dropped::WithNext : Dropped::Word;
  });
}

std::vector<std::string> words_for_clone(const std::vector<std::string>& words) {
  constexpr std::array<std::string_view, 8> kOfOneMachine = {
      "--pidfile",  "--screendump", "--stats-file", "--firmware-log",
      "--net-dump", "--gdb",        "--name",       "--control-folder"};
  constexpr std::array<std::string_view, 4> kPorts = {"--serial", "--serial2", "--debugcon",
                                                      "--virtio-console"};
  const auto is_taken = [](const std::string& value) {
    const auto begins_with = [&](const char* name) { return value.starts_with(name); };
    constexpr std::array<const char*, 8> kTaken = {
        "file:", "file=", "unix:", "tcp:", "udp:", "telnet:", "pipe:", "pipe="};
    return std::any_of(kTaken.begin(), kTaken.end(), begins_with);
  };
  bool lost_console = false;
  const auto what = [&](const std::string& word, const std::string& next) {
    const size_t equal = word.find('=');
    const std::string name = word.substr(0, equal);
    const bool is_alone = equal == std::string::npos;
    const std::string value = is_alone ? next : word.substr(equal + 1);
    const auto among = [&](const auto& names) {
      return std::find(names.begin(), names.end(), name) != names.end();
    };
    if (word == "--daemonize") return Dropped::Word;
    if (!among(kOfOneMachine) && !(among(kPorts) && is_taken(value))) return Dropped::Nothing;
    if (name == "--virtio-console") lost_console = true;
    return is_alone ? Dropped::WithNext : Dropped::Word;
  };
  std::vector<std::string> kept = without(words, what);
  // The device stays.
  if (lost_console) kept.emplace_back("--virtio-console=null");
  return kept;
}

bool resumed_words(std::vector<std::string>* words, ResumedFiles* files, std::string* problem) {
  if (words->size() < 2 || (*words)[1].empty() || (*words)[1][0] == '-') {
    *problem = "resume: needs the file of a saved machine (ringshift resume FILE [OPTION...])";
    return false;
  }
  files->path = (*words)[1];
  const int descriptor = open_host_file(files->path, FileUse::Read);
  if (descriptor < 0) {
    *problem = "resume: cannot read " + files->path + ": " + std::strerror(errno);
    return false;
  }
  Snapshot snapshot;
  if (!read_snapshot(descriptor, &snapshot, problem)) {
    ::close(descriptor);
    return false;
  }
  const bool is_clone = !snapshot.ram.elsewhere.empty();
  if (is_clone) {
    files->descriptors.push_back(descriptor);
  } else {
    ::close(descriptor);
  }
  if (snapshot.words.empty() || snapshot.words[0] != "run") {
    *problem = "saved machine: it does not say how it was started";
    return false;
  }
  if (is_clone) snapshot.words = words_for_clone(snapshot.words);
  for (const SavedRam::Elsewhere& file : snapshot.ram.elsewhere) {
    // One that is gone is found to be none.
    const std::string path = path_of_cloned_ram(files->path, file);
    files->descriptors.push_back(open_host_file(path, FileUse::Read));
  }
  snapshot.words.insert(snapshot.words.end(), words->begin() + 2, words->end());
  *words = snapshot.words;
  return true;
}

}  // namespace ringshift
