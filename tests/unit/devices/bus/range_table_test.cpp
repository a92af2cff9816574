#include "devices/bus/range_table.h"

#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

namespace ringshift {
namespace {

using Table = RangeTable<int>;

std::string owner(const Table& table, uint64_t address) {
  const Table::Piece* piece = table.find(address);
  return piece != nullptr ? piece->claim->name : "";
}

TEST(RangeTable, TheLowerRankAnswersWhateverTheOrderOfClaims) {
  for (const bool board_first : {false, true}) {
    Table table;
    const Table::Claim board{.first = 0x100, .bytes = 0x10, .device = nullptr, .name = "board"};
    const Table::Claim pci{0xf8, 0x20, nullptr, "pci", pci_rank(8, 0)};
    EXPECT_TRUE(table.claim(board_first ? board : pci));
    EXPECT_TRUE(table.claim(board_first ? pci : board));
    EXPECT_EQ(owner(table, 0xf7), "");
    EXPECT_EQ(owner(table, 0xff), "pci");
    EXPECT_EQ(owner(table, 0x100), "board");
    EXPECT_EQ(owner(table, 0x10f), "board");
    EXPECT_EQ(owner(table, 0x110), "pci");
    EXPECT_EQ(owner(table, 0x118), "");
    table.release(0x100, DecodeRank::Board);
    EXPECT_EQ(owner(table, 0x108), "pci");
  }
}

TEST(RangeTable, OneRankDoesNotOverlapItself) {
  Table table;
  EXPECT_TRUE(table.claim({10, 10, nullptr, "one", DecodeRank::Board}));
  EXPECT_FALSE(table.claim({19, 1, nullptr, "two", DecodeRank::Board}));
  EXPECT_TRUE(table.claim({20, 1, nullptr, "three", DecodeRank::Board}));
  EXPECT_TRUE(table.claim({5, 50, nullptr, "above", DecodeRank::Added}));
  EXPECT_EQ(owner(table, 19), "above");
}

TEST(RangeTable, RamHidesPciAndNotTheBoard) {
  Table table;
  table.hide_pci_below(0x1000);
  EXPECT_TRUE(table.claim({0x800, 0x1000, nullptr, "pci", pci_rank(0, 0)}));
  EXPECT_TRUE(table.claim({0x900, 0x10, nullptr, "board", DecodeRank::Board}));
  EXPECT_EQ(owner(table, 0x800), "");
  EXPECT_EQ(owner(table, 0x900), "board");
  EXPECT_EQ(owner(table, 0x1000), "pci");
  EXPECT_TRUE(table.claim({0x100, 0x10, nullptr, "hidden", pci_rank(0, 1)}));
  EXPECT_EQ(owner(table, 0x100), "");
  table.release(0x100, pci_rank(0, 1));
}

TEST(RangeTable, RandomClaimsAgreeWithAModelThatLooksAtAllOfThem) {
  std::minstd_rand random(5);
  Table table;
  std::vector<Table::Claim> claims;
  for (int round = 0; round < 3000; ++round) {
    if (claims.size() < 20 && random() % 2 == 0) {
      const Table::Claim claim{random() % 200, 1 + random() % 60, nullptr, std::to_string(round),
                               pci_rank(0, random() % 8)};
      const bool free = std::none_of(claims.begin(), claims.end(), [&](const auto& other) {
        return other.rank == claim.rank && other.first < claim.first + claim.bytes &&
               claim.first < other.first + other.bytes;
      });
      EXPECT_EQ(table.claim(claim), free);
      if (free) claims.push_back(claim);
    } else if (!claims.empty()) {
      const size_t i = random() % claims.size();
      table.release(claims[i].first, claims[i].rank);
      claims.erase(claims.begin() + static_cast<ptrdiff_t>(i));
    }
    for (uint64_t address = 0; address < 264; ++address) {
      const Table::Claim* best = nullptr;
      for (const auto& claim : claims) {
        const bool has = address >= claim.first && address < claim.first + claim.bytes;
        if (has && (best == nullptr || claim.rank < best->rank)) best = &claim;
      }
      ASSERT_EQ(owner(table, address), best != nullptr ? best->name : "") << round;
    }
  }
}

}  // namespace
}  // namespace ringshift
