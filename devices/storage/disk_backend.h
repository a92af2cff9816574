// DiskBackend: a medium as bytes: what is behind a disk, a CD-ROM or a floppy drive.
// Owns: nothing. A failure of the host is a value, which the drive turns into an error that its
// guest sees. Called by: ata_disk, atapi_cdrom, floppy. Implemented by: host_disk, tests.
// See docs/devices.md.
#pragma once

#include <cstdint>
#include <span>

namespace ringshift {

class DiskBackend {
 public:
  virtual ~DiskBackend() = default;
  // Constant, and not zero.
  [[nodiscard]] virtual uint64_t bytes() const = 0;
  [[nodiscard]] virtual bool read_only() const = 0;
  // Pre: the range lies in [0, bytes()). False: the host failed; the buffer's content, or the
  // medium's in the range, is then undefined.
  [[nodiscard]] virtual bool read(uint64_t offset, std::span<uint8_t> to) = 0;
  [[nodiscard]] virtual bool write(uint64_t offset, std::span<const uint8_t> from) = 0;
  // All that has been written is on the medium for good when it returns true.
  [[nodiscard]] virtual bool flush() = 0;
};

}  // namespace ringshift
