// MachineControl, second part: a hand on the guest's keyboard and mouse.
#include "monitor/debug/machine_control.h"

namespace ringshift::debug {

bool MachineControl::press_keys(std::span<const KeyCode> keys, Nanoseconds hold,
                                std::string* error) {
  if (is_on_tape(error)) return false;
  if (keys_.waiting() + 2 * keys.size() > KeyQueue::kMostSteps) {
    *error = "the guest has not taken the keys before";
    return false;
  }
  for (const KeyCode& key : keys) (void)keys_.add(key_bytes(key, true), 0);
  // The last one first, as hands do.
  for (size_t i = keys.size(); i-- > 0;) {
    (void)keys_.add(key_bytes(keys[i], false), i + 1 == keys.size() ? hold : 0);
  }
  return true;
}

void MachineControl::put_one(const InputEvent& event) {
  switch (event.kind) {
    case InputEvent::Kind::Key:
      (void)keys_.add(key_bytes(event.key, event.down), 0);
      return;
    case InputEvent::Kind::Button:
      buttons_ = static_cast<uint8_t>(event.down ? buttons_ | event.button
                                                 : buttons_ & ~unsigned{event.button});
      break;
    case InputEvent::Kind::Move:
    case InputEvent::Kind::Wheel:
      break;
  }
  machine_.board().keyboard_controller().move_mouse(
      {.right = event.right, .up = event.up, .wheel = event.towards_person, .buttons = buttons_});
}

bool MachineControl::put_input(std::span<const InputEvent> events, std::string* error) {
  if (is_on_tape(error)) return false;
  if (keys_.waiting() + events.size() > KeyQueue::kMostSteps) {
    *error = "the guest has not taken the keys before";
    return false;
  }
  for (const InputEvent& event : events) put_one(event);
  return true;
}

}  // namespace ringshift::debug
