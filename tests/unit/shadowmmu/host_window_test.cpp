// HostWindow: the pages that it shows and hides, also when the host has no mapping left to give.
#include "shadowmmu/host_window.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <memory>
#include <string>

#include "tests/support/used_up_mappings.h"

namespace ringshift {
namespace {

constexpr GuestVirtualPage kAt(0x400);
constexpr uint32_t kPages = 512;

class HostWindowTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string error;
    ram_ = GuestMemory::create(4U << 20, &error);
    ASSERT_NE(ram_, nullptr) << error;
    window_ = HostWindow::create(*ram_, &refusals_, &error);
    ASSERT_NE(window_, nullptr) << error;
    ASSERT_EQ(pipe(pipe_), 0);
    ASSERT_TRUE(window_->map(kAt, GuestPhysicalPage(0), kPages, HostAccess::ReadWrite));
  }
  void TearDown() override {
    close(pipe_[0]);
    close(pipe_[1]);
  }
  // The host's kernel says so, without a signal.
  [[nodiscard]] bool may_read(GuestVirtualPage page) const {
    const uint64_t address = window_->base().value() + page.address().value();
    return write(pipe_[1], reinterpret_cast<const void*>(address), 1) == 1;
  }

  HostRefusals refusals_;
  std::unique_ptr<GuestMemory> ram_;
  std::unique_ptr<HostWindow> window_;
  int pipe_[2] = {-1, -1};
};

TEST_F(HostWindowTest, ShowsAndHides) {
  EXPECT_TRUE(may_read(kAt));
  EXPECT_TRUE(may_read(kAt + (kPages - 1)));
  EXPECT_FALSE(may_read(kAt + kPages));
  EXPECT_TRUE(window_->unmap(kAt + 5, 2));
  EXPECT_FALSE(may_read(kAt + 6));
  EXPECT_TRUE(may_read(kAt + 7));
  EXPECT_TRUE(window_->restrict_to(kAt, HostAccess::None));
  EXPECT_FALSE(may_read(kAt));
  EXPECT_TRUE(window_->clear());
  EXPECT_FALSE(may_read(kAt + 7));
}

TEST_F(HostWindowTest, AskedToRefuseItDoesNothing) {
  refusals_.refuse_every(1);
  EXPECT_FALSE(window_->unmap(kAt, 1));
  EXPECT_FALSE(window_->restrict_to(kAt, HostAccess::None));
  EXPECT_FALSE(window_->map(kAt + kPages, GuestPhysicalPage(0), 1, HostAccess::Read));
  EXPECT_TRUE(may_read(kAt));
  EXPECT_TRUE(window_->clear());
  EXPECT_FALSE(may_read(kAt));
}

TEST_F(HostWindowTest, WithoutAMappingLeftItStillForgetsAll) {
  if (!UsedUpMappings::can_be()) GTEST_SKIP() << "they cannot be used up here";
  const UsedUpMappings all;
  ASSERT_TRUE(all.is_used_up());
  // Each would split the one mapping there is.
  const bool restricted = window_->restrict_to(kAt + 5, HostAccess::Read);
  const bool unmapped = window_->unmap(kAt + 7, 1);
  const bool mapped = window_->map(kAt + 9, GuestPhysicalPage(1), 1, HostAccess::Read);
  (void)window_->clear();
  const bool hidden = !may_read(kAt) && !may_read(kAt + 7) && !may_read(kAt + (kPages - 1));
  EXPECT_FALSE(restricted);
  EXPECT_FALSE(unmapped);
  EXPECT_FALSE(mapped);
  EXPECT_TRUE(hidden);
}

}  // namespace
}  // namespace ringshift
