// Code in other modes than flat 32-bit code, on the processor itself, in the interpreter and in the
// vCPU loop: the random code of the other tests through segments with limits, with a base and with
// a null ES; and random 16-bit code in a 16-bit segment, on a 16-bit stack.
#include <gtest/gtest.h>

#include <array>
#include <vector>

#include "tests/differential/comparison.h"
#include "tests/differential/random.h"
#include "tests/differential/settings.h"

namespace ringshift::differential {
namespace {

constexpr uint64_t kWideCases = 6000;
constexpr uint64_t kNarrowCases = 30000;
constexpr uint32_t kMostPieces = 8;
constexpr size_t kEcx = 1, kEsp = 4;

using Bytes = std::vector<uint8_t>;

// ---- random 16-bit instructions ----

class NarrowEncoder {
 public:
  explicit NarrowEncoder(Random& random) : random_(random) {}

  Piece piece() {
    switch (random_.below(24)) {
      case 0:
        return over();
      case 1:
        return {call_and_return()};
      case 2:
        return indirect();
      case 3:
        return {loop()};
      case 4:
        return {string()};
      case 8:
        return {pop_flags()};
      case 5:
      case 6:
      case 7:
        return {stack()};
      default:
        return {plain()};
    }
  }

 private:
  void put(Bytes* bytes, uint32_t value, uint32_t count) const {
    for (uint32_t i = 0; i < count; ++i) bytes->push_back(static_cast<uint8_t>(value >> (8 * i)));
  }

  // Operand size, address size, segment: the first byte of each tells the rest.
  void prefixes(Bytes* bytes) {
    constexpr std::array<uint8_t, 4> kSegments = {0x26, 0x2e, 0x36, 0x3e};
    wide_ = random_.one_in(4);
    wide_address_ = random_.one_in(8);
    if (random_.one_in(6)) bytes->push_back(kSegments[random_.below(4)]);
    if (wide_) bytes->push_back(0x66);
    if (wide_address_) bytes->push_back(0x67);
  }

  // ModRM and what follows it. `reg`: its middle field.
  void operand(Bytes* bytes, uint32_t reg, bool memory_only = false) {
    const uint32_t mod = memory_only ? random_.below(3) : random_.below(4);
    const uint32_t rm = random_.below(8);
    bytes->push_back(static_cast<uint8_t>(mod << 6 | reg << 3 | rm));
    if (mod == 3) return;
    uint32_t displacement = mod == 1 ? 1 : mod == 2 ? (wide_address_ ? 4 : 2) : 0;
    if (wide_address_) {
      if (rm == 4) {
        const uint32_t base = random_.below(8);
        bytes->push_back(static_cast<uint8_t>(random_.below(32) << 3 | base));
        if (mod == 0 && base == 5) displacement = 4;
      }
      if (mod == 0 && rm == 5) displacement = 4;
    } else if (mod == 0 && rm == 6) {
      displacement = 2;
    }
    put(bytes, displacement == 4 ? random_.below(0x10000) : random_.word(), displacement);
  }

  void immediate(Bytes* bytes, bool is_byte) {
    put(bytes, random_.value(), is_byte ? 1 : wide_ ? 4 : 2);
  }

