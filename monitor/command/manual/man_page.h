// Man page: ringshift(1) as source for man(1), written from the option tables. See
// docs/packaging.md.
#pragma once

#include <string>

#include "monitor/command/manual/command_text.h"

namespace ringshift::manual {

// version: the number alone, so that the page is the same for every commit of a release.
[[nodiscard]] std::string man_page(const CommandText& program, const std::string& version);

}  // namespace ringshift::manual
