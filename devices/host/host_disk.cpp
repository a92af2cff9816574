#include "devices/host/host_disk.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "shadowmmu/base/host_files.h"
#include "shadowmmu/base/state_archive.h"
#include "shadowmmu/guest_memory.h"

namespace ringshift {
namespace {

std::string reason() { return std::strerror(errno); }

bool read_at(int descriptor, uint64_t offset, std::span<uint8_t> to) {
  while (!to.empty()) {
    const ssize_t count = pread(descriptor, to.data(), to.size(), static_cast<off_t>(offset));
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return false;  // 0: somebody has made the file shorter
    offset += static_cast<uint64_t>(count);
    to = to.subspan(static_cast<size_t>(count));
  }
  return true;
}

// A part that the host has is as good as nothing. So is a file system that does not say.
bool read_cached(int descriptor, uint64_t offset, std::span<uint8_t> to) {
  iovec part = {to.data(), to.size()};
  const ssize_t count = preadv2(descriptor, &part, 1, static_cast<off_t>(offset), RWF_NOWAIT);
  return count >= 0 && static_cast<size_t>(count) == to.size();
}

bool write_at(int descriptor, uint64_t offset, std::span<const uint8_t> from) {
  while (!from.empty()) {
    const ssize_t count = pwrite(descriptor, from.data(), from.size(), static_cast<off_t>(offset));
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return false;
    offset += static_cast<uint64_t>(count);
    from = from.subspan(static_cast<size_t>(count));
  }
  return true;
}

// Locks of the open file description: they end with this descriptor, even if others close the file.
bool lock_image(int descriptor, short type) {
  struct flock lock {};
  lock.l_type = type;
  lock.l_whence = SEEK_SET;
  return fcntl(descriptor, F_OFD_SETLK, &lock) == 0;
}

// The size of a regular file or a block device; 0 for anything else.
uint64_t size_of(int descriptor) {
  struct stat status {};
  if (!describe_descriptor(descriptor, &status)) return 0;
  if (!S_ISREG(status.st_mode) && !S_ISBLK(status.st_mode)) return 0;
  const off_t end = lseek(descriptor, 0, SEEK_END);
  return end > 0 ? static_cast<uint64_t>(end) : 0;
}

// When the file was last written to, in nanoseconds; 0: the host does not say.
uint64_t change_time_of(int descriptor) {
  constexpr uint64_t kSecond = 1'000'000'000;
  struct stat status {};
  if (!describe_descriptor(descriptor, &status)) return 0;
  return static_cast<uint64_t>(status.st_mtim.tv_sec) * kSecond +
         static_cast<uint64_t>(status.st_mtim.tv_nsec);
}

}  // namespace

std::unique_ptr<HostDisk> HostDisk::open(const std::string& path, DiskAccess access, uint32_t unit,
                                         std::string* error, Lock lock) {
  std::unique_ptr<HostDisk> disk(new HostDisk);
  disk->access_ = access;
  disk->can_discard_ = access == DiskAccess::Write;
  if (!disk->open_image(path, lock, error)) return nullptr;
  disk->bytes_ = size_of(disk->image_) / unit * unit;
  if (disk->bytes_ == 0) {
    *error = path + ": is no disk image (not a file, or empty)";
    return nullptr;
  }
  if (access == DiskAccess::Snapshot && !disk->make_overlay(error)) return nullptr;
  return disk;
}

bool HostDisk::open_image(const std::string& path, Lock lock, std::string* error) {
  const bool write = access_ == DiskAccess::Write;
  // O_NONBLOCK: a FIFO given by mistake would hang here before it can be refused.
  image_ = write ? ::open(path.c_str(), O_RDWR | O_CLOEXEC | O_NONBLOCK)
                 : open_host_file(path, FileUse::Read);
  if (image_ < 0) {
    *error = path + ": cannot be opened" + (write ? " for writing: " : ": ") + reason();
    return false;
  }
  if (write && lock == Lock::Later) return true;
  if (!lock_image(image_, write ? F_WRLCK : F_RDLCK)) {
    const bool taken = errno == EAGAIN || errno == EACCES;
    *error = path + (taken ? ": is in use by another machine" : ": cannot be locked: " + reason());
    return false;
  }
  return true;
}

bool HostDisk::make_overlay(std::string* error) {
  const char* configured = std::getenv("TMPDIR");
  const std::string folder = configured != nullptr ? configured : "/var/tmp";
  overlay_ = ::open(folder.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
  if (overlay_ < 0) {
    std::string name = folder + "/ringshift-overlay-XXXXXX";
    overlay_ = mkostemp(name.data(), O_CLOEXEC);
    if (overlay_ >= 0) unlink(name.c_str());
  }
  if (overlay_ < 0) {
    *error = "cannot make a snapshot's file in " + folder + ": " + reason();
    return false;
  }
  in_overlay_.resize((bytes_ + kCluster - 1) / kCluster);
  return true;
}

HostDisk::~HostDisk() {
  if (image_ >= 0) close(image_);
  if (overlay_ >= 0) close(overlay_);
}

bool HostDisk::read(uint64_t offset, std::span<uint8_t> to) {
  traffic_.read += to.size();
  return read_by(offset, to, read_at);
}

bool HostDisk::read_at_once(uint64_t offset, std::span<uint8_t> to) {
  if (!read_by(offset, to, read_cached)) return false;
  traffic_.read += to.size();
  return true;
}

template <typename Read>
bool HostDisk::read_by(uint64_t offset, std::span<uint8_t> to, const Read& read) {
  if (overlay_ < 0) return read(image_, offset, to);
  while (!to.empty()) {
    // As far as the clusters come from the same place.
    uint64_t cluster = offset / kCluster;
    const bool ours = in_overlay_[cluster];
    while ((cluster + 1) * kCluster < offset + to.size() && in_overlay_[cluster + 1] == ours) {
      ++cluster;
    }
    const uint64_t part = std::min<uint64_t>(to.size(), (cluster + 1) * kCluster - offset);
    if (!read(ours ? overlay_ : image_, offset, to.first(static_cast<size_t>(part)))) return false;
    offset += part;
    to = to.subspan(static_cast<size_t>(part));
  }
  return true;
}

// The range lies in one cluster. Its other bytes come from the image the first time.
bool HostDisk::write_cluster_part(uint64_t offset, std::span<const uint8_t> from) {
  const uint64_t cluster = offset / kCluster;
  const uint64_t begin = cluster * kCluster;
  const auto length = static_cast<size_t>(std::min(kCluster, bytes_ - begin));
  if (!in_overlay_[cluster] && from.size() != length) {
    std::array<uint8_t, kCluster> whole;
    if (!read_at(image_, begin, std::span(whole).first(length))) return false;
    std::copy(from.begin(), from.end(), whole.begin() + static_cast<ptrdiff_t>(offset - begin));
    if (!write_at(overlay_, begin, std::span(whole).first(length))) return false;
  } else if (!write_at(overlay_, offset, from)) {
    return false;
  }
  in_overlay_[cluster] = true;
  return true;
}

// A guest that writes much in order will flush it: the host's disk may as well begin while more is
// coming. Promises nothing: flush() does, and it also reports errors met here.
void HostDisk::write_behind(uint64_t offset, uint64_t bytes) {
  constexpr uint64_t kWorthwhileRun = 4U << 20;
  if (offset != run_end_) run_begin_ = offset;
  run_end_ = offset + bytes;
  if (run_end_ - run_begin_ < kWorthwhileRun) return;
  (void)sync_file_range(image_, static_cast<off_t>(run_begin_),
                        static_cast<off_t>(run_end_ - run_begin_), SYNC_FILE_RANGE_WRITE);
  run_begin_ = run_end_;
}

bool HostDisk::write(uint64_t offset, std::span<const uint8_t> from) {
  traffic_.written += from.size();
  if (access_ == DiskAccess::ReadOnly) return false;
  if (overlay_ < 0) {
    if (!write_at(image_, offset, from)) return false;
    write_behind(offset, from.size());
    return true;
  }
  while (!from.empty()) {
    const auto part =
        static_cast<size_t>(std::min<uint64_t>(from.size(), kCluster - offset % kCluster));
    if (!write_cluster_part(offset, from.first(part))) return false;
    offset += part;
    from = from.subspan(part);
  }
  return true;
}

// Good advice and no more: a file system without holes keeps the bytes.
bool HostDisk::discard(uint64_t offset, uint64_t count) {
  if (overlay_ >= 0) return true;  // frozen: the content may stay
  return fallocate(image_, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, static_cast<off_t>(offset),
                   static_cast<off_t>(count)) == 0 ||
         errno == EOPNOTSUPP;
}

bool HostDisk::write_zeroes(uint64_t offset, uint64_t count, Zeroing how) {
  const int mode = how == Zeroing::MayFree ? FALLOC_FL_PUNCH_HOLE : FALLOC_FL_ZERO_RANGE;
  const bool is_done = access_ == DiskAccess::Write &&
                       fallocate(image_, mode | FALLOC_FL_KEEP_SIZE, static_cast<off_t>(offset),
                                 static_cast<off_t>(count)) == 0;
  return is_done || DiskBackend::write_zeroes(offset, count, how);
}

// A confined monitor makes no file: the overlay is memory. Others may read the image from now on.
bool HostDisk::freeze() {
  if (access_ != DiskAccess::Write) return true;
  if (!lock_image(image_, F_RDLCK) || !create_memfd("ringshift-overlay", bytes_, &overlay_).ok()) {
    return false;
  }
  in_overlay_.assign((bytes_ + kCluster - 1) / kCluster, false);
  access_ = DiskAccess::Snapshot;
  return true;
}

void HostDisk::visit_medium(StateArchive& archive, bool may_have_changed) {
  const uint64_t changed_here = change_time_of(image_);
  uint64_t changed = changed_here;
  archive.field("changed", changed);
  archive.require(may_have_changed || changed == changed_here, "changed",
                  "the image is another, or has been written to since (--changed-disks takes it "
                  "as it is)");
  visit_overlay(archive);
}

// The numbers of its clusters, then the bytes of all of them.
void HostDisk::visit_overlay(StateArchive& archive) {
  constexpr size_t kMost = kMostSavedOverlay / kCluster;
  std::vector<uint32_t> clusters;
  for (size_t i = 0; i < in_overlay_.size(); ++i) {
    if (in_overlay_[i]) clusters.push_back(static_cast<uint32_t>(i));
  }
  archive.list("overlay", clusters, kMost);
  archive.require(clusters.empty() || overlay_ >= 0, "overlay",
                  "the disk was saved with writes that its image does not have (snapshot=on)");
  if (clusters.size() > kMost) return;  // too much to be saved is too much to be read
  std::vector<uint8_t> bytes(clusters.size() * kCluster);
  for (size_t i = 0; i < clusters.size() && !archive.is_loading(); ++i) {
    const auto part = std::span(bytes).subspan(i * kCluster, kCluster);
    archive.require(read_whole_cluster(clusters[i], part), "overlay", "it cannot be read");
  }
  archive.memory("overlay bytes", bytes);
  if (!archive.has_loaded()) return;
  std::fill(in_overlay_.begin(), in_overlay_.end(), false);
  for (size_t i = 0; i < clusters.size(); ++i) {
    const bool is_inside = clusters[i] < in_overlay_.size();
    archive.require(is_inside, "overlay", "a cluster lies behind the end of the disk");
    if (!is_inside) return;
    const uint64_t begin = clusters[i] * kCluster;
    const auto length = static_cast<size_t>(std::min(kCluster, bytes_ - begin));
    const auto part = std::span(bytes).subspan(i * kCluster, length);
    archive.require(write_at(overlay_, begin, part), "overlay", "it cannot be written");
    in_overlay_[clusters[i]] = true;
  }
}

// Reads a cluster of the overlay; bytes behind the end of the disk are zeros.
bool HostDisk::read_whole_cluster(uint64_t cluster, std::span<uint8_t> to) {
  const uint64_t begin = cluster * kCluster;
  return read_at(overlay_, begin,
                 to.first(static_cast<size_t>(std::min(kCluster, bytes_ - begin))));
}

bool HostDisk::set_in_use(bool in_use) {
  return access_ != DiskAccess::Write || lock_image(image_, in_use ? F_WRLCK : F_UNLCK);
}

bool HostDisk::flush() {
  // The overlay does not outlive us anyway, so only the image is synced.
  return access_ != DiskAccess::Write || fdatasync(image_) == 0;
}

}  // namespace ringshift
