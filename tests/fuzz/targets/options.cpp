// Any words as a command line, and the small languages in it: keys to type, sizes, addresses, media
// with their settings. Bad words are refused in words; no files but ours are opened.
#include "monitor/command/options/options.h"

#include <CLI/CLI.hpp>
#include <optional>
#include <string>
#include <vector>

#include "devices/host/nbd_disk.h"
#include "devices/input/keyboard_script.h"
#include "monitor/command/qemu/spelling.h"
#include "monitor/machine/media/media.h"
#include "shadowmmu/base/check.h"
#include "shadowmmu/base/number_text.h"
#include "tests/fuzz/targets/fuzz_bytes.h"
#include "tests/fuzz/targets/fuzz_target.h"
#include "tests/fuzz/targets/memory_file.h"

namespace ringshift::fuzz {
namespace {

// Words by number: an option's name is long, and chance finds few of them.
constexpr std::array<const char*, 63> kWords = {"run",
                                                "translate",
                                                "--kernel",
                                                "--initrd",
                                                "--append",
                                                "--module",
                                                "--memory",
                                                "--cpu",
                                                "--machine",
                                                "--hda",
                                                "--hdb",
                                                "--fda",
                                                "--cdrom",
                                                "--snapshot",
                                                "--boot",
                                                "--bios",
                                                "--type",
                                                "--screendump",
                                                "--display",
                                                "--gdb",
                                                "-s",
                                                "-S",
                                                "--stats",
                                                "--stats-file",
                                                "--trace",
                                                "--perf-map",
                                                "--engine",
                                                "--user",
                                                "--serial",
                                                "--nographic",
                                                "--no-reboot",
                                                "--translator",
                                                "--firmware-log",
                                                "--raw",
                                                "--base",
                                                "--at",
                                                "--count",
                                                "--blocks",
                                                "--style",
                                                "--ring",
                                                "-m",
                                                "-kernel",
                                                "-drive",
                                                "-device",
                                                "-serial",
                                                "--dump-screen",
                                                "--hdc",
                                                "--hdd",
                                                "--serial2",
                                                "--debugcon",
                                                "--rtc",
                                                "-M",
                                                "-cpu",
                                                "-smp",
                                                "-chardev",
                                                "-debugcon",
                                                "-netdev",
                                                "-display",
                                                "-rtc",
                                                "-boot",
                                                "-d",
                                                "-global",
                                                "--"};

std::vector<std::string> words_of(FuzzBytes& bytes) {
  std::vector<std::string> words;
  while (!bytes.empty() && words.size() < 64) {
    const uint8_t choice = bytes.u8();
    if (choice < kWords.size()) {
      words.emplace_back(kWords[choice]);
    } else if (choice < 2 * kWords.size()) {
      words.push_back(std::string(kWords[choice - kWords.size()]) + "=" + bytes.text(bytes.u8()));
    } else {
      words.push_back(bytes.text(bytes.u8()));
    }
  }
  return words;
}

void parse_command_line(FuzzBytes& bytes) {
  RunOptions run;
  TranslateOptions translate;
  CLI::App app("fuzz", "fuzz");
  app.require_subcommand(1);
  CLI::App* run_command = app.add_subcommand("run", "");
  CLI::App* translate_command = app.add_subcommand("translate", "");
  add_run_options(*run_command, &run);
  add_translate_options(*translate_command, &translate);
  const auto takes_value = [&](const std::string& name) -> std::optional<bool> {
    const CLI::Option* option = run_command->get_option_no_throw(name);
    if (option == nullptr) return std::nullopt;
    return option->get_items_expected_max() > 0;
  };
  SpelledLine line = spell(words_of(bytes), takes_value);
  std::vector<std::string>& words = line.words;
  if (!line.problem.empty()) return;
  std::reverse(words.begin(), words.end());  // as the library wants them
  try {
    app.parse(words);
  } catch (const CLI::Error&) {
    return;
  }
  std::string problem;
  const bool good = *run_command ? finish_run_options(&run, &problem)
                                 : finish_translate_options(&translate, &problem);
  CHECK(good || !problem.empty());
  if (!good || !*run_command) return;
  const MachineConfig& machine = run.machine;
  CHECK(machine.memory_bytes % kPageSize == 0);
  CHECK(machine.memory_bytes >= uint64_t{4} << 20 && machine.memory_bytes <= uint64_t{3584} << 20);
}

void parse_script(FuzzBytes& bytes) {
  std::vector<KeyStep> steps;
  std::string problem;
  const std::string text = bytes.text(4096);
  const bool good = parse_keys(text, &steps, &problem);
  CHECK(good || !problem.empty());
  CHECK(steps.size() <= text.size());
  for (const KeyStep& step : steps) CHECK(step.duration >= 0 && step.codes.size() < 32);
}

void press_terminal_keys(FuzzBytes& bytes) {
  std::span<const uint8_t> left = bytes.rest();
  while (!left.empty()) {
    size_t used = 0;
    CHECK(codes_of_terminal_key(left, &used).size() < 32);
    CHECK(used >= 1 && used <= left.size());
    left = left.subspan(used);
  }
}

void parse_words(FuzzBytes& bytes) {
  const std::string text = bytes.text(256);
  uint64_t size = 0;
  uint32_t address = 0;
  SocketAddress where;
  (void)parse_size(text, 1, &size);
  (void)parse_address(text, &address);
  (void)parse_socket_address(text, &where);
  (void)NbdDisk::is_uri(text);
}

// The path is ours, whatever follows it.
void open_media_with(FuzzBytes& bytes) {
  MemoryFile file({});
  file.grow(bytes.u16());
  MediaRequest request;
  request.snapshot = (bytes.u8() & 1) != 0;
  const uint32_t slot = bytes.below(kMediaSlots);
  request.text[slot] = file.path() + "," + bytes.text(256);
  Media media;
  std::string error;
  CHECK(open_media(request, &media, &error) || !error.empty());
}

}  // namespace

void fuzz_options(std::span<const uint8_t> input) {
  FuzzBytes bytes(input);
  switch (bytes.u8() % 8) {
    case 0:
      return parse_script(bytes);
    case 1:
      return press_terminal_keys(bytes);
    case 2:
      return parse_words(bytes);
    case 3:
      return open_media_with(bytes);
    default:
      return parse_command_line(bytes);
  }
}

}  // namespace ringshift::fuzz
