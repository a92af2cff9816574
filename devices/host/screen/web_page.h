// WebPage: the page that WebServer serves; its text is a file beside the source, and part of the
// program. See docs/screen.md.
#pragma once

#include <string>

namespace ringshift {

// The page with a number for this run, by which its own scripts and styles are known.
[[nodiscard]] std::string web_page(const std::string& nonce);

}  // namespace ringshift
