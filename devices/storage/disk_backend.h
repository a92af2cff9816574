// DiskBackend: a medium as bytes: what is behind a disk, a CD-ROM or a floppy drive. A failure of
// the host is a value, which the drive turns into an error that its guest sees. Implemented by:
// host_disk, tests. See docs/devices.md.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <span>

namespace ringshift {

class StateArchive;

// Bytes that have been asked of a medium, in this run.
struct DiskTraffic {
  uint64_t read = 0, written = 0;
};

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

  [[nodiscard]] virtual DiskTraffic traffic() const { return {}; }

  // Another machine may take the medium, or it is ours again. False: somebody else has it.
  [[nodiscard]] virtual bool set_in_use(bool /*in_use*/) { return true; }

  // Does what is written reach the medium that others see? From freeze() on that stays as it is:
  // what is written is kept beside it, in memory, and is gone with the run. Pre of freeze():
  // can_freeze(). False: the host refuses.
  [[nodiscard]] virtual bool is_written_through() const { return !read_only(); }
  [[nodiscard]] virtual bool can_freeze() const { return read_only(); }
  [[nodiscard]] virtual bool freeze() { return true; }

  // What a saved machine keeps of the medium: what tells it from one that has been written to
  // since, and writes that are in no file of the host's. See docs/saved-state.md.
  virtual void visit_medium(StateArchive& /*archive*/, bool /*may_have_changed*/) {}

  // Does discard() give room back? Constant.
  [[nodiscard]] virtual bool can_discard() const { return false; }
  // What is in the range is of no more use. Pre: can_discard(), and the range lies in [0, bytes()).
  [[nodiscard]] virtual bool discard(uint64_t /*offset*/, uint64_t /*count*/) { return false; }
  // The range reads as zeros from now on. MayFree: it need not keep its room. Pre: as for write().
  enum class Zeroing : uint8_t { Keep, MayFree };
  [[nodiscard]] virtual bool write_zeroes(uint64_t offset, uint64_t count, Zeroing /*how*/) {
    static constexpr std::array<uint8_t, 65536> kZeros{};
    for (uint64_t done = 0; done < count;) {
      const uint64_t part = std::min<uint64_t>(kZeros.size(), count - done);
      if (!write(offset + done, std::span(kZeros).first(static_cast<size_t>(part)))) return false;
      done += part;
    }
    return true;
  }
};

}  // namespace ringshift
