#include "monitor/paravirt/kvm_interface.h"

#include <array>
#include <cstring>
#include <utility>

#include "monitor/paravirt/guest_area.h"
#include "shadowmmu/base/state_archive.h"

namespace ringshift {
namespace {

constexpr uint64_t kEnabled = 1;
constexpr Nanoseconds kSecond = 1'000'000'000;

// The structures of msr.rst, in bytes; each is written as numbers at offsets.
constexpr uint32_t kWallClockBytes = 12, kSystemTimeBytes = 32, kStealTimeBytes = 64;
constexpr uint32_t kStealVersionAt = 8;

// Four bytes at an address that is a multiple of four; bit 0 is the enable bit of two registers,
// and would be no address in the third.
constexpr uint64_t kClockReserved = 2, kWallClockReserved = 3;
// 64 bytes of alignment less the enable bit: "bits 5-1 are reserved and must be zero".
constexpr uint64_t kStealReserved = 0x3e;

template <size_t Bytes, typename T>
void put(std::array<uint8_t, Bytes>* bytes, size_t at, T number) {
  std::memcpy(bytes->data() + at, &number, sizeof number);
}

}  // namespace

KvmInterface::KvmInterface(KvmSurroundings in)
    : in_(std::move(in)),
      clock_(in_.model.tsc_hz, in_.tsc.read(), 0),
      stolen_([this] { return in_.stolen(); }) {}

std::optional<uint64_t> KvmInterface::read_msr(uint32_t index) {
  switch (index) {
    case kOldWallClock:
    case kWallClock:
      return wall_clock_;
    case kOldSystemTime:
    case kSystemTime:
      return system_time_;
    case kStealTime:
      if (!in_.model.steal_time) return std::nullopt;
      return steal_time_;
    default:
      return std::nullopt;
  }
}

bool KvmInterface::write_msr(uint32_t index, uint64_t value) {
  switch (index) {
    case kOldWallClock:
    case kWallClock:
      if ((value & kWallClockReserved) != 0) return false;
      wall_clock_ = value;
      tell_wall_clock();
      return true;
    case kOldSystemTime:
    case kSystemTime:
      if ((value & kClockReserved) != 0) return false;
      system_time_ = value;
      tell_system_time();
      return true;
    case kStealTime:
      if (!in_.model.steal_time || (value & kStealReserved) != 0) return false;
      steal_time_ = value;
      told_.reset();
      stolen_.begin();
      tell_stolen_time();
      return true;
    default:
      return false;
  }
}

// The time goes on from where it was, at the same rate.
void KvmInterface::on_time_stamp_set(uint64_t before, uint64_t after) {
  clock_.begin_again(after, clock_.at(before));
  tell_system_time();
}

void KvmInterface::at_safe_point() { tell_stolen_time(); }

// The time of day when the guest's clock was at zero: u32 version, seconds, nanoseconds.
void KvmInterface::tell_wall_clock() {
  const Nanoseconds began = in_.time_of_day() - static_cast<Nanoseconds>(system_time());
  std::array<uint8_t, kWallClockBytes - 4> content{};
  put(&content, 0, static_cast<uint32_t>(began / kSecond));
  put(&content, 4, static_cast<uint32_t>(began % kSecond));
  (void)GuestArea(in_.memory, wall_clock_, kWallClockBytes).write_versioned(0, 4, content);
}

// u32 version, u32, u64 tsc_timestamp, u64 system_time, u32 tsc_to_system_mul, s8 tsc_shift, u8
// flags, u8[2].
void KvmInterface::tell_system_time() {
  constexpr uint8_t kStable = 1;
  if ((system_time_ & kEnabled) == 0) return;
  std::array<uint8_t, kSystemTimeBytes - 4> content{};
  put(&content, 4, clock_.time_stamp());
  put(&content, 12, clock_.time());
  put(&content, 20, clock_.scale().multiplier);
  put(&content, 24, clock_.scale().shift);
  put(&content, 25, in_.model.tsc_is_stable ? kStable : uint8_t{0});
  (void)GuestArea(in_.memory, system_time_ & ~kEnabled, kSystemTimeBytes)
      .write_versioned(0, 4, content);
}

// u64 steal, u32 version, u32 flags, u8 preempted, padding. Only the first changes.
void KvmInterface::tell_stolen_time() {
  if ((steal_time_ & kEnabled) == 0) return;
  const uint64_t stolen = stolen_.now();
  if (told_ == stolen) return;
  std::array<uint8_t, 8> content{};
  put(&content, 0, stolen);
  (void)GuestArea(in_.memory, steal_time_ & ~kEnabled, kStealTimeBytes)
      .write_versioned(kStealVersionAt, 0, content);
  told_ = stolen;
}

void KvmInterface::visit_state(StateArchive& archive) {
  constexpr const char* kRefused = "the register does not take this value";
  uint64_t time = clock_.at(standing_at_);
  archive.field("time", time, 0, static_cast<uint64_t>(kLongestRun));
  archive.field("wall clock", wall_clock_);
  archive.field("system time", system_time_);
  archive.field("steal time", steal_time_);
  archive.part("stolen time", stolen_);
  archive.require((wall_clock_ & kWallClockReserved) == 0, "wall clock", kRefused);
  archive.require((system_time_ & kClockReserved) == 0, "system time", kRefused);
  archive.require((steal_time_ & kStealReserved) == 0, "steal time", kRefused);
  if (!archive.has_loaded()) return;
  clock_.begin_again(standing_at_, time);
  told_.reset();
  tell_system_time();
}

}  // namespace ringshift
