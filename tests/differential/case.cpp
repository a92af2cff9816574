#include "tests/differential/case.h"

#include <algorithm>
#include <cstring>

#include "tests/differential/encoder.h"
#include "tests/differential/flag_tracker.h"
#include "tests/differential/random.h"
#include "translator/classify.h"
#include "translator/decode.h"
#include "translator/disassemble.h"

namespace ringshift::differential {
namespace {

constexpr uint32_t kMostPieces = 12;
constexpr uint32_t kMostCodeBytes = 256;
constexpr uint32_t kMostSteps = 4096;  // REP runs in batches; nothing here loops
constexpr size_t kPoolBytes = 2 * kDataBytes;

// Data areas are cut from one pool: integers, floats of both sizes, extended numbers.
const std::vector<uint8_t>& data_pool() {
  static const std::vector<uint8_t> pool = [] {
    std::vector<uint8_t> bytes(kPoolBytes);
    Random random(1);
    for (size_t at = 0; at + 16 <= bytes.size(); at += 16) {
      const double number = static_cast<double>(static_cast<int32_t>(random.word())) / 256;
      const auto single = static_cast<float>(number);
      for (size_t i = 0; i < 16; i += 4) {
        const uint32_t value = random.value();
        std::memcpy(&bytes[at + i], &value, 4);
      }
      const uint32_t kind = random.below(4);
      if (kind == 0) std::memcpy(&bytes[at], &number, 8);
      if (kind == 1) std::memcpy(&bytes[at + 4], &single, 4);
    }
    return bytes;
  }();
  return pool;
}

void put16(uint8_t* at, uint32_t value) {
  at[0] = static_cast<uint8_t>(value);
  at[1] = static_cast<uint8_t>(value >> 8);
}

void random_x87_register(Random& random, uint8_t* at) {
  for (int i = 0; i < 8; ++i) at[i] = random.byte();
  put16(at + 8, random.word());
  switch (random.below(6)) {
    case 0:  // near 1, normal
      at[7] |= 0x80;
      put16(at + 8, 0x3ff0 + random.below(32));
      break;
    case 1:  // an integer's worth
      at[7] |= 0x80;
      put16(at + 8, (random.word() & 0x8000) | (0x3fff + random.below(63)));
      break;
    case 2:  // zero, infinity or NaN, by the exponent
      std::memset(at, 0, 8);
      if (random.one_in(2)) at[7] = 0x80 | (random.byte() & 0x40);
      put16(at + 8, random.one_in(2) ? 0 : 0x7fff);
      break;
    case 3:  // what MMX leaves
      put16(at + 8, 0xffff);
      break;
    default:
      break;
  }
}

// FXSAVE image, SDM 1 table 10-2. Pending exceptions would be taken at once: none.
void random_fpu(Random& random, std::array<uint8_t, 512>* image) {
  image->fill(0);
  uint8_t* at = image->data();
  const uint32_t masks = random.one_in(5) ? random.below(64) : 0x3f;
  put16(at, 0x40 | masks | random.below(16) << 8);
  put16(at + 2, (random.word() & 0x7f00) | (random.one_in(3) ? random.word() & masks : 0));
  at[4] = random.one_in(2) ? 0xff : random.byte();
  const uint32_t mxcsr_masks = random.one_in(5) ? random.below(64) : 0x3f;
  put16(at + 24, mxcsr_masks << 7 | (random.one_in(3) ? random.word() & 0xe07f : 0));
  for (int i = 0; i < 8; ++i) random_x87_register(random, at + 32 + i * 16);
  const std::vector<uint8_t>& pool = data_pool();
  for (int i = 0; i < 8; ++i) {
    std::memcpy(at + 160 + i * 16, &pool[random.below(kPoolBytes / 16) * 16], 16);
  }
}

Start random_start(Random& random) {
  Start start;
  for (uint32_t& value : start.gpr) value = random.value();
  const auto pointer = [&random] {
    return (kDataBase + 0x200 + random.below(kHole - kDataBase - 0x400)) &
           (random.one_in(4) ? ~0U : ~15U);
  };
  for (const size_t reg : {3U, 5U, 6U, 7U}) {
    if (!random.one_in(6)) start.gpr[reg] = pointer();
  }
  if (random.one_in(2)) start.gpr[1] = random.below(64);
  start.gpr[4] =
      random.one_in(20) ? kDataBase + random.below(64) : kDataBase + 0x4000 + random.below(0x4000);
  if (!random.one_in(8)) start.gpr[4] &= ~3U;
  start.eip = kCodeBase + (random.one_in(8) ? 0x1000 - random.below(64) : random.below(0x800));
  start.eflags = kFlagReservedOne | kFlagIf | (random.word() & kFlagsArithmetic) |
                 (random.one_in(3) ? kFlagDf : 0);
  random_fpu(random, &start.fxsave);
  return start;
}

DecodeMode decode_mode(const Start& start) {
  return start.segments == Segments::NarrowCode ? DecodeMode::Bits16 : DecodeMode::Bits32;
}

bool uses_mmx(const GuestInstruction& instruction) {
  const auto& operands = instruction.operands;
  return std::any_of(operands.begin(), operands.begin() + instruction.facts.operand_count,
                     [](const ZydisDecodedOperand& operand) {
                       return operand.type == ZYDIS_OPERAND_TYPE_REGISTER &&
                              ZydisRegisterGetClass(operand.reg.value) == ZYDIS_REGCLASS_MMX;
                     });
}

bool is_x87_store(const GuestInstruction& instruction) {
  const ZydisDecodedOperand* memory = memory_operand(instruction);
  return fpu_use(instruction) == FpuUse::X87 && memory != nullptr &&
         (memory->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE) != 0;
}

// The results that the manual leaves to the processor when an instruction faults.
void exempt_fault(const GuestInstruction& instruction, Segments segments, Expected* expected) {
  Outcome& outcome = expected->outcome;
  const bool page_fault = outcome.vector == static_cast<uint32_t>(Vector::PageFault);
  // An access across 4 GiB in a flat segment may be a limit violation or wrap (SDM 3A 5.3).
  const auto wraps = [](uint32_t address) {
    constexpr uint32_t kLongestOperand = 64;
    return address + kLongestOperand < 2 * kLongestOperand;
  };
  if (page_fault && wraps(outcome.cr2)) {
    expected->depends_on_undefined = true;
  }
  // Nor is which comes first at an address that reaches across 4 GiB, whichever register it is of.
  const bool is_misaligned = outcome.vector == static_cast<uint32_t>(Vector::AlignmentCheck);
  if (is_misaligned && std::any_of(outcome.gpr.begin(), outcome.gpr.end(), wraps)) {
    expected->depends_on_undefined = true;
  }
  // Some processors show in the flags how far a repeated comparison has come before it faults;
  // others restore them (SDM 2B REP).
  if (page_fault &&
      (instruction.facts.attributes & (ZYDIS_ATTRIB_HAS_REPE | ZYDIS_ATTRIB_HAS_REPNE)) != 0) {
    expected->undefined_flags |= kFlagsArithmetic;
  }
  switch (instruction.facts.mnemonic) {
    case ZYDIS_MNEMONIC_CMPSB:
    case ZYDIS_MNEMONIC_CMPSW:
    case ZYDIS_MNEMONIC_CMPSD:
      if (page_fault) expected->cr2_mask = 0;  // either operand may be read first, with its limit
      if (segments != Segments::Flat) expected->depends_on_undefined = true;
      if (wraps(outcome.gpr[6]) || wraps(outcome.gpr[7])) expected->depends_on_undefined = true;
      break;
    case ZYDIS_MNEMONIC_BOUND:  // one bound may be judged before the other is read
      if (page_fault) expected->depends_on_undefined = true;
      break;
    case ZYDIS_MNEMONIC_POPA:  // some processors have loaded a part when it faults (LIMIT(L28))
    case ZYDIS_MNEMONIC_POPAD:
      if (!page_fault || outcome.cr2 != outcome.gpr[4]) expected->depends_on_undefined = true;
      break;
    case ZYDIS_MNEMONIC_LDMXCSR:  // AMD's MXCSR has bit 17
      if (!page_fault) expected->depends_on_undefined = true;
      break;
    default:
      break;
  }
  // Whether an instruction that faults has already gone over to MMX is not said (SDM 1 9.5.1).
  if (uses_mmx(instruction)) expected->x87_compared = false;
  // Nor is whether a store rounds, and stops at an unmasked exception, before it is refused.
  if (is_x87_store(instruction)) expected->depends_on_undefined = true;
  if (outcome.vector == static_cast<uint32_t>(Vector::SimdFloatingPoint)) {
    expected->x87_compared = false;
    // The flags beside an unmasked overflow or underflow tell, for DPPS and DPPD, which
    // multiplication or addition came first.
    constexpr uint8_t kDenormal = 1U << 1, kOverflow = 1U << 3, kUnderflow = 1U << 4;
    constexpr size_t kMxcsr = 24;
    if (instruction.facts.mnemonic == ZYDIS_MNEMONIC_DPPS ||
        instruction.facts.mnemonic == ZYDIS_MNEMONIC_DPPD) {
      expected->mxcsr_mask = 0;
    } else if ((outcome.fxsave[kMxcsr] & (kOverflow | kUnderflow)) != 0) {
      expected->mxcsr_mask = static_cast<uint8_t>(~kDenormal);
    }
  }
}

// The manual leaves to the processor how #AC asks for alignment in these, if at all, or for which
// of two operands first (SDM 3A 6.15; SDM 2A ENTER, FXSAVE).
bool leaves_alignment_open(const GuestInstruction& instruction) {
  switch (instruction.facts.mnemonic) {
    case ZYDIS_MNEMONIC_MOVUPS:
    case ZYDIS_MNEMONIC_MOVUPD:
    case ZYDIS_MNEMONIC_MOVDQU:
    case ZYDIS_MNEMONIC_LDDQU:
    case ZYDIS_MNEMONIC_PCMPESTRI:
    case ZYDIS_MNEMONIC_PCMPESTRM:
    case ZYDIS_MNEMONIC_PCMPISTRI:
    case ZYDIS_MNEMONIC_PCMPISTRM:
    case ZYDIS_MNEMONIC_MASKMOVQ:
    case ZYDIS_MNEMONIC_MASKMOVDQU:
    case ZYDIS_MNEMONIC_FXSAVE:
    case ZYDIS_MNEMONIC_FXRSTOR:
    case ZYDIS_MNEMONIC_ENTER:
    case ZYDIS_MNEMONIC_CMPSB:
    case ZYDIS_MNEMONIC_CMPSW:
    case ZYDIS_MNEMONIC_CMPSD:
      return true;
    default:
      return false;
  }
}

class Generator {
 public:
  Generator(uint64_t seed, Segments segments, Alignment alignment, Guest& guest)
      : random_(seed),
        segments_(segments),
        alignment_(alignment),
        guest_(guest),
        encoder_(random_, guest.state()) {
    case_.seed = seed;
  }

