// SlowDisk: a medium that lets each request of a drive wait until the test says that it is ready.
// Does not own: the medium behind it, which does the request then, with the bytes of the first
// call.
#pragma once

#include <algorithm>
#include <functional>
#include <optional>
#include <utility>
#include <vector>

#include "devices/storage/disk_backend.h"

namespace ringshift {

// The same as a value: each request waits once or twice.
struct Slowness {
  bool slow = false;
  uint32_t asked = 0;  // requests that have begun
  uint32_t waits = 0;  // that the one on its way has left, and one more
  bool operator==(const Slowness&) const = default;
  [[nodiscard]] bool must_wait() {
    if (slow && waits == 0) waits = 2 + asked++ % 2;
    return slow && --waits != 0;
  }
};

class SlowDisk final : public DiskBackend {
 public:
  explicit SlowDisk(DiskBackend& medium) : medium_(medium) {}
  [[nodiscard]] uint64_t bytes() const override { return medium_.bytes(); }
  [[nodiscard]] bool read_only() const override { return medium_.read_only(); }
  [[nodiscard]] bool read(uint64_t offset, std::span<uint8_t> to) override {
    return medium_.read(offset, to);
  }
  [[nodiscard]] bool write(uint64_t offset, std::span<const uint8_t> from) override {
    return medium_.write(offset, from);
  }
  [[nodiscard]] bool flush() override { return medium_.flush(); }
  [[nodiscard]] bool can_discard() const override { return medium_.can_discard(); }
  [[nodiscard]] bool discard(uint64_t offset, uint64_t count) override {
    return medium_.discard(offset, count);
  }

  [[nodiscard]] Progress advance(const DiskRequest& request) override {
    if (!waiting_) {
      waiting_ = request;
      bytes_.assign(request.bytes.begin(), request.bytes.end());
    }
    if (!std::exchange(is_ready_, false)) return Progress::Waits;
    DiskRequest done = *std::exchange(waiting_, std::nullopt);
    done.bytes = request.bytes;
    if (done.kind == DiskRequest::Kind::Write) done.bytes = bytes_;
    return medium_.advance(done);
  }
  void abandon() override {
    waiting_.reset();
    is_ready_ = false;
  }
  void set_on_ready(std::function<void()> on_ready) override { on_ready_ = std::move(on_ready); }

  [[nodiscard]] const std::optional<DiskRequest>& waiting() const { return waiting_; }
  void be_ready() {
    is_ready_ = waiting_.has_value();
    on_ready_();
  }

 private:
  DiskBackend& medium_;
  std::optional<DiskRequest> waiting_;
  std::vector<uint8_t> bytes_;
  bool is_ready_ = false;
  std::function<void()> on_ready_;
};

}  // namespace ringshift
