#include "devices/host/host_disk.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <vector>

#include "shadowmmu/base/state_archive.h"

namespace ringshift {
namespace {

class HostDiskTest : public ::testing::Test {
 protected:
  HostDiskTest() {
    const int made = mkstemp(path_.data());
    EXPECT_GE(made, 0);
    close(made);
    std::ofstream(path_, std::ios::binary) << std::string(20000, 'a');
  }
  ~HostDiskTest() override { unlink(path_.c_str()); }
  std::unique_ptr<HostDisk> open(DiskAccess access) {
    return HostDisk::open(path_, access, 512, &error_);
  }
  std::string content() {
    std::ifstream file(path_, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  static std::string text(HostDisk& disk, uint64_t offset, size_t length) {
    std::string bytes(length, '?');
    EXPECT_TRUE(disk.read(offset, {reinterpret_cast<uint8_t*>(bytes.data()), length}));
    return bytes;
  }
  static bool put(HostDisk& disk, uint64_t offset, const std::string& bytes) {
    return disk.write(offset, {reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()});
  }

  std::string path_ = ::testing::TempDir() + "ringshift-disk-XXXXXX";
  std::string error_;
};

TEST_F(HostDiskTest, SizeIsCutToWholeUnits) {
  EXPECT_EQ(open(DiskAccess::ReadOnly)->bytes(), 39U * 512);
}

TEST_F(HostDiskTest, WritesReachTheFile) {
  const auto disk = open(DiskAccess::Write);
  ASSERT_NE(disk, nullptr);
  EXPECT_TRUE(put(*disk, 5000, "hello"));
  EXPECT_TRUE(disk->flush());
  EXPECT_EQ(content().substr(4999, 7), "ahelloa");
}

// Some of it is on its way to the host's disk before flush() asks.
TEST_F(HostDiskTest, AnyOrderOfManyWritesReachesTheFile) {
  constexpr uint64_t kPiece = 1 << 20;
  std::filesystem::resize_file(path_, 12 * kPiece);
  const auto disk = open(DiskAccess::Write);
  ASSERT_NE(disk, nullptr);
  for (const uint64_t number : {0U, 1U, 2U, 3U, 4U, 5U, 6U, 11U, 7U, 8U, 9U, 10U}) {
    const char letter = static_cast<char>('A' + number);
    ASSERT_TRUE(put(*disk, number * kPiece, std::string(kPiece, letter)));
  }
  EXPECT_TRUE(disk->flush());
  const std::string found = content();
  for (uint64_t i = 0; i < 12; ++i) {
    EXPECT_EQ(found.find_first_not_of(static_cast<char>('A' + i), i * kPiece),
              i == 11 ? std::string::npos : (i + 1) * kPiece);
  }
}

TEST_F(HostDiskTest, SnapshotKeepsTheFileAndReadsItsOwnWrites) {
  const auto disk = open(DiskAccess::Snapshot);
  ASSERT_NE(disk, nullptr);
  const std::string across(6000, 'b');  // part of a cluster, a whole one, part of a third
  EXPECT_TRUE(put(*disk, 3000, across));
  EXPECT_EQ(text(*disk, 2999, 6002), "a" + across + "a");
  EXPECT_TRUE(put(*disk, 39 * 512 - 1, "c"));  // the last cluster is short
  EXPECT_EQ(text(*disk, 39 * 512 - 2, 2), "ac");
  EXPECT_EQ(content(), std::string(20000, 'a'));
}

TEST_F(HostDiskTest, ReadOnlyRefusesWrites) {
  const auto disk = open(DiskAccess::ReadOnly);
  EXPECT_TRUE(disk->read_only());
  EXPECT_FALSE(put(*disk, 0, "x"));
  EXPECT_EQ(content()[0], 'a');
}

TEST_F(HostDiskTest, ZerosAreZerosWhereverTheyGo) {
  for (const DiskAccess access : {DiskAccess::Write, DiskAccess::Snapshot}) {
    for (const auto how : {DiskBackend::Zeroing::Keep, DiskBackend::Zeroing::MayFree}) {
      std::ofstream(path_, std::ios::binary) << std::string(20000, 'a');
      const auto disk = open(access);
      ASSERT_NE(disk, nullptr);
      EXPECT_TRUE(disk->write_zeroes(1024, 9 * 512, how));
      EXPECT_EQ(text(*disk, 0, 10240), std::string(1024, 'a') + std::string(size_t{9} * 512, '\0') +
                                           std::string(10240 - 1024 - 9 * 512, 'a'));
      EXPECT_EQ(content()[1024], access == DiskAccess::Write ? '\0' : 'a');
      EXPECT_EQ(content().size(), 20000U);
    }
  }
}

TEST_F(HostDiskTest, ADiscardGivesRoomBack) {
  std::filesystem::resize_file(path_, 1 << 20);
  const auto disk = open(DiskAccess::Write);
  ASSERT_NE(disk, nullptr);
  EXPECT_TRUE(put(*disk, 0, std::string(1 << 20, 'd')));
  EXPECT_TRUE(disk->flush());
  struct stat before {
  }, after{};
  ASSERT_EQ(stat(path_.c_str(), &before), 0);
  EXPECT_TRUE(disk->can_discard());
  EXPECT_TRUE(disk->discard(4096, 512 * 1024));
  ASSERT_EQ(stat(path_.c_str(), &after), 0);
  EXPECT_LE(after.st_blocks, before.st_blocks);  // a file system without holes keeps it all
  EXPECT_EQ(after.st_size, 1 << 20);
  EXPECT_EQ(text(*disk, 0, 4096), std::string(4096, 'd'));
  EXPECT_EQ(text(*disk, 4096 + 512 * 1024, 4096), std::string(4096, 'd'));
}

TEST_F(HostDiskTest, OneWriterOrManyReaders) {
  auto writer = open(DiskAccess::Write);
  ASSERT_NE(writer, nullptr);
  EXPECT_EQ(open(DiskAccess::Write), nullptr);
  EXPECT_NE(error_.find("in use by another machine"), std::string::npos);
  EXPECT_EQ(open(DiskAccess::Snapshot), nullptr);
  writer.reset();
  const auto first = open(DiskAccess::ReadOnly);
  const auto second = open(DiskAccess::Snapshot);
  EXPECT_NE(second, nullptr);
  EXPECT_EQ(open(DiskAccess::Write), nullptr);
}

TEST_F(HostDiskTest, FileThatGetsShorterIsAFailureNotACrash) {
  const auto disk = open(DiskAccess::ReadOnly);
  ASSERT_EQ(truncate(path_.c_str(), 1000), 0);
  std::array<uint8_t, 512> sector{};
  EXPECT_FALSE(disk->read(512 * 4, sector));
}

TEST_F(HostDiskTest, WhatIsNoImageIsRefusedInOneLine) {
  for (const char* path : {"/nonexistent", "/dev/null", "/", "/dev/zero"}) {
    error_.clear();
    EXPECT_EQ(HostDisk::open(path, DiskAccess::ReadOnly, 512, &error_), nullptr) << path;
    EXPECT_FALSE(error_.empty());
    EXPECT_EQ(error_.find('\n'), std::string::npos);
  }
}

// ---- as part of a saved machine ----

class SavedDiskTest : public HostDiskTest {
 protected:
  std::vector<uint8_t> save(HostDisk& disk) {
    std::vector<uint8_t> bytes;
    EXPECT_TRUE(StateArchive::save(
        [&](StateArchive& archive) { disk.visit_medium(archive, false); }, &bytes, &error_))
        << error_;
    return bytes;
  }
  bool load(const std::vector<uint8_t>& bytes, HostDisk& disk, bool may_have_changed = false) {
    return StateArchive::load(
        bytes, [&](StateArchive& archive) { disk.visit_medium(archive, may_have_changed); },
        &error_);
  }
};

TEST_F(SavedDiskTest, AnImageThatHasNotChangedIsTaken) {
  const std::vector<uint8_t> saved = save(*open(DiskAccess::Write));
  EXPECT_TRUE(load(saved, *open(DiskAccess::Write))) << error_;
  EXPECT_TRUE(load(saved, *open(DiskAccess::ReadOnly))) << error_;
}

TEST_F(SavedDiskTest, OneThatHasIsRefusedUnlessItMay) {
  const std::vector<uint8_t> saved = save(*open(DiskAccess::Write));
  const auto changed = std::filesystem::last_write_time(path_) + std::chrono::seconds(2);
  std::filesystem::last_write_time(path_, changed);
  EXPECT_FALSE(load(saved, *open(DiskAccess::Write)));
  EXPECT_NE(error_.find("--changed-disks"), std::string::npos) << error_;
  EXPECT_TRUE(load(saved, *open(DiskAccess::Write), true)) << error_;
}

TEST_F(SavedDiskTest, AFrozenImageStaysAndOthersMayReadIt) {
  const auto disk = open(DiskAccess::Write);
  ASSERT_TRUE(put(*disk, 100, "before"));
  const std::string before = content();
  EXPECT_EQ(HostDisk::open(path_, DiskAccess::ReadOnly, 512, &error_), nullptr);
  EXPECT_TRUE(disk->is_written_through());
  ASSERT_TRUE(disk->can_freeze());
  ASSERT_TRUE(disk->freeze());
  EXPECT_FALSE(disk->is_written_through());
  ASSERT_TRUE(put(*disk, 5000, "after"));
  EXPECT_TRUE(disk->discard(0, 4096));
  EXPECT_TRUE(disk->flush());
  EXPECT_EQ(content(), before);
  const auto other = open(DiskAccess::Snapshot);
  const std::vector<uint8_t> saved = save(*disk);
  ASSERT_TRUE(load(saved, *other)) << error_;
  std::vector<uint8_t> bytes(5);
  ASSERT_TRUE(other->read(5000, bytes));
  EXPECT_EQ(std::string(bytes.begin(), bytes.end()), "after");
  ASSERT_TRUE(other->read(100, bytes));
  EXPECT_EQ(std::string(bytes.begin(), bytes.end()), "befor");
}

TEST_F(SavedDiskTest, WhatIsInTheOverlayIsKept) {
  std::vector<uint8_t> saved;
  {
    const auto disk = open(DiskAccess::Snapshot);
    ASSERT_TRUE(put(*disk, 5000, "hello"));
    ASSERT_TRUE(put(*disk, 39 * 512 - 3, "end")) << "the last cluster is cut short";
    saved = save(*disk);
  }
  EXPECT_EQ(content(), std::string(20000, 'a'));
  const auto disk = open(DiskAccess::Snapshot);
  ASSERT_TRUE(put(*disk, 12000, "forgotten"));
  ASSERT_TRUE(load(saved, *disk)) << error_;
  EXPECT_EQ(text(*disk, 4999, 7), "ahelloa");
  EXPECT_EQ(text(*disk, 39 * 512 - 4, 4), "aend");
  EXPECT_EQ(text(*disk, 12000, 9), "aaaaaaaaa");
  EXPECT_FALSE(load(saved, *open(DiskAccess::ReadOnly)));
  EXPECT_NE(error_.find("snapshot=on"), std::string::npos) << error_;
}

TEST_F(SavedDiskTest, ClustersBehindTheEndAreRefused) {
  std::filesystem::resize_file(path_, 80000);
  std::vector<uint8_t> saved;
  {
    const auto disk = open(DiskAccess::Snapshot);
    ASSERT_TRUE(put(*disk, 70000, "far"));
    saved = save(*disk);
  }
  std::filesystem::resize_file(path_, 20000);
  EXPECT_FALSE(load(saved, *open(DiskAccess::Snapshot), true));
  EXPECT_NE(error_.find("behind the end"), std::string::npos) << error_;
}

}  // namespace
}  // namespace ringshift
