// Random unprivileged code on the processor itself, in the interpreter, and translated in both
// styles: registers, flags, faults, FPU state and memory must agree. A comparison that differs is
// printed as it was made, then shrunk, with the variables that replay it.
#include <gtest/gtest.h>

#include "tests/differential/comparison.h"
#include "tests/differential/random.h"
#include "tests/differential/settings.h"

namespace ringshift::differential {
namespace {

constexpr uint64_t kCases = 200000;
constexpr const char* kTestName = "Unprivileged.RandomCodeAgreesOnSiliconInterpreterAndTranslator";

TEST(Unprivileged, RandomCodeAgreesOnSiliconInterpreterAndTranslator) {
  std::string error;
  const auto comparison = Comparison::create(&error);
  ASSERT_NE(comparison, nullptr) << error;
  const Settings settings = Settings::read(kCases);
  const uint64_t most_failures = setting("RINGSHIFT_FAILURES").value_or(3);
  uint64_t failures = 0, faults = 0, instructions = 0;
  for (uint64_t i = settings.first; i < settings.end && failures < most_failures; ++i) {
    const Case test = generate(case_seed(settings.seed, i), comparison->oracle());
    const bool agrees = comparison->agrees(test);
    instructions += comparison->expected().instructions;
    if (comparison->expected().outcome.vector < kStopped) ++faults;
    if (agrees) continue;
    ++failures;
    ADD_FAILURE() << "case " << i << "\n"
                  << comparison->report(test) << "replay: " << settings.replay(kTestName, i);
  }
  RecordProperty("faults", static_cast<int>(faults));
  RecordProperty("instructions", static_cast<int>(instructions));
  if (settings.end - settings.first >= kCases) {
    EXPECT_GT(instructions, 3 * kCases) << "cases end too early to test much";
    EXPECT_GT(faults, kCases / 50);
  }
}

}  // namespace
}  // namespace ringshift::differential
