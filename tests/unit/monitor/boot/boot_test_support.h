// Synthesised boot images: valid ones that a test then spoils in one place.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "monitor/boot/boot.h"
#include "shadowmmu/guest_memory.h"
#include "translator/guest_state.h"

namespace ringshift::boot_test {

using Bytes = std::vector<uint8_t>;

inline void put16(Bytes& bytes, size_t at, uint32_t value) {
  bytes.at(at) = static_cast<uint8_t>(value);
  bytes.at(at + 1) = static_cast<uint8_t>(value >> 8);
}
inline void put32(Bytes& bytes, size_t at, uint32_t value) {
  put16(bytes, at, value & 0xffffU);
  put16(bytes, at + 2, value >> 16);
}

// A machine with files of its own; every test starts with a fresh one.
class BootTest : public ::testing::Test {
 protected:
  static constexpr uint64_t kRam = uint64_t{32} << 20;

  BootTest() {
    std::string pattern = ::testing::TempDir() + "ringshift-boot-XXXXXX";
    folder_ = mkdtemp(pattern.data());
    std::string error;
    memory_ = GuestMemory::create(kRam, &error);
    EXPECT_NE(memory_, nullptr) << error;
  }
  ~BootTest() override {
    for (const std::string& path : files_) unlink(path.c_str());
    rmdir(folder_.c_str());
  }

  std::string file(const std::string& name, const Bytes& bytes) {
    std::string path = folder_ + "/" + name;
    std::ofstream(path, std::ios::binary)
        .write(reinterpret_cast<const char*>(bytes.data()),
               static_cast<std::streamsize>(bytes.size()));
    files_.push_back(path);
    return path;
  }
  BootResult boot(const Bytes& kernel) {
    request_.kernel_path = file("kernel", kernel);
    return boot_guest(request_, *memory_, state_);
  }
  // Expects the image to be refused with one line that names it and says `problem`.
  void expect_refused(const Bytes& kernel, const std::string& problem) {
    expect_failure(boot(kernel), request_.kernel_path, problem);
  }
  static void expect_failure(const BootResult& result, const std::string& path,
                             const std::string& problem) {
    EXPECT_FALSE(result.ok);
    EXPECT_EQ(result.error.find(path + ": "), 0U) << result.error;
    EXPECT_NE(result.error.find(problem), std::string::npos) << result.error;
    EXPECT_EQ(result.error.find('\n'), std::string::npos) << result.error;
  }

  uint8_t ram8(uint64_t address) const { return *memory_->at(GuestPhysical(address)); }
  uint16_t ram16(uint64_t address) const { return load<uint16_t>(address); }
  uint32_t ram32(uint64_t address) const { return load<uint32_t>(address); }
  uint64_t ram64(uint64_t address) const { return load<uint64_t>(address); }
  std::string ram_string(uint64_t address) const {
    return reinterpret_cast<const char*>(memory_->at(GuestPhysical(address)));
  }

  std::string folder_;
  std::vector<std::string> files_;
  std::unique_ptr<GuestMemory> memory_;
  GuestState state_;
  BootRequest request_;

 private:
  template <typename Value>
  Value load(uint64_t address) const {
    Value value;
    std::memcpy(&value, memory_->at(GuestPhysical(address)), sizeof value);
    return value;
  }
};

// A bzImage of protocol 2.15: one setup sector beside the first, 4 KiB of payload that counts up.
inline Bytes linux_image() {
  constexpr size_t kSetupBytes = 1024;
  constexpr size_t kPayloadBytes = 4096;
  Bytes image(kSetupBytes + kPayloadBytes);
  for (size_t i = 0; i < kPayloadBytes; ++i) image[kSetupBytes + i] = static_cast<uint8_t>(i * 7);
  image[0x1f1] = 1;
  put32(image, 0x1f4, kPayloadBytes / 16);
  put16(image, 0x1fa, 0xffff);
  put16(image, 0x1fe, 0xaa55);
  image[0x200] = 0xeb;
  image[0x201] = 0x6a;
  put32(image, 0x202, 0x53726448);
  put16(image, 0x206, 0x20f);
  image[0x211] = 1;
  put32(image, 0x214, 0x100000);
  put32(image, 0x22c, 0x7fffffff);
  put32(image, 0x238, 2047);
  put32(image, 0x258, 0x1000000);
  put32(image, 0x260, 0x200000);
  return image;
}

inline void put_multiboot_header(Bytes& image, size_t at, uint32_t flags) {
  put32(image, at, 0x1badb002);
  put32(image, at + 4, flags);
  put32(image, at + 8, 0U - 0x1badb002U - flags);
}

// An ELF32 kernel of one segment: 0x200 bytes of the file at 0x100000, 0x1000 with its bss; linked
// at 0xc0100000.
inline Bytes multiboot_elf() {
  Bytes image(0x400);
  constexpr uint8_t kIdentification[] = {0x7f, 'E', 'L', 'F', 1, 1, 1};
  std::copy(std::begin(kIdentification), std::end(kIdentification), image.begin());
  put16(image, 16, 2);
  put16(image, 18, 3);
  put32(image, 20, 1);
  put32(image, 24, 0xc0100010);
  put32(image, 28, 52);
  put16(image, 40, 52);
  put16(image, 42, 32);
  put16(image, 44, 1);
  put32(image, 52, 1);
  put32(image, 52 + 4, 0x200);
  put32(image, 52 + 8, 0xc0100000);
  put32(image, 52 + 12, 0x100000);
  put32(image, 52 + 16, 0x200);
  put32(image, 52 + 20, 0x1000);
  put_multiboot_header(image, 0x200, 0x3);
  for (size_t i = 0x20c; i < 0x400; ++i) image[i] = static_cast<uint8_t>(i);
  return image;
}

// A flat kernel placed by the header's address fields: loaded whole at 0x200000, bss up to
// 0x202000.
inline Bytes multiboot_flat() {
  Bytes image(0x300, 0x90);
  put_multiboot_header(image, 0x40, 0x10003);
  put32(image, 0x40 + 12, 0x200040);
  put32(image, 0x40 + 16, 0x200000);
  put32(image, 0x40 + 20, 0x200200);
  put32(image, 0x40 + 24, 0x202000);
  put32(image, 0x40 + 28, 0x200080);
  return image;
}

}  // namespace ringshift::boot_test
