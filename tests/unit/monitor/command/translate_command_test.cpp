#include "monitor/command/translate_command.h"

#include <gtest/gtest.h>
#include <stdlib.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

namespace ringshift {
namespace {

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

constexpr uint32_t kBase = 0x8000;

// A file of code that lives as long as the test, and the options to translate it.
class TranslateCommand : public ::testing::Test {
 protected:
  TranslateCommand() {
    path_ = (std::filesystem::temp_directory_path() / "ringshift-translate-XXXXXX").string();
    const int descriptor = mkstemp(path_.data());
    EXPECT_GE(descriptor, 0);
    close(descriptor);
    options_.raw_path = path_;
    options_.base_address = kBase;
  }
  ~TranslateCommand() override { std::filesystem::remove(path_); }

  // The command's output, or its problem.
  std::string translate(const std::vector<uint8_t>& code) {
    std::ofstream(path_, std::ios::binary)
        .write(reinterpret_cast<const char*>(code.data()),
               static_cast<std::streamsize>(code.size()));
    std::string text;
    std::string error;
    return run_translate(options_, &text, &error) ? text : "error: " + error;
  }

  std::string path_;
  TranslateOptions options_;
};

// mov eax, ebx; jz +1; ret; cli; ret
const std::vector<uint8_t> kBranches = {0x89, 0xd8, 0x74, 0x01, 0xc3, 0xfa, 0xc3};

TEST_F(TranslateCommand, FollowsBothWaysOfABranch) {
  const std::string text = translate(kBranches);
  EXPECT_TRUE(contains(text, "unit: 0x8000, supervisor\n"));
  EXPECT_TRUE(contains(text, "0x8004: c3  ret"));
  EXPECT_TRUE(contains(text, "unit: 0x8005, supervisor\n"));
  EXPECT_TRUE(contains(text, "2 blocks, 5 instructions in 7 bytes"));
}

TEST_F(TranslateCommand, TagsInstructionsAndSumsThemUp) {
  const std::string text = translate(kBranches);
  EXPECT_TRUE(contains(text, "mov eax, ebx  [identical]"));
  EXPECT_TRUE(contains(text, "cli  [inline]"));
  EXPECT_TRUE(contains(text, "\n  indirect-branch       2   40.0%\n"));
}

TEST_F(TranslateCommand, GoesOnAfterWhatIsInterpreted) {
  const std::string text = translate({0xf4, 0x90, 0xc3});  // hlt; nop; ret
  EXPECT_TRUE(contains(text, "[interpret]"));
  EXPECT_TRUE(contains(text, "unit: 0x8001, supervisor\n"));
}

TEST_F(TranslateCommand, KeepsACalloutInItsUnit) {
  const std::string text = translate({0x0f, 0x22, 0xd8, 0x90, 0xc3});  // mov cr3, eax; nop; ret
  EXPECT_TRUE(contains(text, "[callout]"));
  EXPECT_TRUE(contains(text, "1 blocks, 3 instructions"));
}

TEST_F(TranslateCommand, StopsAfterAnInterpretedTransfer) {
  const std::string text = translate({0xcf, 0x90, 0xc3});  // iret; nop; ret
  EXPECT_TRUE(contains(text, "1 blocks, 1 instructions"));
}

TEST_F(TranslateCommand, BlocksAndCountAreLimits) {
  options_.blocks = 1;
  EXPECT_TRUE(contains(translate(kBranches), "1 blocks, 3 instructions"));
  options_.blocks = 8;
  options_.count = 1;
  EXPECT_TRUE(contains(translate(kBranches), "1 blocks, 1 instructions"));
  options_.count = 4;
  EXPECT_TRUE(contains(translate(kBranches), "2 blocks, 4 instructions"));
}

TEST_F(TranslateCommand, RingAndStyleAreThoseAskedFor) {
  options_.ring = 3;
  options_.access_style = AccessStyle::Soft;
  EXPECT_TRUE(contains(translate(kBranches), "unit: 0x8000, user, soft\n"));
}

TEST_F(TranslateCommand, BeginsWhereAsked) {
  options_.at_address = kBase + 5;
  const std::string text = translate(kBranches);
  EXPECT_TRUE(contains(text, "unit: 0x8005"));
  EXPECT_FALSE(contains(text, "unit: 0x8000"));
}

TEST_F(TranslateCommand, BytesThatAreNoInstructionAreInterpreted) {
  EXPECT_TRUE(contains(translate({0x0f, 0xff}), "interpret"));
  EXPECT_TRUE(contains(translate({0xe8, 0x00}), "interpret"));  // cut short by the end of the file
}

TEST_F(TranslateCommand, AnAddressWithoutCodeIsAnError) {
  options_.at_address = kBase - 1;
  EXPECT_EQ(translate(kBranches), "error: there is no code at 0x7fff");
  options_.at_address.reset();
  EXPECT_EQ(translate({}), "error: there is no code at 0x8000");
}

TEST_F(TranslateCommand, AMissingFileIsAnError) {
  std::filesystem::remove(path_);
  std::string text;
  std::string error;
  EXPECT_FALSE(run_translate(options_, &text, &error));
  EXPECT_TRUE(contains(error, "No such file or directory"));
}

TEST_F(TranslateCommand, CodeInTheLastBytesOfTheAddressSpaceEndsThere) {
  options_.base_address = 0xfffffffe;
  EXPECT_TRUE(contains(translate({0x90, 0x90}), "1 blocks, 2 instructions"));
}

}  // namespace
}  // namespace ringshift
