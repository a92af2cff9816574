// RAM of one moment: later writes are not in the copy, and nobody writes to the copy.
#include "monitor/migration/frozen_copy.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <memory>
#include <string>
#include <thread>

#include "devices/bus/bus.h"
#include "monitor/memory/physical_memory.h"
#include "tests/support/shared_base.h"

namespace ringshift {
namespace {

constexpr uint32_t kGrainPages = SharedBase::kGrainPages;
constexpr uint64_t kGrain = uint64_t{kGrainPages} * kPageSize, kGrains = 64,
                   kRam = kGrains * kGrain;
constexpr uint64_t kSeal = 0x1234567;

class FrozenCopyTest : public ::testing::Test {
 protected:
  FrozenCopyTest() {
    ram_ = GuestMemory::create(kRam, &error_);
    CHECK(ram_ != nullptr);
    memory_ = std::make_unique<PhysicalMemory>(*ram_, bus_);
    for (uint64_t i = 0; i < kGrains; i += 2) write(i * kGrain, 0x100 + i);
    ram_->use_grains(kGrainPages);
  }
  ~FrozenCopyTest() override { close_descriptor(base_.descriptor); }
  void write(uint64_t at, uint64_t value) { memory_->write(GuestPhysical(at), &value, 4); }
  uint32_t read(uint64_t at) {
    uint32_t value = 0;
    memory_->read(GuestPhysical(at), &value, 4);
    return value;
  }
  void begin(FrozenCopy::Scope scope = FrozenCopy::Scope::AllButSealed) {
    copy_ = FrozenCopy::begin(
        *ram_, scope, kSeal, [this] { has_ended_ = true; }, &error_);
    ASSERT_NE(copy_, nullptr) << error_;
  }
  void finish() {
    while (!has_ended_) std::this_thread::yield();
    ASSERT_EQ(copy_->phase(), FrozenCopy::Phase::Done);
    base_ = copy_->take();
  }
  uint32_t copied(uint64_t at) const {
    uint32_t value = 0;
    CHECK(read_contents(base_.descriptor, FrozenCopy::kOffset + at,
                        {reinterpret_cast<uint8_t*>(&value), 4})
              .ok());
    return value;
  }

  std::string error_;
  MemoryBus bus_;
  std::unique_ptr<GuestMemory> ram_;
  std::unique_ptr<PhysicalMemory> memory_;
  std::atomic<bool> has_ended_{false};
  std::unique_ptr<FrozenCopy> copy_;
  RamBase base_;
};

TEST_F(FrozenCopyTest, IsOfTheMomentWhateverIsWritten) {
  memory_->freeze(0, kGrains);
  begin();
  for (uint64_t i = kGrains; i-- > 0;) write(i * kGrain, 0x900 + i);
  finish();
  for (uint64_t i = 0; i < kGrains; ++i) {
    EXPECT_EQ(read(i * kGrain), 0x900 + i);
    EXPECT_EQ(copied(i * kGrain), i % 2 == 0 ? 0x100 + i : 0) << i;
    EXPECT_EQ(base_.present[i], i % 2 == 0) << "zeros are not in it: " << i;
    EXPECT_FALSE(copy_->is_untouched(i)) << i;
  }
}

TEST_F(FrozenCopyTest, NobodyWritesToIt) {
  memory_->freeze(0, kGrains);
  begin();
  finish();
  const uint8_t byte = 1;
  EXPECT_FALSE(write_contents(base_.descriptor, FrozenCopy::kOffset, {&byte, 1}).ok());
  EXPECT_FALSE(discard_contents(base_.descriptor, 0, kPageSize).ok());
  HostAddress mapped;
  EXPECT_FALSE(map_shared(base_.descriptor, 0, kPageSize, HostAccess::ReadWrite, &mapped).ok());
  EXPECT_TRUE(FrozenCopy::is_one(base_.descriptor, kRam, kSeal));
  EXPECT_FALSE(FrozenCopy::is_one(base_.descriptor, kRam, kSeal + 1));
  EXPECT_FALSE(FrozenCopy::is_one(base_.descriptor, kRam + kPageSize, kSeal));
  EXPECT_FALSE(FrozenCopy::is_one(ram_->descriptor(), kRam / 2, kSeal)) << "RAM is not sealed";
}

TEST_F(FrozenCopyTest, WhatWasNotWrittenIsSharedFromThenOn) {
  memory_->freeze(0, kGrains);
  begin();
  write(2 * kGrain + 8, 0x77);
  finish();
  RamBase base = base_;
  base.descriptor = dup(base_.descriptor);
  ram_->add_base(std::move(base));
  for (uint64_t i = 0; i < kGrains; ++i) {
    if (copy_->is_untouched(i)) memory_->move_to_base(i, 1);
  }
  EXPECT_EQ(ram_->backing(GuestPhysicalPage(0)), Backing::Base);
  EXPECT_EQ(ram_->backing(GuestPhysicalPage(2 * kGrainPages)), Backing::Own);
  const ByteRange first = next_contents(ram_->descriptor(), 0, kRam);
  EXPECT_EQ(first.begin, 2 * kGrain) << "what it took is given back";
  write(4 * kGrain, 5);
  EXPECT_EQ(read(4 * kGrain), 5U);
  EXPECT_EQ(copied(4 * kGrain), 0x104U);
  EXPECT_EQ(read(2 * kGrain), 0x102U);
  EXPECT_EQ(read(6 * kGrain), 0x106U);
}

// Grains that an earlier copy has are left out, unless all are wanted.
TEST_F(FrozenCopyTest, RefersToWhatIsSealed) {
  memory_->freeze(0, kGrains);
  begin();
  finish();
  ram_->add_base(base_);
  base_ = {};
  memory_->move_to_base(4, 1);
  copy_.reset();
  has_ended_ = false;
  begin();
  finish();
  EXPECT_FALSE(base_.present[4]);
  EXPECT_TRUE(base_.present[6]);
  copy_.reset();
  close_descriptor(base_.descriptor);
  has_ended_ = false;
  begin(FrozenCopy::Scope::All);
  finish();
  EXPECT_TRUE(base_.present[4]);
  EXPECT_EQ(copied(4 * kGrain), 0x104U);
}

TEST_F(FrozenCopyTest, MayEndAtAnyTime) {
  memory_->freeze(0, kGrains);
  for (int i = 0; i < 20; ++i) {
    has_ended_ = false;
    begin();
    copy_.reset();
  }
  write(0, 3);
  EXPECT_EQ(read(0), 3U);
}

}  // namespace
}  // namespace ringshift