  Bytes plain() {
    Bytes bytes;
    prefixes(&bytes);
    switch (random_.below(22)) {
      case 0:
      case 1:
      case 2:  // arithmetic with an operand of any kind
        bytes.push_back(static_cast<uint8_t>(random_.below(8) << 3 | random_.below(4)));
        operand(&bytes, random_.below(8));
        break;
      case 3: {
        const uint32_t is_byte = random_.below(2);
        bytes.push_back(static_cast<uint8_t>(random_.below(8) << 3 | 4 | (1 - is_byte)));
        immediate(&bytes, is_byte != 0);
        break;
      }
      case 4: {
        constexpr std::array<uint8_t, 3> kGroups = {0x80, 0x81, 0x83};
        const uint8_t group = kGroups[random_.below(3)];
        bytes.push_back(group);
        operand(&bytes, random_.below(8));
        immediate(&bytes, group != 0x81);
        break;
      }
      case 5:  // INC, DEC
        bytes.push_back(static_cast<uint8_t>(0x40 + random_.below(16)));
        break;
      case 6:  // TEST, XCHG, MOV
      case 7:
        bytes.push_back(static_cast<uint8_t>(0x84 + random_.below(8)));
        operand(&bytes, random_.below(8));
        break;
      case 8:
        bytes.push_back(0x8d);
        operand(&bytes, random_.below(8), true);
        break;
      case 9:  // XCHG with the accumulator, CBW, CWD
        bytes.push_back(static_cast<uint8_t>(0x90 + random_.below(10)));
        break;
      case 10:  // MOV with an absolute offset
        bytes.push_back(static_cast<uint8_t>(0xa0 + random_.below(4)));
        put(&bytes, random_.below(0x10000), wide_address_ ? 4 : 2);
        break;
      case 11:
        bytes.push_back(static_cast<uint8_t>(0xb0 + random_.below(8)));
        put(&bytes, random_.value(), 1);
        break;
      case 12:
        bytes.push_back(static_cast<uint8_t>(0xb8 + random_.below(8)));
        immediate(&bytes, false);
        break;
      case 13:
        bytes.push_back(static_cast<uint8_t>(0xc0 + random_.below(2)));
        operand(&bytes, random_.below(8));
        put(&bytes, random_.byte(), 1);
        break;
      case 14:
        bytes.push_back(static_cast<uint8_t>(0xd0 + random_.below(4)));
        operand(&bytes, random_.below(8));
        break;
      case 15: {
        const uint32_t is_byte = random_.below(2);
        bytes.push_back(static_cast<uint8_t>(0xc7 - is_byte));
        operand(&bytes, 0);
        immediate(&bytes, is_byte != 0);
        break;
      }
      case 16:  // NOT, NEG, MUL, IMUL
        bytes.push_back(static_cast<uint8_t>(0xf6 + random_.below(2)));
        operand(&bytes, 2 + random_.below(4));
        break;
      case 17:
        bytes.push_back(static_cast<uint8_t>(0xfe + random_.below(2)));
        operand(&bytes, random_.below(2));
        break;
      case 18: {
        constexpr std::array<uint8_t, 10> kTwoBytes = {0xa3, 0xab, 0xb3, 0xbb, 0xaf,
                                                       0xb6, 0xb7, 0xbe, 0xbf, 0xa5};
        bytes.push_back(0x0f);
        bytes.push_back(kTwoBytes[random_.below(10)]);
        operand(&bytes, random_.below(8));
        break;
      }
      case 19:  // SETcc, CMOVcc
        bytes.push_back(0x0f);
        bytes.push_back(
            static_cast<uint8_t>((random_.one_in(2) ? 0x90 : 0x40) + random_.below(16)));
        operand(&bytes, random_.below(8));
        break;
      case 20:  // XADD, CMPXCHG
        bytes.push_back(0x0f);
        bytes.push_back(static_cast<uint8_t>((random_.one_in(2) ? 0xc0 : 0xb0) + random_.below(2)));
        operand(&bytes, random_.below(8));
        break;
      default: {  // x87 loads and stores, which prefix 66 does not concern
        constexpr std::array<uint8_t, 4> kOpcodes = {0xd9, 0xdd, 0xdb, 0xdf};
        bytes.push_back(kOpcodes[random_.below(4)]);
        operand(&bytes, random_.one_in(2) ? 0 : 3, true);
        break;
      }
    }
    return bytes;
  }

  Bytes stack() {
    Bytes bytes;
    prefixes(&bytes);
    switch (random_.below(9)) {
      case 0:
      case 1:
        bytes.push_back(static_cast<uint8_t>(0x50 + random_.below(8)));
        break;
      case 2:
      case 3:
        bytes.push_back(static_cast<uint8_t>(0x58 + random_.below(8)));
        break;
      case 4:
        bytes.push_back(0x68);
        immediate(&bytes, false);
        break;
      case 5:
        bytes.push_back(0x6a);
        put(&bytes, random_.value(), 1);
        break;
      case 6:
        bytes.push_back(0xff);
        operand(&bytes, 6);
        break;
      case 7:
        bytes.push_back(0x8f);
        operand(&bytes, 0);
        break;
      default:
        bytes.push_back(random_.one_in(2) ? 0xc9 : 0x9c);
        break;
    }
    return bytes;
  }

  Bytes string() {
    constexpr std::array<uint8_t, 5> kKinds = {0xa4, 0xa6, 0xaa, 0xac, 0xae};
    Bytes bytes;
    prefixes(&bytes);
    if (random_.one_in(4)) bytes.push_back(static_cast<uint8_t>(0xf2 + random_.below(2)));
    bytes.push_back(static_cast<uint8_t>(kKinds[random_.below(5)] + random_.below(2)));
    return bytes;
  }

  // A conditional jump, LOOP, JCXZ or JMP over one instruction.
  Piece over() {
    const Bytes inner = plain();
    const uint32_t roll = random_.below(24);
    const uint32_t opcode = roll < 16 ? 0x70 + roll : roll < 22 ? 0xe0 + (roll & 3) : 0xeb;
    Bytes bytes;
    if (random_.one_in(4)) put(&bytes, 0x66, 1);
    if (random_.one_in(4)) put(&bytes, 0x67, 1);
    put(&bytes, opcode, 1);
    put(&bytes, static_cast<uint32_t>(inner.size()), 1);
    for (const uint8_t byte : inner) put(&bytes, byte, 1);
    return {bytes};
  }

