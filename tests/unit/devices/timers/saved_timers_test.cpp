// PIT, clock with CMOS and HPET, saved and loaded in the middle of random traffic.
#include <gtest/gtest.h>

#include <array>

#include "devices/timers/hpet.h"
#include "devices/timers/pit8254.h"
#include "devices/timers/rtc_cmos.h"
#include "tests/support/saved_twins.h"
#include "tests/unit/devices/bus/device_test_support.h"

namespace ringshift {
namespace {

// As a host's clock: time passes, and timers are called later.
class LateClock final : public VirtualClock {
 public:
  Nanoseconds now() override { return time_; }
  void pass(Nanoseconds time) { time_ += time; }

 protected:
  void set_time(Nanoseconds time) override { time_ = time; }

 private:
  Nanoseconds time_ = 0;
};

struct PitWorld {
  void visit_state(StateArchive& archive) { archive.part("pit", pit); }
  uint64_t act(Random& random) {
    PortDevice& timer = pit.timer_ports();
    switch (random.below(8)) {
      case 0:
        out8(timer, 3, random.byte());
        break;
      case 1:  // a mode, and a count
        out8(timer, 3, random.below(3) << 6 | (1 + random.below(3)) << 4 | random.below(16));
        break;
      case 2:
      case 3:
        out8(timer, random.below(3), random.one_in(2) ? random.byte() : random.below(2));
        break;
      case 4:
        out8(pit.system_control_port(), 0, random.byte());
        break;
      case 5:
        clock.pass(random.below(random.one_in(8) ? 50'000'000 : 50'000));
        break;
      case 6:
        clock.run_due();
        break;
      default:
        if (random.one_in(2)) reload(random);
        break;
    }
    return in8(pit.system_control_port(), 0) | uint64_t{in8(timer, random.below(4))} << 8 |
           (outside.level ? 0x10000U : 0) | static_cast<uint64_t>(outside.rising_edges) << 32;
  }
  // A count that takes over at the end of a period, with nobody there to hear of it at once.
  void reload(Random& random) {
    out8(pit.timer_ports(), 3, 0x34);
    for (const Nanoseconds time : {3'000'000, 5'000'000}) {
      out8(pit.timer_ports(), 0, random.byte());
      out8(pit.timer_ports(), 0, 0x10);
      clock.pass(time);
    }
    out8(pit.timer_ports(), 3, 0);
  }
  LateClock clock;
  WireState outside;
  OutsideLine line{outside};
  Pit8254 pit{clock, line};
};

TEST(SavedTimers, ThePitGoesOn) {
  const SavedTwins<PitWorld> twins(300, 300);
  twins.expect_that_they_agree();
}

// A device that waits for the edge at which a new count takes over has asked for it before.
TEST(SavedTimers, EachFieldOfThePitShows) {
  const SavedTwins<PitWorld> twins(800, 200);
  twins.expect_that_each_field_shows({"pit/counter N/second period"});
}

// One whose late periods are made up: which of them are owed is its state, too.
struct RtcWorld {
  RtcWorld() { clock.set_missed_ticks(MissedTicks::MakeUp); }
  void visit_state(StateArchive& archive) { archive.part("rtc", rtc); }
  uint64_t act(Random& random) {
    const unsigned usual[] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 11, 12, 0x32, 0x15};
    switch (random.below(6)) {
      case 0:
        out8(rtc, 0, random.one_in(4) ? random.byte() : random.pick(usual));
        break;
      case 1:
        out8(rtc, 1, random.one_in(2) ? random.byte() : random.byte() & 0x59);
        break;
      case 2:  // a rate and its interrupt; an alarm at any time
        out8(rtc, 0, 10);
        out8(rtc, 1, 0x20 | random.below(16));
        out8(rtc, 0, 11);
        out8(rtc, 1, random.byte() & 0x7f);
        break;
      case 3:
        clock.advance(random.below(random.one_in(3) ? 2'000'000'000 : 2'000'000));
        break;
      default:
        break;
    }
    return in8(rtc, 1) | (outside.level ? 0x100U : 0) |
           static_cast<uint64_t>(outside.rising_edges) << 32;
  }
  ManualClock clock;
  WireState outside;
  OutsideLine line{outside};
  RtcCmos rtc{clock, line, 1'000'000'000};
};

TEST(SavedTimers, TheRealTimeClockGoesOn) {
  const SavedTwins<RtcWorld> twins(300, 300);
  twins.expect_that_they_agree();
}

TEST(SavedTimers, EachFieldOfTheRealTimeClockShows) {
  const SavedTwins<RtcWorld> twins(300, 200);
  twins.expect_that_each_field_shows({});
}

struct HpetWorld {
  struct Outside {
    std::array<uint32_t, 32> edges{};
    uint32_t levels = 0;
    bool operator==(const Outside&) const = default;
  };
  void visit_state(StateArchive& archive) { archive.part("hpet", hpet); }
  void set_input(unsigned input, bool asserted) {
    if (asserted && (outside.levels >> input & 1) == 0) ++outside.edges[input];
    outside.levels = (outside.levels & ~(1U << input)) | (asserted ? 1U << input : 0);
  }
  void write(uint64_t at, uint32_t value) { hpet.write(at, AccessWidth::Dword, value); }
  uint64_t act(Random& random) {
    const uint64_t timer = 0x100 + 0x20 * random.below(3);
    switch (random.below(10)) {
      case 0:
        write(0x10, random.byte());
        break;
      case 1:
        write(timer, (random.byte() & 0x4e) | (20 + random.below(4)) << 9);
        break;
      case 2:
        write(timer, random.word());
        break;
      case 3:  // soon
        write(timer + 8,
              static_cast<uint32_t>(hpet.read(0xf0, AccessWidth::Dword)) + random.below(20'000));
        write(timer + 12, hpet.read(0xf4, AccessWidth::Dword));
        break;
      case 4:
        write(timer + 8 + 4 * random.below(2), random.below(20'000));
        break;
      case 5:
        write(0x20, random.byte());
        break;
      case 6:
        write(0xf0 + 4 * random.below(2), random.below(100'000));
        break;
      case 7:
      case 8:
        clock.advance(random.below(300'000));
        break;
      default:
        break;
    }
    const uint64_t at =
        random.one_in(2) ? timer + 4 * random.below(4) : 0xf0 - 0xe0 * random.below(2);
    return hpet.read(at, AccessWidth::Dword) | uint64_t{outside.levels} << 32;
  }
  ManualClock clock;
  Outside outside;
  Hpet hpet{clock, [this](unsigned input, bool asserted) { set_input(input, asserted); }};
};

TEST(SavedTimers, TheHpetGoesOn) {
  const SavedTwins<HpetWorld> twins(300, 300);
  twins.expect_that_they_agree();
}

TEST(SavedTimers, EachFieldOfTheHpetShows) {
  const SavedTwins<HpetWorld> twins(500, 200);
  twins.expect_that_each_field_shows({});
}

}  // namespace
}  // namespace ringshift
