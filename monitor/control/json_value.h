// JsonValue: a JSON text as a tree, for messages of QMP: parsed and printed. Owns: its members. The
// library that does both is behind json_value.cpp. See docs/control.md; RFC 8259.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace ringshift::control {

struct JsonMember;

class JsonValue {
 public:
  using Array = std::vector<JsonValue>;
  using Object = std::vector<JsonMember>;  // in the order in which they are printed

  // Not explicit: a message is written in C++ as it reads.
  // NOLINTBEGIN(google-explicit-constructor)
  JsonValue();  // null
  JsonValue(bool value);
  JsonValue(int64_t value);
  JsonValue(int value);
  JsonValue(double value);
  JsonValue(std::string value);
  JsonValue(const char* value);
  JsonValue(Array value);
  JsonValue(Object value);
  // NOLINTEND(google-explicit-constructor)
  // Defined where a member is complete.
  JsonValue(const JsonValue& other);
  JsonValue(JsonValue&& other) noexcept;
  JsonValue& operator=(const JsonValue& other);
  JsonValue& operator=(JsonValue&& other) noexcept;
  ~JsonValue();

  [[nodiscard]] const bool* as_bool() const { return std::get_if<bool>(&value_); }
  [[nodiscard]] const int64_t* as_integer() const { return std::get_if<int64_t>(&value_); }
  [[nodiscard]] const double* as_number() const { return std::get_if<double>(&value_); }
  [[nodiscard]] const std::string* as_text() const { return std::get_if<std::string>(&value_); }
  [[nodiscard]] const Array* as_array() const { return std::get_if<Array>(&value_); }
  [[nodiscard]] const Object* as_object() const { return std::get_if<Object>(&value_); }
  // A member of an object; null: this is no object, or has no such member.
  [[nodiscard]] const JsonValue* find(std::string_view name) const;

  // The value as text: on one line, or (pretty) on several that are indented. Bytes that are no
  // UTF-8 are replaced.
  [[nodiscard]] std::string text(bool pretty = false) const;

 private:
  std::variant<std::monostate, bool, int64_t, double, std::string, Array, Object> value_;
};

struct JsonMember {
  std::string name;
  JsonValue value;
};

// False: it is no JSON, and *at says at which byte that shows. The caller has bounded the depth.
[[nodiscard]] bool parse_json(std::string_view text, JsonValue* value, size_t* at);

}  // namespace ringshift::control
