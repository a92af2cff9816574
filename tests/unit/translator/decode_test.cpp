#include "translator/decode.h"

#include <gtest/gtest.h>

#include <vector>

namespace ringshift {
namespace {

DecodeOutcome decode_bytes(const std::vector<uint8_t>& bytes, DecodeMode mode,
                           GuestInstruction* instruction) {
  return decode(bytes, mode, instruction);
}

TEST(Decode, LengthAndBytesAreTheGuests) {
  GuestInstruction instruction;
  ASSERT_EQ(decode_bytes({0x89, 0x43, 0x10, 0x90}, DecodeMode::Bits32, &instruction),
            DecodeOutcome::Ok);
  EXPECT_EQ(instruction.length, 3);
  EXPECT_EQ(instruction.bytes[1], 0x43);
  EXPECT_EQ(instruction.bytes[3], 0);
}

TEST(Decode, CutInstructionNeedsMoreBytes) {
  GuestInstruction instruction;
  EXPECT_EQ(decode_bytes({0xb8, 0x01}, DecodeMode::Bits32, &instruction),
            DecodeOutcome::NeedMoreBytes);
  EXPECT_EQ(decode_bytes({0xb8, 0x01, 0x02}, DecodeMode::Bits16, &instruction), DecodeOutcome::Ok);
}

TEST(Decode, FifteenPrefixesAreTooLong) {
  GuestInstruction instruction;
  EXPECT_EQ(decode_bytes(std::vector<uint8_t>(16, 0x2e), DecodeMode::Bits32, &instruction),
            DecodeOutcome::TooLong);
}

TEST(Decode, AbsentExtensionsDecodeAsTheOlderInstruction) {
  GuestInstruction instruction;
  ASSERT_EQ(decode_bytes({0xf3, 0x0f, 0xbd, 0xc1}, DecodeMode::Bits32, &instruction),
            DecodeOutcome::Ok);
  EXPECT_EQ(instruction.facts.mnemonic, ZYDIS_MNEMONIC_BSR);
  ASSERT_EQ(decode_bytes({0xf3, 0x0f, 0x1e, 0xfb}, DecodeMode::Bits32, &instruction),
            DecodeOutcome::Ok);
  EXPECT_EQ(instruction.facts.mnemonic, ZYDIS_MNEMONIC_NOP);
}

TEST(Decode, UndocumentedAliasesAreAccepted) {
  GuestInstruction instruction;
  const std::vector<std::vector<uint8_t>> aliases = {
      {0x82, 0xc0, 0x01}, {0xd6},       {0xf6, 0xc8, 0x01}, {0xc0, 0xf0, 0x01},
      {0xd9, 0xd8},       {0xdd, 0xc8}, {0xdc, 0xd0},       {0xde, 0xd0},
      {0xdf, 0xc0},       {0xdf, 0xc8}, {0x0f, 0x0d, 0x00}, {0x0f, 0x19, 0xc0},
      {0xdb, 0xe0}};
  for (const auto& bytes : aliases) {
    EXPECT_EQ(decode_bytes(bytes, DecodeMode::Bits32, &instruction), DecodeOutcome::Ok)
        << std::hex << unsigned{bytes[0]} << ' ' << unsigned{bytes.back()};
  }
}

TEST(Decode, ArplDoesNotExistInRealMode) {
  GuestInstruction instruction;
  EXPECT_EQ(decode_bytes({0x63, 0xc0}, DecodeMode::Bits16, &instruction), DecodeOutcome::Ok);
  EXPECT_EQ(decode_bytes({0x63, 0xc0}, DecodeMode::Real16, &instruction), DecodeOutcome::Invalid);
}

}  // namespace
}  // namespace ringshift
