#include "devices/chips/debug_ports.h"

#include <utility>

#include "shadowmmu/base/state_archive.h"

namespace ringshift {
namespace {

// A guest tells that the console is there by reading back the port's own number.
constexpr uint8_t kConsolePresent = 0xe9;

}  // namespace

DebugPorts::DebugPorts(SerialBackend* console, std::function<void(uint8_t)> on_exit)
    : console_(console),
      on_exit_(std::move(on_exit)),
      exit_port_([](uint16_t) { return uint8_t{0}; },
                 [this](uint16_t offset, uint8_t value) {
                   // A wide write is one request, made by its low byte.
                   if (offset == 0 && on_exit_) on_exit_(static_cast<uint8_t>(value << 1 | 1));
                 }),
      console_port_([](uint16_t) { return kConsolePresent; },
                    [this](uint16_t, uint8_t value) {
                      if (console_ != nullptr) console_->transmit(value);
                    }),
      post_port_([this](uint16_t) { return post_code_; },
                 [this](uint16_t, uint8_t value) { post_code_ = value; }),
      delay_port_([](uint16_t) { return uint8_t{0xff}; }, [](uint16_t, uint8_t) {}) {}

void DebugPorts::visit_state(StateArchive& archive) { archive.field("post code", post_code_); }

}  // namespace ringshift
