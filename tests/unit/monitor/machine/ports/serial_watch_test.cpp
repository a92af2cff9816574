#include "monitor/machine/ports/serial_watch.h"

#include <gtest/gtest.h>

#include <string>
#include <string_view>

namespace ringshift {
namespace {

class Kept final : public SerialBackend {
 public:
  void transmit(uint8_t byte) override { text.push_back(static_cast<char>(byte)); }
  std::string text;
};

// The numbers of sent bytes after which the text had just been complete.
std::vector<size_t> found_in(std::string_view sent, const std::string& text) {
  Kept kept;
  std::vector<size_t> found;
  SerialWatch watch(kept, text, [&] { found.push_back(kept.text.size()); });
  for (const char c : sent) watch.transmit(static_cast<uint8_t>(c));
  EXPECT_EQ(kept.text, sent) << "everything is handed on";
  return found;
}

using Places = std::vector<size_t>;

TEST(SerialWatch, FindsItsTextEachTime) {
  EXPECT_EQ(found_in("guest login: \r\nlogin: ", "login: "), (Places{13, 22}));
  EXPECT_EQ(found_in("log in: ", "login: "), Places{});
  EXPECT_EQ(found_in("xx", "x"), (Places{1, 2}));
}

TEST(SerialWatch, FindsATextThatBeginsWithinAFailedOne) {
  EXPECT_EQ(found_in("aab", "ab"), Places{3});
  EXPECT_EQ(found_in("abababc", "ababc"), Places{7});
  EXPECT_EQ(found_in("aaaaab", "aaab"), Places{6});
  EXPECT_EQ(found_in("aaaa", "aa"), (Places{2, 3, 4})) << "they may overlap";
}

}  // namespace
}  // namespace ringshift
