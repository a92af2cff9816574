#include "tests/differential/comparison.h"

#include <algorithm>
#include <cstdio>

#include "monitor/lab/matrix/silicon.h"
#include "translator/dump.h"

namespace ringshift::differential {

std::unique_ptr<Comparison> Comparison::create(std::string* error) {
  auto made = std::unique_ptr<Comparison>(new Comparison);
  const std::string why_not = lab::why_no_silicon();
  if (why_not.empty()) {
    made->silicon_ = Silicon::create(error);
  } else {
    std::printf("compared without the processor: %s\n", why_not.c_str());
  }
  made->oracle_ = Guest::create(Engine::Interpret, error);
  made->window_ = Guest::create(Engine::Translate, error);
  made->soft_ = Guest::create(Engine::Translate, error);
  const bool complete = (made->silicon_ != nullptr || !why_not.empty()) &&
                        made->oracle_ != nullptr && made->window_ != nullptr &&
                        made->soft_ != nullptr;
  return complete ? std::move(made) : nullptr;
}

bool Comparison::agrees(const Case& test) {
  const bool checks_alignment = (test.start.eflags & kFlagAc) != 0;  // at CPL 3 only
  const Ring ring = (test.seed & 1) != 0 || checks_alignment ? Ring::User : Ring::Kernel;
  expected_ = run_oracle(test, *oracle_, ring);
  runs_.clear();
  if (expected_.depends_on_undefined) return true;
  const std::vector<uint8_t> code = test.code();
  runs_.push_back({"interp", expected_.outcome});
  if (silicon_ != nullptr) {
    runs_.push_back({"silicon", silicon_->run(test.start, code, test.data())});
  }
  if (!checks_alignment) {
    window_->prepare(test.start, Ring::Kernel, code, test.data());
    runs_.push_back({"window", window_->run()});
  }
  const bool copy_user = test.seed % 16 == 2 && !checks_alignment;
  soft_->prepare(test.start, copy_user ? Ring::KernelOnUserPages : Ring::User, code, test.data());
  runs_.push_back({copy_user ? "copyuser" : "soft", soft_->run()});
  return std::all_of(runs_.begin(), runs_.end(),
                     [this](const Run& run) { return same(expected_, run.outcome); });
}

Case Comparison::shrink(Case test) {
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

// The last fragment of the window run.
std::string Comparison::host_code() {
  Translator& translator = *window_->translator();
  if (translator.last_emitted() == nullptr) return "";
  return dump(translator.last_unit(), *translator.last_emitted(), translator.stubs(),
              translator.arena().base());
}

std::string Comparison::report(const Case& test) {
  constexpr int kRepeats = 20;
  std::string text = "the comparison that differed:\n" + describe(test);
  int failed = 0;
  for (int i = 0; i < kRepeats; ++i) failed += agrees(test) ? 0 : 1;
  text += "again: " + std::to_string(failed) + " of " + std::to_string(kRepeats) + " differ\n";
  if (failed != kRepeats) return text;  // shrinking by what does not repeat misleads
  const Case small = shrink(test);
  return text + std::to_string(test.pieces.size()) + " pieces shrunk to " +
         std::to_string(small.pieces.size()) + "\n" + describe(small);
}

std::string Comparison::describe(const Case& test) {
  return listing(test) + table(test, expected_, runs_) + host_code();
}

}  // namespace ringshift::differential
