#include "monitor/paravirt/ringshift_interface.h"

#include <array>
#include <cstring>
#include <utility>

#include "monitor/paravirt/guest_area.h"
#include "shadowmmu/base/counters.h"
#include "shadowmmu/base/state_archive.h"

namespace ringshift {
namespace {

constexpr uint64_t kEnabled = 1, kReserved = kPageSize - 1 - kEnabled;
constexpr uint32_t kClockBytes = 40;
constexpr unsigned kLowestVector = 32;  // those below are exceptions

// As the numbers of the pages that are tables.
void visit_tables(StateArchive& archive, std::vector<bool>& tables) {
  std::vector<uint32_t> pages;
  for (uint32_t page = 0; page < tables.size(); ++page) {
    if (tables[page]) pages.push_back(page);
  }
  archive.list("tables", pages, tables.size());
  if (!archive.has_loaded()) return;
  tables.assign(tables.size(), false);
  for (const uint32_t page : pages) {
    archive.require(page < tables.size(), "tables", "it is beyond the end of RAM");
    if (page < tables.size()) tables[page] = true;
  }
}

}  // namespace

RingshiftInterface::RingshiftInterface(RingshiftSurroundings in)
    : in_(std::move(in)),
      clock_(in_.model.tsc_hz, in_.tsc.read(), static_cast<uint64_t>(in_.clock.now())),
      timer_(in_.clock, [this](Nanoseconds) { raise(kTimerChannel); }),
      tables_(in_.memory.ram().size() / kPageSize) {}

std::optional<uint64_t> RingshiftInterface::read_msr(uint32_t index) {
  switch (index) {
    case kIdentity:
      return uint64_t{kRingshiftVersion} << 32 | kMagic;
    case kCodePage:
      return code_page_;
    case kSharedPage:
      return shared_page_;
    default:
      return std::nullopt;
  }
}

bool RingshiftInterface::write_msr(uint32_t index, uint64_t value) {
  if ((index != kCodePage && index != kSharedPage) || (value & kReserved) != 0) return false;
  if (index == kCodePage) {
    code_page_ = value;
    write_code();
  } else {
    shared_page_ = value;
    tell_clock();
  }
  return true;
}

// The time goes on from where it was, at the same rate.
void RingshiftInterface::on_time_stamp_set(uint64_t before, uint64_t after) {
  clock_.begin_again(after, clock_.at(before));
  tell_clock();
}

// mov ecx, kCall; wrmsr; ret; and INT3 to the end of the page. Every engine gives WRMSR to the
// monitor, and no processor gives it to anybody else: VMCALL and VMMCALL would reach the host's own
// hypervisor, if it has one, past a guest that runs deprivileged.
void RingshiftInterface::write_code() {
  if ((code_page_ & kEnabled) == 0) return;
  const uint64_t address = code_page_ & ~kEnabled;
  if (!GuestArea(in_.memory, address, kPageSize).is_ram()) return;
  constexpr uint8_t kMovEcx = 0xb9, kRet = 0xc3, kInt3 = 0xcc;
  constexpr uint32_t kRegister = kCall;
  std::array<uint8_t, kPageSize> code;
  code.fill(kInt3);
  code[0] = kMovEcx;
  std::memcpy(&code[1], &kRegister, sizeof kRegister);
  code[5] = 0x0f;  // WRMSR
  code[6] = 0x30;
  code[7] = kRet;
  in_.memory.write(GuestPhysical(address), code.data(), kPageSize);
}

std::optional<RingshiftInterface::Events> RingshiftInterface::events() {
  if ((shared_page_ & kEnabled) == 0) return std::nullopt;
  const GuestPhysical at(shared_page_ & ~kEnabled);
  if (!in_.memory.is_ram(GuestPhysicalPage::of(at))) return std::nullopt;
  std::array<uint32_t, 3> words{};
  in_.memory.read(at, words.data(), sizeof words);
  return Events{words[0] & 0xffU, words[1], words[2]};
}

bool RingshiftInterface::is_due() {
  if (!has_events()) return false;
  const std::optional<Events> now = events();
  return now && now->masked == 0 && (now->pending & ~now->channel_mask) != 0;
}

void RingshiftInterface::raise(uint32_t channel) {
  const std::optional<Events> now = events();
  const uint32_t bit = 1U << channel;
  if (!now || (now->pending & bit) != 0) return;
  const uint32_t pending = now->pending | bit;
  in_.memory.write(GuestPhysical((shared_page_ & ~kEnabled) + kPending), &pending, sizeof pending);
}

void RingshiftInterface::set_masked(uint8_t masked) {
  if (!events()) return;
  in_.memory.write(GuestPhysical((shared_page_ & ~kEnabled) + kMasked), &masked, sizeof masked);
}

// The controller's request is a level: it is pending for as long as it is not acknowledged. This is
// asked where nobody would notice what a write to a watched or shared page needs done.
bool RingshiftInterface::interrupts(bool by_controller) {
  if (!has_events() || !takes_interrupts_) return by_controller || is_due();
  const GuestPhysicalPage page = GuestPhysicalPage::of(GuestPhysical(shared_page_ & ~kEnabled));
  if (by_controller && events() && in_.memory.may_write_unseen(page)) raise(kInterruptChannel);
  return is_due();
}

std::optional<uint8_t> RingshiftInterface::take_upcall() {
  if (!is_due()) return std::nullopt;
  ++counters().upcalls;
  const GuestPhysical at((shared_page_ & ~kEnabled) + kUpcalls);
  uint32_t count = 0;
  in_.memory.read(at, &count, sizeof count);
  ++count;
  in_.memory.write(at, &count, sizeof count);
  set_masked(1);
  return vector_;
}

// The host's time of day may be set; and the page may have become one that is shared with a clone.
void RingshiftInterface::at_safe_point() {
  constexpr uint64_t kSecond = 1'000'000'000;
  if (!events()) return;
  const GuestPhysicalPage page = GuestPhysicalPage::of(GuestPhysical(shared_page_ & ~kEnabled));
  const bool is_own = in_.memory.may_write_unseen(page) || in_.memory.is_watched(page);
  if (!is_own || virtual_time() - told_at_ >= kSecond) tell_clock();
}

// u32 version, u32, u64 time stamp, u64 virtual time, u64 real time, u32 multiplier, s8 shift.
void RingshiftInterface::tell_clock() {
  if ((shared_page_ & kEnabled) == 0) return;
  const uint64_t time_stamp = in_.tsc.read();
  clock_.begin_again(time_stamp, clock_.at(time_stamp));
  told_at_ = clock_.time();
  const auto real = static_cast<uint64_t>(in_.time_of_day());
  std::array<uint8_t, kClockBytes - 8> content{};
  const auto put = [&](uint32_t at, auto number) {
    std::memcpy(content.data() + (at - kTimeStamp), &number, sizeof number);
  };
  put(kTimeStamp, time_stamp);
  put(kVirtualTime, clock_.time());
  put(kRealTime, real);
  put(kMultiplier, clock_.scale().multiplier);
  put(kShift, clock_.scale().shift);
  (void)GuestArea(in_.memory, shared_page_ & ~kEnabled, kPageSize)
      .write_versioned(kClockVersion, kTimeStamp, content);
}

uint32_t RingshiftInterface::set_events(uint32_t vector, uint32_t flags) {
  constexpr uint32_t kTakesInterrupts = 1;
  if (vector != 0 && (vector < kLowestVector || vector > 255)) return kBadArgument;
  if ((flags & ~kTakesInterrupts) != 0) return kBadArgument;
  vector_ = static_cast<uint8_t>(vector);
  takes_interrupts_ = (flags & kTakesInterrupts) != 0;
  return 0;
}

void RingshiftInterface::visit_state(StateArchive& archive) {
  constexpr const char* kRefused = "the register does not take this value";
  uint64_t time = clock_.at(standing_at_);
  archive.field("time", time, 0, static_cast<uint64_t>(kLongestRun));
  archive.field("code page", code_page_);
  archive.field("shared page", shared_page_);
  archive.field("vector", vector_);
  archive.field("takes interrupts", takes_interrupts_);
  archive.part("timer", timer_);
  visit_tables(archive, tables_);
  archive.require((code_page_ & kReserved) == 0, "code page", kRefused);
  archive.require((shared_page_ & kReserved) == 0, "shared page", kRefused);
  archive.require(vector_ == 0 || vector_ >= kLowestVector, "vector", kRefused);
  if (!archive.has_loaded()) return;
  clock_.begin_again(standing_at_, time);
  tell_clock();
}

}  // namespace ringshift
