// DiskBackend: a medium as bytes: the contents of a disk, a CD-ROM or a floppy drive. A failure of
// the host is a value, which the drive turns into an error that its guest sees. A drive that need
// not wait for the host asks by advance(). Implemented by: host_disk, nbd_disk, background_disk,
// tests. See docs/devices.md, "Disks".
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <functional>
#include <span>

namespace ringshift {

class StateArchive;

// Bytes that have been asked of a medium, in this run.
struct DiskTraffic {
  uint64_t read = 0, written = 0;
};

// A request of a drive to its medium.
struct DiskRequest {
  enum class Kind : uint8_t { Read, Write, Flush, Discard, Zeroes, FreeingZeroes };
  Kind kind = Kind::Flush;
  uint64_t offset = 0;         // bytes; 0 for Flush
  std::span<uint8_t> bytes{};  // of Read and Write: where they go to, or come from
  uint64_t count = 0;          // bytes of the other three
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

  // ---- without waiting for the host: on the vCPU's thread, one request at a time ----

  // Waits: the request is on its way. The caller makes the same request again until the answer is
  // another; set_on_ready() says when to ask. Bytes to be written have been taken at the first
  // call; bytes read are there with Done. Media that are quick, or must be exact, never answer
  // Waits. Pre: as for the calls above.
  enum class Progress : uint8_t { Done, Failed, Waits };
  [[nodiscard]] virtual Progress advance(const DiskRequest& request) {
    return perform(request) ? Progress::Done : Progress::Failed;
  }
  // The device has no more use for the request that is on its way. It may be done all the same.
  virtual void abandon() {}
  // Set by the drive: called in deliver(), when a request that was on its way is not any more.
  // NOLINTNEXTLINE(performance-unnecessary-value-param): a medium that needs it keeps it
  virtual void set_on_ready(std::function<void()> /*on_ready*/) {}
  // Set by the machine: called on any thread, when deliver() has something to do; empty: nobody
  // listens. deliver() is called between two of the guest's instructions.
  // NOLINTNEXTLINE(performance-unnecessary-value-param): a medium that needs it keeps it
  virtual void set_on_news(std::function<void()> /*on_news*/) {}
  virtual void deliver() {}
  // False: nothing was read, since the host's disk would have to be waited for, or nobody knows.
  [[nodiscard]] virtual bool read_at_once(uint64_t /*offset*/, std::span<uint8_t> /*to*/) {
    return false;
  }
  // The whole request, now.
  [[nodiscard]] bool perform(const DiskRequest& request) {
    switch (request.kind) {
      case DiskRequest::Kind::Read:
        return read(request.offset, request.bytes);
      case DiskRequest::Kind::Write:
        return write(request.offset, request.bytes);
      case DiskRequest::Kind::Flush:
        return flush();
      case DiskRequest::Kind::Discard:
        return discard(request.offset, request.count);
      case DiskRequest::Kind::Zeroes:
        return write_zeroes(request.offset, request.count, Zeroing::Keep);
      case DiskRequest::Kind::FreeingZeroes:
        return write_zeroes(request.offset, request.count, Zeroing::MayFree);
    }
    return false;
  }

  // Another machine may take the medium, or it is ours again. False: somebody else has it.
  [[nodiscard]] virtual bool set_in_use(bool /*in_use*/) { return true; }

  // Does what is written reach the medium that others see? From freeze() on the medium stays as it
  // is: writes are kept beside it, in memory, and are gone with the run. Pre of freeze():
  // can_freeze(). False: the host refuses.
  [[nodiscard]] virtual bool is_written_through() const { return !read_only(); }
  [[nodiscard]] virtual bool can_freeze() const { return read_only(); }
  [[nodiscard]] virtual bool freeze() { return true; }

  // The part of the medium that a saved machine keeps: data to recognize a medium that has been
  // written to since, and writes that are in no file of the host's. See docs/saved-state.md.
  virtual void visit_medium(StateArchive& /*archive*/, bool /*may_have_changed*/) {}

  // Does discard() give room back? Constant.
  [[nodiscard]] virtual bool can_discard() const { return false; }
  // The contents of the range are of no more use. Pre: can_discard(), and the range lies in [0,
  // bytes()).
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
