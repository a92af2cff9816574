// SharedBase: a file with the bytes that a machine's RAM has, and RAM made to begin as that file.
// Owns: the file. If one of them cannot be made the test program ends.
#pragma once

#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <utility>
#include <vector>

#include "shadowmmu/base/check.h"
#include "shadowmmu/guest_memory.h"

namespace ringshift {

class SharedBase {
 public:
  static constexpr uint32_t kGrainPages = 4;
  static constexpr uint64_t kOffset = 2 * kPageSize;  // of RAM in the file

  SharedBase() : file_(std::tmpfile()) { CHECK(file_ != nullptr); }
  ~SharedBase() { std::fclose(file_); }
  SharedBase(const SharedBase&) = delete;
  SharedBase& operator=(const SharedBase&) = delete;

  // RAM has the bytes that it has now, but from the file. Grains of zeros are not the file's.
  void put_under(GuestMemory& ram) {
    const auto all = ram.span(GuestPhysical(0), ram.size());
    CHECK(write_contents(descriptor(), kOffset, all).ok());
    constexpr uint64_t kGrain = uint64_t{kGrainPages} * kPageSize;
    RamBase base{.descriptor = dup(descriptor()),
                 .offset = kOffset,
                 .grain_pages = kGrainPages,
                 .present = std::vector<bool>((ram.size() + kGrain - 1) / kGrain)};
    for (uint64_t at = 0; at < ram.size(); ++at) {
      if (all[at] != 0) base.present[at / kGrain] = true;
    }
    CHECK(ram.clear());
    CHECK(ram.take_base(std::move(base)).ok());
  }
  [[nodiscard]] int descriptor() const { return fileno(file_); }
  // A byte of RAM as the file has it.
  [[nodiscard]] uint8_t byte_at(uint64_t address) const {
    uint8_t byte = 0;
    CHECK(read_contents(descriptor(), kOffset + address, {&byte, 1}).ok());
    return byte;
  }

 private:
  std::FILE* file_;
};

}  // namespace ringshift
