// HostDisk: a raw image file or block device as a medium, read-only, writable, or below an overlay
// that is gone when we end; a writable one can be frozen, and has such an overlay then. Owns: the
// descriptors, the lock on the image, the overlay. The only home of these calls. See docs/usage.md.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "devices/storage/disk_backend.h"

namespace ringshift {

enum class DiskAccess : uint8_t {
  ReadOnly,
  Write,
  Snapshot,  // writes go to an overlay; the image stays as it is
};

class HostDisk final : public DiskBackend {
 public:
  // Null with one line in *error: not there, too small, not ours to write, or in use by another
  // machine: any number may read an image, or one may write it. unit: the size is cut to a
  // multiple. Lock::Later: of one that is to be written, when set_in_use() says so.
  enum class Lock : uint8_t { AtOnce, Later };
  static std::unique_ptr<HostDisk> open(const std::string& path, DiskAccess access, uint32_t unit,
                                        std::string* error, Lock lock = Lock::AtOnce);
  ~HostDisk() override;
  HostDisk(const HostDisk&) = delete;
  HostDisk& operator=(const HostDisk&) = delete;

  [[nodiscard]] uint64_t bytes() const override { return bytes_; }
  [[nodiscard]] DiskTraffic traffic() const override { return traffic_; }
  [[nodiscard]] bool read_only() const override { return access_ == DiskAccess::ReadOnly; }
  [[nodiscard]] bool read(uint64_t offset, std::span<uint8_t> to) override;
  // Reads only what the host already has in memory; false: it does not have all of it.
  [[nodiscard]] bool read_at_once(uint64_t offset, std::span<uint8_t> to) override;
  [[nodiscard]] bool write(uint64_t offset, std::span<const uint8_t> from) override;
  [[nodiscard]] bool flush() override;
  [[nodiscard]] bool set_in_use(bool in_use) override;
  [[nodiscard]] bool is_written_through() const override { return access_ == DiskAccess::Write; }
  [[nodiscard]] bool can_freeze() const override { return true; }
  [[nodiscard]] bool freeze() override;
  // The image's time of change, which must be the same where the machine goes on, unless
  // may_have_changed; and the overlay, at most kMostSavedOverlay bytes of it.
  void visit_medium(StateArchive& archive, bool may_have_changed) override;
  static constexpr uint64_t kMostSavedOverlay = uint64_t{256} << 20;
  // Discards in the image itself: the file gets holes, if its file system has them.
  [[nodiscard]] bool can_discard() const override { return can_discard_; }
  [[nodiscard]] bool discard(uint64_t offset, uint64_t count) override;
  [[nodiscard]] bool write_zeroes(uint64_t offset, uint64_t count, Zeroing how) override;

 private:
  HostDisk() = default;
  // The overlay holds whole clusters.
  static constexpr uint64_t kCluster = 4096;
  [[nodiscard]] bool open_image(const std::string& path, Lock lock, std::string* error);
  [[nodiscard]] bool make_overlay(std::string* error);
  void visit_overlay(StateArchive& archive);
  template <typename Read>
  [[nodiscard]] bool read_by(uint64_t offset, std::span<uint8_t> to, const Read& read);
  [[nodiscard]] bool read_whole_cluster(uint64_t cluster, std::span<uint8_t> to);
  void write_behind(uint64_t offset, uint64_t bytes);
  [[nodiscard]] bool write_cluster_part(uint64_t offset, std::span<const uint8_t> from);

  DiskAccess access_ = DiskAccess::ReadOnly;
  bool can_discard_ = false;
  int image_ = -1;
  int overlay_ = -1;
  uint64_t bytes_ = 0;
  // The writes since the last one that did not continue the one before, or was sent to the disk.
  uint64_t run_begin_ = 0;
  uint64_t run_end_ = 0;
  std::vector<bool> in_overlay_;  // by cluster
  DiskTraffic traffic_;
};

}  // namespace ringshift
