#include "devices/chips/uart16550.h"

#include <algorithm>

#include "shadowmmu/base/state_archive.h"

namespace ringshift {
namespace {

enum Offset : uint16_t {
  kData = 0,
  kInterruptEnable = 1,
  kIdentityOrFifo = 2,
  kLineControl = 3,
  kModemControl = 4,
  kLineStatus = 5,
  kModemStatus = 6,
  kScratch = 7,
};

constexpr uint8_t kEnableReceived = 0x01, kEnableEmpty = 0x02;
constexpr uint8_t kEnableLineStatus = 0x04, kEnableModemStatus = 0x08;

constexpr uint8_t kIdNone = 0x01, kIdModemStatus = 0x00, kIdEmpty = 0x02;
constexpr uint8_t kIdReceived = 0x04, kIdTimeout = 0x0c, kIdLineStatus = 0x06;
constexpr uint8_t kIdFifosEnabled = 0xc0;

constexpr uint8_t kDataReady = 0x01, kOverrun = 0x02;
constexpr uint8_t kHoldingEmpty = 0x20, kTransmitterEmpty = 0x40;

constexpr uint8_t kDtr = 0x01, kRts = 0x02, kOut1 = 0x04, kOut2 = 0x08;
constexpr uint8_t kCts = 0x10, kDsr = 0x20, kRing = 0x40, kCarrier = 0x80;
constexpr uint8_t kDeltaRing = 0x04;

constexpr int64_t kCrystalHertz = 1'843'200;

}  // namespace

Uart16550::Uart16550(VirtualClock& clock, InterruptLine& irq, SerialBackend* backend)
    : clock_(clock), irq_(irq), backend_(backend), timeout_(clock, [this](Nanoseconds) {
        timeout_event_ = true;
        update_irq();
      }) {}

size_t Uart16550::trigger_level() const {
  constexpr size_t kLevels[] = {1, 4, 8, 14};
  return fifo_enabled_ ? kLevels[trigger_select_] : 1;
}

Nanoseconds Uart16550::character_time() const {
  // Start bit, five to eight data bits, parity, one or two stop bits; sixteen clocks to a bit.
  const int64_t bits = 1 + 5 + (line_control_ & 3) + ((line_control_ & 8) != 0 ? 1 : 0) +
                       ((line_control_ & 4) != 0 ? 2 : 1);
  const int64_t divisor = std::max<int64_t>(divisor_, 1);
  return bits * 16 * divisor * 1'000'000'000 / kCrystalHertz;
}

// The sender is patient: bytes that a driver has cleared away unread, while it set the port up,
// come in again once it listens.
void Uart16550::take_back() {
  if (!holds_own_bytes_) returned_.insert(returned_.begin(), received_.begin(), received_.end());
}

void Uart16550::bring_again() {
  if (loopback() || !is_listening()) return;
  while (!returned_.empty() && received_.size() < capacity()) {
    push_received(returned_.front());
    returned_.pop_front();
  }
}

void Uart16550::note_look(uint16_t offset) {
  const bool was_listening = is_listening();
  looks_in_a_row_ = looked_at_ == offset ? std::min(looks_in_a_row_ + 1, kLooksInARow) : 1;
  const unsigned more = looks_in_a_row_ == kLooksInARow ? kLooksOfAListener : 1;
  looks_ = std::min(looks_ + more, kLooksOfAListener);
  looked_at_ = offset;
  if (was_listening || !is_listening()) return;
  bring_again();
  if (on_room_) on_room_();
}

// The port is set up anew: by another driver, perhaps, which does not listen yet.
void Uart16550::note_set_up() { looks_ = 0; }

size_t Uart16550::receive(std::span<const uint8_t> bytes) {
  bring_again();
  if (loopback() || !returned_.empty()) return 0;
  const size_t room = capacity() - std::min(capacity(), received_.size());
  const size_t accepted = std::min(room, bytes.size());
  for (const uint8_t byte : bytes.first(accepted)) push_received(byte);
  update_irq();
  return accepted;
}

void Uart16550::push_received(uint8_t byte) {
  if (received_.size() >= capacity()) {
    // Datasheet, LSR bit 1: with FIFOs the new character is lost, without them the old one is.
    overrun_ = true;
    if (!fifo_enabled_) received_.back() = byte;
  } else {
    received_.push_back(byte);
  }
  restart_timeout();
}

uint8_t Uart16550::pop_received() {
  if (received_.empty()) return last_received_;
  last_received_ = received_.front();
  received_.pop_front();
  restart_timeout();
  if (received_.empty()) holds_own_bytes_ = false;
  bring_again();
  update_irq();
  if (received_.empty() && on_room_) on_room_();
  return last_received_;
}

void Uart16550::clear_receiver() {
  take_back();
  received_.clear();
  holds_own_bytes_ = false;
  overrun_ = false;
  restart_timeout();
}

void Uart16550::restart_timeout() {
  // Datasheet, "FIFO interrupt mode": four character times since the last arrival or read.
  timeout_event_ = false;
  if (fifo_enabled_ && !received_.empty()) {
    timeout_.arm(clock_.now() + 4 * character_time());
  } else {
    timeout_.cancel();
  }
}

void Uart16550::transmit(uint8_t byte) {
  // LIMIT(L17): a character leaves at once, so the holding register is empty again when the write
  // returns. The interrupt wire still falls and rises, for an edge-triggered controller to see.
  transmitter_empty_event_ = false;
  update_irq();
  if (loopback()) {
    holds_own_bytes_ = true;
    push_received(byte);
  } else if (backend_ != nullptr) {
    backend_->transmit(byte);
  }
  transmitter_empty_event_ = true;
  update_irq();
}

void Uart16550::write_interrupt_enable(uint8_t value) {
  value &= 0x0f;
  // Enabling the THRE interrupt while the transmitter is empty, as it always is, raises it.
  if ((value & ~interrupt_enable_ & kEnableEmpty) != 0) transmitter_empty_event_ = true;
  const bool begins = (value & ~interrupt_enable_ & kEnableReceived) != 0;
  interrupt_enable_ = value;
  note_set_up();
  bring_again();
  update_irq();
  if (begins && on_room_) on_room_();
}

void Uart16550::write_fifo_control(uint8_t value) {
  const bool enable = (value & 0x01) != 0;
  const bool changed = enable != fifo_enabled_;
  fifo_enabled_ = enable;
  // The other bits are only taken together with bit 0; changing bit 0 empties both FIFOs.
  if (enable) trigger_select_ = value >> 6;
  const bool emptied = changed || (enable && (value & 0x02) != 0);
  if (emptied) clear_receiver();
  note_set_up();
  bring_again();
  update_irq();
  if (emptied && on_room_) on_room_();
}

uint8_t Uart16550::modem_lines() const {
  // The other end is always there: carrier, data set ready and clear to send.
  if (!loopback()) return kCarrier | kDsr | kCts;
  uint8_t lines = 0;
  if ((modem_control_ & kRts) != 0) lines |= kCts;
  if ((modem_control_ & kDtr) != 0) lines |= kDsr;
  if ((modem_control_ & kOut1) != 0) lines |= kRing;
  if ((modem_control_ & kOut2) != 0) lines |= kCarrier;
  return lines;
}

void Uart16550::write_modem_control(uint8_t value) {
  const uint8_t before = modem_lines();
  const bool was_loopback = loopback();
  modem_control_ = value & 0x1f;
  const uint8_t after = modem_lines();
  // The delta bits lie four below their lines; ring tells of its trailing edge only.
  const auto changed = static_cast<uint8_t>((before ^ after) >> 4);
  const bool ring_ended = (before & ~after & kRing) != 0;
  modem_deltas_ =
      static_cast<uint8_t>(modem_deltas_ | (changed & ~kDeltaRing) | (ring_ended ? kDeltaRing : 0));
  bring_again();
  update_irq();
  if (was_loopback && !loopback() && on_room_) on_room_();
}

uint8_t Uart16550::pending_interrupt() const {
  if ((interrupt_enable_ & kEnableLineStatus) != 0 && overrun_) return kIdLineStatus;
  if ((interrupt_enable_ & kEnableReceived) != 0) {
    if (received_.size() >= trigger_level()) return kIdReceived;
    if (timeout_event_) return kIdTimeout;
  }
  if ((interrupt_enable_ & kEnableEmpty) != 0 && transmitter_empty_event_) return kIdEmpty;
  if ((interrupt_enable_ & kEnableModemStatus) != 0 && modem_deltas_ != 0) return kIdModemStatus;
  return kIdNone;
}

void Uart16550::update_irq() {
  // OUT2 does not gate the wire here. On the first PC boards it did; many that came after, and the
  // machines that guests are tried on, deliver whether it is set or not. A driver that sets it, as
  // all do that were written for those boards, sees no difference.
  irq_.set_level(pending_interrupt() != kIdNone);
}

uint8_t Uart16550::read_interrupt_identity() {
  const uint8_t identity = pending_interrupt();
  if (identity == kIdEmpty) {
    transmitter_empty_event_ = false;  // reading IIR answers this one
    update_irq();
  }
  return static_cast<uint8_t>(identity | (fifo_enabled_ ? kIdFifosEnabled : 0));
}

uint8_t Uart16550::read_line_status() {
  const auto status =
      static_cast<uint8_t>(kHoldingEmpty | kTransmitterEmpty |
                           (received_.empty() ? 0 : kDataReady) | (overrun_ ? kOverrun : 0));
  overrun_ = false;
  update_irq();
  return status;
}

uint8_t Uart16550::read_modem_status() {
  const auto status = static_cast<uint8_t>(modem_lines() | modem_deltas_);
  modem_deltas_ = 0;
  update_irq();
  return status;
}

uint8_t Uart16550::read_byte(uint16_t offset) {
  const bool is_empty_receiver = offset == kData && !divisor_access() && received_.empty();
  if (offset == kLineStatus || is_empty_receiver) {
    note_look(offset);
  } else {
    looked_at_ = kNothing;
  }
  switch (offset) {
    case kData:
      return divisor_access() ? static_cast<uint8_t>(divisor_) : pop_received();
    case kInterruptEnable:
      return divisor_access() ? static_cast<uint8_t>(divisor_ >> 8) : interrupt_enable_;
    case kIdentityOrFifo:
      return read_interrupt_identity();
    case kLineControl:
      return line_control_;
    case kModemControl:
      return modem_control_;
    case kLineStatus:
      return read_line_status();
    case kModemStatus:
      return read_modem_status();
    default:
      return scratch_;
  }
}

void Uart16550::write_byte(uint16_t offset, uint8_t value) {
  looked_at_ = kNothing;
  switch (offset) {
    case kData:
      if (divisor_access()) {
        divisor_ = static_cast<uint16_t>((divisor_ & 0xff00) | value);
      } else {
        transmit(value);
      }
      break;
    case kInterruptEnable:
      if (divisor_access()) {
        divisor_ = static_cast<uint16_t>((divisor_ & 0x00ff) | value << 8);
      } else {
        write_interrupt_enable(value);
      }
      break;
    case kIdentityOrFifo:
      write_fifo_control(value);
      break;
    case kLineControl:
      line_control_ = value;
      note_set_up();
      break;
    case kModemControl:
      write_modem_control(value);
      break;
    case kScratch:
      scratch_ = value;
      break;
    default:
      break;  // the status registers are read-only (LSR writes are for factory tests)
  }
}

void Uart16550::visit_state(StateArchive& archive) {
  archive.field("fifo enabled", fifo_enabled_);
  archive.list("received", received_, capacity());
  archive.list("returned", returned_, kFifoBytes);
  archive.field("looks", looks_, 0U, kLooksOfAListener);
  archive.field("looked at", looked_at_, 0, kNothing);
  archive.field("looks in a row", looks_in_a_row_, 0U, kLooksInARow);
  archive.field("holds own bytes", holds_own_bytes_);
  archive.field("divisor", divisor_);
  archive.field("last received", last_received_);
  archive.field("interrupt enable", interrupt_enable_);
  archive.field("line control", line_control_);
  archive.field("modem control", modem_control_);
  archive.field("modem deltas", modem_deltas_);
  archive.field("scratch", scratch_);
  archive.field("trigger select", trigger_select_, 0, 3);
  archive.field("overrun", overrun_);
  archive.field("transmitter empty event", transmitter_empty_event_);
  archive.field("timeout event", timeout_event_);
  archive.part("timeout", timeout_);
}

}  // namespace ringshift
