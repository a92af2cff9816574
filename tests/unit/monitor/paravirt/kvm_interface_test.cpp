#include "monitor/paravirt/kvm_interface.h"

#include <array>
#include <map>

#include "monitor/cpu/control_registers.h"
#include "shadowmmu/base/state_archive.h"
#include "tests/support/paravirt_fixture.h"

namespace ringshift {
namespace {

MaybeFault gp() { return GuestFault::general_protection(0); }

// Remembers what each word of a page went through.
class WatchedPage final : public WriteObserver {
 public:
  WatchedPage(const GuestMemory& ram, uint32_t page) : ram_(ram), page_(page) {}
  [[nodiscard]] bool watches(GuestPhysicalPage page) const override {
    return page.address().value() == page_;
  }
  void on_write(GuestPhysical address, uint32_t length) override {
    uint32_t word = 0;
    std::memcpy(&word, ram_.at(address), sizeof word);
    writes.push_back({static_cast<uint32_t>(address.value()) - page_, length, word});
  }
  struct Write {
    uint32_t at, length, first_word;
  };
  std::vector<Write> writes;

 private:
  const GuestMemory& ram_;
  uint32_t page_;
};

class KvmInterfaceTest : public ParavirtFixture {
 protected:
  static constexpr uint32_t kPage = 0x30000;
  static constexpr uint64_t kHertz = 2'000'000'000;
  static constexpr Nanoseconds kSecond = 1'000'000'000;

  KvmInterfaceTest() {
    model.paravirt = Paravirt::Kvm;
    model.tsc_hz = kHertz;
    model.steal_time = model.tsc_is_stable = true;
    tsc_.now = 1'000'000;
    kvm_ = make();
    cpu().hypervisor = kvm_.get();
  }
  std::unique_ptr<KvmInterface> make() {
    return std::make_unique<KvmInterface>(
        KvmSurroundings{.memory = *told_memory_,
                        .tsc = tsc_,
                        .model = model,
                        .time_of_day = [this] { return day_; },
                        .stolen = [this] { return stolen_time_; }});
  }
  // The time that a guest computes from the structure and its counter, by the guest's own formula.
  [[nodiscard]] uint64_t read_clock(uint32_t at) const {
    const uint64_t delta = tsc_.now - told<uint64_t>(at + 8);
    const auto shift = static_cast<int8_t>(told<uint8_t>(at + 28));
    const uint64_t shifted = shift < 0 ? delta >> -shift : delta << shift;
    __extension__ using Wide = unsigned __int128;
    return told<uint64_t>(at + 16) +
           static_cast<uint64_t>(Wide{shifted} * told<uint32_t>(at + 24) >> 32);
  }
  std::vector<uint8_t> save(KvmInterface& kvm, uint64_t time_stamp) {
    std::vector<uint8_t> saved;
    std::string error;
    kvm.stand_at(time_stamp);
    EXPECT_TRUE(StateArchive::save([&](StateArchive& a) { a.part("kvm", kvm); }, &saved, &error))
        << error;
    return saved;
  }
  // The error; empty: none.
  static std::string load(KvmInterface& kvm, uint64_t time_stamp, std::span<const uint8_t> saved) {
    std::string error;
    kvm.stand_at(time_stamp);
    (void)StateArchive::load(
        saved, [&](StateArchive& a) { a.part("kvm", kvm); }, &error);
    return error;
  }

