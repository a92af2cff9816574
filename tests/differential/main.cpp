// The differential tests' program: GoogleTest's options, and --seed N, --cases N, --case I, --long.
#include <gtest/gtest.h>

#include <array>
#include <cstdlib>
#include <string_view>
#include <utility>

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  constexpr std::array<std::pair<std::string_view, const char*>, 3> kOptions = {
      {{"--seed", "RINGSHIFT_SEED"}, {"--cases", "RINGSHIFT_CASES"}, {"--case", "RINGSHIFT_CASE"}}};
  for (int i = 1; i < argc; ++i) {
    if (std::string_view(argv[i]) == "--long") setenv("RINGSHIFT_LONG", "1", 1);
    for (const auto& [option, variable] : kOptions) {
      if (option == argv[i] && i + 1 < argc) setenv(variable, argv[i + 1], 1);
    }
  }
  return RUN_ALL_TESTS();
}
