// UsedUpMappings: while it lives, the host refuses this process one more mapping. Owns: as many
// mappings as were left (vm.max_map_count).
#pragma once

#include <sys/mman.h>

#include <cerrno>
#include <cstddef>

#include "shadowmmu/base/address.h"
#include "shadowmmu/host_mapping.h"

namespace ringshift {

class UsedUpMappings {
 public:
  // Every other page of a reservation may be read: each splits a mapping in two more.
  UsedUpMappings() : bytes_(size_t{2} * kPageSize * most_host_mappings()) {
    void* mapped =
        mmap(nullptr, bytes_, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (mapped == MAP_FAILED) return;
    base_ = static_cast<uint8_t*>(mapped);
    for (size_t at = kPageSize; at < bytes_; at += size_t{2} * kPageSize) {
      if (mprotect(base_ + at, kPageSize, PROT_READ) == 0) continue;
      is_used_up_ = errno == ENOMEM;
      return;
    }
  }
  ~UsedUpMappings() {
    if (base_ != nullptr) munmap(base_, bytes_);
  }
  UsedUpMappings(const UsedUpMappings&) = delete;
  UsedUpMappings& operator=(const UsedUpMappings&) = delete;

  // False: there are more than a test should take, or the sanitizer's own memory needs some.
  [[nodiscard]] static bool can_be() {
#ifdef __SANITIZE_ADDRESS__
    return false;
#else
    constexpr uint32_t kMost = 300000;
    return most_host_mappings() <= kMost;
#endif
  }
  [[nodiscard]] bool is_used_up() const { return is_used_up_; }

 private:
  size_t bytes_;
  uint8_t* base_ = nullptr;
  bool is_used_up_ = false;
};

}  // namespace ringshift
