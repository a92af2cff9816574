// DirectSpace: one guest address space as its user code sees it, in a sandboxed process: the
// process and the shadow of its mappings. Owns: both. Does not own: RAM, traces. Changes wait in a
// queue until the process runs next: it cannot see its old mappings, because it does not run in
// between. See docs/direct-execution.md.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "monitor/direct/direct_process.h"
#include "shadowmmu/shadow_space.h"

namespace ringshift {

// Turns mapping changes into commands, to be carried out in one batch.
class DirectMapper final : public WindowMapper {
 public:
  explicit DirectMapper(std::vector<DirectCommand>* queue) : queue_(queue) {}
  [[nodiscard]] HostAddress base() const override { return {}; }
  [[nodiscard]] bool map(GuestVirtualPage at, GuestPhysicalPage from, uint32_t pages,
                         HostAccess access) override;
  // Done by the process later, or the process ends: true.
  [[nodiscard]] bool unmap(GuestVirtualPage at, uint32_t pages) override;
  [[nodiscard]] bool restrict_to(GuestVirtualPage at, HostAccess access) override;
  [[nodiscard]] bool clear() override;

 private:
  // The last command of the queue, if it maps: it may yet grow.
  struct Mapping {
    GuestVirtualPage at;
    GuestPhysicalPage from;
    uint32_t pages = 0;  // 0: there is none
    HostAccess access = HostAccess::None;
    [[nodiscard]] DirectCommand command() const { return command_to_map(at, from, pages, access); }
  };
  [[nodiscard]] bool continues(GuestVirtualPage at, GuestPhysicalPage from,
                               HostAccess access) const;

  std::vector<DirectCommand>* queue_;
  Mapping last_map_;
};

class DirectSpace {
 public:
  static std::unique_ptr<DirectSpace> create(DirectHost& host, ReverseMap& reverse,
                                             TraceTable& traces, ShadowBudget budget,
                                             std::string* error);

  [[nodiscard]] ShadowSpace& shadow() { return *shadow_; }
  [[nodiscard]] const ShadowSpace& shadow() const { return *shadow_; }
  [[nodiscard]] DirectProcess& process() { return *process_; }
  // Carries out the queued commands, and sets whether RDTSC traps. False with one line in *error:
  // the space is of no use any more.
  [[nodiscard]] bool bring_up_to_date(TimeStampTrap trap, std::string* error);

 private:
  DirectSpace() = default;
  std::vector<DirectCommand> queue_;
  std::unique_ptr<DirectProcess> process_;
  std::unique_ptr<ShadowSpace> shadow_;  // goes first: its last words are queued, and never sent
};

}  // namespace ringshift
