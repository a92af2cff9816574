// Every input of every corpus, once: bugs that fuzzing has found stay fixed, in every build.
// A target that finds something ends the process, so each input is named before it runs.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "tests/fuzz/targets/fuzz_target.h"

namespace ringshift::fuzz {
namespace {

std::vector<std::filesystem::path> inputs_of(const FuzzTarget& target) {
  std::vector<std::filesystem::path> paths;
  const auto folder = std::filesystem::path(RINGSHIFT_FUZZ_CORPUS) / target.name;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    paths.push_back(entry.path());
  }
  std::sort(paths.begin(), paths.end());
  return paths;
}

std::vector<uint8_t> bytes_of(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

class Corpus : public ::testing::TestWithParam<FuzzTarget> {};

TEST_P(Corpus, EveryInputIsSurvived) {
  const std::vector<std::filesystem::path> inputs = inputs_of(GetParam());
  ASSERT_FALSE(inputs.empty());
  for (const std::filesystem::path& input : inputs) {
    std::printf("%s\n", input.c_str());
    std::fflush(stdout);
    GetParam().fuzz_one(bytes_of(input));
  }
  GetParam().fuzz_one({});
}

INSTANTIATE_TEST_SUITE_P(Targets, Corpus, ::testing::ValuesIn(kFuzzTargets),
                         [](const auto& given) { return std::string(given.param.name); });

}  // namespace
}  // namespace ringshift::fuzz