  Case run() {
    case_.start = random_start(random_);
    case_.start.segments = segments_;
    if (alignment_ == Alignment::Checked) case_.start.eflags |= kFlagAc;
    case_.data_offset = random_.below((kPoolBytes - kDataBytes) / 16) * 16;
    guest_.prepare(case_.start, Ring::User, {}, case_.data());
    const uint32_t count = 1 + random_.below(kMostPieces);
    uint32_t size = 0;
    while (case_.pieces.size() < count && size < kMostCodeBytes) {
      Piece piece = acceptable_piece();
      size += static_cast<uint32_t>(piece.bytes.size());
      const bool goes_on = execute(piece, case_.start.eip + size);
      case_.pieces.push_back(std::move(piece));
      if (!goes_on) break;
    }
    return std::move(case_);
  }

 private:
  Piece acceptable_piece() {
    while (true) {
      Piece piece = random_piece();
      if (acceptable(piece)) return piece;
    }
  }

  // No instruction of it consumes an undefined flag, as far as straight reading shows.
  bool acceptable(const Piece& piece) const {
    FlagTracker flags = flags_;
    std::span<const uint8_t> rest(piece.bytes);
    while (!rest.empty()) {
      GuestInstruction instruction;
      if (decode(rest, DecodeMode::Bits32, &instruction) != DecodeOutcome::Ok) break;
      if (!flags.allows(instruction, guest_.state())) return false;
      flags.apply(instruction, guest_.state());
      rest = rest.subspan(instruction.length);
    }
    return true;
  }

