// Random register instructions run on the host's processor and in the interpreter; every register
// and every arithmetic flag, the undefined ones included, must agree. The seed is fixed: a failure
// replays.
#include <cstddef>
#include <random>
#include <sstream>
#include <vector>

#include "tests/support/interpreter_fixture.h"
#include "translator/code_arena.h"

namespace ringshift {
namespace {

struct NativeFrame {
  std::array<uint32_t, kGprCount> gpr{};
  uint64_t eflags = 0;
};

using Bytes = std::vector<uint8_t>;

// An instruction shape: opcode bytes, then a register ModRM, then immediate bytes.
struct Shape {
  Bytes opcode;
  int fixed_reg;  // -1: any register
  unsigned immediate_bytes;
};

// The same encodings mean the same in 32-bit and 64-bit code.
const std::vector<Shape>& shapes() {
  static const std::vector<Shape> list = [] {
    std::vector<Shape> result;
    for (unsigned operation = 0; operation < 8; ++operation) {
      for (unsigned form = 0; form < 4; ++form) {
        result.push_back({{static_cast<uint8_t>(operation * 8 + form)}, -1, 0});
      }
      const int number = static_cast<int>(operation);
      result.push_back({{0x80}, number, 1});
      result.push_back({{0x81}, number, 4});
      result.push_back({{0x83}, number, 1});
      for (const unsigned opcode : {0xc0U, 0xc1U}) {
        result.push_back({{static_cast<uint8_t>(opcode)}, number, 1});
      }
      for (const unsigned opcode : {0xd0U, 0xd1U, 0xd2U, 0xd3U}) {
        result.push_back({{static_cast<uint8_t>(opcode)}, number, 0});
      }
    }
    for (const int number : {2, 3, 4, 5}) {
      result.push_back({{0xf6}, number, 0});
      result.push_back({{0xf7}, number, 0});
    }
    for (const int number : {0, 1}) {
      result.push_back({{0xfe}, number, 0});
      result.push_back({{0xff}, number, 0});
    }
    for (const uint8_t opcode :
         std::initializer_list<uint8_t>{0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8a, 0x8b}) {
      result.push_back({{opcode}, -1, 0});
    }
    for (unsigned condition = 0; condition < 16; ++condition) {
      result.push_back({{0x0f, static_cast<uint8_t>(0x40 + condition)}, -1, 0});
      result.push_back({{0x0f, static_cast<uint8_t>(0x90 + condition)}, -1, 0});
    }
    for (const uint8_t opcode :
         std::initializer_list<uint8_t>{0xa3, 0xa5, 0xab, 0xad, 0xaf, 0xb0, 0xb1, 0xb3, 0xb6, 0xb7,
                                        0xbb, 0xbc, 0xbd, 0xbe, 0xbf, 0xc0, 0xc1}) {
      result.push_back({{0x0f, opcode}, -1, 0});
    }
    result.push_back({{0x0f, 0xa4}, -1, 1});
    result.push_back({{0x0f, 0xac}, -1, 1});
    for (const int number : {4, 5, 6, 7}) result.push_back({{0x0f, 0xba}, number, 1});
    result.push_back({{0x69}, -1, 4});
    result.push_back({{0x6b}, -1, 1});
    return result;
  }();
  return list;
}

class InterpreterDifferential : public InterpreterFixture {
 protected:
  InterpreterDifferential() {
    std::string error;
    arena_ = CodeArena::create(1 << 16, &error);
    EXPECT_NE(arena_, nullptr) << error;
  }

  uint32_t random() { return static_cast<uint32_t>(random_()); }
  // Small and extreme values find more than uniform ones do.
  uint32_t random_value() {
    constexpr std::array<uint32_t, 8> kCorners = {0,          1,      0x7fffffff, 0x80000000,
                                                  0xffffffff, 0x8000, 0xff,       0x7f};
    return random() % 3 == 0 ? kCorners[random() % kCorners.size()] : random();
  }
  // Never 4: in the native run ESP is the host's stack pointer. (AH is lost with it.)
  unsigned random_register() {
    const unsigned number = random() % 7;
    return number < 4 ? number : number + 1;
  }

