// Matrix report: the matrix as a terminal table, as JSON, and as a page.
// Owns: nothing; pure. Called by: lab command. What comes from the host is escaped.
// See docs/lab.md.
#pragma once

#include <string>

#include "monitor/lab/matrix/matrix.h"

namespace ringshift::lab {

[[nodiscard]] std::string matrix_as_text(const Matrix& matrix);
[[nodiscard]] std::string matrix_as_json(const Matrix& matrix);
[[nodiscard]] std::string matrix_as_html(const Matrix& matrix);

}  // namespace ringshift::lab
