// Snapshot: a written file is read back; a damaged one is one line of text.
#include "monitor/machine/media/snapshot.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

namespace ringshift {
namespace {

constexpr uint64_t kRamBytes = 1U << 20;

class SnapshotTest : public ::testing::Test {
 protected:
  SnapshotTest() : file_(std::tmpfile()), memory_(make()) {
    std::memset(memory_->at(GuestPhysical(0x3000)), 0x5a, kPageSize);
    *memory_->at(GuestPhysical(kRamBytes - 1)) = 1;
    written_.words = {"run", "--kernel", "a b", ""};
    written_.state = {1, 2, 3, 4, 5};
  }
  ~SnapshotTest() override { std::fclose(file_); }
  [[nodiscard]] static std::unique_ptr<GuestMemory> make(uint64_t bytes = kRamBytes) {
    std::string error;
    auto memory = GuestMemory::create(bytes, &error);
    EXPECT_NE(memory, nullptr) << error;
    return memory;
  }
  [[nodiscard]] int descriptor() const { return fileno(file_); }
  [[nodiscard]] bool write() { return write_snapshot(descriptor(), written_, *memory_, &error_); }
  [[nodiscard]] bool read() { return read_snapshot(descriptor(), &read_, &error_); }
  // All of it, as --verify-ram first does.
  [[nodiscard]] bool read_whole() {
    if (!read()) return false;
    for (size_t i = 0; i < read_.ram.grains.size(); ++i) {
      if (!verify_grain(descriptor(), read_.ram, i, &error_)) return false;
    }
    return true;
  }
  void flip(off_t at) {
    uint8_t byte = 0;
    ASSERT_EQ(pread(descriptor(), &byte, 1, at), 1);
    byte ^= 0x10;
    ASSERT_EQ(pwrite(descriptor(), &byte, 1, at), 1);
  }
  void expect_one_line() {
    EXPECT_EQ(error_.rfind("saved machine: ", 0), 0U) << error_;
    EXPECT_EQ(error_.find('\n'), std::string::npos) << error_;
  }

