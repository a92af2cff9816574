// PacedMedium: the second interface of a medium whose rate is limited: it says how long it wants to
// be left alone. A drive that can wait asks before each piece; one that cannot moves on, and the
// next request waits for its bytes, too. LimitedDisk: any medium, at a rate that several of them
// may share. See docs/machines.md, "Limits".
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <utility>

#include "devices/bus/token_bucket.h"
#include "devices/storage/disk_backend.h"

namespace ringshift {

class PacedMedium {
 public:
  virtual ~PacedMedium() = default;
  // Nanoseconds of the host's time; 0: it may be asked for more.
  [[nodiscard]] virtual Nanoseconds pause() = 0;
};

// 0 for those that keep no rate, and where there is none.
[[nodiscard]] inline Nanoseconds pause_of(DiskBackend* medium) {
  auto* const paced = dynamic_cast<PacedMedium*>(medium);
  return paced != nullptr ? paced->pause() : 0;
}

// A drive that waits for its medium (DiskBackend::advance) is told when to go on, but not in a
// machine that was saved meanwhile and goes on elsewhere: so it looks again by itself.
inline constexpr Nanoseconds kLookAgain = 10'000'000;

// The rate of all disks of a machine together.
struct DiskRate {
  DiskRate(uint64_t bytes_per_second, std::function<Nanoseconds()> now)
      : bucket(bytes_per_second), clock(std::move(now)) {}
  TokenBucket bucket;
  std::function<Nanoseconds()> clock;  // the host's, monotonic
};

class LimitedDisk final : public DiskBackend, public PacedMedium {
 public:
  LimitedDisk(std::shared_ptr<DiskBackend> medium, std::shared_ptr<DiskRate> rate)
      : medium_(std::move(medium)), rate_(std::move(rate)) {}

  [[nodiscard]] const std::shared_ptr<DiskRate>& rate() const { return rate_; }
  [[nodiscard]] Nanoseconds pause() override { return rate_->bucket.due(rate_->clock()); }

  [[nodiscard]] uint64_t bytes() const override { return medium_->bytes(); }
  [[nodiscard]] bool read_only() const override { return medium_->read_only(); }
  [[nodiscard]] bool read(uint64_t offset, std::span<uint8_t> to) override {
    rate_->bucket.take(to.size());
    return medium_->read(offset, to);
  }
  [[nodiscard]] bool write(uint64_t offset, std::span<const uint8_t> from) override {
    rate_->bucket.take(from.size());
    return medium_->write(offset, from);
  }
  [[nodiscard]] bool flush() override { return medium_->flush(); }
  // A request that is made again has been counted.
  [[nodiscard]] Progress advance(const DiskRequest& request) override {
    if (!std::exchange(is_on_its_way_, true)) rate_->bucket.take(cost_of(request));
    const Progress progress = medium_->advance(request);
    is_on_its_way_ = progress == Progress::Waits;
    return progress;
  }
  void abandon() override {
    is_on_its_way_ = false;
    medium_->abandon();
  }
  void set_on_ready(std::function<void()> on_ready) override {
    medium_->set_on_ready(std::move(on_ready));
  }
  void set_on_news(std::function<void()> on_news) override {
    medium_->set_on_news(std::move(on_news));
  }
  void deliver() override { medium_->deliver(); }
  [[nodiscard]] DiskTraffic traffic() const override { return medium_->traffic(); }
  [[nodiscard]] bool set_in_use(bool in_use) override { return medium_->set_in_use(in_use); }
  void visit_medium(StateArchive& archive, bool may_have_changed) override {
    medium_->visit_medium(archive, may_have_changed);
  }
  [[nodiscard]] bool can_discard() const override { return medium_->can_discard(); }
  // Nothing moves for it but the request.
  [[nodiscard]] bool discard(uint64_t offset, uint64_t count) override {
    rate_->bucket.take(kRequest);
    return medium_->discard(offset, count);
  }
  [[nodiscard]] bool write_zeroes(uint64_t offset, uint64_t count, Zeroing how) override {
    rate_->bucket.take(count);
    return medium_->write_zeroes(offset, count, how);
  }

 private:
  static constexpr uint64_t kRequest = 4096;
  [[nodiscard]] static uint64_t cost_of(const DiskRequest& request) {
    switch (request.kind) {
      case DiskRequest::Kind::Read:
      case DiskRequest::Kind::Write:
        return request.bytes.size();
      case DiskRequest::Kind::Flush:
        return 0;
      case DiskRequest::Kind::Discard:
        return kRequest;
      case DiskRequest::Kind::Zeroes:
      case DiskRequest::Kind::FreeingZeroes:
        return request.count;
    }
    return 0;
  }
  std::shared_ptr<DiskBackend> medium_;
  std::shared_ptr<DiskRate> rate_;
  bool is_on_its_way_ = false;
};

}  // namespace ringshift
