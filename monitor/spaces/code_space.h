// CodeSpace: the guest's code as the translator asks for it: instruction bytes by linear address,
// and the key under which they are translated in the address space of the moment. Does not own: the
// views, in which it keeps its results. See docs/shadow-mmu.md, "Code views".
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "monitor/spaces/address_spaces.h"
#include "translator/code_source.h"

namespace ringshift {

class CodeSpace final : public CodeSource {
 public:
  CodeSpace(SpaceResources& resources, AddressSpaces& spaces)
      : resources_(resources), spaces_(spaces) {}

  // CodeSource
  [[nodiscard]] std::span<const uint8_t> code_at(GuestVirtual address, Privilege privilege,
                                                 GuestPhysical* physical) override;
  [[nodiscard]] const KeptOut* kept_out() const override {
    return kept_out_ == nullptr || kept_out_->empty() ? nullptr : kept_out_;
  }
  // Addresses at which no unit may have an instruction; null if there are none. The caller that
  // adds an address must also drop the code already translated there
  // (TranslationCache::drop_with_code_at).
  void set_kept_out(const KeptOut* addresses) { kept_out_ = addresses; }

  // The key of the code at `eip`, or nothing if it cannot be fetched from RAM.
  [[nodiscard]] std::optional<TranslationKey> key_for(Eip eip, Privilege privilege,
                                                      const CodeMode& mode = {});

 private:
  [[nodiscard]] const CodePage* find_page(GuestVirtualPage page, Privilege privilege);

  SpaceResources& resources_;
  AddressSpaces& spaces_;
  const KeptOut* kept_out_ = nullptr;
};

}  // namespace ringshift