  Nanoseconds day_ = 1'700'000'000 * kSecond + 123;
  Nanoseconds stolen_time_ = 500;
  std::unique_ptr<KvmInterface> kvm_;
};

TEST_F(KvmInterfaceTest, TheProcessorLeadsToItsRegisters) {
  uint64_t value = 1;
  for (const uint32_t index : {0x11U, 0x12U, 0x4b564d00U, 0x4b564d01U, 0x4b564d03U}) {
    ASSERT_EQ(read_msr(cpu(), index, &value), kNoFault) << index;
    EXPECT_EQ(value, 0U);
  }
  for (const uint32_t index : {0x4b564d02U, 0x4b564d04U, 0x4b564d05U, 0x4b564cffU}) {
    EXPECT_EQ(read_msr(cpu(), index, &value), gp()) << index;
    EXPECT_EQ(write_msr(cpu(), index, 0), gp()) << index;
  }
  cpu().hypervisor = nullptr;
  EXPECT_EQ(read_msr(cpu(), 0x4b564d01, &value), gp());
  EXPECT_EQ(write_msr(cpu(), 0x11, 0), gp());
}

TEST_F(KvmInterfaceTest, TheClockGoesOnWithTheCounter) {
  tsc_.now += kHertz;
  for (const uint32_t index : {0x12U, 0x4b564d01U}) {
    put<uint32_t>(kPage, 7);  // left by the memory's earlier owner
    ASSERT_EQ(write_msr(cpu(), index, kPage | 1), kNoFault);
    EXPECT_EQ(told<uint32_t>(kPage) % 2, 0U);
    EXPECT_NE(told<uint32_t>(kPage), 8U) << "not the version of one who began to write before";
    EXPECT_EQ(told<uint8_t>(kPage + 29), 1U) << "stable";
    EXPECT_NEAR(static_cast<double>(read_clock(kPage)), 1e9, 2);
  }
  tsc_.now += kHertz / 2;
  EXPECT_NEAR(static_cast<double>(read_clock(kPage)), 1.5e9, 2);
  EXPECT_EQ(read_clock(kPage), kvm_->system_time());
}

TEST_F(KvmInterfaceTest, AnUnstableCounterIsToldToBeOne) {
  model.tsc_is_stable = false;
  ASSERT_EQ(write_msr(cpu(), 0x4b564d01, kPage | 1), kNoFault);
  EXPECT_EQ(told<uint8_t>(kPage + 29), 0U);
}

TEST_F(KvmInterfaceTest, VersionsAreOddWhileTheRestIsWritten) {
  WatchedPage watched(*told_, kPage);
  told_memory_->set_observer(&watched);
  ASSERT_EQ(write_msr(cpu(), 0x4b564d01, kPage | 1), kNoFault);
  ASSERT_EQ(watched.writes.size(), 3U) << "the writes are seen by those who watch the page";
  EXPECT_EQ(watched.writes[0].at, 0U);
  EXPECT_EQ(watched.writes[0].first_word % 2, 1U);
  EXPECT_EQ(watched.writes[1].at, 4U);
  EXPECT_EQ(watched.writes[1].length, 28U);
  EXPECT_EQ(watched.writes[2].at, 0U);
  EXPECT_EQ(watched.writes[2].first_word, watched.writes[0].first_word + 1);
  told_memory_->set_observer(nullptr);
}

TEST_F(KvmInterfaceTest, SettingTheCounterDoesNotSetTheClock) {
  ASSERT_EQ(write_msr(cpu(), 0x4b564d01, kPage | 1), kNoFault);
  tsc_.now += kHertz;
  ASSERT_EQ(write_msr(cpu(), 0x10, 5), kNoFault);
  tsc_.now = 5;
  EXPECT_NEAR(static_cast<double>(read_clock(kPage)), 1e9, 2);
}

TEST_F(KvmInterfaceTest, TheWallClockIsWhenTheClockBegan) {
  tsc_.now += 3 * kHertz;
  for (const uint32_t index : {0x11U, 0x4b564d00U}) {
    ASSERT_EQ(write_msr(cpu(), index, kPage + 0x100), kNoFault);
    EXPECT_EQ(told<uint32_t>(kPage + 0x100) % 2, 0U);
    const Nanoseconds now = told<uint32_t>(kPage + 0x104) * kSecond +
                            told<uint32_t>(kPage + 0x108) +
                            static_cast<Nanoseconds>(kvm_->system_time());
    EXPECT_EQ(now, day_);
    put<uint32_t>(kPage + 0x104, 0);
  }
}

TEST_F(KvmInterfaceTest, StolenTimeCountsFromWhenItWasAskedFor) {
  ASSERT_EQ(write_msr(cpu(), 0x4b564d03, kPage | 1), kNoFault);
  EXPECT_EQ(told<uint64_t>(kPage), 0U);
  const uint32_t version = told<uint32_t>(kPage + 8);
  stolen_time_ += 7000;
  EXPECT_EQ(told<uint64_t>(kPage), 0U);
  kvm_->at_safe_point();
  EXPECT_EQ(told<uint64_t>(kPage), 7000U);
  EXPECT_EQ(told<uint32_t>(kPage + 8), version + 2);
  kvm_->at_safe_point();
  EXPECT_EQ(told<uint32_t>(kPage + 8), version + 2) << "nothing new, nothing written";
  ASSERT_EQ(write_msr(cpu(), 0x4b564d03, 0), kNoFault);
  stolen_time_ += 1000;
  kvm_->at_safe_point();
  EXPECT_EQ(told<uint64_t>(kPage), 7000U) << "switched off";
}

TEST_F(KvmInterfaceTest, WithoutASourceThereIsNoStealTime) {
  model.steal_time = false;
  uint64_t value = 0;
  EXPECT_EQ(write_msr(cpu(), 0x4b564d03, kPage | 1), gp());
  EXPECT_EQ(read_msr(cpu(), 0x4b564d03, &value), gp());
}

TEST_F(KvmInterfaceTest, ReservedBitsAreGeneralProtection) {
  for (const uint64_t bit : {1U, 2U}) {
    EXPECT_EQ(write_msr(cpu(), 0x4b564d00, kPage | bit), gp()) << bit;
  }
  EXPECT_EQ(write_msr(cpu(), 0x4b564d01, kPage | 3), gp());
  EXPECT_EQ(write_msr(cpu(), 0x12, kPage | 2), gp());
  for (uint64_t bit = 2; bit < 64; bit <<= 1) {
    EXPECT_EQ(write_msr(cpu(), 0x4b564d03, kPage | bit | 1), gp()) << bit;
  }
  EXPECT_EQ(told<uint64_t>(kPage), 0U);
}

TEST_F(KvmInterfaceTest, AddressesThatAreNotRamAreKeptAndNotWritten) {
  const std::vector<uint8_t> before(told_->at(GuestPhysical(0)),
                                    told_->at(GuestPhysical(0)) + kRamBytes);
  for (const uint64_t at :
       {uint64_t{kRamBytes}, kRamBytes - 4, uint64_t{0xfee00000}, ~uint64_t{0} - 3,
        uint64_t{1} << 36, uint64_t{1} << 63, ~uint64_t{0} & ~uint64_t{63}}) {
    for (const uint32_t index : {0x11U, 0x12U, 0x4b564d00U, 0x4b564d01U, 0x4b564d03U}) {
      const bool is_steal = index == 0x4b564d03;
      if (is_steal && at % 64 != 0) continue;
      const uint64_t value = index == 0x11 || index == 0x4b564d00 ? at : at | 1;
      ASSERT_EQ(write_msr(cpu(), index, value), kNoFault) << std::hex << index << ' ' << at;
      uint64_t kept = 0;
      ASSERT_EQ(read_msr(cpu(), index, &kept), kNoFault);
      EXPECT_EQ(kept, value);
    }
    stolen_time_ += 1;
    kvm_->at_safe_point();
  }
  EXPECT_EQ(std::memcmp(before.data(), told_->at(GuestPhysical(0)), before.size()), 0);
}

TEST_F(KvmInterfaceTest, AStructureMayLieInTwoPages) {
  const uint32_t at = kPage + 0x1000 - 8;
  ASSERT_EQ(write_msr(cpu(), 0x4b564d01, at | 1), kNoFault);
  tsc_.now += kHertz;
  EXPECT_NEAR(static_cast<double>(read_clock(at)), 1e9, 2);
}

TEST_F(KvmInterfaceTest, GoesOnAfterItWasSavedAtAnyRate) {
  ASSERT_EQ(write_msr(cpu(), 0x4b564d01, kPage | 1), kNoFault);
  ASSERT_EQ(write_msr(cpu(), 0x4b564d03, (kPage + 0x100) | 1), kNoFault);
  stolen_time_ += 300;
  kvm_->at_safe_point();
  tsc_.now += kHertz;
  const uint64_t read_last = read_clock(kPage);
  const std::vector<uint8_t> saved = save(*kvm_, tsc_.now);

  model.tsc_hz = kHertz / 4;  // another host
  stolen_time_ = 9;
  tsc_.now += 50;
  const std::unique_ptr<KvmInterface> other = make();
  ASSERT_EQ(load(*other, tsc_.now, saved), "");
  EXPECT_GE(read_clock(kPage), read_last);
  EXPECT_LT(read_clock(kPage), read_last + 1000);
  tsc_.now += kHertz / 4;
  EXPECT_NEAR(static_cast<double>(read_clock(kPage)), 2e9, 1000);
  stolen_time_ += 20;
  other->at_safe_point();
  EXPECT_EQ(told<uint64_t>(kPage + 0x100), 320U) << "what was stolen stays so";
  EXPECT_EQ(save(*other, tsc_.now).size(), saved.size());
}

TEST_F(KvmInterfaceTest, RefusesASavedRegisterThatCannotBe) {
  ASSERT_EQ(write_msr(cpu(), 0x4b564d03, kPage | 1), kNoFault);
  std::vector<uint8_t> saved = save(*kvm_, tsc_.now);
  std::vector<uint8_t> body(saved.begin() + StateArchive::kHeaderBytes, saved.end());
  const std::string_view name = "steal time";
  const auto found = std::search(body.begin(), body.end(), name.begin(), name.end());
  ASSERT_NE(found, body.end());
  *(found + static_cast<ptrdiff_t>(name.size()) + 4) = 0x21;
  const std::unique_ptr<KvmInterface> other = make();
  EXPECT_NE(load(*other, tsc_.now, StateArchive::with_header(body)), "");
}

}  // namespace
}  // namespace ringshift
