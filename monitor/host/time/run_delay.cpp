#include "monitor/host/time/run_delay.h"

#include <cpuid.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>

#include "shadowmmu/base/host_files.h"

namespace ringshift {
namespace {

// The second of three numbers; the first is the time it has run.
std::optional<Nanoseconds> second_number(const char* begin, const char* end) {
  const char* blank = std::find(begin, end, ' ');
  Nanoseconds delay = 0;
  if (blank == end || std::from_chars(blank + 1, end, delay).ec != std::errc()) return std::nullopt;
  return delay;
}

std::optional<Nanoseconds> read_delay(int descriptor) {
  std::array<char, 96> text{};
  if (lseek(descriptor, 0, SEEK_SET) != 0) return std::nullopt;
  const ssize_t length = ::read(descriptor, text.data(), text.size());
  return length > 0 ? second_number(text.data(), text.data() + length) : std::nullopt;
}

}  // namespace

std::unique_ptr<RunDelay> RunDelay::of_this_thread() {
  const int descriptor = open_host_file("/proc/thread-self/schedstat", FileUse::Read);
  if (descriptor < 0) return nullptr;
  auto delay = std::unique_ptr<RunDelay>(new RunDelay(descriptor));
  if (!read_delay(descriptor)) return nullptr;
  return delay;
}

RunDelay::~RunDelay() { ::close(descriptor_); }

Nanoseconds RunDelay::read() {
  if (const std::optional<Nanoseconds> now = read_delay(descriptor_); now && *now > last_) {
    last_ = *now;
  }
  return last_;
}

bool host_time_stamp_is_stable() {
  constexpr unsigned kAdvancedPower = 0x80000007, kInvariant = 1U << 8;
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
  return __get_cpuid(kAdvancedPower, &eax, &ebx, &ecx, &edx) != 0 && (edx & kInvariant) != 0;
}

}  // namespace ringshift
