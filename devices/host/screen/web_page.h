// WebPage: the page that WebServer serves; its text is a file beside the source, and part of the
// program. See docs/screen.md.
#pragma once

#include <string>

namespace ringshift {

// With a number for this run, by which the page's own scripts and styles are known.
[[nodiscard]] std::string web_page(const std::string& nonce);

}  // namespace ringshift