  Piece random_piece() {
    const uint32_t roll = random_.below(40);
    if (roll == 0) return branch_over();
    if (roll == 1) return call_and_return();
    if (roll == 2) return indirect_jump();
    if (roll == 3) return safe_division();
    if (roll == 4) return popf();
    return {plain()};
  }

  std::vector<uint8_t> plain() {
    uint32_t weights = 0;
    for (const RowFamily& family : row_families()) weights += family.weight;
    uint32_t roll = random_.below(weights);
    for (const RowFamily& family : row_families()) {
      if (roll < family.weight) {
        return encoder_.encode(
            family.rows[random_.below(static_cast<uint32_t>(family.rows.size()))]);
      }
      roll -= family.weight;
    }
    return {0x90};
  }

  // A conditional branch, JECXZ, LOOP or JMP over one instruction.
  Piece branch_over() {
    std::vector<uint8_t> inner = plain();
    const auto length = static_cast<uint8_t>(inner.size());
    Piece piece;
    const uint32_t roll = random_.below(24);
    if (roll < 16) {
      piece.bytes = {static_cast<uint8_t>(0x70 + roll), length};
    } else if (roll < 20) {
      piece.bytes = {static_cast<uint8_t>(0xe0 + roll - 16), length};
    } else if (roll < 23) {
      piece.bytes = {0x0f, static_cast<uint8_t>(0x80 + random_.below(16)), length, 0, 0, 0};
    } else {
      piece.bytes = {0xeb, length};
    }
    piece.bytes.insert(piece.bytes.end(), inner.begin(), inner.end());
    return piece;
  }

