// DirectSpaces: the sandboxed processes in which user code runs untranslated, one an address space,
// and the mappings in them. Answers their misses. Owns: the verdicts on pages of code. Does not
// own: the processes, which belong to the views. Keeps: M5. See docs/direct-execution.md.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "monitor/direct/direct_space.h"
#include "monitor/spaces/address_spaces.h"
#include "translator/user_sensitivity.h"

namespace ringshift {

class DirectSpaces {
 public:
  // host null: user code is always translated, and nothing here is called but offered().
  DirectSpaces(SpaceResources& resources, AddressSpaces& spaces, DirectHost* host,
               const DirectRules& rules)
      : resources_(resources), spaces_(spaces), host_(host), verdicts_(rules) {}

  [[nodiscard]] bool offered() const { return host_ != nullptr; }
  // Does CPUID fault in the processes? Pre: offered().
  [[nodiscard]] bool cpuid_faults() const { return host_->traps().cpuid; }
  // How RDTSC has to behave in a process now: where it is not denied (CR4.TSD), need not be seen,
  // and the guest's counter is the host's, the processor may answer.
  [[nodiscard]] TimeStampTrap time_stamp_trap() const;

  // The process of the current address space, made if there is none; null if the host refuses.
  [[nodiscard]] DirectSpace* space();
  // Code of the current address space is not to run untranslated any more.
  void end();
  // Every process goes; those that should run directly get new ones.
  void end_all();

  // Is the page of `eip` known not to run untranslated? Each question makes the belief weaker.
  [[nodiscard]] bool is_known_sensitive(Eip eip);
  enum class Miss : uint8_t { Filled, Interpret, Sensitive };
  // Untranslated code at `eip` faulted at `address`. Sensitive: the page it was to run from holds
  // something that must not run untranslated.
  [[nodiscard]] Miss fill(GuestVirtual address, Eip eip);

 private:
  [[nodiscard]] Miss fill_code(CodeView& view, GuestVirtualPage page,
                               std::optional<uint32_t> entry);
  [[nodiscard]] Miss fill_data(CodeView& view, GuestVirtual address);
  [[nodiscard]] bool fill_neighbour(CodeView& view, GuestVirtualPage page);
  void fill_neighbours(CodeView& view, GuestVirtualPage page);
  [[nodiscard]] bool map(CodeView& view, const ShadowRun& run);
  void map_ahead(CodeView& view);
  [[nodiscard]] uint32_t map_region(CodeView& view, Region region, uint32_t most);
  [[nodiscard]] static bool believes_sensitive(CodeView& view, GuestVirtualPage page);
  [[nodiscard]] bool copy_user_code(GuestVirtual from, std::span<uint8_t> to) const;
  [[nodiscard]] bool runs_directly(GuestVirtualPage page, GuestPhysicalPage physical,
                                   std::optional<uint32_t> entry);
  void make_room();

  SpaceResources& resources_;
  AddressSpaces& spaces_;
  DirectHost* host_;
  CodePageVerdicts verdicts_;
};

}  // namespace ringshift
