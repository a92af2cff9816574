// DirectFixture: guest RAM of a few pages, a host of sandboxed processes and a state that may run
// in one, for tests of direct execution. Owns: all three. A test is skipped, with the reason, where
// the host cannot run guest code directly. Code goes to RAM page 0, which a test maps where it
// likes.
#pragma once

#include <gtest/gtest.h>
#include <signal.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "monitor/direct/direct_process.h"
#include "shadowmmu/guest_memory.h"

namespace ringshift {

class DirectFixture : public testing::Test {
 protected:
  static constexpr uint64_t kRamBytes = 64 * kPageSize;
  static constexpr uint32_t kCode = 0x100000;
  static constexpr uint32_t kData = 0x200000;  // two pages
  static constexpr GuestVirtualPage kCodePage{kCode >> 12};
  static constexpr GuestVirtualPage kDataPage{kData >> 12};
  static constexpr GuestPhysicalPage kCodeFrame{0};
  static constexpr GuestPhysicalPage kDataFrame{2};

  void SetUp() override {
    std::string error;
    ram_ = GuestMemory::create(kRamBytes, &error);
    ASSERT_NE(ram_, nullptr) << error;
    host_ = DirectHost::create(ram_->descriptor(), CpuidGuard::Auto, &error);
    if (host_ == nullptr) GTEST_SKIP() << "no direct execution on this host: " << error;
    state_.eip = kCode;
    state_.eflags = kFlagReservedOne | kFlagIf;
    state_.cpl = 3;
    state_.reg(Gpr::Esp) = kData + 0x1000;
    for (const SegmentRegister name :
         {SegmentRegister::Es, SegmentRegister::Cs, SegmentRegister::Ss, SegmentRegister::Ds}) {
      state_.seg(name) = flat_data(0);
    }
    constexpr uint32_t kDefaultControl = 0x37f;
    constexpr uint32_t kDefaultMxcsr = 0x1f80;
    std::memcpy(state_.fxsave.data(), &kDefaultControl, sizeof(kDefaultControl));
    std::memcpy(state_.fxsave.data() + kMxcsrAt, &kDefaultMxcsr, sizeof(kDefaultMxcsr));
  }

  [[nodiscard]] static SegmentCache flat_data(uint32_t base) {
    return SegmentCache{base, 0xffffffffU, 0x23, 0xc0f3};
  }

  void write_ram(uint32_t at, const std::vector<uint8_t>& bytes) {
    std::memcpy(ram_->at(GuestPhysical(at)), bytes.data(), bytes.size());
  }
  void write_code(const std::vector<uint8_t>& bytes) { write_ram(0, bytes); }
  [[nodiscard]] uint32_t ram32(uint32_t at) const {
    uint32_t value = 0;
    std::memcpy(&value, ram_->at(GuestPhysical(at)), sizeof(value));
    return value;
  }

  // The names in a folder of /proc/ID, or its lines.
  [[nodiscard]] static std::vector<std::string> names_in(pid_t id, const std::string& folder) {
    std::vector<std::string> names;
    const std::string path = "/proc/" + std::to_string(id) + "/" + folder;
    for (const auto& entry : std::filesystem::directory_iterator(path)) {
      names.push_back(entry.path().filename().string());
    }
    std::sort(names.begin(), names.end());
    return names;
  }
  [[nodiscard]] static std::vector<std::string> lines_of(pid_t id, const std::string& file) {
    std::ifstream stream("/proc/" + std::to_string(id) + "/" + file);
    std::vector<std::string> lines;
    for (std::string line; std::getline(stream, line);) lines.push_back(line);
    return lines;
  }
  [[nodiscard]] static bool exists(pid_t id) { return kill(id, 0) == 0; }

  static constexpr size_t kMxcsrAt = 24;
  static constexpr size_t kXmm0At = 160;
  std::unique_ptr<GuestMemory> ram_;
  std::unique_ptr<DirectHost> host_;
  GuestState state_;
};

}  // namespace ringshift
