// ExactDisk: a medium of a run that is recorded or replayed: the guest's view of it depends on the
// guest's own acts alone. It has no pace of the host's and discards nothing, since the host's file
// system decides what a discarded range reads as. See docs/exact-execution.md.
#pragma once

#include <functional>
#include <memory>
#include <utility>

#include "devices/storage/disk_backend.h"

namespace ringshift {

class ExactDisk final : public DiskBackend {
 public:
  // on_failure: the host has failed, which the guest will see: the run cannot be repeated.
  ExactDisk(std::shared_ptr<DiskBackend> medium, std::function<void()> on_failure)
      : medium_(std::move(medium)), on_failure_(std::move(on_failure)) {}

  [[nodiscard]] uint64_t bytes() const override { return medium_->bytes(); }
  [[nodiscard]] bool read_only() const override { return medium_->read_only(); }
  [[nodiscard]] bool read(uint64_t offset, std::span<uint8_t> to) override {
    return note(medium_->read(offset, to));
  }
  [[nodiscard]] bool write(uint64_t offset, std::span<const uint8_t> from) override {
    return medium_->read_only() ? medium_->write(offset, from) : note(medium_->write(offset, from));
  }
  [[nodiscard]] bool flush() override { return note(medium_->flush()); }
  [[nodiscard]] bool set_in_use(bool in_use) override { return medium_->set_in_use(in_use); }
  [[nodiscard]] bool write_zeroes(uint64_t offset, uint64_t count, Zeroing how) override {
    return medium_->read_only() ? medium_->write_zeroes(offset, count, how)
                                : note(medium_->write_zeroes(offset, count, how));
  }
  void visit_medium(StateArchive& archive, bool may_have_changed) override {
    medium_->visit_medium(archive, may_have_changed);
  }

 private:
  [[nodiscard]] bool note(bool is_done) const {
    if (!is_done) on_failure_();
    return is_done;
  }

  std::shared_ptr<DiskBackend> medium_;
  std::function<void()> on_failure_;
};

}  // namespace ringshift
