// RAM that has not come yet: every path that reads or writes it has it brought first, once, and
// nobody sees anything else in its place.
#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "devices/bus/bus.h"
#include "monitor/memory/physical_memory.h"
#include "shadowmmu/host_window.h"

namespace ringshift {
namespace {

constexpr uint32_t kGrainPages = 4;
constexpr uint64_t kGrain = uint64_t{kGrainPages} * kPageSize, kRam = 8 * kGrain;
constexpr size_t kAbsentGrain = 3;
constexpr uint64_t kAbsent = kAbsentGrain * kGrain;

// Brings grains that are full of their number.
class NotedSource final : public AbsentGrains {
 public:
  explicit NotedSource(GuestMemory& ram) : ram_(ram) {}
  void fetch(size_t grain) override {
    fetched.push_back(grain);
    bring(grain);
  }
  void bring(size_t grain) {
    const std::vector<uint8_t> bytes(kGrain, static_cast<uint8_t>(grain));
    ASSERT_TRUE(write_contents(ram_.descriptor(), grain * kGrain, bytes).ok());
  }
  std::vector<size_t> fetched;

 private:
  GuestMemory& ram_;
};

class NotedMoves final : public WriteObserver {
 public:
  [[nodiscard]] bool watches(GuestPhysicalPage) const override { return false; }
  void on_write(GuestPhysical, uint32_t) override {}
  void on_moved(const PageRange& pages, Backing now) override {
    EXPECT_EQ(now, Backing::Own);
    moved.emplace_back(pages.first.number(), pages.pages);
  }
  std::vector<std::pair<uint64_t, uint32_t>> moved;
};

// Whether the host lets anybody read there.
bool is_readable(const void* at) {
  std::array<int, 2> ends{};
  EXPECT_EQ(pipe(ends.data()), 0);
  const bool is = write(ends[1], at, 1) == 1;
  EXPECT_TRUE(is || errno == EFAULT);
  close(ends[0]);
  close(ends[1]);
  return is;
}

class AbsentGrainsTest : public ::testing::Test {
 protected:
  AbsentGrainsTest() { make({kAbsentGrain, kAbsentGrain + 1, 6}); }
  void make(const std::vector<size_t>& absent) {
    std::string error;
    memory_.reset();
    ram_ = GuestMemory::create(kRam, &error);
    CHECK(ram_ != nullptr);
    memory_ = std::make_unique<PhysicalMemory>(*ram_, bus_);
    memory_->set_observer(&moves_);
    source_.emplace(*ram_);
    std::vector<bool> grains(kRam / kGrain);
    for (const size_t grain : absent) grains[grain] = true;
    CHECK(ram_->set_absent(grains, kGrainPages, &*source_).ok());
  }
  void expect_fetches(const char* what, const std::function<void()>& action) {
    make({kAbsentGrain});
    action();
    EXPECT_EQ(source_->fetched, std::vector<size_t>{kAbsentGrain}) << what;
    EXPECT_FALSE(ram_->has_absent()) << what;
    action();
    EXPECT_EQ(source_->fetched.size(), 1U) << what;
    ram_->verify_invariants();
  }

