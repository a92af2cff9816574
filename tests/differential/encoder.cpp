#include "tests/differential/encoder.h"

#include "tests/differential/outcome.h"

namespace ringshift::differential {
namespace {

constexpr unsigned kEsp = 4, kEbp = 5;
constexpr uint8_t kOperandSize = 0x66, kLock = 0xf0, kRepne = 0xf2, kRep = 0xf3;

bool fits_byte(uint32_t value) { return value + 128 < 256; }

}  // namespace

void Encoder::append(uint32_t value, unsigned bytes) {
  for (unsigned i = 0; i < bytes; ++i) bytes_.push_back(static_cast<uint8_t>(value >> (8 * i)));
}

uint32_t Encoder::target(bool aligned) {
  uint32_t address = kDataBase + 0x100 + random_.below(kHole - kDataBase - 0x200);
  const uint32_t roll = random_.below(100);
  if (roll < 2) address = kHole + random_.below(0x1000);
  if (roll >= 2 && roll < 4) address = kReadOnly + random_.below(0x1000);
  if (roll >= 4 && roll < 12) {  // across the end of a page, of the area, or of what is writable
    address = kDataBase + (1 + random_.below(kDataBytes / 0x1000)) * 0x1000 - 1 - random_.below(15);
  }
  if (roll == 12) address = random_.word();
  if (aligned ? !random_.one_in(10) : random_.one_in(2)) address &= ~15U;
  return address;
}

// Pointers survive most instructions: EAX, ECX and EDX are written to more than others.
unsigned Encoder::destination() {
  if (!random_.one_in(4)) return random_.below(3);
  const unsigned any = random_.below(8);
  return any == kEsp && !random_.one_in(8) ? 0 : any;
}

// A register bit offset reaches (offset >> 5) dwords or (offset >> 4) words away (SDM 2A BT).
int32_t Encoder::bit_string_step(unsigned field, bool word) const {
  if (word) return (static_cast<int16_t>(state_.gpr[field]) >> 4) * 2;
  return (static_cast<int32_t>(state_.gpr[field]) >> 5) * 4;
}

void Encoder::append_displacement(unsigned mode, uint32_t displacement) {
  if (mode == 1) append(displacement, 1);
  if (mode == 2) append(displacement, 4);
}

void Encoder::append_sib(uint32_t address, unsigned field) {
  const unsigned scale = random_.below(4);
  const unsigned index = random_.below(8);
  const unsigned base = random_.below(8);
  uint32_t sum = index == kEsp ? 0 : state_.gpr[index] << scale;
  if (base == kEbp && random_.one_in(2)) {  // no base
    bytes_.push_back(static_cast<uint8_t>(field << 3 | 4));
    bytes_.push_back(static_cast<uint8_t>(scale << 6 | index << 3 | base));
    return append(address - sum, 4);
  }
  sum += state_.gpr[base];
  const unsigned mode = address == sum && base != kEbp ? 0 : fits_byte(address - sum) ? 1 : 2;
  bytes_.push_back(static_cast<uint8_t>(mode << 6 | field << 3 | 4));
  bytes_.push_back(static_cast<uint8_t>(scale << 6 | index << 3 | base));
  append_displacement(mode, address - sum);
}

void Encoder::append_memory(uint32_t address, unsigned field) {
  const uint32_t roll = random_.below(8);
  if (roll == 0) {
    bytes_.push_back(static_cast<uint8_t>(field << 3 | 5));
    return append(address, 4);
  }
  if (roll < 4) return append_sib(address, field);
  unsigned base = random_.below(8);
  if (base == kEsp) base = 3;
  uint32_t displacement = address - state_.gpr[base];
  // A base that points into the area is used as it is, or nearly.
  const bool points = state_.gpr[base] - kDataBase < kHole - kDataBase;
  if (points && random_.one_in(2)) displacement = random_.one_in(2) ? 0 : random_.below(256) - 128;
  const unsigned mode = displacement == 0 && base != kEbp ? 0 : fits_byte(displacement) ? 1 : 2;
  bytes_.push_back(static_cast<uint8_t>(mode << 6 | field << 3 | base));
  append_displacement(mode, displacement);
}

// Outside 64-bit mode R and X are set, since the prefix would be LES without, and B, W and the
// upper bit of vvvv say nothing (SDM 2A 2.3.5).
void Encoder::append_vex() {
  constexpr unsigned kVex3 = 0xc4, kRegistersBelow8 = 0xc0, kMap0f38 = 2;
  const unsigned b = random_.below(2) << 5, w = random_.below(2) << 7;
  const unsigned inverted_vvvv = 8 * random_.below(2) + 7 - destination();
  append(kVex3, 1);
  append(kRegistersBelow8 | b | kMap0f38, 1);
  append(w | inverted_vvvv << 3, 1);
}

void Encoder::append_modrm(const Row& row, bool memory, bool word) {
  const unsigned field = row.digit >= 0 ? static_cast<unsigned>(row.digit) : destination();
  if (!memory) {
    bytes_.push_back(static_cast<uint8_t>(0xc0 | field << 3 | destination()));
    return;
  }
  uint32_t address = target(row.aligned);
  if (row.bit_string) address -= static_cast<uint32_t>(bit_string_step(field, word));
  append_memory(address, field);
}

void Encoder::append_immediate(const Row& row, bool word) {
  switch (row.immediate) {
    case RowImmediate::None:
      return;
    case RowImmediate::Byte:
      return append(random_.value(), 1);
    case RowImmediate::Word:
      return append(random_.value(), 2);
    case RowImmediate::BySize:
      return append(random_.value(), word ? 2 : 4);
    case RowImmediate::Enter:
      append(random_.below(256), 2);
      return append(random_.one_in(2) ? 0 : random_.below(4), 1);
    case RowImmediate::Offset:
      return append(target(false), 4);
  }
}

std::vector<uint8_t> Encoder::encode(const Row& row) {
  bytes_.clear();
  const bool memory =
      row.modrm == RowModRm::MemoryOnly || (row.modrm == RowModRm::Any && random_.one_in(2));
  const bool word = row.word && random_.one_in(4);
  constexpr uint8_t kSegments[] = {0x26, 0x36, 0x3e, 0x2e};
  if ((memory || row.repeatable) && random_.one_in(12)) {
    bytes_.push_back(kSegments[random_.below(random_.one_in(4) ? 4 : 3)]);
  }
  if (memory && row.lockable && random_.one_in(4)) bytes_.push_back(kLock);
  if (row.repeatable && !random_.one_in(3)) bytes_.push_back(random_.one_in(3) ? kRepne : kRep);
  if (word) bytes_.push_back(kOperandSize);
  if (row.mandatory_prefix != 0) bytes_.push_back(row.mandatory_prefix);
  if (row.vex) append_vex();
  bytes_.insert(bytes_.end(), row.opcode.begin(), row.opcode.end());
  if (row.register_in_opcode) {
    bytes_.back() = static_cast<uint8_t>(bytes_.back() + destination());
  }
  if (row.modrm != RowModRm::None) append_modrm(row, memory, word);
  append_immediate(row, word);
  return bytes_;
}

}  // namespace ringshift::differential
