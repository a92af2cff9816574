// FuzzMedium: a medium in memory that holds drives to what they promise, and fails when told to.
// Owns: the bytes.
#pragma once

#include <cstring>
#include <vector>

#include "devices/storage/disk_backend.h"
#include "monitor/boot/boot_image.h"
#include "shadowmmu/base/check.h"

namespace ringshift::fuzz {

class FuzzMedium final : public DiskBackend {
 public:
  FuzzMedium(size_t bytes, bool read_only) : content(bytes), locked(read_only) {
    for (size_t at = 0; at < bytes; at += 512) content[at] = static_cast<uint8_t>(at >> 9);
  }
  [[nodiscard]] uint64_t bytes() const override { return content.size(); }
  [[nodiscard]] bool read_only() const override { return locked; }
  [[nodiscard]] bool read(uint64_t offset, std::span<uint8_t> to) override {
    CHECK(range_fits(offset, to.size(), content.size()));
    if (!to.empty()) std::memcpy(to.data(), content.data() + offset, to.size());
    return !broken;
  }
  [[nodiscard]] bool write(uint64_t offset, std::span<const uint8_t> from) override {
    CHECK(range_fits(offset, from.size(), content.size()));
    CHECK(!locked);
    if (!broken && !from.empty()) std::memcpy(content.data() + offset, from.data(), from.size());
    return !broken;
  }
  [[nodiscard]] bool flush() override { return !broken; }

  std::vector<uint8_t> content;
  bool locked;
  bool broken = false;
};

}  // namespace ringshift::fuzz
