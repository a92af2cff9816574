#include "devices/input/i8042.h"

#include <algorithm>
#include <iterator>
#include <utility>

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

constexpr uint8_t kBreakPrefix = 0xf0;
constexpr size_t kKeyboardBuffer = 64;

// Scan code set 2 to set 1, codes 00-7F (PS/2 technical reference, "Scan code translation").
constexpr uint8_t kSet2ToSet1[128] = {
    0xff, 0x43, 0x41, 0x3f, 0x3d, 0x3b, 0x3c, 0x58, 0x64, 0x44, 0x42, 0x40, 0x3e, 0x0f, 0x29, 0x59,
    0x65, 0x38, 0x2a, 0x70, 0x1d, 0x10, 0x02, 0x5a, 0x66, 0x71, 0x2c, 0x1f, 0x1e, 0x11, 0x03, 0x5b,
    0x67, 0x2e, 0x2d, 0x20, 0x12, 0x05, 0x04, 0x5c, 0x68, 0x39, 0x2f, 0x21, 0x14, 0x13, 0x06, 0x5d,
    0x69, 0x31, 0x30, 0x23, 0x22, 0x15, 0x07, 0x5e, 0x6a, 0x72, 0x32, 0x24, 0x16, 0x08, 0x09, 0x5f,
    0x6b, 0x33, 0x25, 0x17, 0x18, 0x0b, 0x0a, 0x60, 0x6c, 0x34, 0x35, 0x26, 0x27, 0x19, 0x0c, 0x61,
    0x6d, 0x73, 0x28, 0x74, 0x1a, 0x0d, 0x62, 0x6e, 0x3a, 0x36, 0x1c, 0x1b, 0x75, 0x2b, 0x63, 0x76,
    0x55, 0x56, 0x77, 0x78, 0x79, 0x7a, 0x0e, 0x7b, 0x7c, 0x4f, 0x7d, 0x4b, 0x47, 0x7e, 0x7f, 0x6f,
    0x52, 0x53, 0x50, 0x4c, 0x4d, 0x48, 0x01, 0x45, 0x57, 0x4e, 0x51, 0x4a, 0x37, 0x49, 0x46, 0x54,
};

}  // namespace

uint8_t set_2_of_set_1(uint8_t code) {
  // F7 and Alt-Print have codes above 7f, which are what keyboards send for them.
  constexpr uint8_t kF7 = 0x41, kAltPrint = 0x54;
  if (code == kF7) return 0x83;
  if (code == kAltPrint) return 0x84;
  const auto* const found = std::find(std::begin(kSet2ToSet1) + 1, std::end(kSet2ToSet1), code);
  return found == std::end(kSet2ToSet1) ? 0 : static_cast<uint8_t>(found - kSet2ToSet1);
}

void Ps2Keyboard::send(uint8_t byte) {
  // A host that never reads loses answers, as it would lose keys.
  if (output_.size() < kKeyboardBuffer) output_.push_back(byte);
}

uint8_t Ps2Keyboard::take_output() {
  const uint8_t byte = output_.front();
  output_.pop_front();
  return byte;
}

size_t Ps2Keyboard::inject(std::span<const uint8_t> codes) {
  if (!scanning_) return codes.size();  // keys pressed while scanning is off are gone
  const size_t accepted = std::min(codes.size(), kKeyboardBuffer - output_.size());
  output_.insert(output_.end(), codes.begin(), codes.begin() + static_cast<ptrdiff_t>(accepted));
  return accepted;
}

void Ps2Keyboard::set_defaults() {
  scancode_set_ = 2;
  awaiting_argument_of_ = 0;
}

void Ps2Keyboard::command(uint8_t byte) {
  constexpr uint8_t kAcknowledge = 0xfa, kResend = 0xfe, kSelfTestPassed = 0xaa;
  if (const uint8_t waiting = std::exchange(awaiting_argument_of_, uint8_t{0}); waiting != 0) {
    if (byte < 0x80) {  // anything else is a new command, which cancels the waiting one
      send(kAcknowledge);
      if (waiting == 0xf0 && byte == 0) send(scancode_set_);
      if (waiting == 0xf0 && byte >= 1 && byte <= 3) scancode_set_ = byte;
      return;
    }
  }
  switch (byte) {
    case 0xed:  // LEDs
    case 0xf0:  // scan code set
    case 0xf3:  // typematic rate
      awaiting_argument_of_ = byte;
      send(kAcknowledge);
      break;
    case 0xee:  // echo
      send(0xee);
      break;
    case 0xf2:  // identify: an MF2 keyboard
      send(kAcknowledge);
      send(0xab);
      send(0x83);
      break;
    case 0xf4:
      scanning_ = true;
      output_.clear();
      send(kAcknowledge);
      break;
    case 0xf5:
      scanning_ = false;
      set_defaults();
      send(kAcknowledge);
      break;
    case 0xf6:
      set_defaults();
      send(kAcknowledge);
      break;
    case 0xff:
      output_.clear();
      set_defaults();
      scanning_ = true;
      send(kAcknowledge);
      send(kSelfTestPassed);
      break;
    default:
      send(kResend);
      break;
  }
}

void Ps2Keyboard::visit_state(StateArchive& archive) {
  archive.list("output", output_, kKeyboardBuffer);
  archive.field("awaiting argument of", awaiting_argument_of_);
  archive.field("scan code set", scancode_set_);
  archive.field("scanning", scanning_);
}

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
  uint8_t result = code;
  if (code < 0x80) {
    result = kSet2ToSet1[code];
  } else if (code == 0x83) {
    result = 0x41;
  } else if (code == 0x84) {
    result = 0x54;
  }
  if (break_prefix_ && result < 0x80) result |= 0x80;
  break_prefix_ = false;
  return result;
}

void I8042::fill_output() {
  const bool keyboard = (memory_[0] & kKeyboardDisabled) == 0;
  while (keyboard && !output_full_ && keyboard_.has_output()) {
    uint8_t code = keyboard_.take_output();
    if ((memory_[0] & kTranslate) != 0) {
      if (code == kBreakPrefix) {
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