  Bytes random_instruction() {
    const Shape& shape = shapes()[random() % shapes().size()];
    Bytes bytes;
    const bool word = random() % 4 == 0;
    if (word) bytes.push_back(0x66);
    bytes.insert(bytes.end(), shape.opcode.begin(), shape.opcode.end());
    const unsigned reg =
        shape.fixed_reg < 0 ? random_register() : static_cast<unsigned>(shape.fixed_reg);
    bytes.push_back(static_cast<uint8_t>(0xc0U | (reg << 3) | random_register()));
    const unsigned immediate = shape.immediate_bytes == 4 && word ? 2 : shape.immediate_bytes;
    for (unsigned i = 0; i < immediate; ++i) bytes.push_back(static_cast<uint8_t>(random()));
    return bytes;
  }

  void run_natively(const Bytes& instruction, NativeFrame* frame) {
    constexpr std::array<uint8_t, 7> kRegisters = {0, 1, 2, 3, 5, 6, 7};
    Bytes code = {0x53, 0x55, 0x49, 0x89, 0xf8, 0x41, 0xff, 0x70, 0x20, 0x9d};
    // push rbx; push rbp; mov r8, rdi; push [r8+32]; popfq; then mov r32, [r8+4*r]
    const auto append_moves = [&code, &kRegisters](uint8_t opcode) {
      for (const uint8_t number : kRegisters) {
        const Bytes move = {0x41, opcode, static_cast<uint8_t>(0x40U | (unsigned{number} << 3)),
                            static_cast<uint8_t>(number * 4)};
        code.insert(code.end(), move.begin(), move.end());
      }
    };
    append_moves(0x8b);
    code.insert(code.end(), instruction.begin(), instruction.end());
    append_moves(0x89);
    const Bytes tail = {0x9c, 0x41, 0x8f, 0x40, 0x20, 0x5d, 0x5b, 0xc3};
    code.insert(code.end(), tail.begin(), tail.end());
    if (!arena_->has_room(code.size())) arena_->reset();
    const CodeExecuteView view = arena_->publish(code, 0);
    reinterpret_cast<void (*)(NativeFrame*)>(view.address)(frame);
  }

  static std::string describe(const Bytes& bytes) {
    std::ostringstream text;
    for (const uint8_t byte : bytes) text << std::hex << unsigned{byte} << ' ';
    return text.str();
  }

  // SDM 2B SAL/SHR and ROL: OF is for counts of 1, AF for no shift, CF for counts within the
  // operand.
  static uint32_t undefined_flags(const Bytes& instruction, uint32_t ecx) {
    const size_t at = instruction[0] == 0x66 ? 1 : 0;
    const uint8_t opcode = instruction[at];
    const bool by_immediate = opcode == 0xc0 || opcode == 0xc1;
    if (!by_immediate && opcode != 0xd2 && opcode != 0xd3) return 0;
    const uint32_t count = (by_immediate ? instruction.back() : ecx) & 31;
    const uint32_t bits = (opcode & 1) == 0 ? 8 : at == 1 ? 16 : 32;
    return (count != 1 ? kFlagOf : 0U) | (count >= bits ? kFlagCf : 0U);
  }

  void compare_one() {
    NativeFrame frame;
    for (uint32_t& value : frame.gpr) value = random_value();
    frame.gpr[4] = kStackTop;
    frame.eflags = (random() & kFlagsArithmetic) | kFlagReservedOne;
    state.gpr = frame.gpr;
    state.eflags = static_cast<uint32_t>(frame.eflags);
    state.eip = kCode;
    const NativeFrame before = frame;
    const Bytes instruction = random_instruction();
    run_natively(instruction, &frame);
    for (uint32_t i = 0; i < instruction.size(); ++i) set8(kCode + i, instruction[i]);
    ASSERT_EQ(step().kind, StepKind::Done) << describe(instruction);
    ASSERT_EQ(state.gpr, frame.gpr) << describe(instruction);
    const uint32_t defined = kFlagsArithmetic & ~undefined_flags(instruction, before.gpr[1]);
    ASSERT_EQ(flags() & defined, frame.eflags & defined)
        << describe(instruction) << "flags before: " << before.eflags;
  }

 private:
  static constexpr uint32_t kSeed = 20240229;
  std::unique_ptr<CodeArena> arena_;
  std::mt19937 random_{kSeed};
};

TEST_F(InterpreterDifferential, RandomRegisterInstructionsAgreeWithTheProcessor) {
  constexpr int kInstructions = 150000;
  for (int i = 0; i < kInstructions; ++i) {
    compare_one();
    if (HasFatalFailure()) return;
  }
}

}  // namespace
}  // namespace ringshift
