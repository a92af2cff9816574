#include "monitor/control/json_value.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

namespace ringshift::control {
namespace {

using Library = nlohmann::ordered_json;

JsonValue from_library(const Library& from) {
  switch (from.type()) {
    case Library::value_t::boolean:
      return from.get<bool>();
    case Library::value_t::number_integer:
      return from.get<int64_t>();
    case Library::value_t::number_unsigned:
      // Nothing that is asked for is so large.
      if (from.get<uint64_t>() > INT64_MAX) return from.get<double>();
      return from.get<int64_t>();
    case Library::value_t::number_float:
      return from.get<double>();
    case Library::value_t::string:
      return from.get<std::string>();
    case Library::value_t::array: {
      JsonValue::Array all;
      for (const Library& one : from) all.push_back(from_library(one));
      return all;
    }
    case Library::value_t::object: {
      JsonValue::Object all;
      for (const auto& [name, value] : from.items()) all.push_back({name, from_library(value)});
      return all;
    }
    default:
      return {};
  }
}

Library to_library(const JsonValue& from) {
  if (const bool* value = from.as_bool()) return *value;
  if (const int64_t* value = from.as_integer()) return *value;
  if (const double* value = from.as_number()) return *value;
  if (const std::string* value = from.as_text()) return *value;
  if (const JsonValue::Array* all = from.as_array()) {
    Library array = Library::array();
    for (const JsonValue& one : *all) array.push_back(to_library(one));
    return array;
  }
  if (const JsonValue::Object* all = from.as_object()) {
    Library object = Library::object();
    for (const JsonMember& one : *all) object[one.name] = to_library(one.value);
    return object;
  }
  return nullptr;
}

}  // namespace

JsonValue::JsonValue() = default;
JsonValue::JsonValue(bool value) : value_(value) {}
JsonValue::JsonValue(int64_t value) : value_(value) {}
JsonValue::JsonValue(int value) : value_(int64_t{value}) {}
JsonValue::JsonValue(double value) : value_(value) {}
JsonValue::JsonValue(std::string value) : value_(std::move(value)) {}
JsonValue::JsonValue(const char* value) : value_(std::string(value)) {}
JsonValue::JsonValue(Array value) : value_(std::move(value)) {}
JsonValue::JsonValue(Object value) : value_(std::move(value)) {}
JsonValue::JsonValue(const JsonValue& other) = default;
JsonValue::JsonValue(JsonValue&& other) noexcept = default;
JsonValue& JsonValue::operator=(const JsonValue& other) = default;
JsonValue& JsonValue::operator=(JsonValue&& other) noexcept = default;
JsonValue::~JsonValue() = default;

const JsonValue* JsonValue::find(std::string_view name) const {
  const Object* all = as_object();
  if (all == nullptr) return nullptr;
  const auto found = std::find_if(all->begin(), all->end(),
                                  [&](const JsonMember& one) { return one.name == name; });
  return found != all->end() ? &found->value : nullptr;
}

std::string JsonValue::text(bool pretty) const {
  constexpr int kIndent = 4, kOneLine = -1;
  return to_library(*this).dump(pretty ? kIndent : kOneLine, ' ', false,
                                Library::error_handler_t::replace);
}

bool parse_json(std::string_view text, JsonValue* value, size_t* at) {
  try {
    *value = from_library(Library::parse(text));
    return true;
  } catch (const Library::parse_error& error) {
    *at = error.byte;
    return false;
  } catch (const Library::out_of_range&) {
    *at = text.size();  // a number that no double holds; the library does not say where
    return false;
  }
}

}  // namespace ringshift::control
