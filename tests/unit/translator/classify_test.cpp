// BMI1 in the translator and in direct execution, with and without it in the guest's processor.
#include "translator/classify.h"

#include <gtest/gtest.h>

#include <vector>

#include "translator/user_sensitivity.h"

namespace ringshift {
namespace {

using Bytes = std::vector<uint8_t>;

GuestInstruction decoded(const Bytes& bytes) {
  GuestInstruction instruction;
  EXPECT_EQ(decode(bytes, DecodeMode::Bits32, &instruction), DecodeOutcome::Ok);
  return instruction;
}

TranslatorFeatures features_with_bmi1() {
  TranslatorFeatures features;
  features.tzcnt = true;
  return features;
}

const Bytes kRepBsf = {0xf3, 0x0f, 0xbc, 0xc1};
const Bytes kRepBsr = {0xf3, 0x0f, 0xbd, 0xc1};

TEST(Classify, VexPartOfBmi1RunsDirectlyWhereTheGuestHasIt) {
  for (const Bytes& bytes : std::vector<Bytes>{{0xc4, 0xe2, 0x60, 0xf2, 0xc1},     // andn
                                               {0xc4, 0xe2, 0x60, 0xf7, 0x03},     // bextr
                                               {0xc4, 0xe2, 0x60, 0xf3, 0xc9},     // blsr
                                               {0xc4, 0xe2, 0x60, 0xf3, 0xd1},     // blsmsk
                                               {0xc4, 0xe2, 0x60, 0xf3, 0xd9}}) {  // blsi
    const GuestInstruction instruction = decoded(bytes);
    EXPECT_FALSE(runs_directly(instruction.facts, TranslatorFeatures{}));
    EXPECT_TRUE(runs_directly(instruction.facts, features_with_bmi1()));
    EXPECT_EQ(classify(instruction, Privilege::User, features_with_bmi1()).treatment,
              Treatment::Callout);
  }
}

TEST(Classify, OtherVexInstructionsDoNotRunDirectly) {
  for (const Bytes& bytes : std::vector<Bytes>{{0xc4, 0xe2, 0x61, 0xf7, 0xc1},  // shlx: BMI2
                                               {0xc4, 0xe2, 0x60, 0xf5, 0xc1},  // bzhi: BMI2
                                               {0xc5, 0xf8, 0x58, 0xc1}}) {     // vaddps
    EXPECT_FALSE(runs_directly(decoded(bytes).facts, features_with_bmi1()));
  }
}

TEST(Classify, RepBsfIsTzcntWhereTheGuestHasIt) {
  EXPECT_TRUE(ignores_repeat(decoded(kRepBsf).facts, TranslatorFeatures{}));
  EXPECT_FALSE(runs_directly(decoded(kRepBsf).facts, TranslatorFeatures{}));
  EXPECT_FALSE(ignores_repeat(decoded(kRepBsf).facts, features_with_bmi1()));
  EXPECT_TRUE(runs_directly(decoded(kRepBsf).facts, features_with_bmi1()));
}

TEST(Classify, RepBsrIsNeverLzcnt) {
  EXPECT_TRUE(ignores_repeat(decoded(kRepBsr).facts, features_with_bmi1()));
  EXPECT_FALSE(runs_directly(decoded(kRepBsr).facts, features_with_bmi1()));
}

}  // namespace
}  // namespace ringshift
