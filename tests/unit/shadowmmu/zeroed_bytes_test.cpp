#include "shadowmmu/base/zeroed_bytes.h"

#include <gtest/gtest.h>

#include <vector>

namespace ringshift {
namespace {

TEST(ZeroedBytes, OneThatIsNotIsFoundWhereverItIs) {
  for (const size_t size : std::vector<size_t>{1, 2, 7, 4096}) {
    std::vector<uint8_t> bytes(size);
    EXPECT_TRUE(is_zero(bytes));
    for (uint8_t& byte : bytes) {
      byte = 1;
      EXPECT_FALSE(is_zero(bytes)) << size;
      byte = 0;
    }
    bytes.at(size - 1) = 0x80;
    EXPECT_FALSE(is_zero(bytes)) << size;
    bytes.assign(size, 5);
    EXPECT_FALSE(is_zero(bytes)) << size;
  }
  EXPECT_TRUE(is_zero({}));
}

}  // namespace
}  // namespace ringshift
