// Random tables and accesses: the walker against a second, naive walker written from the manual's
// pictures alone. Replay a failure with RINGSHIFT_SEED=<printed seed>.
#include <gtest/gtest.h>

#include <cstdlib>
#include <random>

#include "shadowmmu/walker.h"
#include "tests/support/table_memory.h"

namespace ringshift {
namespace {

constexpr uint64_t kDefaultSeed = 20240229;
constexpr int kMemories = 2000;
constexpr int kAccessesPerMemory = 125;  // 250,000 accesses in all

struct NaiveAnswer {
  bool fault = false;
  uint32_t code = 0;
  uint64_t physical = 0;
};

// Bits of the error code are put together as SDM 3A figure 4-12 lists them; A and D as 4.8 says.
NaiveAnswer naive_walk(const PagingMode& m, std::vector<uint8_t>& ram, uint32_t va, bool write,
                       bool fetch, bool user) {
  const unsigned size = m.pae ? 8 : 4;
  auto load = [&](uint64_t at) {
    uint64_t value = m.pae ? ~0ULL : 0xffffffffULL;
    if (at + size <= ram.size()) std::memcpy(&value, &ram[at], size);
    return value;
  };
  auto mark = [&](uint64_t at, int bits) {
    if (at + size <= ram.size()) ram[at] = static_cast<uint8_t>(ram[at] | bits);
  };
  uint32_t base = (write ? 2U : 0U) + (user ? 4U : 0U) + (fetch && m.no_execute ? 16U : 0U);
  uint64_t top = m.pae ? m.pdpte[va / 0x40000000U] : (m.cr3 | 1U);
  if (top % 2 == 0) return {true, base, 0};
  top = top % 0x1000000000ULL / 4096 * 4096;
  uint64_t pde_at = top + (m.pae ? va / 0x200000U % 512 * 8 : va / 0x400000U * 4);
  uint64_t pde = load(pde_at);
  uint64_t high = m.pae ? 0x7ffffff000000000ULL | (m.no_execute ? 0 : 1ULL << 63) : 0;
  if (pde % 2 == 0) return {true, base, 0};
  bool large = (pde & 0x80) && (m.pae || m.pse);
  uint64_t large_size = m.pae ? 0x200000 : 0x400000;
  if ((pde & high) || (large && (pde & (large_size - 0x2000)))) return {true, base + 9, 0};
  uint64_t pte_at = (pde & 0xffffff000ULL) + (va / 4096U % (m.pae ? 512 : 1024)) * size;
  uint64_t pte = large ? pde : load(pte_at);
  if (pte % 2 == 0) return {true, base, 0};
  if (pte & high) return {true, base + 9, 0};
  bool writable = (pde & pte & 2) || (!user && !m.write_protect);
  bool denied =
      (user && !(pde & pte & 4)) || (write && !writable) || (fetch && ((pde | pte) >> 63));
  if (denied) return {true, base + 1, 0};
  mark(pde_at, large && write ? 0x60 : 0x20);
  if (!large) mark(pte_at, write ? 0x60 : 0x20);
  uint64_t page = large ? large_size : 4096;
  return {false, 0, pte % 0x1000000000ULL / page * page + va % page};
}

class Generator {
 public:
  explicit Generator(uint64_t seed) : engine_(seed) {}
  [[nodiscard]] uint64_t any() { return engine_(); }
  [[nodiscard]] bool one_in(uint64_t n) { return engine_() % n == 0; }

  // Entries are biased towards being present and pointing to tables, or few walks get anywhere.
  [[nodiscard]] uint64_t entry(bool pae) {
    uint64_t value = (any() % (TableMemory::kBytes / 4096 + 1)) << 12;
    value |= any() & 0xe7e;
    value |= one_in(6) ? 0 : 1;
    value |= one_in(4) ? 0x80 : 0;
    value |= one_in(16) ? any() & 0xfff00000 : 0;
    if (value & 0x80 && !one_in(3)) value &= ~uint64_t{0x3fe000};
    if (pae && one_in(8)) value |= uint64_t{1} << (36 + any() % 28);
    if (pae && one_in(8)) value |= uint64_t{1} << 63;
    if (pae && one_in(8)) value |= (any() & 0xf) << 32;
    return value;
  }

