#include "monitor/command/manual/value_words.h"

#include <gtest/gtest.h>

#include <set>

#include "monitor/command/options/options.h"

namespace ringshift::manual {
namespace {

// The option's message about a value that it cannot use.
std::string refusal(const std::string& option, const std::string& value) {
  TranslateOptions options;
  RunOptions& run = options.guest;
  run.machine.boot.kernel_path = "kernel";
  if (option == "--engine") run.engine = value;
  if (option == "--user") run.user = value;
  if (option == "--sandbox") run.sandbox_text = value;
  if (option == "--display") run.displays = {value};
  if (option == "--serial") run.serial = value;
  if (option == "--serial2") run.second_serial = value;
  if (option == "--debugcon") run.debugcon = value;
  if (option == "--net") run.network = value;
  if (option == "--rtc") run.rtc = value;
  if (option == "--stats") run.stats_text = value;
  if (option == "--cpu") run.cpu = {value};
  if (option == "--machine") run.parts = {value};
  if (option == "--translator") run.translator = {value};
  if (option == "--style") options.style = value;
  std::string problem;
  const bool is_taken = option == "--style" ? finish_translate_options(&options, &problem)
                                            : finish_run_options(&run, &problem);
  return is_taken ? "" : problem;
}

// "... is none of a, b=PATH, c=[HOST]:N, d:PATH": a, b=, c= and d:.
std::set<std::string> words_told(const std::string& refused) {
  constexpr std::string_view kBefore = "is none of ";
  const size_t begin = refused.find(kBefore);
  std::set<std::string> words;
  if (begin == std::string::npos) return words;
  std::string rest = refused.substr(begin + kBefore.size());
  while (!rest.empty()) {
    const size_t comma = rest.find(", ");
    std::string word = rest.substr(0, comma);
    const size_t mark = word.find_first_of("=:");
    words.insert(mark == std::string::npos ? word : word.substr(0, mark + 1));
    rest = comma == std::string::npos ? "" : rest.substr(comma + 2);
  }
  return words;
}

std::set<std::string> words_known(const std::string& option) {
  const std::vector<std::string> words = words_of_value(option);
  return {words.begin(), words.end()};
}

TEST(ValueWords, AreThoseThatTheOptionNamesWhenItRefusesAValue) {
  for (const char* option : {"--engine", "--user", "--sandbox", "--display", "--serial",
                             "--serial2", "--debugcon", "--net", "--stats", "--style"}) {
    EXPECT_EQ(words_known(option), words_told(refusal(option, "no-such-word"))) << option;
  }
}

TEST(ValueWords, ThatAreWholeAreTaken) {
  for (const char* option : {"--cpu", "--machine", "--translator", "--engine", "--user",
                             "--sandbox", "--rtc", "--stats"}) {
    const std::vector<std::string> words = words_of_value(option);
    EXPECT_FALSE(words.empty()) << option;
    for (const std::string& word : words) {
      const bool goes_on = word.back() == '=';
      const bool asks_the_host = word == "bmi1=on";
      if (goes_on || asks_the_host) continue;
      EXPECT_EQ(refusal(option, word), "") << option << " " << word;
    }
  }
}

TEST(ValueWords, AreNoneForOtherValues) { EXPECT_TRUE(words_of_value("--kernel").empty()); }

}  // namespace
}  // namespace ringshift::manual
