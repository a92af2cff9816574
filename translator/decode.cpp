#include "translator/decode.h"

#include <algorithm>

#include "shadowmmu/base/check.h"

namespace ringshift {
namespace {

class DecoderSet {
 public:
  DecoderSet() {
    prepare(&bits32_, ZYDIS_MACHINE_MODE_LEGACY_32, ZYDIS_STACK_WIDTH_32);
    prepare(&bits16_, ZYDIS_MACHINE_MODE_LEGACY_16, ZYDIS_STACK_WIDTH_16);
    prepare(&real16_, ZYDIS_MACHINE_MODE_REAL_16, ZYDIS_STACK_WIDTH_16);
  }
  [[nodiscard]] const ZydisDecoder& of(DecodeMode mode) const {
    switch (mode) {
      case DecodeMode::Bits32:
        return bits32_;
      case DecodeMode::Bits16:
        return bits16_;
      case DecodeMode::Real16:
        return real16_;
    }
    UNREACHABLE();
  }

 private:
  static void prepare(ZydisDecoder* decoder, ZydisMachineMode mode, ZydisStackWidth width) {
    CHECK(ZYAN_SUCCESS(ZydisDecoderInit(decoder, mode, width)));
    // A processor without these extensions runs their encodings as the older instruction: a hint
    // NOP (MPX, CET, CLDEMOTE), BSR (LZCNT), BSF (TZCNT), WBINVD (WBNOINVD).
    for (const ZydisDecoderMode extension :
         {ZYDIS_DECODER_MODE_MPX, ZYDIS_DECODER_MODE_CET, ZYDIS_DECODER_MODE_LZCNT,
          ZYDIS_DECODER_MODE_TZCNT, ZYDIS_DECODER_MODE_WBNOINVD, ZYDIS_DECODER_MODE_CLDEMOTE,
          ZYDIS_DECODER_MODE_KNC}) {
      CHECK(ZYAN_SUCCESS(ZydisDecoderEnableMode(decoder, extension, ZYAN_FALSE)));
    }
  }
  ZydisDecoder bits32_{};
  ZydisDecoder bits16_{};
  ZydisDecoder real16_{};
};

const DecoderSet& decoders() {
  static const DecoderSet set;
  return set;
}

}  // namespace

DecodeOutcome decode(std::span<const uint8_t> bytes, DecodeMode mode, GuestInstruction* out) {
  const size_t available = std::min(bytes.size(), kMaxInstructionBytes);
  const ZyanStatus status = ZydisDecoderDecodeFull(&decoders().of(mode), bytes.data(), available,
                                                   &out->facts, out->operands.data());
  if (ZYAN_SUCCESS(status)) {
    out->length = out->facts.length;
    out->bytes.fill(0);
    std::copy_n(bytes.begin(), out->length, out->bytes.begin());
    return DecodeOutcome::Ok;
  }
  if (status == ZYDIS_STATUS_NO_MORE_DATA) {
    // Fifteen bytes that do not complete an instruction are the prefix of one that is too long.
    return available == kMaxInstructionBytes ? DecodeOutcome::TooLong
                                             : DecodeOutcome::NeedMoreBytes;
  }
  return status == ZYDIS_STATUS_INSTRUCTION_TOO_LONG ? DecodeOutcome::TooLong
                                                     : DecodeOutcome::Invalid;
}

bool decode_facts(std::span<const uint8_t> bytes, DecodeMode mode, ZydisDecodedInstruction* out) {
  const size_t available = std::min(bytes.size(), kMaxInstructionBytes);
  return ZYAN_SUCCESS(
      ZydisDecoderDecodeInstruction(&decoders().of(mode), nullptr, bytes.data(), available, out));
}

}  // namespace ringshift
