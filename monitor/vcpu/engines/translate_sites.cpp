// TranslateEngine, third part: instructions whose memory access is to be made in another way from
// now on (HotSites). Their fragments are dropped, and made anew when the guest comes to them.
#include <utility>

#include "monitor/vcpu/engines/translate_engine.h"

namespace ringshift {

// All that was made of the instruction with this byte goes.
void TranslateEngine::make_anew(GuestPhysical instruction) {
  parts_.translator.cache().drop_overlapping(instruction, 1, Boundary::safe_point());
}

// Counts against the instruction at EIP; when it has cost enough, its fragment is made anew with
// soft accesses.
void TranslateEngine::soften_site() {
  const Privilege privilege = state().privilege();
  const auto key = parts_.code.key_for(state().pointer(), privilege, mode_);
  if (!key || !parts_.sites.note_fault(key->physical, privilege)) return;
  make_anew(key->physical);
}

// The instruction at EIP, whose soft access nothing can serve. One that reaches a device's memory
// again and again becomes a callout.
void TranslateEngine::interpret_missed() {
  const Eip eip = state().pointer();
  const Privilege privilege = state().privilege();
  const uint64_t before = physical().device_accesses();
  const auto key = parts_.sites.is_device_due(eip) ? parts_.code.key_for(eip, privilege, mode_)
                                                   : std::optional<TranslationKey>();
  parts_.boundary.interpret();
  if (physical().device_accesses() == before || !parts_.sites.note_device_access(eip)) return;
  if (!key || !parts_.sites.leave_to_monitor(key->physical)) return;
  make_anew(key->physical);
}

// After a callout that has left: was it one of those, and is its site as others again?
void TranslateEngine::give_up_device_site(Privilege privilege) {
  const std::optional<Eip> eip = std::exchange(ram_site_, std::nullopt);
  if (!eip) return;
  const auto key = parts_.code.key_for(*eip, privilege, mode_);
  if (!key || !parts_.sites.take_back(key->physical)) return;
  make_anew(key->physical);
  continuation().forget();
}

// A soft site that has missed needlessly often enough is made anew with plain accesses.
void TranslateEngine::note_needless_miss(Eip eip, Privilege privilege) {
  if (!parts_.sites.note_needless_miss(eip)) return;
  const auto key = parts_.code.key_for(eip, privilege, mode_);
  if (!key || !parts_.sites.note_needless_misses(key->physical)) return;
  make_anew(key->physical);
  continuation().forget();
}

}  // namespace ringshift
