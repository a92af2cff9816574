// Page texts: the style and the scripts of the laboratory's pages, which lie as files in
// monitor/lab/pages and are part of the program. See docs/lab.md.
#pragma once

#include <string_view>

namespace ringshift::lab {

[[nodiscard]] std::string_view page_style();
// For every page: finds the data, folds everything out for print.
[[nodiscard]] std::string_view common_script();
// For each page its own.
[[nodiscard]] std::string_view matrix_script();
[[nodiscard]] std::string_view trap_script();
[[nodiscard]] std::string_view census_script();
[[nodiscard]] std::string_view paging_script();
[[nodiscard]] std::string_view translate_script();

}  // namespace ringshift::lab
