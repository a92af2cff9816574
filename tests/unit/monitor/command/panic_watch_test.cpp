// Linux's last line is found however it is cut, and nothing that only has its words.
#include "monitor/command/panic_watch.h"

#include <gtest/gtest.h>

namespace ringshift {
namespace {

TEST(PanicWatch, FindsTheLineHoweverItIsCut) {
  const std::string text =
      "login: \n[    1.234567] Kernel panic - not syncing: Attempted to kill init!\r\n[ 1.3] CPU\n";
  for (size_t cut = 0; cut < text.size(); ++cut) {
    PanicWatch watch;
    (void)watch.add(text.substr(0, cut));
    EXPECT_TRUE(watch.add(text.substr(cut))) << cut;
    EXPECT_EQ(watch.why(), "Attempted to kill init!");
  }
}

TEST(PanicWatch, IsNotTakenInByTheWordsAlone) {
  PanicWatch watch;
  EXPECT_FALSE(watch.add("Kernel panic - not syncing: x\n"));
  EXPECT_FALSE(watch.add("grep '[ 1.0] Kernel panic - not syncing: x'\n"));
  EXPECT_FALSE(watch.add("[a] Kernel panic - not syncing: x\n"));
  EXPECT_FALSE(watch.add(std::string(1000, 'x') + "[ 1.0] Kernel panic - not syncing: x\n"));
  EXPECT_FALSE(watch.add("[ 1.0] Kernel panic - not syncing: no end of the line"));
}

}  // namespace
}  // namespace ringshift
