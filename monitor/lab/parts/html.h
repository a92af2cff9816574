// HTML: the frame every page of the laboratory stands in: self-contained, light and dark.
// Owns: nothing; pure. Called by: the reports. What comes from a guest or the host goes through
// escape(). See docs/lab.md.
#pragma once

#include <string>
#include <string_view>

namespace ringshift::lab {

[[nodiscard]] std::string escape(std::string_view text);

// A whole page. `introduction` and `body` are HTML already.
[[nodiscard]] std::string html_page(std::string_view title, std::string_view introduction,
                                    std::string_view body);

// False with one line in *error.
[[nodiscard]] bool write_page(const std::string& path, const std::string& page, std::string* error);

}  // namespace ringshift::lab