  // call over; jmp end; over: ret [imm16]
  Bytes call_and_return() {
    switch (random_.below(3)) {
      case 0:
        return {0xe8, 2, 0, 0xeb, 1, 0xc3};
      case 1:
        return {0xe8, 2, 0, 0xeb, 3, 0xc2, static_cast<uint8_t>(random_.below(16) * 2), 0};
      default:
        return {0x66, 0xe8, 2, 0, 0, 0, 0xeb, 2, 0x66, 0xc3};
    }
  }

  // The end of the piece to a register or the stack, and there.
  Piece indirect() {
    switch (random_.below(5)) {
      case 0:
        return {{0x66, 0xb8, 8, 0, 0, 0, 0xff, 0xe0}, 2};  // jmp ax
      case 1:
        return {{0x66, 0xbb, 9, 0, 0, 0, 0x66, 0xff, 0xe3}, 2};  // jmp ebx
      case 2:
        return {{0x66, 0x68, 8, 0, 0, 0, 0x66, 0xc3}, 2};  // push dword; ret dword
      case 3:
        return {{0x66, 0xba, 8, 0, 0, 0, 0xff, 0xd2, 0x59}, 2};  // call dx; pop cx
      default:
        return {{0x66, 0xba, 9, 0, 0, 0, 0x66, 0xff, 0xd2, 0x66, 0x59}, 2};
    }
  }

  // push flags; popf - with IF as it is everywhere, IOPL 0, no TF.
  Bytes pop_flags() {
    const uint32_t value = kFlagIf | (random_.word() & (kFlagsArithmetic | kFlagDf));
    return {0x68, static_cast<uint8_t>(value), static_cast<uint8_t>(value >> 8), 0x9d};
  }

  // mov cx, few; inc ax; loop back
  Bytes loop() {
    const auto count = static_cast<uint8_t>(1 + random_.below(20));
    return {0xb9, count, 0, 0x40, static_cast<uint8_t>(0xe0 + random_.below(3)), 0xfd};
  }

  Random& random_;
  bool wide_ = false;
  bool wide_address_ = false;
};

Start narrow_start(Random& random) {
  Start start;
  start.segments = Segments::NarrowCode;
  for (uint32_t& value : start.gpr) {
    value = random.one_in(3) ? random.value() : random.below(0xd000);
    if (random.one_in(4)) value |= random.word() & 0xffff0000U;
  }
  if (random.one_in(2)) start.gpr[kEcx] = random.below(64);
  start.gpr[kEsp] =
      (random.word() & 0xffff0000U) |
      (random.one_in(8) ? (random.below(24) - 12U) & 0xffffU : 0x4000 + random.below(0x4000));
  start.eip = random.one_in(8) ? 0x1000 - random.below(48) : random.below(0x800);
  start.eflags = kFlagReservedOne | kFlagIf | (random.word() & kFlagsArithmetic) |
                 (random.one_in(3) ? kFlagDf : 0);
  start.fxsave[0] = 0x7f;
  start.fxsave[1] = 3;
  start.fxsave[24] = 0x80;
  start.fxsave[25] = 0x1f;
  return start;
}

class Modes : public testing::Test {
 protected:
  void SetUp() override {
    std::string error;
    comparison_ = Comparison::create(&error);
    ASSERT_NE(comparison_, nullptr) << error;
    if (!comparison_->has_segments()) GTEST_SKIP() << "the host has no modify_ldt";
  }
  void expect_agreement(const Case& test) {
    if (!comparison_->agrees(test)) ADD_FAILURE() << comparison_->report(test);
  }
  void compare_random_code(Segments segments) {
    const Settings settings = Settings::read(kWideCases);
    for (uint64_t i = settings.first; i < settings.end && !HasFailure(); ++i) {
      SCOPED_TRACE("case " + std::to_string(i));
      expect_agreement(generate(case_seed(settings.seed, i), comparison_->oracle(), segments));
    }
  }

  std::unique_ptr<Comparison> comparison_;
};

TEST_F(Modes, RandomCodeAgreesInSegmentsWithLimits) { compare_random_code(Segments::Limited); }

TEST_F(Modes, RandomCodeAgreesWithABaseAndANullSegment) { compare_random_code(Segments::Based); }

TEST_F(Modes, RandomSixteenBitCodeAgrees) {
  const Settings settings = Settings::read(kNarrowCases);
  for (uint64_t i = settings.first; i < settings.end && !HasFailure(); ++i) {
    Random random(case_seed(settings.seed, i));
    Case test;
    test.seed = case_seed(settings.seed, i);
    test.start = narrow_start(random);
    NarrowEncoder encoder(random);
    for (uint32_t count = 1 + random.below(kMostPieces); count > 0; --count) {
      test.pieces.push_back(encoder.piece());
    }
    SCOPED_TRACE("case " + std::to_string(i));
    expect_agreement(test);
  }
}

}  // namespace
}  // namespace ringshift::differential
