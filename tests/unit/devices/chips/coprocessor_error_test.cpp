// CoprocessorError: the latch between FERR# and interrupt 13, and IGNNE#.
#include "devices/chips/coprocessor_error.h"

#include <gtest/gtest.h>

#include "tests/support/saved_twins.h"
#include "tests/unit/devices/bus/device_test_support.h"
#include "tests/unit/devices/pci/pci_test_support.h"

namespace ringshift {
namespace {

TEST(CoprocessorErrorTest, AnErrorAsksForTheInterruptUntilThePortIsWritten) {
  RecordingLine line;
  CoprocessorError error(line);
  int told = 0;
  error.set_on_ignored([&] { ++told; });
  error.raise();
  EXPECT_TRUE(line.level);
  EXPECT_FALSE(error.is_ignored());
  error.raise();  // the instruction has been tried again
  EXPECT_EQ(line.rising_edges, 1);
  out8(error, 0, 0);
  EXPECT_FALSE(line.level);
  EXPECT_TRUE(error.is_ignored());
  EXPECT_EQ(told, 1);
  error.error_gone();
  EXPECT_FALSE(error.is_ignored());
}

TEST(CoprocessorErrorTest, WithoutAnErrorThePortDoesNothing) {
  RecordingLine line;
  CoprocessorError error(line);
  out8(error, 0, 0xff);
  EXPECT_FALSE(error.is_ignored());
  EXPECT_EQ(in8(error, 0), 0xff);
}

struct ErrorWorld {
  struct Outside {
    WireState wire;
    bool operator==(const Outside&) const = default;
  };
  void visit_state(StateArchive& archive) { archive.part("error", error); }
  uint64_t act(Random& random) {
    if (random.one_in(3)) error.raise();
    if (random.one_in(3)) out8(error, 0, random.byte());
    if (random.one_in(3)) error.error_gone();
    return (outside.wire.level ? 2U : 0U) | (error.is_ignored() ? 1U : 0U);
  }
  ManualClock clock;
  Outside outside;
  OutsideLine line{outside.wire};
  CoprocessorError error{line};
};

TEST(CoprocessorErrorTest, ItGoesOnWhereItWasSaved) {
  const SavedTwins<ErrorWorld> twins(20, 30);
  twins.expect_that_they_agree();
  twins.expect_that_each_field_shows({});
}

}  // namespace
}  // namespace ringshift
