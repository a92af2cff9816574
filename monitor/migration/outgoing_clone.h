// OutgoingClone: a machine that is cloned while it runs, as the vCPU's thread sees it. RAM is made
// read-only step by step; the guest stands for one moment, in which its state is taken; RAM of that
// moment is copied beside the running guest, and becomes a base that this machine and its clones
// share. Owns: the copy, the description of the last clone. Does not own: the machine. A step at a
// safe point is bounded. See docs/decisions/0023-clones.md.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "monitor/memory/physical_memory.h"
#include "monitor/migration/clone_control.h"
#include "monitor/migration/frozen_copy.h"

namespace ringshift {

// RAM of a clone, in memfds of the process that it is cloned from.
struct ClonedRam {
  struct File {
    int descriptor = -1;
    uint64_t seal = 0;
  };
  struct Grain {
    uint64_t number = 0;
    uint64_t file = 0;  // its place in `files`
  };
  uint64_t bytes = 0;
  uint32_t grain_bytes = 0;
  std::vector<File> files;
  std::vector<Grain> grains;  // by number; the others are zero
};

// The steps of a machine that is cloned. All are called on the vCPU's thread.
class ClonedMachine {
 public:
  virtual ~ClonedMachine() = default;
  [[nodiscard]] virtual PhysicalMemory& physical_memory() = 0;
  // False with one line in *error: it cannot be cloned as it is.
  [[nodiscard]] virtual bool can_be_cloned(bool freezes_disks, std::string* error) = 0;
  // Takes the state; the machine's clock stands while `with_ram` runs, disks are frozen and the
  // state is taken. False with one line in *error.
  [[nodiscard]] virtual bool take_state(const std::function<bool()>& with_ram,
                                        std::vector<uint8_t>* state, std::string* error) = 0;
  // A memfd with all of a clone but RAM. -1 with one line in *error.
  [[nodiscard]] virtual int describe_clone(std::vector<uint8_t> state, const ClonedRam& ram,
                                           std::string* error) = 0;
  // service() is to be called. Any thread.
  virtual void wake_for_migration() = 0;
};

class OutgoingClone final : public CloneControl {
 public:
  explicit OutgoingClone(ClonedMachine& machine) : machine_(machine) {}
  ~OutgoingClone() override;
  OutgoingClone(const OutgoingClone&) = delete;
  OutgoingClone& operator=(const OutgoingClone&) = delete;

  // CloneControl
  [[nodiscard]] bool begin(bool freezes_disks, std::string* error) override;
  [[nodiscard]] CloneProgress progress() const override;

  // At safe points, while the guest stands too.
  void service();
  // There is something left for service() to do.
  [[nodiscard]] bool is_busy() const { return step_ != Step::Idle; }

 private:
  enum class Step : uint8_t { Idle, Freezing, Copying, Sharing };
  void freeze_some();
  void take_moment();
  void note_sealed();
  void finish_copy();
  [[nodiscard]] ClonedRam layout(const RamBase& copied) const;
  void share_some();
  void give_up_last();
  void fail(const std::string& problem);
  [[nodiscard]] GuestMemory& ram() const { return machine_.physical_memory().ram(); }
  [[nodiscard]] size_t grains() const { return ram().machine_pages()->grains(); }

  ClonedMachine& machine_;
  Step step_ = Step::Idle;
  CloneProgress progress_;
  std::optional<GrainFreezer> freezer_;
  std::unique_ptr<FrozenCopy> copy_;
  std::vector<uint8_t> state_;
  // For each grain: its place in an earlier clone's base at the moment; no file if it is in none.
  std::vector<ClonedRam::File> sealed_;
  size_t next_grain_ = 0;
  int64_t began_ = 0;     // nanoseconds of the host's
  int description_ = -1;  // of the last clone
  int kept_copy_ = -1;    // its RAM, if this machine has too many bases to share it
};

}  // namespace ringshift
