// Translate command: shows the translation of an image or a raw code file; runs none of it. See
// docs/usage.md, "translate".
#pragma once

#include <string>

#include "monitor/command/options/options.h"

namespace ringshift {

// `ringshift translate`: as asked for on the command line. Pre: finish_translate_options agreed.
[[nodiscard]] bool run_translate(const TranslateOptions& options, std::string* text,
                                 std::string* error);

}  // namespace ringshift
