#include "monitor/boot/boot_image.h"

#include <fmt/core.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "shadowmmu/base/host_files.h"

namespace ringshift {

namespace {

constexpr uint64_t kMebibyte = uint64_t{1} << 20;

std::string why_not_usable(const struct stat& status, uint64_t max_bytes,
                           BootImage::EmptyFile empty) {
  if (S_ISDIR(status.st_mode)) return "is a directory";
  if (!S_ISREG(status.st_mode)) return "is not a regular file";
  if (status.st_size <= 0 && empty == BootImage::EmptyFile::Refused) return "is empty";
  const auto size = static_cast<uint64_t>(status.st_size);
  if (size > max_bytes) {
    return fmt::format("is larger ({} MiB) than the machine's memory ({} MiB)",
                       (size + kMebibyte - 1) / kMebibyte, max_bytes / kMebibyte);
  }
  return {};
}

}  // namespace

uint64_t ByteView::field(uint64_t offset, unsigned width) const {
  if (!has(offset, width)) return 0;
  uint64_t value = 0;
  for (unsigned i = 0; i < width; ++i) {
    value |= uint64_t{bytes_[static_cast<size_t>(offset + i)]} << (8 * i);
  }
  return value;
}

std::unique_ptr<BootImage> BootImage::open(const std::string& path, uint64_t max_bytes,
                                           std::string* error, EmptyFile empty) {
  std::unique_ptr<BootImage> image(new BootImage);
  image->path_ = path;
  image->descriptor_ = open_host_file(path, FileUse::Read);
  struct stat status {};
  if (image->descriptor_ < 0 || !describe_descriptor(image->descriptor_, &status)) {
    *error = fmt::format("{}: cannot be opened: {}", path, std::strerror(errno));
    return nullptr;
  }
  if (const std::string problem = why_not_usable(status, max_bytes, empty); !problem.empty()) {
    *error = fmt::format("{}: {}", path, problem);
    return nullptr;
  }
  image->size_ = static_cast<uint64_t>(status.st_size);
  image->head_.resize(static_cast<size_t>(std::min(image->size_, kHeadBytes)));
  if (!image->read(0, image->head_)) {
    *error = fmt::format("{}: cannot be read", path);
    return nullptr;
  }
  return image;
}

BootImage::~BootImage() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

bool BootImage::read(uint64_t offset, std::span<uint8_t> destination) const {
  size_t done = 0;
  while (done < destination.size()) {
    const ssize_t count = pread(descriptor_, destination.data() + done, destination.size() - done,
                                static_cast<off_t>(offset + done));
    if (count < 0 && errno == EINTR) continue;
    // Zero: the file has become shorter since it was opened.
    if (count <= 0) return false;
    done += static_cast<size_t>(count);
  }
  return true;
}

std::string BootImage::load(uint64_t offset, uint64_t length, GuestMemory& memory,
                            GuestPhysical address) const {
  if (!range_fits(offset, length, size_)) {
    return fmt::format("{}: is truncated ({} bytes at {:#x} are past its end)", path_, length,
                       offset);
  }
  if (length == 0) return {};
  if (!memory.contains(address, length)) {
    return fmt::format("{}: does not fit into the machine's memory ({} bytes at {:#x})", path_,
                       length, address.value());
  }
  if (!read(offset, memory.span(address, length))) return path_ + ": cannot be read";
  return {};
}

}  // namespace ringshift