  // call over; jmp end; over: ret [imm16]
  Piece call_and_return() {
    if (random_.one_in(2)) return {{0xe8, 2, 0, 0, 0, 0xeb, 1, 0xc3}};
    return {{0xe8, 2, 0, 0, 0, 0xeb, 3, 0xc2, static_cast<uint8_t>(random_.below(16) * 4), 0}};
  }

  // mov reg, end; jmp reg - or push end; ret
  Piece indirect_jump() {
    if (random_.one_in(2)) return {{0x68, 6, 0, 0, 0, 0xc3}, 1};
    const auto reg = static_cast<uint8_t>(random_.below(3));
    return {{static_cast<uint8_t>(0xb8 + reg), 7, 0, 0, 0, 0xff, static_cast<uint8_t>(0xe0 + reg)},
            1};
  }

  Piece safe_division() {
    const auto divisor = static_cast<uint8_t>(1 + 2 * random_.below(2));  // ECX or EBX
    switch (random_.below(4)) {
      case 0:
        return {{0x31, 0xd2, 0xf7, static_cast<uint8_t>(0xf0 + divisor)}};  // div
      case 1:
        return {{0x99, 0xf7, static_cast<uint8_t>(0xf8 + divisor)}};  // idiv
      case 2:
        return {{0x0f, 0xb6, 0xc0, 0xf6, static_cast<uint8_t>(0xf0 + divisor)}};
      default:
        return {{0x66, 0x99, 0x66, 0xf7, static_cast<uint8_t>(0xf8 + divisor)}};
    }
  }

  // push flags; popf - with IF as it is everywhere, IOPL 0, no TF.
  Piece popf() {
    const uint32_t value = kFlagIf | (random_.word() & (kFlagsArithmetic | kFlagDf));
    return {{0x68, static_cast<uint8_t>(value), static_cast<uint8_t>(value >> 8), 0, 0, 0x9d}};
  }

  // Runs the piece in the interpreter. False: the case ends with it.
  bool execute(const Piece& piece, uint32_t end) {
    const uint32_t at = end - static_cast<uint32_t>(piece.bytes.size());
    uint8_t* code = guest_.ram().at(GuestPhysical(layout::kCodePhysical + at - kCodeBase));
    std::memcpy(code, piece.bytes.data(), piece.bytes.size());
    if (piece.relocation >= 0) {
      uint32_t value;
      std::memcpy(&value, code + piece.relocation, 4);
      value += at;
      std::memcpy(code + piece.relocation, &value, 4);
    }
    for (uint32_t i = 0; i < kMostSteps && guest_.state().eip != end; ++i) {
      const uint32_t eip = guest_.state().eip;
      if (eip < at || eip > end) return false;
      GuestInstruction instruction;
      if (decode({code + (eip - at), end - eip}, DecodeMode::Bits32, &instruction) ==
          DecodeOutcome::Ok) {
        flags_.apply(instruction, guest_.state());
      }
      if (guest_.step().kind != StepKind::Done) return false;
    }
    return guest_.state().eip == end;
  }

