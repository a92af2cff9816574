#include "monitor/cpu/segments/segmentation.h"

#include "monitor/cpu/segments/descriptor_access.h"

namespace ringshift {

namespace {

constexpr uint32_t kDescriptorAccessed = 0x100;  // of the high word
constexpr uint16_t kRealModeAttributes = 0x93;   // present, data, writable, accessed

// Data segment rules of MOV DS/ES/FS/GS (SDM 2B MOV): max(CPL, RPL) <= DPL unless conforming.
MaybeFault check_data_segment(const Descriptor& descriptor, uint16_t selector, unsigned cpl) {
  if (!descriptor.is_readable()) {
    return selector_fault(Vector::GeneralProtection, selector);
  }
  if (!descriptor.is_conforming_code() &&
      (selector_rpl(selector) > descriptor.dpl() || cpl > descriptor.dpl())) {
    return selector_fault(Vector::GeneralProtection, selector);
  }
  if (!descriptor.present()) {
    return selector_fault(Vector::SegmentNotPresent, selector);
  }
  return kNoFault;
}

MaybeFault check_stack_segment(const Descriptor& descriptor, uint16_t selector, unsigned cpl) {
  if (selector_rpl(selector) != cpl || !descriptor.is_writable_data() || descriptor.dpl() != cpl) {
    return selector_fault(Vector::GeneralProtection, selector);
  }
  if (!descriptor.present()) {
    return selector_fault(Vector::StackFault, selector);
  }
  return kNoFault;
}

// LAR, LSL, VERR, VERW see a descriptor only if CPL and RPL may (SDM 3A 5.10.1).
bool visible(const CpuContext& cpu, uint16_t selector, const Descriptor& descriptor) {
  if (descriptor.is_conforming_code()) {
    return true;
  }
  return descriptor.dpl() >= cpu.state.cpl && descriptor.dpl() >= selector_rpl(selector);
}

MaybeFault find_visible(CpuContext& cpu, uint16_t selector, bool* valid, Descriptor* descriptor) {
  *valid = false;
  if (is_null_selector(selector)) {
    return kNoFault;
  }
  bool found = false;
  RETURN_IF_FAULT(find_descriptor(cpu, selector, &found, descriptor));
  *valid = found && visible(cpu, selector, *descriptor);
  return kNoFault;
}

}  // namespace

uint32_t Descriptor::base() const {
  return (low >> 16) | ((high & 0xffU) << 16) | (high & 0xff000000U);
}

uint32_t Descriptor::byte_limit() const {
  const uint32_t raw = (low & 0xffffU) | (high & 0xf0000U);
  return (high & 0x800000U) != 0 ? (raw << 12) | 0xfffU : raw;
}

uint16_t Descriptor::attributes() const { return static_cast<uint16_t>((high >> 8) & 0xf0ffU); }

SegmentCache Descriptor::cache(uint16_t selector) const {
  return {base(), byte_limit(), selector, attributes()};
}

uint32_t Descriptor::gate_offset() const {
  const uint32_t offset = low & 0xffffU;
  return (type() & kTypeSize32Bit) != 0 ? offset | (high & 0xffff0000U) : offset;
}

bool segment_covers(const SegmentCache& cache, uint32_t offset, uint32_t length) {
  const uint32_t last = offset + (length - 1);
  if (cache.is_expand_down()) {
    const uint32_t top = cache.default_32() ? 0xffffffffU : 0xffffU;
    return offset > cache.limit && last >= offset && last <= top;
  }
  // Wrapping in a 4 GiB segment is implementation-specific (SDM 3A 5.3); ours lets it wrap.
  if (cache.limit == 0xffffffffU) {
    return true;
  }
  return last >= offset && last <= cache.limit;
}

GuestVirtual descriptor_address(const CpuContext& cpu, uint16_t selector, bool* found) {
  const uint32_t offset = selector & 0xfff8U;
  const GuestState& state = cpu.state;
  if ((selector & kSelectorTi) != 0) {
    *found = state.ldtr.usable() && offset + 7 <= state.ldtr.limit;
    return GuestVirtual(state.ldtr.base + offset);
  }
  *found = offset + 7 <= state.gdtr.limit;
  return GuestVirtual(state.gdtr.base + offset);
}

MaybeFault find_descriptor(CpuContext& cpu, uint16_t selector, bool* found,
                           Descriptor* descriptor) {
  const GuestVirtual address = descriptor_address(cpu, selector, found);
  if (!*found) {
    return kNoFault;
  }
  uint64_t raw = 0;
  RETURN_IF_FAULT(cpu.memory.read_value(address, Privilege::Supervisor, &raw));
  descriptor->low = static_cast<uint32_t>(raw);
  descriptor->high = static_cast<uint32_t>(raw >> 32);
  return kNoFault;
}

MaybeFault require_descriptor(CpuContext& cpu, uint16_t selector, Vector vector, uint32_t external,
                              Descriptor* descriptor) {
  bool found = false;
  RETURN_IF_FAULT(find_descriptor(cpu, selector, &found, descriptor));
  if (!found) {
    return selector_fault(vector, selector, external);
  }
  return kNoFault;
}

MaybeFault mark_accessed(CpuContext& cpu, uint16_t selector, Descriptor* descriptor) {
  if ((descriptor->high & kDescriptorAccessed) != 0) {
    return kNoFault;
  }
  descriptor->high |= kDescriptorAccessed;
  bool found = false;
  const GuestVirtual address = descriptor_address(cpu, selector, &found);
  return cpu.memory.write_value(address + 5U, Privilege::Supervisor,
                                static_cast<uint8_t>(descriptor->high >> 8));
}

SegmentCache real_mode_cache(uint16_t selector, unsigned dpl) {
  return {uint32_t{selector} << 4, 0xffff, selector,
          static_cast<uint16_t>(kRealModeAttributes | (dpl << 5))};
}

void enter_code(GuestState& state, const Descriptor& code, uint16_t selector, unsigned cpl,
                uint32_t eip) {
  state.seg(SegmentRegister::Cs) = code.cache(with_rpl(selector, cpl));
  state.cpl = static_cast<uint8_t>(cpl);
  state.eip = eip;
}

void drop_privileged_data_segments(GuestState& state) {
  for (const SegmentRegister name :
       {SegmentRegister::Es, SegmentRegister::Ds, SegmentRegister::Fs, SegmentRegister::Gs}) {
    SegmentCache& cache = state.seg(name);
    if (!cache.is_conforming_code() && cache.dpl() < state.cpl) {
      cache = SegmentCache{};
    }
  }
}

void load_real_mode_segment(GuestState& state, SegmentRegister segment, uint16_t selector) {
  SegmentCache& cache = state.seg(segment);
  if (state.v86_mode()) {
    cache = real_mode_cache(selector, 3);
    return;
  }
  // A load in real mode changes only selector and base: a limit left over from protected mode
  // stays ("big real mode"). A segment that was null there has nothing to keep.
  if (!cache.usable()) {
    cache = real_mode_cache(selector, 0);
    return;
  }
  cache.selector = selector;
  cache.base = uint32_t{selector} << 4;
}

MaybeFault linear_address(const CpuContext& cpu, SegmentRegister segment, GuestOffset offset,
                          uint32_t length, AccessKind access, GuestVirtual* linear) {
  const GuestState& state = cpu.state;
  const SegmentCache& cache = state.seg(segment);
  bool allowed = true;
  if (state.protected_mode() && !state.v86_mode()) {
    allowed = cache.usable();
    if (access == AccessKind::Read) {
      allowed = allowed && cache.is_readable();
    } else if (access == AccessKind::Write) {
      allowed = allowed && cache.is_writable_data();
    }
  }
  if (!allowed || !segment_covers(cache, offset.value(), length)) {
    const bool stack = segment == SegmentRegister::Ss;
    return GuestFault::with_code(stack ? Vector::StackFault : Vector::GeneralProtection, 0);
  }
  *linear = GuestVirtual(cache.base + offset.value());
  return kNoFault;
}

MaybeFault load_segment(CpuContext& cpu, SegmentRegister segment, uint16_t selector) {
  GuestState& state = cpu.state;
  if (segment == SegmentRegister::Cs) {
    return GuestFault::invalid_opcode();
  }
  if (!state.protected_mode() || state.v86_mode()) {
    load_real_mode_segment(state, segment, selector);
    return kNoFault;
  }
  const bool stack = segment == SegmentRegister::Ss;
  if (is_null_selector(selector)) {
    if (stack) {
      return GuestFault::general_protection(0);
    }
    state.seg(segment) = SegmentCache{0, 0, selector, 0};
    return kNoFault;
  }
  Descriptor descriptor;
  RETURN_IF_FAULT(require_descriptor(cpu, selector, Vector::GeneralProtection, 0, &descriptor));
  RETURN_IF_FAULT(stack ? check_stack_segment(descriptor, selector, state.cpl)
                        : check_data_segment(descriptor, selector, state.cpl));
  RETURN_IF_FAULT(mark_accessed(cpu, selector, &descriptor));
  state.seg(segment) = descriptor.cache(selector);
  return kNoFault;
}

MaybeFault load_ldt(CpuContext& cpu, uint16_t selector) {
  if (is_null_selector(selector)) {
    cpu.state.ldtr = SegmentCache{0, 0, selector, 0};
    return kNoFault;
  }
  if ((selector & kSelectorTi) != 0) {
    return selector_fault(Vector::GeneralProtection, selector);
  }
  Descriptor descriptor;
  RETURN_IF_FAULT(require_descriptor(cpu, selector, Vector::GeneralProtection, 0, &descriptor));
  if (!descriptor.is_system() || descriptor.type() != kTypeLdt) {
    return selector_fault(Vector::GeneralProtection, selector);
  }
  if (!descriptor.present()) {
    return selector_fault(Vector::SegmentNotPresent, selector);
  }
  cpu.state.ldtr = descriptor.cache(selector);
  return kNoFault;
}

MaybeFault load_task_register(CpuContext& cpu, uint16_t selector) {
  if (is_null_selector(selector) || (selector & kSelectorTi) != 0) {
    return selector_fault(Vector::GeneralProtection, selector);
  }
  Descriptor descriptor;
  RETURN_IF_FAULT(require_descriptor(cpu, selector, Vector::GeneralProtection, 0, &descriptor));
  if (!descriptor.is_system() || !is_available_tss(descriptor.type())) {
    return selector_fault(Vector::GeneralProtection, selector);
  }
  if (!descriptor.present()) {
    return selector_fault(Vector::SegmentNotPresent, selector);
  }
  descriptor.high |= kTypeTssBusyBit << 8;
  bool found = false;
  const GuestVirtual address = descriptor_address(cpu, selector, &found);
  RETURN_IF_FAULT(cpu.memory.write_value(address + 5U, Privilege::Supervisor,
                                         static_cast<uint8_t>(descriptor.high >> 8)));
  cpu.state.tr = descriptor.cache(selector);
  return kNoFault;
}

MaybeFault query_access_rights(CpuContext& cpu, uint16_t selector, bool* valid, uint32_t* rights) {
  Descriptor descriptor;
  RETURN_IF_FAULT(find_visible(cpu, selector, valid, &descriptor));
  // System types LAR knows (SDM 2A table 3-53): TSS, LDT, call and task gates.
  constexpr uint32_t kKnownTypes = (1U << 1) | (1U << 2) | (1U << 3) | (1U << 4) | (1U << 5) |
                                   (1U << 9) | (1U << 11) | (1U << 12);
  if (*valid && descriptor.is_system()) {
    *valid = ((kKnownTypes >> descriptor.type()) & 1U) != 0;
  }
  if (*valid) {
    *rights = descriptor.high & 0x00f0ff00U;
  }
  return kNoFault;
}

MaybeFault query_limit(CpuContext& cpu, uint16_t selector, bool* valid, uint32_t* limit) {
  Descriptor descriptor;
  RETURN_IF_FAULT(find_visible(cpu, selector, valid, &descriptor));
  if (*valid && descriptor.is_system()) {
    *valid = is_tss_type(descriptor.type()) || descriptor.type() == kTypeLdt;
  }
  if (*valid) {
    *limit = descriptor.byte_limit();
  }
  return kNoFault;
}

MaybeFault verify_segment(CpuContext& cpu, uint16_t selector, AccessKind access, bool* valid) {
  Descriptor descriptor;
  RETURN_IF_FAULT(find_visible(cpu, selector, valid, &descriptor));
  if (*valid) {
    *valid = access == AccessKind::Write ? descriptor.is_writable_data() : descriptor.is_readable();
  }
  return kNoFault;
}

MaybeFault check_io_permission(CpuContext& cpu, uint16_t port, uint32_t bytes) {
  const GuestState& state = cpu.state;
  if (!state.protected_mode() || (!state.v86_mode() && state.cpl <= state.iopl())) {
    return kNoFault;
  }
  const GuestFault denied = GuestFault::general_protection(0);
  const unsigned type = state.tr.attributes & 0xfU;
  constexpr uint32_t kMapBaseOffset = 0x66;
  // A 16-bit TSS has no map.
  if (!state.tr.usable() || (type & kTypeSize32Bit) == 0 || state.tr.limit < kMapBaseOffset + 1) {
    return denied;
  }
  uint16_t map_base = 0;
  RETURN_IF_FAULT(cpu.memory.read_value(GuestVirtual(state.tr.base + kMapBaseOffset),
                                        Privilege::Supervisor, &map_base));
  // The processor always reads two bytes, hence the extra byte at the map's end (SDM 1 19.5.2).
  const uint32_t byte = uint32_t{map_base} + (port >> 3);
  if (byte + 1 > state.tr.limit) {
    return denied;
  }
  uint16_t bits = 0;
  RETURN_IF_FAULT(
      cpu.memory.read_value(GuestVirtual(state.tr.base + byte), Privilege::Supervisor, &bits));
  const uint32_t wanted = ((1U << bytes) - 1U) << (port & 7U);
  if ((bits & wanted) != 0) {
    return denied;
  }
  return kNoFault;
}

}  // namespace ringshift
