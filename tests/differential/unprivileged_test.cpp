// Random unprivileged code on the processor itself, in the interpreter, and translated in both
// styles: registers, flags, faults, FPU state and memory must agree. A failing case is shrunk and
// printed with what replays it.
#include <gtest/gtest.h>

#include <algorithm>

#include "tests/differential/case.h"
#include "tests/differential/random.h"
#include "tests/differential/report.h"
#include "tests/differential/settings.h"
#include "tests/differential/silicon.h"
#include "translator/dump.h"

namespace ringshift::differential {
namespace {

constexpr uint64_t kCases = 200000;
constexpr const char* kTestName = "Unprivileged.RandomCodeAgreesOnSiliconInterpreterAndTranslator";

class Comparison {
 public:
  static std::unique_ptr<Comparison> create(std::string* error) {
    auto made = std::unique_ptr<Comparison>(new Comparison);
    made->silicon_ = Silicon::create(error);
    made->oracle_ = Guest::create(Engine::Interpret, error);
    made->window_ = Guest::create(Engine::Translate, error);
    made->soft_ = Guest::create(Engine::Translate, error);
    const bool complete = made->silicon_ != nullptr && made->oracle_ != nullptr &&
                          made->window_ != nullptr && made->soft_ != nullptr;
    return complete ? std::move(made) : nullptr;
  }

  [[nodiscard]] Guest& oracle() { return *oracle_; }
  [[nodiscard]] const Expected& expected() const { return expected_; }
  [[nodiscard]] const std::vector<Run>& runs() const { return runs_; }

  // Runs a case everywhere. True: all agree, or the case says nothing.
  bool agrees(const Case& test) {
    const Ring ring = (test.seed & 1) != 0 ? Ring::User : Ring::Kernel;
    expected_ = run_oracle(test, *oracle_, ring);
    runs_.clear();
    if (expected_.depends_on_undefined) return true;
    const std::vector<uint8_t> code = test.code();
    runs_.push_back({"interp", expected_.outcome});
    runs_.push_back({"silicon", silicon_->run(test.start, code, test.data())});
    window_->prepare(test.start, Ring::Kernel, code, test.data());
    runs_.push_back({"window", window_->run()});
    const bool copy_user = test.seed % 16 == 2;
    soft_->prepare(test.start, copy_user ? Ring::KernelOnUserPages : Ring::User, code, test.data());
    runs_.push_back({copy_user ? "copyuser" : "soft", soft_->run()});
    return std::all_of(runs_.begin(), runs_.end(),
                       [this](const Run& run) { return same(expected_, run.outcome); });
  }

  // Drops pieces as long as the case still fails.
  Case shrink(Case test) {
    for (bool smaller = true; smaller;) {
      smaller = false;
      for (size_t i = test.pieces.size(); i-- > 0 && test.pieces.size() > 1;) {
        Case candidate = test;
        candidate.pieces.erase(candidate.pieces.begin() + static_cast<std::ptrdiff_t>(i));
        if (agrees(candidate)) continue;
        test = candidate;
        smaller = true;
      }
    }
    (void)agrees(test);
    return test;
  }

  // The host code of the last fragment of the window run.
  [[nodiscard]] std::string host_code() {
    Translator& translator = *window_->translator();
    if (translator.last_emitted() == nullptr) return "";
    return dump(translator.last_unit(), *translator.last_emitted(), translator.stubs(),
                translator.arena().base());
  }

 private:
  Comparison() = default;
  std::unique_ptr<Silicon> silicon_;
  std::unique_ptr<Guest> oracle_;
  std::unique_ptr<Guest> window_;
  std::unique_ptr<Guest> soft_;
  Expected expected_;
  std::vector<Run> runs_;
};

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
    const Case small = comparison->shrink(test);
    ADD_FAILURE() << "case " << i << ", " << test.pieces.size() << " pieces shrunk to "
                  << small.pieces.size() << "\n"
                  << listing(small) << table(small, comparison->expected(), comparison->runs())
                  << comparison->host_code() << "replay: " << settings.replay(kTestName, i);
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
