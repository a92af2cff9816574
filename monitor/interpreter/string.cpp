// Interpreter: MOVS CMPS STOS LODS SCAS INS OUTS, with REP in bounded batches.
// See SDM 2B REP. Each iteration commits its registers, so a fault in the middle is exact; forward
// copies and fills of RAM go a page-sized chunk at a time.
#include <algorithm>
#include <array>

#include "monitor/interpreter/flags.h"
#include "monitor/interpreter/operation.h"

namespace ringshift::interp {
namespace {

uint32_t masked_register(const Execution& x, const Operation& op, Gpr number) {
  return x.state.reg(number) & address_mask(op);
}
void advance(Execution& x, const Operation& op, Gpr number, uint32_t by) {
  const uint32_t mask = address_mask(op);
  uint32_t& value = x.state.reg(number);
  value = (value & ~mask) | ((value + by) & mask);
}
template <typename T>
uint32_t stride(const Execution& x) {
  constexpr auto kSize = static_cast<uint32_t>(sizeof(T));
  return (x.state.eflags & kFlagDf) != 0 ? 0U - kSize : kSize;
}

// ---- one iteration of each; registers other than the count are advanced on success ----
template <typename T>
struct Movs {
  static MaybeFault iterate(Execution& x, const Operation& op) {
    T value;
    RETURN_IF_FAULT(load<T>(x, op.segment, masked_register(x, op, Gpr::Esi), &value));
    RETURN_IF_FAULT(store<T>(x, SegmentRegister::Es, masked_register(x, op, Gpr::Edi), value));
    advance(x, op, Gpr::Esi, stride<T>(x));
    advance(x, op, Gpr::Edi, stride<T>(x));
    return kNoFault;
  }
};

template <typename T>
struct Stos {
  static MaybeFault iterate(Execution& x, const Operation& op) {
    RETURN_IF_FAULT(store<T>(x, SegmentRegister::Es, masked_register(x, op, Gpr::Edi),
                             register_of<T>(x.state, 0)));
    advance(x, op, Gpr::Edi, stride<T>(x));
    return kNoFault;
  }
};

template <typename T>
struct Lods {
  static MaybeFault iterate(Execution& x, const Operation& op) {
    T value;
    RETURN_IF_FAULT(load<T>(x, op.segment, masked_register(x, op, Gpr::Esi), &value));
    register_of<T>(x.state, 0) = value;
    advance(x, op, Gpr::Esi, stride<T>(x));
    return kNoFault;
  }
};

template <typename T>
struct Cmps {
  static MaybeFault iterate(Execution& x, const Operation& op) {
    T left;
    T right;
    RETURN_IF_FAULT(load<T>(x, op.segment, masked_register(x, op, Gpr::Esi), &left));
    RETURN_IF_FAULT(load<T>(x, SegmentRegister::Es, masked_register(x, op, Gpr::Edi), &right));
    (void)host_operation::sub<T>(left, right, &x.state.eflags);
    advance(x, op, Gpr::Esi, stride<T>(x));
    advance(x, op, Gpr::Edi, stride<T>(x));
    return kNoFault;
  }
};

template <typename T>
struct Scas {
  static MaybeFault iterate(Execution& x, const Operation& op) {
    T value;
    RETURN_IF_FAULT(load<T>(x, SegmentRegister::Es, masked_register(x, op, Gpr::Edi), &value));
    (void)host_operation::sub<T>(register_of<T>(x.state, 0), value, &x.state.eflags);
    advance(x, op, Gpr::Edi, stride<T>(x));
    return kNoFault;
  }
};

template <typename T>
constexpr AccessWidth kWidth = static_cast<AccessWidth>(sizeof(T));

uint16_t port_of(const Execution& x) { return static_cast<uint16_t>(x.state.reg(Gpr::Edx)); }
MaybeFault check_port(Execution& x, uint32_t bytes) {
  return check_io_permission(x.cpu, port_of(x), bytes);
}

// The destination is checked before the port is read: reading a port has effects.
template <typename T>
struct Ins {
  static MaybeFault iterate(Execution& x, const Operation& op) {
    const uint16_t port = port_of(x);
    RETURN_IF_FAULT(check_port(x, sizeof(T)));
    GuestVirtual linear;
    RETURN_IF_FAULT(linear_of(x, SegmentRegister::Es, masked_register(x, op, Gpr::Edi), sizeof(T),
                              AccessKind::Write, &linear));
    RETURN_IF_FAULT(check_alignment(x, linear, sizeof(T)));
    RETURN_IF_FAULT(x.memory.probe_write(linear, sizeof(T), x.privilege()));
    note_io_access(x, port, sizeof(T));
    const T value = static_cast<T>(x.cpu.ports.read(port, kWidth<T>));
    RETURN_IF_FAULT(x.memory.write_value<T>(linear, x.privilege(), value));
    advance(x, op, Gpr::Edi, stride<T>(x));
    return kNoFault;
  }
};

template <typename T>
struct Outs {
  static MaybeFault iterate(Execution& x, const Operation& op) {
    const uint16_t port = port_of(x);
    RETURN_IF_FAULT(check_port(x, sizeof(T)));
    T value;
    RETURN_IF_FAULT(load<T>(x, op.segment, masked_register(x, op, Gpr::Esi), &value));
    note_io_access(x, port, sizeof(T));
    x.cpu.ports.write(port, kWidth<T>, value);
    advance(x, op, Gpr::Esi, stride<T>(x));
    return kNoFault;
  }
};

// ---- chunks ----

// A run of elements inside one page of RAM, addressed forwards; 0 elements: go one at a time.
struct Run {
  GuestVirtual linear;
  GuestPhysical physical;
  uint32_t bytes = 0;
};

// Never faults: whatever is not plain is left to the one-element path, which raises the fault.
Run plain_run(Execution& x, const Operation& op, SegmentRegister segment, Gpr number,
              AccessKind access, uint32_t wanted) {
  Run run;
  const uint32_t offset = masked_register(x, op, number);
  const uint32_t bytes =
      static_cast<uint32_t>(std::min<uint64_t>(wanted, uint64_t{address_mask(op)} - offset + 1));
  const SegmentCache& cache = x.state.seg(segment);
  if ((cache.attributes & 0x9eU) != 0x92U || offset > cache.limit ||
      cache.limit - offset < bytes - 1 || (x.state.eflags & kFlagAc) != 0) {
    return run;
  }
  run.linear = GuestVirtual(cache.base + offset);
  if (x.memory.translate(run.linear, access, x.privilege(), &run.physical)) return run;
  const GuestPhysicalPage page = GuestPhysicalPage::of(run.physical);
  const bool plain = access == AccessKind::Write
                         ? x.memory.physical().writable_page(page) != nullptr
                         : x.memory.physical().readable_page(page) != nullptr;
  if (!plain) return run;
  run.bytes = std::min(bytes, kPageSize - run.linear.offset_in_page());
  return run;
}

// A copy whose destination starts inside its source repeats the bytes that it has just written.
bool feeds_itself(const Run& source, const Run& destination, uint32_t bytes) {
  return destination.physical > source.physical && destination.physical - source.physical < bytes;
}

// Returns how many elements were done (perhaps none), having advanced ESI and EDI past them.
template <typename T>
uint32_t copy_chunk(Execution& x, const Operation& op, uint32_t count) {
  const uint32_t wanted = count * static_cast<uint32_t>(sizeof(T));
  const Run source = plain_run(x, op, op.segment, Gpr::Esi, AccessKind::Read, wanted);
  if (source.bytes < sizeof(T)) return 0;
  const Run destination =
      plain_run(x, op, SegmentRegister::Es, Gpr::Edi, AccessKind::Write, wanted);
  const uint32_t elements =
      std::min(source.bytes, destination.bytes) / static_cast<uint32_t>(sizeof(T));
  const uint32_t bytes = elements * static_cast<uint32_t>(sizeof(T));
  if (elements == 0 || feeds_itself(source, destination, bytes)) return 0;
  std::array<uint8_t, kPageSize> buffer;
  if (x.memory.read(source.linear, buffer.data(), bytes, x.privilege())) return 0;
  if (x.memory.write(destination.linear, buffer.data(), bytes, x.privilege())) return 0;
  advance(x, op, Gpr::Esi, bytes);
  advance(x, op, Gpr::Edi, bytes);
  return elements;
}

template <typename T>
uint32_t fill_chunk(Execution& x, const Operation& op, uint32_t count) {
  const uint32_t wanted = count * static_cast<uint32_t>(sizeof(T));
  const Run destination =
      plain_run(x, op, SegmentRegister::Es, Gpr::Edi, AccessKind::Write, wanted);
  const uint32_t elements = destination.bytes / static_cast<uint32_t>(sizeof(T));
  if (elements == 0) return 0;
  const uint32_t bytes = elements * static_cast<uint32_t>(sizeof(T));
  std::array<T, kPageSize / sizeof(T)> buffer;
  std::fill_n(buffer.begin(), elements, register_of<T>(x.state, 0));
  if (x.memory.write(destination.linear, buffer.data(), bytes, x.privilege())) return 0;
  advance(x, op, Gpr::Edi, bytes);
  return elements;
}

template <template <typename> class Kind, typename T>
uint32_t chunk_of(Execution& x, const Operation& op, uint32_t count) {
  // Below some tens of bytes the set-up costs more than it saves.
  constexpr uint32_t kWorthwhile = 16;
  if (count < kWorthwhile || x.stepping || (x.state.eflags & kFlagDf) != 0) return 0;
  if constexpr (std::is_same_v<Kind<T>, Movs<T>>) return copy_chunk<T>(x, op, count);
  if constexpr (std::is_same_v<Kind<T>, Stos<T>>) return fill_chunk<T>(x, op, count);
  return 0;
}

// ---- repetition ----

template <template <typename> class Kind, typename T>
constexpr bool kCompares = std::is_same_v<Kind<T>, Cmps<T>> || std::is_same_v<Kind<T>, Scas<T>>;

template <template <typename> class Kind, typename T>
constexpr bool kUsesPort = std::is_same_v<Kind<T>, Ins<T>> || std::is_same_v<Kind<T>, Outs<T>>;

template <template <typename> class Kind, typename T>
MaybeFault repeat(Execution& x, const Operation& op) {
  constexpr uint32_t kBatch = kUsesPort<Kind, T> ? Interpreter::kPortBatch : Interpreter::kRepBatch;
  uint32_t budget = x.stepping ? 1 : kBatch;
  uint32_t count = masked_register(x, op, Gpr::Ecx);
  const uint64_t device_calls = x.memory.physical().device_calls();
  if constexpr (kUsesPort<Kind, T>) {
    // The right to use the port is asked for even if the count is 0 (SDM 2A INS).
    if (count == 0) return check_port(x, sizeof(T));
  }
  while (count != 0) {
    if (budget == 0) {
      x.next_eip = x.state.pointer();  // the rest after interrupts have had their chance
      x.keep_resume_flag = true;
      return kNoFault;
    }
    uint32_t done = chunk_of<Kind, T>(x, op, std::min(count, budget));
    if (done == 0) {
      RETURN_IF_FAULT((Kind<T>::iterate(x, op)));
      done = 1;
    }
    advance(x, op, Gpr::Ecx, 0U - done);
    count -= done;
    budget -= done;
    if (x.counts_events && x.memory.physical().device_calls() != device_calls) budget = 0;
    if constexpr (kCompares<Kind, T>) {
      const bool equal = (x.state.eflags & kFlagZf) != 0;
      if (equal != (op.repeat == Repeat::WhileEqual)) break;
    }
  }
  return kNoFault;
}

template <template <typename> class Kind, typename T>
MaybeFault string_operation(Execution& x, const Operation& op) {
  if (op.repeat == Repeat::None) return Kind<T>::iterate(x, op);
  return repeat<Kind, T>(x, op);
}

template <template <typename> class Kind>
Handler of_size(const Encoding& e) {
  return by_size((e.opcode & 1U) == 0, e.operand_bytes, string_operation<Kind, uint8_t>,
                 string_operation<Kind, uint16_t>, string_operation<Kind, uint32_t>);
}

}  // namespace

Handler select_string(const Encoding& e) {
  if (e.map != ZYDIS_OPCODE_MAP_DEFAULT) return nullptr;
  switch (e.opcode) {
    case 0x6c:
    case 0x6d:
      return of_size<Ins>(e);
    case 0x6e:
    case 0x6f:
      return of_size<Outs>(e);
    case 0xa4:
    case 0xa5:
      return of_size<Movs>(e);
    case 0xa6:
    case 0xa7:
      return of_size<Cmps>(e);
    case 0xaa:
    case 0xab:
      return of_size<Stos>(e);
    case 0xac:
    case 0xad:
      return of_size<Lods>(e);
    case 0xae:
    case 0xaf:
      return of_size<Scas>(e);
    default:
      return nullptr;
  }
}

}  // namespace ringshift::interp
