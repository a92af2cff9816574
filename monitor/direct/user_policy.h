// UserPolicy: whether the user code of one address space should run directly or translated. Pure.
// Owns: a few numbers a view. Code that computes ends up direct (nothing is faster, but every trap
// costs a switch of host processes); code that keeps calling its kernel ends up translated. See
// docs/direct-execution.md and docs/decisions/0006-direct-execution-by-ptrace.md.
#pragma once

#include <algorithm>
#include <cstdint>

namespace ringshift {

// The user engine that --user asks for.
enum class UserEngine : uint8_t { Auto, Direct, Translate };

class UserPolicy {
 public:
  [[nodiscard]] bool is_direct() const { return direct_; }

  // Translated code of this space has left user mode, or come back to it.
  void note_kernel_entries(uint32_t count) { kernel_entries_ += count; }

  // Is it too early to know what sort of program this is? Then somebody should look soon, and not
  // wait for the guest's next timer interrupt. Each question is a look.
  [[nodiscard]] bool asks_for_a_look() {
    if (direct_ || looks_ == 0) return false;
    --looks_;
    return true;
  }

  // Attention found translated user code running, at a time of the host's TSC. True: from now on
  // it is direct.
  [[nodiscard]] bool note_tick(uint64_t now) {
    // Time asleep does not count as quiet time.
    const uint64_t since = std::min(now - last_tick_, kLongestTick);
    quiet_ticks_ = kernel_entries_ * kQuietCycles <= since ? quiet_ticks_ + 1 : 0;
    last_tick_ = now;
    kernel_entries_ = 0;
    if (quiet_ticks_ < patience_) return false;
    start_direct();
    return true;
  }

  // The code has run directly for so many host cycles before something stopped it. True: it has
  // been stopped too often, and is translated from now on.
  [[nodiscard]] bool note_slice(uint64_t cycles) {
    cycles_ += cycles;
    if (++slices_ < kSlicesJudged) return false;
    const bool worth_it = cycles_ / slices_ >= kWorthwhileCycles;
    slices_ = 0;
    cycles_ = 0;
    if (worth_it) {
      patience_ = kInitialPatience;
      return false;
    }
    // A program that changes its mind all the time is asked ever less often.
    patience_ = std::min(patience_ * 2, kLongestPatience);
    quiet_ticks_ = 0;
    kernel_entries_ = 0;
    direct_ = false;
    return true;
  }

  // The code defeats direct execution: from now on it is translated for good.
  void give_up() {
    direct_ = false;
    patience_ = kNever;
  }
  [[nodiscard]] bool has_given_up() const { return patience_ == kNever; }

  // The average time between kernel entries of quiet code: 500 us. A stop costs some 6.
  static constexpr uint64_t kQuietCycles = 1'300'000;
  static constexpr uint64_t kLongestTick = 10'000'000;
  static constexpr uint32_t kLooks = 8;            // at a program that is new
  static constexpr uint32_t kInitialPatience = 1;  // quiet ticks before going direct
  static constexpr uint32_t kLongestPatience = 256;
  static constexpr uint32_t kSlicesJudged = 32;
  // Some 30 us: translated code is slower by a half, and being stopped costs some 6 us.
  static constexpr uint64_t kWorthwhileCycles = 75'000;

 private:
  static constexpr uint32_t kNever = ~0U;

  void start_direct() {
    direct_ = true;
    quiet_ticks_ = 0;
    slices_ = 0;
    cycles_ = 0;
  }

  bool direct_ = false;
  uint32_t looks_ = kLooks;
  uint64_t last_tick_ = 0;
  uint32_t kernel_entries_ = 0;
  uint32_t quiet_ticks_ = 0;
  uint32_t patience_ = kInitialPatience;
  uint32_t slices_ = 0;
  uint64_t cycles_ = 0;
};

}  // namespace ringshift
