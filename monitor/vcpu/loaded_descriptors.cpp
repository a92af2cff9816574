#include "monitor/vcpu/loaded_descriptors.h"

#include "monitor/cpu/segments/descriptor_access.h"
#include "monitor/vcpu/execution_mode.h"
#include "shadowmmu/base/counters.h"

namespace ringshift {
namespace {

// SDM 2B MOV: the checks of a descriptor for DS, ES, FS or GS.
bool loads_in_ring(unsigned cpl, const Descriptor& descriptor, uint16_t selector) {
  return descriptor.is_readable() && descriptor.present() &&
         (descriptor.is_conforming_code() ||
          (selector_rpl(selector) <= descriptor.dpl() && cpl <= descriptor.dpl()));
}

Descriptor descriptor_of(uint64_t bytes) {
  return {static_cast<uint32_t>(bytes), static_cast<uint32_t>(bytes >> 32)};
}

}  // namespace

uint64_t segment_probe(const SegmentCache& cache) {
  return cache.is_unlimited_data() ? reinterpret_cast<uint64_t>(&kNoDescriptor) : kNoProbe;
}

LoadedDescriptors::LoadedDescriptors(Gate& gate, LinearMemory& memory, DataPaths& data)
    : gate_(gate), frame_(gate.frame()), memory_(memory), data_(data) {
  clear();
}

void LoadedDescriptors::clear() {
  gdtr_ = frame_.state.gdtr;
  ldtr_ = frame_.state.ldtr;
  window_ = data_.supervisor_base();
  reads_ram_ = false;
  translations_ = data_.translations_version();
  frame_.descriptors.fill(LoadedDescriptor{});
  gate_.forget_far_targets();
}

// Nothing: the table has it not, or not in one page, or its page is not to be had in the window.
// Pre: check_table().
std::optional<LoadedDescriptors::Found> LoadedDescriptors::find(uint16_t selector) {
  constexpr uint32_t kLast = sizeof(uint64_t) - 1;
  const bool is_local = (selector & kSelectorTi) != 0;
  const uint32_t offset = selector & 0xfff8U;
  if (is_local ? !ldtr_.usable() || offset + kLast > ldtr_.limit : offset + kLast > gdtr_.limit) {
    return std::nullopt;
  }
  const GuestVirtual address((is_local ? ldtr_.base : gdtr_.base) + offset);
  Found found{};
  if (address.offset_in_page() > kPageSize - sizeof(uint64_t) ||
      memory_.read_value(address, Privilege::Supervisor, &found.bytes)) {
    return std::nullopt;
  }
  std::optional<uint64_t> host = data_.supervisor_host_address(address);
  if (!host) {
    host = data_.ram_host_address(address);
    reads_ram_ = true;
  }
  if (!host) return std::nullopt;
  found.host_address = *host;
  return found;
}

void LoadedDescriptors::note(SegmentRegister segment) {
  check_table();
  const SegmentCache& loaded = frame_.state.seg(segment);
  const uint16_t selector = loaded.selector;
  LoadedDescriptor entry;
  const SegmentKind kind = segment_kind(loaded);
  std::array<bool, 2> passes{true, true};  // by Privilege
  if (!is_null_selector(selector)) {
    const std::optional<Found> found = find(selector);
    if (!found) return;
    // The load may have faulted, and the register hold something from elsewhere.
    const Descriptor descriptor = descriptor_of(found->bytes);
    if (descriptor.is_system() || descriptor.cache(selector) != loaded) return;
    constexpr unsigned kUserRing = 3;
    passes = {loads_in_ring(0, descriptor, selector),
              loads_in_ring(kUserRing, descriptor, selector)};
    entry.address = found->host_address;
    entry.negated_bytes = 0 - found->bytes;
  } else if (loaded.attributes != 0) {
    return;
  }
  entry.cache = loaded;
  for (size_t i = 0; i < passes.size(); ++i) {
    if (!passes[i]) continue;
    entry.negated_tag[i] = 0U - descriptor_tag(selector, kind);
    if (!needs_own_mode(loaded)) entry.negated_selector[i] = 0U - selector;
  }
  entry.probe = segment_probe(loaded);
  entry.room = uint64_t{loaded.limit} + 1;
  frame_.descriptors[selector & 0xffU] = entry;
  counters().descriptors_noted++;
}

void LoadedDescriptors::note_far(const CodeMode& from, const CodeMode& to, uint64_t body) {
  // The usual mode's code does not know the kinds of FS and GS, so another mode's may be any of
  // several.
  if (from.is_flat() && !to.is_flat()) return;
  check_table();
  const SegmentCache& cs = frame_.state.seg(SegmentRegister::Cs);
  const Slots& slots = frame_.slots;
  const auto selector = static_cast<uint16_t>(slots.far_tag);
  FarTarget entry;
  if (!from.has_real_selectors()) {
    const std::optional<Found> found = find(selector);
    if (!found) return;
    // Through a gate, or to another ring, CS is not as the descriptor says.
    const Descriptor descriptor = descriptor_of(found->bytes);
    if (!descriptor.is_code() || descriptor.cache(with_rpl(selector, frame_.state.cpl)) != cs) {
      return;
    }
    entry.address = found->host_address;
    entry.negated_bytes = 0 - found->bytes;
  } else if (cs.selector != selector) {
    return;
  }
  entry.negated_tag = 0 - slots.far_tag;
  entry.negated_eip = 0 - slots.far_eip;
  entry.cs = cs;
  entry.room = uint64_t{cs.limit} + 1;
  entry.body = body;
  entry.jump_table = slots.jump_table;
  gate_.far_target_to_note(far_target_index(selector, slots.far_eip)) = entry;
  counters().descriptors_noted++;
}

}  // namespace ringshift