  [[nodiscard]] PagingMode mode() {
    PagingMode mode;
    mode.paging = true;
    mode.pae = one_in(2);
    mode.pse = one_in(2);
    mode.global = one_in(2);
    mode.write_protect = one_in(2);
    mode.no_execute = mode.pae && one_in(2);
    mode.cr3 = static_cast<uint32_t>((any() % 9) << 12 | (any() & 0x18));
    for (uint64_t& pointer : mode.pdpte) pointer = (any() % 9) << 12 | (one_in(5) ? 0 : 1);
    return mode;
  }

  void fill(TableMemory& memory, bool pae) {
    for (uint64_t at = 0; at < TableMemory::kBytes; at += pae ? 8 : 4) {
      if (pae) {
        memory.store64(at, entry(true));
      } else {
        memory.store32(at, static_cast<uint32_t>(entry(false)));
      }
    }
  }

 private:
  std::mt19937_64 engine_;
};

uint64_t chosen_seed() {
  const char* text = std::getenv("RINGSHIFT_SEED");
  return text != nullptr ? std::strtoull(text, nullptr, 0) : kDefaultSeed;
}

struct Tally {
  int translated = 0;
  int not_present = 0;
  int denied = 0;
  int reserved = 0;
  int large = 0;
};

void count(Tally& tally, const WalkResult& result) {
  if (!result.fault) {
    ++tally.translated;
    tally.large += result.translation.levels == 1;
  } else if (result.fault->error_code & kPageFaultReserved) {
    ++tally.reserved;
  } else if (result.fault->error_code & kPageFaultPresent) {
    ++tally.denied;
  } else {
    ++tally.not_present;
  }
}

// One access through both walkers; `naive_ram` and `memory` hold the same bytes before and after.
void compare_one(const PagingMode& mode, TableMemory& memory, std::vector<uint8_t>& naive_ram,
                 Generator& random, Tally& tally) {
  GuestVirtual address(static_cast<uint32_t>(random.any()));
  auto access = static_cast<AccessKind>(random.any() % 3);
  auto privilege = static_cast<Privilege>(random.any() % 2);
  NaiveAnswer expected = naive_walk(mode, naive_ram, address.value(), access == AccessKind::Write,
                                    access == AccessKind::Fetch, privilege == Privilege::User);
  WalkResult probed = probe(mode, memory, address, access, privilege);
  WalkResult walked = walk(mode, memory, address, access, privilege);
  count(tally, walked);
  ASSERT_EQ(walked.fault.has_value(), expected.fault);
  ASSERT_EQ(walked.fault, probed.fault);
  if (expected.fault) {
    ASSERT_EQ(*walked.fault, GuestFault::page_fault(address.value(), expected.code));
  } else {
    ASSERT_EQ(walked.translation.physical.value(), expected.physical);
    ASSERT_EQ(probed.translation.physical.value(), expected.physical);
  }
}

TEST(WalkerRandom, AgreesWithANaiveWalkerOnRandomTables) {
  uint64_t seed = chosen_seed();
  SCOPED_TRACE("replay with RINGSHIFT_SEED=" + std::to_string(seed));
  RecordProperty("seed", std::to_string(seed));
  Generator random(seed);
  Tally tally;
  for (int round = 0; round < kMemories; ++round) {
    PagingMode mode = random.mode();
    TableMemory memory;
    random.fill(memory, mode.pae);
    std::vector<uint8_t> naive_ram = memory.bytes();
    for (int i = 0; i < kAccessesPerMemory; ++i) {
      compare_one(mode, memory, naive_ram, random, tally);
      if (HasFatalFailure()) FAIL() << "memory " << round << ", access " << i;
    }
    // The accessed and dirty bits, and nothing else, have changed alike.
    ASSERT_EQ(memory.bytes(), naive_ram) << "memory " << round;
  }
  // A generator that reached only one kind of answer would prove little.
  EXPECT_GT(tally.translated, 20000);
  EXPECT_GT(tally.large, 2000);
  EXPECT_GT(tally.not_present, 20000);
  EXPECT_GT(tally.denied, 20000);
  EXPECT_GT(tally.reserved, 5000);
}

}  // namespace
}  // namespace ringshift
