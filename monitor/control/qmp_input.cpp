#include "monitor/control/qmp_input.h"

#include <algorithm>
#include <optional>
#include <string>
#include <vector>

namespace ringshift::control {
namespace {

using debug::ControlTarget;
using debug::InputEvent;

constexpr size_t kMostAtOnce = 64;

// A member of an object, as text; empty: there is none.
std::string member_text(const JsonValue& object, std::string_view name) {
  const JsonValue* value = object.find(name);
  return value != nullptr && value->as_text() != nullptr ? *value->as_text() : "";
}

std::optional<bool> member_flag(const JsonValue& object, std::string_view name) {
  const JsonValue* value = object.find(name);
  if (value == nullptr || value->as_bool() == nullptr) return std::nullopt;
  return *value->as_bool();
}

// {"type": "qcode", "data": "a"}, {"type": "number", "data": 30}.
std::optional<KeyCode> key_of(const JsonValue& key, std::string* problem) {
  const std::string type = member_text(key, "type");
  const JsonValue* data = key.find("data");
  std::optional<KeyCode> found;
  if (type == "qcode" && data != nullptr && data->as_text() != nullptr) {
    found = key_named(*data->as_text());
    if (!found) *problem = "Invalid parameter '" + shown(*data->as_text()) + "'";
  } else if (type == "number" && data != nullptr && data->as_integer() != nullptr) {
    const int64_t number = *data->as_integer();
    if (number > 0 && number <= 0xffff) found = key_numbered(static_cast<uint32_t>(number));
    if (!found) *problem = "there is no key of number " + std::to_string(number);
  } else {
    *problem = "a key is {\"type\": \"qcode\", \"data\": NAME} or of type number";
  }
  return found;
}

std::optional<InputEvent> key_event(const JsonValue& data, std::string* problem) {
  const std::optional<bool> down = member_flag(data, "down");
  const JsonValue* key = data.find("key");
  if (!down || key == nullptr) {
    *problem = "a key event has \"down\" and \"key\"";
    return std::nullopt;
  }
  const std::optional<KeyCode> code = key_of(*key, problem);
  if (!code) return std::nullopt;
  return InputEvent{.kind = InputEvent::Kind::Key, .key = *code, .down = *down};
}

std::optional<InputEvent> button_event(const JsonValue& data, std::string* problem) {
  const std::optional<bool> down = member_flag(data, "down");
  const std::string button = member_text(data, "button");
  constexpr struct {
    std::string_view name;
    uint8_t button;
    int wheel;
  } kButtons[] = {
      {"left", 1, 0}, {"right", 2, 0}, {"middle", 4, 0}, {"wheel-up", 0, -1}, {"wheel-down", 0, 1}};
  const auto* row = std::find_if(std::begin(kButtons), std::end(kButtons),
                                 [&](const auto& one) { return one.name == button; });
  if (!down || row == std::end(kButtons)) {
    *problem =
        "a button event has \"down\", and \"button\": left, right, middle, wheel-up, "
        "wheel-down";
    return std::nullopt;
  }
  if (row->wheel == 0) {
    return InputEvent{
        .kind = InputEvent::Kind::Button, .key = {}, .down = *down, .button = row->button};
  }
  // A wheel turns once as it goes down; nothing is released.
  return InputEvent{
      .kind = InputEvent::Kind::Wheel, .key = {}, .towards_person = *down ? row->wheel : 0};
}

std::optional<InputEvent> move_event(const JsonValue& data, std::string* problem) {
  constexpr int64_t kMost = 1 << 20;
  const std::string axis = member_text(data, "axis");
  const JsonValue* value = data.find("value");
  const int64_t* count = value != nullptr ? value->as_integer() : nullptr;
  if ((axis != "x" && axis != "y") || count == nullptr || *count < -kMost || *count > kMost) {
    *problem = "a movement has \"axis\": x or y, and \"value\"";
    return std::nullopt;
  }
  const int by = static_cast<int>(*count);
  return InputEvent{.kind = InputEvent::Kind::Move,
                    .key = {},
                    .right = axis == "x" ? by : 0,
                    .up = axis == "y" ? -by : 0};
}

std::optional<InputEvent> event_of(const JsonValue& event, std::string* problem) {
  const std::string type = member_text(event, "type");
  const JsonValue* data = event.find("data");
  if (data == nullptr || data->as_object() == nullptr) {
    *problem = "an event has \"type\" and \"data\"";
    return std::nullopt;
  }
  if (type == "key") return key_event(*data, problem);
  if (type == "btn") return button_event(*data, problem);
  if (type == "rel") return move_event(*data, problem);
  *problem = type == "abs" ? "the mouse is a PS/2 one: it knows movement, and no place"
                           : "an event is of type key, btn or rel";
  return std::nullopt;
}

}  // namespace

QmpReply send_key(QmpArguments& arguments, ControlTarget& target) {
  constexpr int64_t kHold = 100, kLongestHold = 60'000;
  const JsonValue::Array* keys = arguments.needed_array("keys");
  const int64_t hold = arguments.integer("hold-time").value_or(kHold);
  if (!arguments.good()) return QmpReply::error(arguments.problem());
  if (hold < 0 || hold > kLongestHold) {
    return QmpReply::error("Parameter 'hold-time' is at most 60000");
  }
  if (keys->size() > kMostAtOnce) return QmpReply::error("too many keys at once");
  std::vector<KeyCode> codes;
  std::string error;
  for (const JsonValue& key : *keys) {
    const std::optional<KeyCode> code = key_of(key, &error);
    if (!code) return QmpReply::error(error);
    codes.push_back(*code);
  }
  return QmpReply::done(target.press_keys(codes, hold * 1'000'000, &error), error);
}

QmpReply send_events(QmpArguments& arguments, ControlTarget& target) {
  const JsonValue::Array* listed = arguments.needed_array("events");
  if (!arguments.good()) return QmpReply::error(arguments.problem());
  if (listed->size() > kMostAtOnce) return QmpReply::error("too many events at once");
  std::vector<InputEvent> events;
  std::string error;
  for (const JsonValue& one : *listed) {
    const std::optional<InputEvent> event = event_of(one, &error);
    if (!event) return QmpReply::error(error);
    events.push_back(*event);
  }
  return QmpReply::done(target.put_input(events, &error), error);
}

}  // namespace ringshift::control
