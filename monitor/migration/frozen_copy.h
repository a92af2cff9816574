// FrozenCopy: RAM as it is at one moment, copied by a thread of its own while the guest goes on: a
// grain that the guest is about to write is copied before. The result is a memfd that nobody can
// write to, a base for more than one machine. Owns: the thread, the memfd. Does not own: RAM. See
// docs/decisions/0023-clones.md.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "monitor/memory/physical_memory.h"
#include "shadowmmu/base/host_thread.h"
#include "shadowmmu/guest_memory.h"

namespace ringshift {

// Makes all of a machine's own grains read-only, step by step, before the moment that a copy is of,
// so that the moment itself is short. Does not own: RAM. vCPU thread, outside of guest code.
class GrainFreezer {
 public:
  // RAM has grains from here on.
  explicit GrainFreezer(PhysicalMemory& memory);
  // As many as take a millisecond. True: it has come to the last one.
  [[nodiscard]] bool freeze_some();
  // Freezes the grains that the guest has written again since.
  void freeze_rest();

 private:
  [[nodiscard]] size_t freeze_run(size_t first, size_t most);

  PhysicalMemory& memory_;
  size_t grains_;
  size_t next_ = 0;
};

class FrozenCopy final : public FrozenGrains {
 public:
  enum class Phase : uint8_t { Copying, Done, Failed };
  // The grains of a base that are copied, too.
  enum class Scope : uint8_t { AllButSealed, All };
  struct Figures {
    uint64_t bytes = 0;             // copied
    uint64_t grains_by_writes = 0;  // copied because the guest was about to write them
  };
  // The offset of RAM in the memfd; the page before it describes the copy.
  static constexpr uint64_t kOffset = kPageSize;

  // A number that tells a copy from any other. Never 0.
  [[nodiscard]] static uint64_t new_seal();
  // Begins. Pre: RAM has grains, and none is Own. on_news: on the thread, once, at its end. Null
  // with one line in *error: the host refuses.
  static std::unique_ptr<FrozenCopy> begin(GuestMemory& ram, Scope scope, uint64_t seal,
                                           std::function<void()> on_news, std::string* error);
  ~FrozenCopy() override;
  FrozenCopy(const FrozenCopy&) = delete;
  FrozenCopy& operator=(const FrozenCopy&) = delete;

  void before_write(size_t grain) override;
  [[nodiscard]] Phase phase() const { return phase_.load(); }
  [[nodiscard]] Figures figures() const { return {bytes_.load(), by_writes_}; }
  // RAM of that moment, as far as it was copied and is not zeros. The memfd is the caller's. Once.
  // Pre: Phase::Done.
  [[nodiscard]] RamBase take();
  // The grain is in the memfd, and has not been written since.
  [[nodiscard]] bool is_untouched(size_t grain) const {
    return present_[grain] != 0 && !is_written_[grain];
  }

  // Is this the memfd that take() has given, of RAM of so many bytes?
  [[nodiscard]] static bool is_one(int descriptor, uint64_t ram_bytes, uint64_t seal);

 private:
  enum class Step : uint8_t { LeftOut, Waiting, Taken, Done };
  FrozenCopy(GuestMemory& ram, uint64_t seal, std::function<void()> on_news);
  [[nodiscard]] bool make_file(std::string* error);
  void choose(Scope scope);
  void copy_all();
  // True: it was waiting, and it is done now.
  bool copy(size_t grain, std::vector<uint8_t>* buffer);
  [[nodiscard]] bool copy_bytes(size_t grain, std::vector<uint8_t>* buffer);

  // The place of a grain's bytes.
  struct Source {
    int descriptor = -1;
    uint64_t offset = 0;
  };
  GuestMemory& ram_;
  uint64_t seal_;
  std::function<void()> on_news_;
  uint32_t grain_pages_ = 1;
  int descriptor_ = -1;
  std::vector<Source> sources_;                 // by grain
  std::unique_ptr<std::atomic<Step>[]> steps_;  // by grain
  std::vector<uint8_t> present_;                // by grain; a byte each: two threads write them
  std::vector<bool> is_written_;                // by grain; the vCPU's thread
  std::vector<uint8_t> buffer_, buffer_of_vcpu_;
  std::atomic<Phase> phase_{Phase::Copying};
  std::atomic<bool> has_failed_{false};
  std::atomic<uint64_t> bytes_{0};
  uint64_t by_writes_ = 0;
  HostThread thread_;
};

}  // namespace ringshift
