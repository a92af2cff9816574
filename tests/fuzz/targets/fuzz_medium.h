// FuzzMedium: a medium in memory that checks the promises of drives, and fails when told to.
// Owns: the bytes.
#pragma once

#include <cstring>
#include <functional>
#include <utility>
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
  // A slow one lets each request wait once. It is always the same one that is made again.
  [[nodiscard]] Progress advance(const DiskRequest& request) override {
    if (is_slow && !is_waiting) {
      is_waiting = true;
      waits_for = request;
      return Progress::Waits;
    }
    CHECK(!is_waiting ||
          (request.kind == waits_for.kind && request.offset == waits_for.offset &&
           request.bytes.size() == waits_for.bytes.size() && request.count == waits_for.count));
    is_waiting = false;
    return DiskBackend::advance(request);
  }
  void abandon() override { is_waiting = false; }
  void set_on_ready(std::function<void()> on_ready) override { on_ready_ = std::move(on_ready); }
  void deliver() override {
    if (is_waiting && on_ready_) on_ready_();
  }

  std::vector<uint8_t> content;
  bool locked;
  bool broken = false;
  bool is_slow = false;
  bool is_waiting = false;
  DiskRequest waits_for;

 private:
  std::function<void()> on_ready_;
};

}  // namespace ringshift::fuzz
