#include "devices/input/i8042.h"

#include <utility>

#include "devices/input/scan_codes.h"
#include "shadowmmu/base/state_archive.h"

namespace ringshift {
namespace {

// Status register.
constexpr uint8_t kOutputFull = 0x01, kSystemFlag = 0x04, kCommandLast = 0x08;
constexpr uint8_t kNotInhibited = 0x10, kOutputIsMouse = 0x20;
// Command byte.
constexpr uint8_t kKeyboardIrq = 0x01, kMouseIrq = 0x02, kPassedSelfTest = 0x04;
constexpr uint8_t kKeyboardDisabled = 0x10, kAuxiliaryDisabled = 0x20, kTranslate = 0x40;
// Output port.
constexpr uint8_t kNotReset = 0x01, kA20 = 0x02;

}  // namespace

I8042::I8042(InterruptLine& irq1, InterruptLine& irq12, A20Gate& a20,
             std::function<void()> on_reset)
    : irq1_(irq1),
      irq12_(irq12),
      a20_(a20),
      on_reset_(std::move(on_reset)),
      data_port_([this](uint16_t) { return read_data(); },
                 [this](uint16_t, uint8_t value) { write_data(value); }),
      command_port_([this](uint16_t) { return read_status(); },
                    [this](uint16_t, uint8_t value) { write_command(value); }) {
  // As a BIOS leaves it: self test passed, translation on, the mouse off.
  memory_[0] = kKeyboardIrq | kPassedSelfTest | kAuxiliaryDisabled | kTranslate;
}

size_t I8042::inject_scancodes(std::span<const uint8_t> codes) {
  const size_t accepted = keyboard_.inject(codes);
  fill_output();
  return accepted;
}

void I8042::move_mouse(const MouseMotion& motion) {
  mouse_.move(motion);
  fill_output();
}

uint8_t I8042::read_status() const {
  return static_cast<uint8_t>(kNotInhibited | (output_full_ ? kOutputFull : 0) |
                              (output_full_ && output_is_mouse_ ? kOutputIsMouse : 0) |
                              ((memory_[0] & kPassedSelfTest) != 0 ? kSystemFlag : 0) |
                              (last_write_was_command_ ? kCommandLast : 0));
}

uint8_t I8042::read_data() {
  const uint8_t value = output_;
  output_full_ = false;
  update_irq();  // the wire falls before the next byte raises it: an edge for each byte
  fill_output();
  return value;
}

void I8042::reply(uint8_t value) {
  output_ = value;
  output_full_ = true;
  output_raises_irq_ = output_is_mouse_ = false;
  update_irq();
}

void I8042::put_output(uint8_t value, bool is_mouse) {
  output_ = value;
  output_full_ = output_raises_irq_ = true;
  output_is_mouse_ = is_mouse;
}

uint8_t I8042::translated(uint8_t code) {
  uint8_t result = set_1_of_set_2(code);
  if (break_prefix_ && result < 0x80) result |= 0x80;
  break_prefix_ = false;
  return result;
}

void I8042::fill_output() {
  const bool keyboard = (memory_[0] & kKeyboardDisabled) == 0;
  while (keyboard && !output_full_ && keyboard_.has_output()) {
    uint8_t code = keyboard_.take_output();
    if ((memory_[0] & kTranslate) != 0) {
      if (code == kReleasePrefix) {
        break_prefix_ = true;
        continue;
      }
      code = translated(code);
    }
    put_output(code, false);
  }
  const bool mouse = (memory_[0] & kAuxiliaryDisabled) == 0;
  if (mouse && !output_full_ && mouse_.has_output()) put_output(mouse_.take_output(), true);
  update_irq();
}

void I8042::update_irq() {
  const bool full = output_full_ && output_raises_irq_;
  irq1_.set_level(full && !output_is_mouse_ && (memory_[0] & kKeyboardIrq) != 0);
  irq12_.set_level(full && output_is_mouse_ && (memory_[0] & kMouseIrq) != 0);
}

uint8_t I8042::read_output_port() const {
  // Bits 4 and 5 follow the output buffer; 6 and 7 are the keyboard's clock and data, high.
  const unsigned full = output_is_mouse_ ? 0x20 : 0x10;
  return static_cast<uint8_t>(0xc0 | kNotReset | (a20_.enabled() ? kA20 : 0) |
                              (output_full_ ? full : 0));
}

void I8042::write_output_port(uint8_t value) {
  a20_.set((value & kA20) != 0);
  if ((value & kNotReset) == 0) reset();
}

void I8042::write_data(uint8_t value) {
  last_write_was_command_ = false;
  const uint8_t command = std::exchange(pending_command_, uint8_t{0});
  if (command >= 0x60 && command <= 0x7f) {
    memory_[command & 0x1f] = value;
    update_irq();
    fill_output();
    return;
  }
  switch (command) {
    case 0xd1:
      write_output_port(value);
      break;
    case 0xd2:  // as if the keyboard had sent it
    case 0xd3:  // as if the mouse had
      put_output(value, command == 0xd3);
      update_irq();
      break;
    case 0xd4:  // to the mouse; sending a byte enables its clock
      memory_[0] &= static_cast<uint8_t>(~kAuxiliaryDisabled);
      mouse_.command(value);
      fill_output();
      break;
    default:
      // A byte for the keyboard; sending one enables its clock.
      memory_[0] &= static_cast<uint8_t>(~kKeyboardDisabled);
      keyboard_.command(value);
      fill_output();
      break;
  }
}

// The commands whose low bits are an operand. Returns false for any other.
bool I8042::write_ranged_command(uint8_t command) {
  if (command >= 0x20 && command <= 0x3f) {
    reply(memory_[command & 0x1f]);
  } else if (command >= 0x60 && command <= 0x7f) {
    pending_command_ = command;
  } else if (command >= 0xf0) {
    // Pulses the output port bits that are 0; bit 0 is the reset wire.
    if ((command & kNotReset) == 0) reset();
  } else {
    return false;
  }
  return true;
}

void I8042::write_command(uint8_t command) {
  last_write_was_command_ = true;
  pending_command_ = 0;
  if (write_ranged_command(command)) return;
  switch (command) {
    case 0xa7:
      memory_[0] |= kAuxiliaryDisabled;
      break;
    case 0xa8:
      memory_[0] &= static_cast<uint8_t>(~kAuxiliaryDisabled);
      fill_output();
      break;
    case 0xa9:  // mouse interface test: no error
      reply(0x00);
      break;
    case 0xaa:
      // Self test: passed. It leaves the keyboard disabled and translation on.
      memory_[0] |= kPassedSelfTest | kKeyboardDisabled;
      reply(0x55);
      break;
    case 0xab:  // keyboard interface test: no error
      reply(0x00);
      break;
    case 0xad:
      memory_[0] |= kKeyboardDisabled;
      break;
    case 0xae:
      memory_[0] &= static_cast<uint8_t>(~kKeyboardDisabled);
      fill_output();
      break;
    case 0xc0:  // input port: keyboard not locked
      reply(0x80);
      break;
    case 0xd0:
      reply(read_output_port());
      break;
    case 0xdd:
      a20_.set(false);
      break;
    case 0xdf:
      a20_.set(true);
      break;
    case 0xd1:
    case 0xd2:
    case 0xd3:
    case 0xd4:
      pending_command_ = command;
      break;
    default:
      break;
  }
}

void I8042::visit_state(StateArchive& archive) {
  archive.part("keyboard", keyboard_);
  archive.part("mouse", mouse_);
  archive.numbers("memory", memory_);
  archive.field("pending command", pending_command_);
  archive.field("output", output_);
  archive.field("output full", output_full_);
  archive.field("output raises irq", output_raises_irq_);
  archive.field("output is mouse", output_is_mouse_);
  archive.field("last write was command", last_write_was_command_);
  archive.field("break prefix", break_prefix_);
}

}  // namespace ringshift
