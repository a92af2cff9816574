// BackgroundDisk: a medium whose host may take its time. A thread of its own does the requests of
// advance(), unless the host has the bytes in memory, so that the guest runs on. All other calls
// wait for that thread first. Owns: the thread, the medium, the bytes that are on their way. Does
// not own: the listener. See docs/devices.md, "Disks", and
// docs/decisions/0033-disks-beside-the-guest.md.
#pragma once

#include <atomic>
#include <functional>
#include <memory>

#include "devices/storage/disk_backend.h"

namespace ringshift {

class BackgroundDisk final : public DiskBackend {
 public:
  // is_unwanted: any thread: the run is to end, and the host is not waited for much longer then.
  BackgroundDisk(std::shared_ptr<DiskBackend> medium, std::function<bool()> is_unwanted);
  // A request that is on its way is waited for, as long as the run is not to end. If the host never
  // lets it go, thread and medium stay for as long as the process does.
  ~BackgroundDisk() override;
  BackgroundDisk(const BackgroundDisk&) = delete;
  BackgroundDisk& operator=(const BackgroundDisk&) = delete;

  [[nodiscard]] Progress advance(const DiskRequest& request) override;
  void abandon() override;
  void set_on_ready(std::function<void()> on_ready) override { on_ready_ = std::move(on_ready); }
  void set_on_news(std::function<void()> on_news) override;
  void deliver() override;

  [[nodiscard]] uint64_t bytes() const override;
  [[nodiscard]] bool read_only() const override;
  [[nodiscard]] bool read(uint64_t offset, std::span<uint8_t> to) override;
  [[nodiscard]] bool write(uint64_t offset, std::span<const uint8_t> from) override;
  [[nodiscard]] bool flush() override;
  [[nodiscard]] DiskTraffic traffic() const override;
  [[nodiscard]] bool set_in_use(bool in_use) override;
  [[nodiscard]] bool is_written_through() const override;
  [[nodiscard]] bool can_freeze() const override;
  [[nodiscard]] bool freeze() override;
  void visit_medium(StateArchive& archive, bool may_have_changed) override;
  [[nodiscard]] bool can_discard() const override;
  [[nodiscard]] bool discard(uint64_t offset, uint64_t count) override;
  [[nodiscard]] bool write_zeroes(uint64_t offset, uint64_t count, Zeroing how) override;

 private:
  class Worker;
  // The thread has nothing to do. False: the run is to end, and the host does not come back.
  [[nodiscard]] bool is_quiet();
  void count(const DiskRequest& request);
  static void leave_behind(std::unique_ptr<Worker> worker);

  std::unique_ptr<Worker> worker_;
  std::function<bool()> is_unwanted_;
  std::function<void()> on_ready_;
  bool is_given_up_ = false;  // the run was to end, and the host has been waited for in vain
  std::atomic<uint64_t> read_bytes_{0}, written_bytes_{0};
};

}  // namespace ringshift