  MemoryBus bus_;
  NotedMoves moves_;
  std::unique_ptr<GuestMemory> ram_;
  std::unique_ptr<PhysicalMemory> memory_;
  std::optional<NotedSource> source_;
};

TEST_F(AbsentGrainsTest, NobodyCanLookAtThem) {
  EXPECT_TRUE(ram_->has_absent());
  EXPECT_FALSE(is_readable(ram_->at(GuestPhysical(kAbsent))));
  EXPECT_FALSE(is_readable(ram_->at(GuestPhysical(kAbsent + 2 * kGrain - 1))));
  EXPECT_TRUE(is_readable(ram_->at(GuestPhysical(kAbsent - 1))));
  EXPECT_TRUE(is_readable(ram_->at(GuestPhysical(kAbsent + 2 * kGrain))));
  ram_->verify_invariants();
}

TEST_F(AbsentGrainsTest, EachPathFetches) {
  const GuestPhysical at(kAbsent + kPageSize + 16);
  const GuestPhysicalPage page = GuestPhysicalPage::of(at);
  const uint32_t filled = kAbsentGrain * 0x01010101U;
  uint32_t value = 0;
  expect_fetches("read", [&] {
    memory_->read(at, &value, sizeof(value));
    EXPECT_EQ(value, filled);
  });
  expect_fetches("read across its beginning", [&] {
    std::array<uint8_t, 8> bytes{};
    memory_->read(GuestPhysical(kAbsent - 4), bytes.data(), bytes.size());
    EXPECT_EQ(bytes, (std::array<uint8_t, 8>{0, 0, 0, 0, 3, 3, 3, 3}));
  });
  expect_fetches("DMA from it", [&] {
    std::vector<uint8_t> bytes(2 * kGrain);
    memory_->read_ram(kAbsent - kPageSize, bytes);
    EXPECT_EQ(bytes[kPageSize - 1], 0);
    EXPECT_EQ(bytes[kPageSize], kAbsentGrain);
    EXPECT_EQ(bytes[kPageSize + kGrain - 1], kAbsentGrain);
    EXPECT_EQ(bytes[kPageSize + kGrain], 0);
  });
  expect_fetches("entries", [&] { EXPECT_EQ(memory_->read_entry32(at), filled); });
  expect_fetches("wide entries",
                 [&] { EXPECT_EQ(memory_->read_entry64(at), uint64_t{filled} << 32 | filled); });
  expect_fetches("a table", [&] { EXPECT_EQ(*memory_->table_bytes(at), kAbsentGrain); });
  expect_fetches("a page to read", [&] { EXPECT_EQ(*memory_->readable_page(page), kAbsentGrain); });
}

// The written bytes are there, and the rest of the grain is as it came.
TEST_F(AbsentGrainsTest, EachWriteFetchesTheRest) {
  const GuestPhysical at(kAbsent + kPageSize + 16);
  const GuestPhysicalPage page = GuestPhysicalPage::of(at);
  const auto rest_is_there = [&] {
    EXPECT_EQ(*ram_->at(GuestPhysical(kAbsent)), kAbsentGrain);
    EXPECT_EQ(*ram_->at(GuestPhysical(kAbsent + kGrain - 1)), kAbsentGrain);
  };
  const uint32_t value = 0x12345678;
  expect_fetches("write", [&] {
    memory_->write(at, &value, sizeof(value));
    rest_is_there();
    EXPECT_EQ(memory_->read_entry32(at), value);
  });
  expect_fetches("DMA to it", [&] {
    memory_->write_ram(at.value(), std::array<uint8_t, 2>{1, 2});
    rest_is_there();
  });
  expect_fetches("bits of an entry", [&] {
    memory_->set_entry_bits(at, 0x60);
    rest_is_there();
    EXPECT_EQ(*ram_->at(at), kAbsentGrain | 0x60);
  });
  expect_fetches("a page to write", [&] {
    *memory_->writable_page(page) = 9;
    rest_is_there();
  });
  expect_fetches("memory that is given back", [&] {
    memory_->give_back(page.address().value(), kPageSize);
    rest_is_there();
    EXPECT_EQ(*ram_->at(at), 0);
  });
}

TEST_F(AbsentGrainsTest, WhatHasComeIsTakenInOnePiece) {
  source_->bring(kAbsentGrain);
  source_->bring(kAbsentGrain + 1);
  memory_->take_arrived(kAbsentGrain, 2);
  EXPECT_EQ(
      moves_.moved,
      (std::vector<std::pair<uint64_t, uint32_t>>{{kAbsentGrain * kGrainPages, 2 * kGrainPages}}));
  EXPECT_EQ(*ram_->at(GuestPhysical(kAbsent + kGrain)), kAbsentGrain + 1);
  EXPECT_TRUE(ram_->is_absent(GuestPhysicalPage(6 * kGrainPages)));
  EXPECT_TRUE(source_->fetched.empty());
  ram_->verify_invariants();
}

TEST_F(AbsentGrainsTest, WindowsDoNotShowThem) {
  std::string error;
  const std::unique_ptr<HostWindow> window = HostWindow::create(*ram_, nullptr, &error);
  ASSERT_NE(window, nullptr) << error;
  const auto at = [&](uint64_t address) {
    return reinterpret_cast<const void*>(static_cast<uintptr_t>(window->base().value() + address));
  };
  ASSERT_TRUE(window->map(GuestVirtualPage(0), GuestPhysicalPage(0), kRam / kPageSize,
                          HostAccess::ReadWrite));
  EXPECT_TRUE(is_readable(at(kAbsent - 1)));
  EXPECT_FALSE(is_readable(at(kAbsent)));
  EXPECT_FALSE(is_readable(at(kAbsent + 2 * kGrain - 1)));
  EXPECT_TRUE(is_readable(at(kAbsent + 2 * kGrain)));
}

// A machine that begins anew needs none of them.
TEST_F(AbsentGrainsTest, ClearedMemoryHasNone) {
  ASSERT_TRUE(ram_->clear());
  EXPECT_FALSE(ram_->has_absent());
  EXPECT_EQ(*ram_->at(GuestPhysical(kAbsent)), 0);
}

}  // namespace
}  // namespace ringshift
