#include "devices/network/ne2k_pci.h"

#include <zlib.h>

#include <algorithm>

#include "shadowmmu/base/state_archive.h"

namespace ringshift {
namespace {

constexpr uint16_t kRealtek = 0x10ec, kDevice = 0x8029;

// Ports: sixteen registers in pages, then the data port and reset (RTL8029AS, 6.1).
constexpr unsigned kDataPort = 0x10, kResetPort = 0x18;
constexpr unsigned kCommandRegister = 0;

// Command (DP8390D, 10.3).
constexpr uint8_t kStop = 0x01, kStart = 0x02, kTransmit = 0x04;
constexpr uint8_t kRemoteRead = 0x08, kRemoteWrite = 0x10, kPages = 0xc0;
// Interrupt status.
constexpr uint8_t kReceived = 0x01, kTransmitted = 0x02, kOverwrite = 0x10, kCounterHigh = 0x20;
constexpr uint8_t kDataDone = 0x40, kIsReset = 0x80, kMaskable = 0x7f;
// Data configuration, receive configuration, receive status, transmit configuration and status.
constexpr uint8_t kWords = 0x01;
constexpr uint8_t kAcceptBroadcast = 0x04, kAcceptMulticast = 0x08, kAcceptAll = 0x10,
                  kMonitor = 0x20;
constexpr uint8_t kIntact = 0x01, kWasGroup = 0x20;
constexpr uint8_t kLoopback = 0x06;

constexpr uint32_t kPageBytes = 256, kPromBytes = 32;
constexpr size_t kHeaderBytes = 4, kSequenceBytes = 4, kShortestOnWire = 60;
constexpr uint8_t kNothing = 0xff;  // read where nothing decodes

constexpr unsigned bytes_of(AccessWidth width) { return static_cast<unsigned>(width); }

}  // namespace

Ne2kPci::Ne2kPci(const Ne2kSurroundings& on, PacketPort& port, const MacAddress& address)
    : PciFunction(
          on.buses,
          {.vendor = kRealtek, .device = kDevice, .class_code = 0x020000, .interrupt_pin = 1},
          "ne2k_pci"),
      line_(on.line),
      port_(port),
      address_(address),
      more_(on.clock, [this](Nanoseconds) { serve(); }) {
  add_port_range(0, kPortBytes, port_window_);
  reset();
  // It may come from within a call of the port's: the consequences wait for the next pass.
  port_.set_on_change([this] { more_.arm(0); });
}

void Ne2kPci::reset() {
  command_ = kStop;
  causes_ = kIsReset;
  is_told_ = false;
  more_.cancel();
  update_line();
}

// ---- ports ----

// A register is a byte; wider accesses are of several of them.
uint32_t Ne2kPci::Ports::read(uint16_t offset, AccessWidth width) {
  if (offset >= kResetPort) {
    owner_.reset();
    return 0;
  }
  if (offset >= kDataPort) return owner_.read_data(width);
  uint32_t value = 0;
  for (unsigned i = 0; i < bytes_of(width) && offset + i < kDataPort; ++i) {
    value |= uint32_t{owner_.read_register(offset + i)} << (8 * i);
  }
  return value;
}

void Ne2kPci::Ports::write(uint16_t offset, AccessWidth width, uint32_t value) {
  if (offset >= kResetPort) return;  // ends the pulse that a read begins
  if (offset >= kDataPort) return owner_.write_data(width, value);
  for (unsigned i = 0; i < bytes_of(width) && offset + i < kDataPort; ++i) {
    owner_.write_register(offset + i, static_cast<uint8_t>(value >> (8 * i)));
  }
}

uint8_t Ne2kPci::read_register(unsigned number) {
  if (number == kCommandRegister) return command_;
  switch (command_ & kPages) {
    case 0x00:
      return read_page_0(number);
    case 0x40:
      if (number <= 6) return physical_[number - 1];
      return number == 7 ? current_ : multicast_[number - 8];
    case 0x80:
      return read_page_2(number);
    default:
      // RTL8029AS, 6.2: the configuration; full duplex, which its drivers ask for.
      return number == 5 || number == 6 ? 0x40 : 0;
  }
}

uint8_t Ne2kPci::read_page_0(unsigned number) {
  switch (number) {
    case 0x01:
    case 0x02:  // the place where received bytes are written
      return number == 2 ? current_ : 0;
    case 0x03:
      return boundary_;
    case 0x04:
      return transmit_status_;
    case 0x07:
      return causes_;
    case 0x08:
      return static_cast<uint8_t>(data_address_);
    case 0x09:
      return static_cast<uint8_t>(data_address_ >> 8);
    case 0x0a:  // by which the RTL8029AS is told from other NE2000s
      return 0x50;
    case 0x0b:
      return 0x43;
    case 0x0c:
      return receive_status_;
    case 0x0f: {
      const uint8_t count = missed_;
      missed_ = 0;
      return count;
    }
    default:  // no collisions, no errors of alignment or of sums
      return 0;
  }
}

uint8_t Ne2kPci::read_page_2(unsigned number) const {
  switch (number) {
    case 0x01:
      return start_page_;
    case 0x02:
      return stop_page_;
    case 0x04:
      return transmit_page_;
    case 0x05:
      return current_;
    case 0x0c:
      return receive_control_;
    case 0x0d:
      return transmit_control_;
    case 0x0e:
      return data_control_;
    case 0x0f:
      return mask_;
    default:
      return 0;
  }
}

void Ne2kPci::write_register(unsigned number, uint8_t value) {
  if (number == kCommandRegister) return write_command(value);
  switch (command_ & kPages) {
    case 0x00:
      return write_page_0(number, value);
    case 0x40:
      if (number <= 6) {
        physical_[number - 1] = value;
      } else if (number == 7) {
        current_ = value;
      } else {
        multicast_[number - 8] = value;
      }
      return;
    default:  // a chip's test page, and the memory of its configuration
      return;
  }
}

void Ne2kPci::write_page_0(unsigned number, uint8_t value) {
  const auto set_low = [&](uint16_t& word) {
    word = static_cast<uint16_t>((word & 0xff00) | value);
  };
  const auto set_high = [&](uint16_t& word) {
    word = static_cast<uint16_t>((word & 0x00ff) | value << 8);
  };
  switch (number) {
    case 0x01:
      start_page_ = value;
      return;
    case 0x02:
      stop_page_ = value;
      return;
    case 0x03:
      boundary_ = value;
      return more_.arm(0);  // there may be room
    case 0x04:
      transmit_page_ = value;
      return;
    case 0x05:
      return set_low(transmit_bytes_);
    case 0x06:
      return set_high(transmit_bytes_);
    case 0x07:
      causes_ &= static_cast<uint8_t>(~(value & kMaskable));
      more_.arm(0);  // the next frame may be told
      return update_line();
    case 0x08:
      return set_low(data_address_);
    case 0x09:
      return set_high(data_address_);
    case 0x0a:
      return set_low(data_count_);
    case 0x0b:
      return set_high(data_count_);
    case 0x0c:
      receive_control_ = value;
      return more_.arm(0);
    case 0x0d:
      transmit_control_ = value;
      return;
    case 0x0e:
      data_control_ = value;
      return;
    default:
      mask_ = value & kMaskable;
      is_told_ = is_told_ || (mask_ & kReceived) != 0;
      return update_line();
  }
}

void Ne2kPci::write_command(uint8_t value) {
  const uint8_t pending = command_ & kTransmit;  // a driver cannot take it back
  // With neither of the two it goes on as it is (DP8390D, 10.3).
  if ((value & (kStart | kStop)) == 0) value |= command_ & (kStart | kStop);
  command_ = static_cast<uint8_t>((value & ~kTransmit) | pending);
  if ((value & kStop) != 0) {
    command_ &= static_cast<uint8_t>(~(kStart | kTransmit));
    causes_ |= kIsReset;
    return;
  }
  if ((value & kStart) == 0) return;
  causes_ &= static_cast<uint8_t>(~kIsReset);
  const bool moves = (value & (kRemoteRead | kRemoteWrite)) != 0;
  if (moves && data_count_ == 0) raise(kDataDone);
  if ((value & kTransmit) != 0) {
    command_ |= kTransmit;
    transmit();
  }
  more_.arm(0);
}

// ---- the data port ----

uint8_t Ne2kPci::memory_at(uint32_t address) const {
  address &= 0xffff;
  if (address < kPromBytes) {  // each byte twice: the address; 0x57 at the end tells word mode
    const uint32_t at = address / 2;
    return at < address_.size() ? address_[at] : at >= 14 ? 0x57 : 0;
  }
  const uint32_t at = address - kMemoryAt;
  return at < kMemoryBytes ? memory_[at] : kNothing;
}

void Ne2kPci::set_memory(uint32_t address, uint8_t value) {
  const uint32_t at = (address & 0xffff) - kMemoryAt;
  if (at < kMemoryBytes) memory_[at] = value;
}

// In the mode of words an access to a byte is one to a word; in that of bytes one to a word is one
// to a byte. An access to a dword is one, in both (RTL8029AS, 7.2).
unsigned Ne2kPci::step_of(AccessWidth width) const {
  if (width == AccessWidth::Dword) return 4;
  return (data_control_ & kWords) != 0 ? 2 : 1;
}

uint32_t Ne2kPci::read_data(AccessWidth width) {
  const unsigned step = step_of(width);
  uint32_t value = 0;
  for (unsigned i = 0; i < std::min(step, bytes_of(width)); ++i) {
    value |= uint32_t{memory_at(data_address_ + i)} << (8 * i);
  }
  pass_data(step);
  return value;
}

void Ne2kPci::write_data(AccessWidth width, uint32_t value) {
  if (data_count_ == 0) return;
  const unsigned step = step_of(width);
  for (unsigned i = 0; i < step; ++i) {
    set_memory(data_address_ + i, static_cast<uint8_t>(value >> (8 * i)));
  }
  pass_data(step);
}

void Ne2kPci::pass_data(unsigned bytes) {
  if (data_count_ == 0) return;
  data_address_ = static_cast<uint16_t>(data_address_ + bytes);
  // A packet in the ring is read as one piece (DP8390D, 11.0).
  if (data_address_ == stop_page_ * kPageBytes) {
    data_address_ = static_cast<uint16_t>(start_page_ * kPageBytes);
  }
  data_count_ = data_count_ <= bytes ? uint16_t{0} : static_cast<uint16_t>(data_count_ - bytes);
  if (data_count_ == 0) raise(kDataDone);
}

// ---- frames ----

bool Ne2kPci::is_running() const { return (command_ & (kStart | kStop)) == kStart; }

void Ne2kPci::serve() {
  transmit();
  receive();
}

void Ne2kPci::transmit() {
  if ((command_ & kTransmit) == 0 || !is_running()) return;
  const bool is_looped = (transmit_control_ & kLoopback) != 0;
  const bool is_frame = transmit_bytes_ >= kLeastFrame && transmit_bytes_ <= kLongestFrame;
  if (is_frame && !is_looped) {
    if (!port_.has_room()) return;  // it says when there is some
    frame_.clear();
    for (uint32_t i = 0; i < transmit_bytes_; ++i) {
      frame_.push_back(memory_at(transmit_page_ * kPageBytes + i));
    }
    port_.send(frame_);
    port_.flush();
  }
  command_ &= static_cast<uint8_t>(~kTransmit);
  transmit_status_ = kIntact;
  raise(kTransmitted);
}

bool Ne2kPci::has_ring() const {
  const auto is_within = [&](uint32_t page) { return page >= start_page_ && page < stop_page_; };
  return start_page_ < stop_page_ && is_within(current_) && is_within(boundary_in_ring());
}

// The last page that the driver has read. Linux's writes the page before the one it reads next also
// where that is the ring's first: it means the ring's last.
uint32_t Ne2kPci::boundary_in_ring() const {
  return boundary_ + 1 == start_page_ ? stop_page_ - 1U : boundary_;
}

// The pages between the place of the next frame and those that the driver has not read yet.
uint32_t Ne2kPci::free_pages() const {
  const uint32_t boundary = boundary_in_ring();
  return boundary > current_ ? boundary - current_
                             : uint32_t{stop_page_} - start_page_ - (current_ - boundary);
}

void Ne2kPci::receive() {
  constexpr size_t kMostAtOnce = 256;
  for (size_t count = 0; count < kMostAtOnce; ++count) {
    const std::span<const uint8_t> frame = port_.received();
    if (frame.empty() || !is_running() || (transmit_control_ & kLoopback) != 0) return;
    if (frame.size() < kLeastFrame || frame.size() > kLongestFrame || !accepts(frame)) {
      port_.take_received();
      continue;
    }
    const size_t bytes = kHeaderBytes + std::max(frame.size(), kShortestOnWire) + kSequenceBytes;
    const auto pages = static_cast<uint32_t>((bytes + kPageBytes - 1) / kPageBytes);
    const bool can_ever = has_ring() && pages < uint32_t{stop_page_} - start_page_;
    if ((receive_control_ & kMonitor) != 0 || !can_ever) {
      port_.take_received();
      miss();
      continue;
    }
    if (pages >= free_pages()) return;  // the driver makes room, and says so
    // A driver that is interrupted for frames is told of each one by itself, also while it masks
    // that for a moment. A driver that takes only so many frames before it acknowledges would
    // otherwise leave the rest lying until the next frame comes.
    if (is_told_ && (causes_ & kReceived) != 0) return;
    store(frame);
    port_.take_received();
    raise(kReceived);
  }
  more_.arm(0);
}

void Ne2kPci::miss() {
  constexpr uint8_t kHigh = 0x80;
  missed_ = static_cast<uint8_t>(std::min(missed_ + 1, 0xff));
  raise(static_cast<uint8_t>(((receive_control_ & kMonitor) != 0 ? 0 : kOverwrite) |
                             ((missed_ & kHigh) != 0 ? kCounterHigh : 0)));
}

bool Ne2kPci::accepts(std::span<const uint8_t> frame) const {
  if ((receive_control_ & kAcceptAll) != 0) return true;
  const auto address = frame.first(physical_.size());
  if ((frame[0] & 1) == 0) {
    return std::equal(address.begin(), address.end(), physical_.begin());
  }
  if (std::all_of(address.begin(), address.end(), [](uint8_t byte) { return byte == 0xff; })) {
    return (receive_control_ & kAcceptBroadcast) != 0;
  }
  if ((receive_control_ & kAcceptMulticast) == 0) return false;
  // DP8390D, 10.2: the six highest bits of the check sequence, made from the lowest bit of each
  // byte on; zlib's has its bits the other way round.
  const auto sum =
      static_cast<uint32_t>(crc32(0, address.data(), static_cast<uInt>(address.size())));
  unsigned hash = 0;
  for (unsigned bit = 0; bit < 6; ++bit) hash = hash << 1 | (~sum >> bit & 1);
  return (multicast_[hash / 8] >> (hash % 8) & 1) != 0;
}

// A header, the frame as long as one on a wire, and its check sequence; the next one begins with a
// page (DP8390D, 7.0).
void Ne2kPci::store(std::span<const uint8_t> frame) {
  frame_.assign(frame.begin(), frame.end());
  if (frame_.size() < kShortestOnWire) frame_.resize(kShortestOnWire);
  const auto sequence =
      static_cast<uint32_t>(crc32(0, frame_.data(), static_cast<uInt>(frame_.size())));
  for (unsigned i = 0; i < kSequenceBytes; ++i) {
    frame_.push_back(static_cast<uint8_t>(sequence >> (8 * i)));
  }
  const size_t bytes = kHeaderBytes + frame_.size();
  const auto pages = static_cast<unsigned>((bytes + kPageBytes - 1) / kPageBytes);
  unsigned next = current_ + pages;
  if (next >= stop_page_) next -= stop_page_ - start_page_;
  receive_status_ = static_cast<uint8_t>(kIntact | ((frame[0] & 1) != 0 ? kWasGroup : 0));
  const std::array<uint8_t, kHeaderBytes> header{receive_status_, static_cast<uint8_t>(next),
                                                 static_cast<uint8_t>(frame_.size()),
                                                 static_cast<uint8_t>(frame_.size() >> 8)};
  uint32_t at = current_ * kPageBytes;
  const auto put = [&](uint8_t byte) {
    set_memory(at++, byte);
    if (at == stop_page_ * kPageBytes) at = start_page_ * kPageBytes;
  };
  for (const uint8_t byte : header) put(byte);
  for (const uint8_t byte : frame_) put(byte);
  current_ = static_cast<uint8_t>(next);
}

// ---- interrupts ----

void Ne2kPci::raise(uint8_t causes) {
  causes_ |= causes;
  update_line();
}

void Ne2kPci::update_line() { line_.set_level((causes_ & mask_) != 0); }

void Ne2kPci::visit_state(StateArchive& archive) {
  uint64_t address = 0;
  for (const uint8_t byte : address_) address = address << 8 | byte;
  archive.same("address", address);
  PciFunction::visit_state(archive);
  archive.memory("memory", memory_);
  archive.numbers("physical address", physical_);
  archive.numbers("multicast", multicast_);
  archive.field("command", command_);
  archive.field("causes", causes_);
  archive.field("mask", mask_, 0, kMaskable);
  archive.field("is told", is_told_);
  archive.field("data control", data_control_);
  archive.field("receive control", receive_control_);
  archive.field("transmit control", transmit_control_);
  archive.field("start page", start_page_);
  archive.field("stop page", stop_page_);
  archive.field("boundary", boundary_);
  archive.field("current", current_);
  archive.field("transmit page", transmit_page_);
  archive.field("transmit status", transmit_status_);
  archive.field("receive status", receive_status_);
  archive.field("missed", missed_);
  archive.field("transmit bytes", transmit_bytes_);
  archive.field("data address", data_address_);
  archive.field("data count", data_count_);
  archive.part("more", more_);
  if (archive.has_loaded()) update_line();
}

}  // namespace ringshift
