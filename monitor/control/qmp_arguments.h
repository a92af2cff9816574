// QmpArguments: the members of a request's "arguments", each asked for by its name and kind; and a
// request's result. The first that is wrong is the answer. See docs/control.md.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "monitor/control/json_value.h"

namespace ringshift::control {

struct QmpReply {
  JsonValue value;  // what is returned
  bool is_error = false;
  const char* error_class = "";
  std::string text;  // of the error

  [[nodiscard]] static QmpReply nothing() { return {JsonValue::Object{}, false, "", ""}; }
  [[nodiscard]] static QmpReply of(JsonValue value) { return {std::move(value), false, "", ""}; }
  [[nodiscard]] static QmpReply error(std::string text) {
    return {{}, true, "GenericError", std::move(text)};
  }
  [[nodiscard]] static QmpReply not_found(std::string text) {
    return {{}, true, "CommandNotFound", std::move(text)};
  }
  // Nothing, if it was done.
  [[nodiscard]] static QmpReply done(bool done, const std::string& why_not) {
    return done ? nothing() : error(why_not);
  }
};

// The part of a client's text that an answer may repeat.
[[nodiscard]] std::string shown(std::string_view text);

class QmpArguments {
 public:
  // Null: there are none. known: the names of all there may be, each with a blank behind it.
  QmpArguments(const JsonValue* arguments, std::string_view known);

  // Empty, 0, false: it is not there, and need not be; or problem() names the mistake.
  [[nodiscard]] std::string text(std::string_view name);
  [[nodiscard]] std::string needed_text(std::string_view name);
  [[nodiscard]] bool flag(std::string_view name);
  [[nodiscard]] std::optional<int64_t> integer(std::string_view name);
  // Null: it is not there, or is of another kind.
  [[nodiscard]] const JsonValue::Array* needed_array(std::string_view name);

  [[nodiscard]] bool good() const { return problem_.empty(); }
  [[nodiscard]] const std::string& problem() const { return problem_; }

 private:
  [[nodiscard]] const JsonValue* find(std::string_view name) const;
  void refuse(std::string_view name, const char* kind);

  const JsonValue* arguments_;
  std::string problem_;
};

}  // namespace ringshift::control
