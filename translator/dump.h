// Dump: a unit and the host code made of it, as text that is the same from run to run.
// Owns: nothing; pure. Host addresses come out as offsets and names.
// Called by: the `translate` command, golden tests, failure reports. See docs/translator.md.
#pragma once

#include <cstdint>
#include <string>

#include "translator/emitted_code.h"
#include "translator/stubs.h"
#include "translator/translation_unit.h"

namespace ringshift {

// Line 1: how much host code the guest instructions became. Then the fragment's entry, a block for
// each guest instruction, and the exits. `code` was emitted from `unit` to run at `at`.
[[nodiscard]] std::string dump(const TranslationUnit& unit, const EmittedCode& code,
                               const Stubs& stubs, uint64_t at);

}  // namespace ringshift