  Random random_;
  Segments segments_;
  Alignment alignment_;
  Guest& guest_;
  Encoder encoder_;
  FlagTracker flags_;
  Case case_;
};

}  // namespace

std::vector<uint8_t> Case::code() const {
  std::vector<uint8_t> bytes;
  for (const Piece& piece : pieces) {
    const auto at = static_cast<uint32_t>(bytes.size());
    bytes.insert(bytes.end(), piece.bytes.begin(), piece.bytes.end());
    if (piece.relocation < 0) continue;
    uint8_t* field = &bytes[at + static_cast<uint32_t>(piece.relocation)];
    uint32_t value;
    std::memcpy(&value, field, 4);
    value += start.eip + at;
    std::memcpy(field, &value, 4);
  }
  bytes.insert(bytes.end(), kEndBytes.begin(), kEndBytes.end());
  return bytes;
}

std::span<const uint8_t> Case::data() const {
  return std::span<const uint8_t>(data_pool()).subspan(data_offset, kDataBytes);
}

Case generate(uint64_t seed, Guest& guest, Segments segments, Alignment alignment) {
  return Generator(seed, segments, alignment, guest).run();
}

Expected run_oracle(const Case& test, Guest& guest, Ring ring) {
  const std::vector<uint8_t> code = test.code();
  guest.prepare(test.start, ring, code, test.data());
  const uint32_t end = test.start.eip + static_cast<uint32_t>(code.size() - kEndBytes.size());
  Expected expected;
  FlagTracker flags;
  for (uint32_t i = 0; i < kMostSteps && guest.state().eip != end; ++i) {
    const uint32_t offset = guest.state().eip - test.start.eip;
    const GuestState before = guest.state();
    GuestInstruction instruction;
    const bool decoded =
        offset < code.size() && decode(std::span(code).subspan(offset), decode_mode(test.start),
                                       &instruction) == DecodeOutcome::Ok;
    if (decoded && !flags.allows(instruction, before)) expected.depends_on_undefined = true;
    if (decoded && (before.eflags & kFlagAc) != 0 && leaves_alignment_open(instruction)) {
      expected.depends_on_undefined = true;
    }
    const StepResult result = guest.step();
    expected.instructions++;
    if (result.kind == StepKind::Fault) {
      expected.outcome = guest.outcome_here(&result.fault);
      expected.undefined_flags = flags.undefined();
      if (decoded) exempt_fault(instruction, test.start.segments, &expected);
      return expected;
    }
    if (result.kind != StepKind::Done) {
      expected.outcome.message = "interpreter: " + result.message;
      return expected;
    }
    if (decoded) flags.apply(instruction, before);
  }
  expected.undefined_flags = flags.undefined();
  if (guest.state().eip == end) {
    expected.outcome = guest.outcome_here(nullptr);
  } else {
    expected.outcome.message = "interpreter: does not come to the end";
  }
  return expected;
}

std::string listing(const Case& test) {
  const std::vector<uint8_t> code = test.code();
  std::string text;
  for (size_t at = 0; at < code.size();) {
    GuestInstruction instruction;
    char line[80];
    size_t length = 1;
    std::string words = "(bytes)";
    const uint32_t eip = test.start.eip + static_cast<uint32_t>(at);
    if (decode(std::span(code).subspan(at), decode_mode(test.start), &instruction) ==
        DecodeOutcome::Ok) {
      length = instruction.length;
      words = disassemble_guest(instruction, Eip(eip));
    }
    int used = std::snprintf(line, sizeof(line), "  %08x ", eip);
    text += std::string(line, static_cast<size_t>(used));
    for (size_t i = 0; i < 12; ++i) {
      used = i < length ? std::snprintf(line, sizeof(line), " %02x", code[at + i])
                        : std::snprintf(line, sizeof(line), "   ");
      text += std::string(line, static_cast<size_t>(used));
    }
    text += "  " + words + "\n";
    at += length;
  }
  return text;
}

}  // namespace ringshift::differential
