#include "monitor/command/save_options.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <string_view>

#include "monitor/command/display_options.h"
#include "monitor/command/option_items.h"
#include "monitor/machine/snapshot.h"
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

std::vector<std::string> words_to_keep(const std::vector<std::string>& words) {
  // Of a socket there can be one: whoever resumes the machine says where its own is.
  constexpr std::array<std::string_view, 9> kOfThisRun = {
      "--save",     "--verify-ram", "--qmp",           "--qmp-pretty", "--monitor",
      "--incoming", "--migrate-to", "--migration-key", "--record"};
  std::vector<std::string> kept;
  for (size_t i = 0; i < words.size(); ++i) {
    const std::string name = words[i].substr(0, words[i].find('='));
    const bool has_more = i + 1 < words.size();
    const bool is_dropped =
        std::find(kOfThisRun.begin(), kOfThisRun.end(), name) != kOfThisRun.end() ||
        is_display_with_server(words[i]) ||
        (words[i] == "--display" && has_more && is_remote_display(words[i + 1]));
    if (!is_dropped) {
      kept.push_back(words[i]);
    } else if (name == words[i]) {
      ++i;  // and what it is given
    }
  }
  return kept;
}

bool resumed_words(std::vector<std::string>* words, std::string* path, std::string* problem) {
  if (words->size() < 2 || (*words)[1].empty() || (*words)[1][0] == '-') {
    *problem = "resume: needs the file of a saved machine (ringshift resume FILE [OPTION...])";
    return false;
  }
  *path = (*words)[1];
  const int descriptor = open_host_file(*path, FileUse::Read);
  if (descriptor < 0) {
    *problem = "resume: cannot read " + *path + ": " + std::strerror(errno);
    return false;
  }
  Snapshot snapshot;
  const bool known = read_snapshot(descriptor, &snapshot, problem);
  ::close(descriptor);
  if (!known) return false;
  if (snapshot.words.empty() || snapshot.words[0] != "run") {
    *problem = "saved machine: it does not say how it was started";
    return false;
  }
  snapshot.words.insert(snapshot.words.end(), words->begin() + 2, words->end());
  *words = snapshot.words;
  return true;
}

}  // namespace ringshift
