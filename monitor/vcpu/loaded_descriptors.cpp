#include "monitor/vcpu/loaded_descriptors.h"

#include "monitor/cpu/segments/descriptor_access.h"
#include "monitor/vcpu/execution_mode.h"
#include "shadowmmu/base/counters.h"

namespace ringshift {
namespace {

// SDM 2B MOV: what is asked of a descriptor for DS, ES, FS or GS, CPL being 0.
bool loads_at_ring_0(const Descriptor& descriptor, uint16_t selector) {
  return descriptor.is_readable() && descriptor.present() &&
         (descriptor.is_conforming_code() || selector_rpl(selector) <= descriptor.dpl());
}

}  // namespace

uint64_t segment_probe(const SegmentCache& cache) {
  return cache.is_unlimited_data() ? reinterpret_cast<uint64_t>(&kNoDescriptor) : kNoProbe;
}

LoadedDescriptors::LoadedDescriptors(Frame& frame, LinearMemory& memory, DataPaths& data)
    : frame_(frame), memory_(memory), data_(data) {
  clear();
}

void LoadedDescriptors::clear() {
  gdtr_ = frame_.state.gdtr;
  frame_.descriptors.fill(LoadedDescriptor{});
}

void LoadedDescriptors::check_table() {
  const DescriptorTableRegister& now = frame_.state.gdtr;
  if (now.base != gdtr_.base || now.limit != gdtr_.limit) clear();
}

void LoadedDescriptors::note(SegmentRegister segment) {
  check_table();
  const SegmentCache& loaded = frame_.state.seg(segment);
  const uint16_t selector = loaded.selector;
  LoadedDescriptor entry;
  if (!is_null_selector(selector)) {
    const GuestVirtual address(gdtr_.base + (selector & 0xfff8U));
    const bool in_one_page = address.offset_in_page() <= kPageSize - sizeof(uint64_t);
    uint64_t bytes = 0;
    if ((selector & kSelectorTi) != 0 || !in_one_page ||
        memory_.read_value(address, Privilege::Supervisor, &bytes)) {
      return;
    }
    // The load may have faulted, and the register hold something from elsewhere.
    const Descriptor descriptor{static_cast<uint32_t>(bytes), static_cast<uint32_t>(bytes >> 32)};
    if (!loads_at_ring_0(descriptor, selector) || descriptor.cache(selector) != loaded) return;
    const auto host = data_.supervisor_host_address(address);
    if (!host) return;
    entry.address = *host;
    entry.negated_bytes = 0 - bytes;
  } else if (loaded.attributes != 0) {
    return;
  }
  entry.cache = loaded;
  if (!needs_own_mode(loaded)) entry.negated_selector = 0U - selector;
  if (loaded.is_flat_data()) entry.negated_flat_selector = 0U - selector;
  entry.probe = segment_probe(loaded);
  frame_.descriptors[selector & 0xffU] = entry;
  counters().descriptors_noted++;
}

}  // namespace ringshift
