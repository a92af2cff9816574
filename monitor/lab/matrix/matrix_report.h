// Matrix report: the matrix as a terminal table, as JSON, as pictures, and as a page. Text from the
// host is escaped. See docs/lab.md.
#pragma once

#include <string>
#include <vector>

#include "monitor/lab/matrix/matrix.h"
#include "monitor/lab/parts/drawing.h"
#include "monitor/lab/parts/html.h"

namespace ringshift::lab {

// Does the theorem's condition hold here? The theorem: every sensitive instruction is privileged =>
// a trap-and-emulate monitor exists.
[[nodiscard]] std::string matrix_finding(const Matrix& matrix);
[[nodiscard]] std::string matrix_as_text(const Matrix& matrix);
[[nodiscard]] std::string matrix_as_json(const Matrix& matrix);
[[nodiscard]] std::vector<Picture> matrix_pictures(const Matrix& matrix);
[[nodiscard]] std::string matrix_as_html(const Matrix& matrix, Company company);
// The anchor of an instruction's row in that page: "POPF" -> "i-popf".
[[nodiscard]] std::string matrix_anchor(std::string_view name);

}  // namespace ringshift::lab
