// The media of a recording: written images are kept as they were and used in place of the
// originals; the others must be unchanged; the command line of the replay has the last word.
#include "monitor/command/tape_disks.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

namespace ringshift {
namespace {

class TapeDisksTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string name = testing::TempDir() + "ringshift-disks-XXXXXX";
    ASSERT_NE(mkdtemp(name.data()), nullptr);
    folder_ = name;
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }
  std::string image(const std::string& name, char content) const {
    std::string path = folder_ + "/" + name;
    std::ofstream(path) << std::string(4096, content);
    return path;
  }
  static std::string content(const std::string& path) {
    std::ifstream file(path);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  std::string& slot(MediaSlot which) { return media_.text[static_cast<size_t>(which)]; }
  std::vector<TapeDisk> keep() {
    std::vector<TapeDisk> disks;
    std::string error;
    EXPECT_TRUE(keep_disks(media_, folder_, &disks, &error)) << error;
    return disks;
  }

  std::string folder_;
  MediaRequest media_;
  std::string problem_;
};

TEST_F(TapeDisksTest, AWrittenImageIsKeptAndStandsInForIt) {
  const std::string path = image("a,b.img", 'a');
  slot(MediaSlot::SecondDisk) = path;
  media_.virtio = {path + ",snapshot=on", image("v.img", 'v')};
  EXPECT_EQ(unkept_disk(media_), "");
  const std::vector<TapeDisk> disks = keep();
  ASSERT_EQ(disks.size(), 3U);
  std::ofstream(path) << "other";
  EXPECT_EQ(content(folder_ + "/hdb"), std::string(4096, 'a'));
  EXPECT_EQ(content(folder_ + "/virtio1"), std::string(4096, 'v'));
  EXPECT_FALSE(std::filesystem::exists(folder_ + "/virtio0"));
  media_.may_have_changed = true;  // that of the snapshot has
  ASSERT_TRUE(use_kept_disks(disks, folder_, &media_, &problem_)) << problem_;
  const std::string words = slot(MediaSlot::SecondDisk);
  EXPECT_EQ(words, folder_ + "/hdb,format=raw,snapshot=on");
  EXPECT_FALSE(medium_name(words, media_, false).is_written);
  EXPECT_EQ(media_.virtio[0], path + ",snapshot=on");
  EXPECT_EQ(media_.virtio[1], folder_ + "/virtio1,format=raw,snapshot=on");
}

TEST_F(TapeDisksTest, WhatIsNotKeptHasToBeWhatItWas) {
  const std::string path = image("disc", 'c');
  slot(MediaSlot::Cdrom) = path;
  const std::vector<TapeDisk> disks = keep();
  ASSERT_TRUE(use_kept_disks(disks, folder_, &media_, &problem_)) << problem_;
  std::filesystem::last_write_time(
      path, std::filesystem::file_time_type::clock::now() + std::chrono::seconds(5));
  EXPECT_FALSE(use_kept_disks(disks, folder_, &media_, &problem_));
  EXPECT_NE(problem_.find("is not what it was"), std::string::npos);
  media_.may_have_changed = true;
  EXPECT_TRUE(use_kept_disks(disks, folder_, &media_, &problem_));
}

TEST_F(TapeDisksTest, AReplayMayNameAnother) {
  slot(MediaSlot::FirstDisk) = image("recorded", 'r');
  const std::vector<TapeDisk> disks = keep();
  const std::string other = image("other", 'o');
  slot(MediaSlot::FirstDisk) = other;
  ASSERT_TRUE(use_kept_disks(disks, folder_, &media_, &problem_));
  EXPECT_EQ(slot(MediaSlot::FirstDisk), other);
}

TEST_F(TapeDisksTest, WhatCannotBeKeptIsSaid) {
  slot(MediaSlot::FirstDisk) = "nbd://127.0.0.1/disk";
  EXPECT_NE(unkept_disk(media_).find("nbd://127.0.0.1/disk; add ,snapshot=on"), std::string::npos);
  slot(MediaSlot::FirstDisk) += ",readonly=on";
  EXPECT_EQ(unkept_disk(media_), "");
  slot(MediaSlot::FirstDisk) = "/dev/null";
  EXPECT_NE(unkept_disk(media_), "");
  slot(MediaSlot::FirstDisk) = image("disk", 'd') + ",format=qcow2";
  EXPECT_NE(unkept_disk(media_), "");
  media_.snapshot = true;
  EXPECT_EQ(unkept_disk(media_), "");
}

}  // namespace
}  // namespace ringshift
