// A copy of an image has its bytes, its size and its holes; a disk of a recorded run reports the
// host's failures, and offers only features that every host has.
#include "monitor/replay/disk_copy.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <memory>
#include <vector>

#include "monitor/replay/exact_disk.h"

namespace ringshift {
namespace {

TEST(DiskCopy, HasTheBytesTheSizeAndTheHoles) {
  constexpr off_t kSize = (off_t{64} << 20) + 512;
  const int from = memfd_create("from", MFD_CLOEXEC), to = memfd_create("to", MFD_CLOEXEC);
  ASSERT_EQ(ftruncate(from, kSize), 0);
  const std::vector<uint8_t> bytes(5000, 7);
  for (const off_t at : {off_t{0}, off_t{20} << 20, kSize - 5000}) {
    ASSERT_EQ(pwrite(from, bytes.data(), bytes.size(), at), 5000);
  }
  EXPECT_TRUE(copy_image(from, to));
  std::vector<uint8_t> first(static_cast<size_t>(kSize)), second(first.size());
  EXPECT_EQ(pread(from, first.data(), first.size(), 0), kSize);
  EXPECT_EQ(pread(to, second.data(), second.size(), 0), kSize);
  EXPECT_EQ(first, second);
  struct stat facts {};
  ASSERT_EQ(fstat(to, &facts), 0);
  EXPECT_EQ(facts.st_size, kSize);
  EXPECT_LT(facts.st_blocks * 512, off_t{1} << 20);
  close(from);
  close(to);
}

TEST(DiskCopy, SaysThatTheHostHasNoRoom) {
  const int from = memfd_create("from", MFD_CLOEXEC);
  ASSERT_EQ(pwrite(from, "x", 1, 0), 1);
  const int full = open("/dev/full", O_WRONLY | O_CLOEXEC);
  EXPECT_FALSE(copy_image(from, full));
  close(from);
  close(full);
}

class PlainDisk final : public DiskBackend {
 public:
  explicit PlainDisk(bool read_only) : read_only_(read_only) {}
  [[nodiscard]] uint64_t bytes() const override { return 4096; }
  [[nodiscard]] bool read_only() const override { return read_only_; }
  [[nodiscard]] bool read(uint64_t, std::span<uint8_t>) override { return works; }
  [[nodiscard]] bool write(uint64_t, std::span<const uint8_t>) override {
    return works && !read_only_;
  }
  [[nodiscard]] bool flush() override { return works; }
  [[nodiscard]] bool can_discard() const override { return true; }
  bool works = true;

 private:
  bool read_only_;
};

TEST(ExactDisk, TellsOfWhatTheHostFailsIn) {
  const auto plain = std::make_shared<PlainDisk>(false);
  int failures = 0;
  ExactDisk disk(plain, [&] { ++failures; });
  std::vector<uint8_t> sector(512);
  EXPECT_FALSE(disk.can_discard());
  EXPECT_TRUE(disk.read(0, sector) && disk.write(0, sector) && disk.flush());
  EXPECT_EQ(failures, 0);
  plain->works = false;
  EXPECT_FALSE(disk.read(0, sector) || disk.write(0, sector) || disk.flush());
  EXPECT_FALSE(disk.write_zeroes(0, 512, DiskBackend::Zeroing::Keep));
  EXPECT_EQ(failures, 4);
}

TEST(ExactDisk, AMediumThatCannotBeWrittenIsTheGuestsConcern) {
  int failures = 0;
  ExactDisk disk(std::make_shared<PlainDisk>(true), [&] { ++failures; });
  const std::vector<uint8_t> sector(512);
  EXPECT_FALSE(disk.write(0, sector));
  EXPECT_EQ(failures, 0);
}

}  // namespace
}  // namespace ringshift
