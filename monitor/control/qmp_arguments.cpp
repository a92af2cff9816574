#include "monitor/control/qmp_arguments.h"

namespace ringshift::control {

std::string shown(std::string_view text) {
  constexpr size_t kMost = 80;
  return std::string(text.substr(0, kMost));
}

QmpArguments::QmpArguments(const JsonValue* arguments, std::string_view known)
    : arguments_(arguments) {
  if (arguments == nullptr) return;
  for (const JsonMember& member : *arguments->as_object()) {
    const bool is_word = !member.name.empty() && member.name.find(' ') == std::string::npos;
    if (is_word && known.find(member.name + " ") != std::string_view::npos) {
      const size_t at = known.find(member.name + " ");
      if (at == 0 || known[at - 1] == ' ') continue;
    }
    problem_ = "Parameter '" + shown(member.name) + "' is unexpected";
    return;
  }
}

const JsonValue* QmpArguments::find(std::string_view name) const {
  return arguments_ != nullptr ? arguments_->find(name) : nullptr;
}

void QmpArguments::refuse(std::string_view name, const char* kind) {
  if (!problem_.empty()) return;
  problem_ =
      "Invalid parameter type for '" + std::string(name) + "', expected: " + std::string(kind);
}

std::string QmpArguments::text(std::string_view name) {
  const JsonValue* value = find(name);
  if (value == nullptr) return "";
  if (value->as_text() != nullptr) return *value->as_text();
  refuse(name, "string");
  return "";
}

std::string QmpArguments::needed_text(std::string_view name) {
  if (find(name) != nullptr) return text(name);
  if (problem_.empty()) problem_ = "Parameter '" + std::string(name) + "' is missing";
  return "";
}

bool QmpArguments::flag(std::string_view name) {
  const JsonValue* value = find(name);
  if (value == nullptr) return false;
  if (value->as_bool() != nullptr) return *value->as_bool();
  refuse(name, "boolean");
  return false;
}

std::optional<int64_t> QmpArguments::integer(std::string_view name) {
  const JsonValue* value = find(name);
  if (value == nullptr) return std::nullopt;
  if (value->as_integer() != nullptr) return *value->as_integer();
  refuse(name, "integer");
  return std::nullopt;
}

const JsonValue::Array* QmpArguments::needed_array(std::string_view name) {
  const JsonValue* value = find(name);
  if (value == nullptr) {
    if (problem_.empty()) problem_ = "Parameter '" + std::string(name) + "' is missing";
    return nullptr;
  }
  if (value->as_array() == nullptr) refuse(name, "array");
  return value->as_array();
}

}  // namespace ringshift::control