  std::FILE* file_;
  std::unique_ptr<GuestMemory> memory_;
  Snapshot written_;
  Snapshot read_;
  std::string error_;
};

TEST_F(SnapshotTest, ComesBackAsItWas) {
  ASSERT_TRUE(write()) << error_;
  ASSERT_TRUE(read()) << error_;
  EXPECT_EQ(read_.words, written_.words);
  EXPECT_EQ(read_.state, written_.state);
  ASSERT_TRUE(read_whole()) << error_;
  const auto other = make();
  ASSERT_TRUE(other->take_base(base_of(read_.ram, dup(descriptor()))).ok());
  EXPECT_EQ(std::memcmp(other->at(GuestPhysical(0)), memory_->at(GuestPhysical(0)), kRamBytes), 0);
}

TEST_F(SnapshotTest, EachPageHasItsPlaceAndThoseOfZerosTakeNoRoom) {
  ASSERT_TRUE(write() && read()) << error_;
  EXPECT_EQ(read_.ram.offset, kPageSize);
  EXPECT_EQ(lseek(descriptor(), 0, SEEK_END), static_cast<off_t>(read_.ram.end()));
  ASSERT_EQ(read_.ram.grains.size(), 2U);
  EXPECT_EQ(read_.ram.grains[0].number, 0U);
  EXPECT_EQ(read_.ram.grains[1].number, kRamBytes / read_.ram.grain_bytes - 1);
  // The first page in use is page 3.
  if (lseek(descriptor(), kPageSize, SEEK_HOLE) != kPageSize) GTEST_SKIP() << "no holes here";
  EXPECT_EQ(lseek(descriptor(), kPageSize, SEEK_DATA), static_cast<off_t>(kPageSize + 0x3000));
}

TEST_F(SnapshotTest, LargeRamHasLargerGrains) {
  memory_ = make(uint64_t{1} << 30);
  *memory_->at(GuestPhysical(0x12345678)) = 1;
  ASSERT_TRUE(write() && read_whole()) << error_;
  EXPECT_EQ(read_.ram.grain_bytes, 256U * 1024);
  ASSERT_EQ(read_.ram.grains.size(), 1U);
  EXPECT_EQ(read_.ram.grains[0].number, 0x12345678U / (256 * 1024));
}

TEST_F(SnapshotTest, TheLastGrainMayBeCutShort) {
  const uint64_t bytes = kRamBytes + 3 * kPageSize;
  memory_ = make(bytes);
  *memory_->at(GuestPhysical(bytes - 1)) = 7;
  ASSERT_TRUE(write() && read_whole()) << error_;
  const auto other = make(bytes);
  ASSERT_TRUE(other->take_base(base_of(read_.ram, dup(descriptor()))).ok());
  EXPECT_EQ(*other->at(GuestPhysical(bytes - 1)), 7);
  EXPECT_TRUE(other->is_shared(GuestPhysicalPage(bytes / kPageSize - 1)));
}

TEST_F(SnapshotTest, WrittenTwiceItIsTheSame) {
  ASSERT_TRUE(write() && read());
  const auto end = static_cast<size_t>(read_.ram.end());
  std::string first(end, 0), second(end, 0);
  ASSERT_EQ(pread(descriptor(), first.data(), end, 0), static_cast<ssize_t>(end));
  ASSERT_EQ(ftruncate(descriptor(), 0), 0);
  ASSERT_TRUE(write());
  ASSERT_EQ(pread(descriptor(), second.data(), end, 0), static_cast<ssize_t>(end));
  EXPECT_EQ(first, second);
}

TEST_F(SnapshotTest, EveryTruncationIsRefused) {
  ASSERT_TRUE(write() && read());
  const auto whole = static_cast<off_t>(read_.ram.end());
  for (off_t length = whole - 1; length >= 0; length -= length > 5000 ? 4093 : 1) {
    ASSERT_EQ(ftruncate(descriptor(), length), 0);
    ASSERT_FALSE(read()) << length;
    expect_one_line();
  }
}

TEST_F(SnapshotTest, EveryDamagedByteIsNoticed) {
  ASSERT_TRUE(write());
  constexpr off_t kUsed = 56 + 18 + 5 + 2 * 16;  // header, words, state, table
  for (off_t at = 0; at < kUsed; ++at) {
    flip(at);
    ASSERT_FALSE(read()) << at;
    expect_one_line();
    flip(at);
  }
  ASSERT_TRUE(read());
  const off_t begin = static_cast<off_t>(read_.ram.offset);
  for (const off_t in_ram : {off_t{0}, off_t{0x3fff}, off_t{kRamBytes - 1}}) {
    flip(begin + in_ram);
    EXPECT_TRUE(read()) << error_;
    ASSERT_FALSE(read_whole()) << in_ram;
    expect_one_line();
    flip(begin + in_ram);
  }
}

TEST_F(SnapshotTest, WhatTheFileHasWhereZerosBelongIsNotSeen) {
  ASSERT_TRUE(write() && read());
  flip(static_cast<off_t>(read_.ram.offset + 0x80000));
  ASSERT_TRUE(read_whole());
  const auto other = make();
  ASSERT_TRUE(other->take_base(base_of(read_.ram, dup(descriptor()))).ok());
  EXPECT_EQ(*other->at(GuestPhysical(0x80000)), 0);
}

// ---- a clone's: RAM is elsewhere ----

class ClonedSnapshotTest : public SnapshotTest {
 protected:
  ClonedSnapshotTest() {
    written_.ram = {.offset = 0,
                    .bytes = kRamBytes,
                    .grain_bytes = 65536,
                    .grains = {{0, 1}, {3, 0}, {15, 1}},
                    .elsewhere = {{17, 0x1111}, {23, 0x2222}}};
    bytes_ = bytes_of_clone(written_);
    EXPECT_TRUE(write_contents(descriptor(), 0, bytes_).ok());
  }
  std::vector<uint8_t> bytes_;
};

TEST_F(ClonedSnapshotTest, SaysWhereRamIs) {
  ASSERT_TRUE(read()) << error_;
  EXPECT_EQ(read_.words, written_.words);
  EXPECT_EQ(read_.state, written_.state);
  ASSERT_EQ(read_.ram.elsewhere.size(), 2U);
  EXPECT_EQ(read_.ram.elsewhere[1].descriptor, 23U);
  EXPECT_EQ(read_.ram.elsewhere[1].seal, 0x2222U);
  ASSERT_EQ(read_.ram.grains.size(), 3U);
  EXPECT_EQ(read_.ram.grains[2].number, 15U);
  EXPECT_EQ(read_.ram.grains[2].hash, 1U);
  EXPECT_EQ(path_of_cloned_ram("/proc/5/fd/9", read_.ram.elsewhere[0]), "/proc/5/fd/17");
}

TEST_F(ClonedSnapshotTest, DamageIsOneLine) {
  for (size_t at = 0; at < bytes_.size(); ++at) {
    flip(static_cast<off_t>(at));
    ASSERT_FALSE(read()) << at;
    expect_one_line();
    flip(static_cast<off_t>(at));
  }
  for (const size_t length : {bytes_.size() - 1, bytes_.size() - 300, size_t{60}, size_t{0}}) {
    ASSERT_EQ(ftruncate(descriptor(), static_cast<off_t>(length)), 0);
    ASSERT_FALSE(read()) << length;
    expect_one_line();
  }
}

TEST_F(ClonedSnapshotTest, AGrainIsInAFileThatThereIs) {
  written_.ram.grains[1].hash = 2;
  bytes_ = bytes_of_clone(written_);
  ASSERT_TRUE(write_contents(descriptor(), 0, bytes_).ok());
  ASSERT_FALSE(read());
  expect_one_line();
}

TEST_F(SnapshotTest, WhatCannotBeWrittenSaysSo) {
  std::FILE* full = std::fopen("/dev/full", "wb");
  if (full == nullptr) GTEST_SKIP() << "no /dev/full";
  EXPECT_FALSE(write_snapshot(fileno(full), written_, *memory_, &error_));
  std::fclose(full);
  expect_one_line();
}

}  // namespace
}  // namespace ringshift
