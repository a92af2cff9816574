// GdbSession, second part: registers, memory, breakpoints and watched data.
// The protocol: gdb's manual, appendix "Remote Serial Protocol".
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <vector>

#include "monitor/debug/gdb/gdb_replies.h"
#include "monitor/debug/gdb/gdb_session.h"

namespace ringshift::debug {
namespace {

constexpr uint32_t kLargestWatch = 4096;

}  // namespace

// ---- registers ----

std::string GdbSession::read_registers(Arguments) {
  std::string text;
  std::array<uint8_t, kLargestRegister> bytes;
  for (const Register& each : registers()) {
    const std::span<uint8_t> value = std::span(bytes).first(each.bytes());
    read_register(target_->state(), each, value);
    text += to_hex(value);
  }
  return text;
}

// Unchanged registers are not written: most system registers cannot be.
std::string GdbSession::write_registers(Arguments arguments) {
  const std::optional<std::vector<uint8_t>> bytes = bytes_of_hex(arguments.rest());
  if (!bytes || bytes->size() != all_register_bytes()) return kMalformed;
  std::span<const uint8_t> left(*bytes);
  bool good = true;
  std::array<uint8_t, kLargestRegister> now;
  for (const Register& each : registers()) {
    const std::span<const uint8_t> value = left.first(each.bytes());
    left = left.subspan(each.bytes());
    const std::span<uint8_t> old = std::span(now).first(each.bytes());
    read_register(target_->state(), each, old);
    if (!std::equal(old.begin(), old.end(), value.begin())) {
      good = target_->set_register(each, value) && good;
    }
  }
  return good ? kOk : kRefused;
}

std::string GdbSession::read_one_register(Arguments arguments) {
  const std::optional<uint32_t> number = arguments.take_number();
  if (!number || !arguments.at_end() || *number >= registers().size()) return kMalformed;
  const Register& which = registers()[*number];
  std::array<uint8_t, kLargestRegister> bytes;
  const std::span<uint8_t> value = std::span(bytes).first(which.bytes());
  read_register(target_->state(), which, value);
  return to_hex(value);
}

std::string GdbSession::write_one_register(Arguments arguments) {
  const std::optional<uint32_t> number = arguments.take_number();
  if (!number || *number >= registers().size() || !arguments.take('=')) return kMalformed;
  const Register& which = registers()[*number];
  const std::optional<std::vector<uint8_t>> value = bytes_of_hex(arguments.rest());
  if (!value || value->size() != which.bytes()) return kMalformed;
  return target_->set_register(which, *value) ? kOk : kRefused;
}

// ---- memory ----

std::string GdbSession::read_memory(Arguments arguments) {
  const std::optional<uint32_t> address = arguments.take_number();
  if (!address || !arguments.take(',')) return kMalformed;
  const std::optional<uint32_t> length = arguments.take_number();
  if (!length || !arguments.at_end()) return kMalformed;
  // A reply may be shorter than the request.
  std::vector<uint8_t> bytes(std::min<size_t>(*length, kMostPayload / 2));
  const size_t read = target_->read_memory(GuestVirtual(*address), bytes);
  if (read == 0 && !bytes.empty()) return kNoMemory;
  return to_hex(std::span(bytes).first(read));
}

std::string GdbSession::write_memory_hex(Arguments arguments) {
  const std::optional<uint32_t> address = arguments.take_number();
  if (!address || !arguments.take(',')) return kMalformed;
  const std::optional<uint32_t> length = arguments.take_number();
  if (!length || !arguments.take(':')) return kMalformed;
  const std::optional<std::vector<uint8_t>> bytes = bytes_of_hex(arguments.rest());
  if (!bytes || bytes->size() != *length) return kMalformed;
  return target_->write_memory(GuestVirtual(*address), *bytes) ? kOk : kNoMemory;
}

std::string GdbSession::write_memory_binary(Arguments arguments) {
  const std::optional<uint32_t> address = arguments.take_number();
  if (!address || !arguments.take(',')) return kMalformed;
  const std::optional<uint32_t> length = arguments.take_number();
  if (!length || !arguments.take(':') || arguments.rest().size() != *length) return kMalformed;
  const std::span bytes(reinterpret_cast<const uint8_t*>(arguments.rest().data()), *length);
  return target_->write_memory(GuestVirtual(*address), bytes) ? kOk : kNoMemory;
}

// ---- breakpoints and watched data ----

std::string GdbSession::insert_point(Arguments arguments) { return change_point(arguments, true); }
std::string GdbSession::remove_point(Arguments arguments) { return change_point(arguments, false); }

std::string GdbSession::change_point(Arguments arguments, bool insert) {
  const std::optional<uint32_t> type = arguments.take_number();
  if (!type || !arguments.take(',')) return kMalformed;
  const std::optional<uint32_t> address = arguments.take_number();
  if (!address || !arguments.take(',')) return kMalformed;
  const std::optional<uint32_t> size = arguments.take_number();
  if (!size || !arguments.at_end()) return kMalformed;
  ExecutionControl& control = target_->control();
  if (*type <= 1) {
    const auto kind = static_cast<ExecutionControl::BreakpointKind>(*type);
    if (insert) return control.insert_breakpoint(GuestVirtual(*address), kind) ? kOk : kRefused;
    control.remove_breakpoint(GuestVirtual(*address), kind);
    return kOk;
  }
  if (*type > 4) return kUnknown;
  if (*size == 0 || *size > kLargestWatch) return kRefused;
  const WatchedData watched{GuestVirtual(*address), *size, static_cast<WatchKind>(*type - 2)};
  if (insert) return control.insert_watch(watched) ? kOk : kRefused;
  control.remove_watch(watched);
  return kOk;
}

}  // namespace ringshift::debug
