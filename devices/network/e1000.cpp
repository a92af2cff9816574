#include "devices/network/e1000.h"

#include <algorithm>
#include <iterator>

#include "shadowmmu/base/state_archive.h"

namespace ringshift {

using namespace e1000;

namespace {

constexpr uint16_t kIntel = 0x8086, kDevice = 0x100e, kSubsystem = 0x001e;

// Registers that keep written values, and the bits of each that they keep.
struct Plain {
  uint32_t first, last, mask;
};
constexpr Plain kPlain[] = {
    {kCtrlExt, kCtrlExt, 0xffffffff},
    {kFcal, kFct, 0xffffffff},
    {kVet, kVet, 0xffff},
    {kItr, kItr, 0xffff},
    {kRctl, kRctl, 0x06ffbfde},
    {kFcttv, kTxcw, 0xffffffff},
    {kTctl, kTctl, 0x01fffffa},
    {kTipg, kTipg, 0x3fffffff},
    {kAit, kAit, 0xffff},
    {kLedctl, kLedctl, 0xffffffff},
    {kPba, kPba, 0xffffffff},
    {kFcrtl, kFcrth, 0x8000fff8},
    {kRdbal, kRdbal, 0xfffffff0},
    {kRdbah, kRdbah, 0xffffffff},
    {kRdlen, kRdlen, 0xfff80},
    {kRdh, kRdh, 0xffff},
    {kRdt, kRdt, 0xffff},
    {kRdtr, kRadv, 0xffffffff},
    {kRsrpd, kRsrpd, 0xfff},
    {kTdbal, kTdbal, 0xfffffff0},
    {kTdbah, kTdbah, 0xffffffff},
    {kTdlen, kTdlen, 0xfff80},
    {kTdh, kTdh, 0xffff},
    {kTdt, kTdt, 0xffff},
    {kTidv, kTspmt, 0xffffffff},
    {kRxcsum, kRxcsum, 0x7ff},
    {kMta, kMta + 0x1fc, 0xffffffff},
    {kRal, kRaEnd - 4, 0xffffffff},
    {kVfta, kVfta + 0x1fc, 0xffffffff},
    {kWuc, kRegistersEnd - 4, 0xffffffff},
};

const Plain* find_plain(uint32_t offset) {
  const auto* row = std::find_if(std::begin(kPlain), std::end(kPlain), [&](const Plain& one) {
    return offset >= one.first && offset <= one.last;
  });
  return row != std::end(kPlain) ? row : nullptr;
}

// Words as the 82540EM reads them at power-on (5.6); the last one makes their sum 0xbaba.
std::array<uint16_t, MicrowireEeprom::kWords> eeprom_words(const MacAddress& address) {
  std::array<uint16_t, MicrowireEeprom::kWords> words{};
  for (unsigned i = 0; i < 3; ++i) {
    words[i] = static_cast<uint16_t>(address[2 * i] | address[2 * i + 1] << 8);
  }
  words[0x0a] = 0x640a;  // the identities below are valid
  words[0x0b] = kSubsystem;
  words[0x0c] = kIntel;
  words[0x0d] = kDevice;
  words[0x0e] = kIntel;
  words[0x0f] = 0x3040;
  uint32_t sum = 0;
  for (const uint16_t word : words) sum += word;
  words[MicrowireEeprom::kWords - 1] = static_cast<uint16_t>(0xbaba - sum);
  return words;
}

// EECD: the wires, the right to use them, and the kind of memory.
constexpr uint32_t kClockWire = 1, kSelectWire = 2, kInWire = 4, kOutWire = 8;
constexpr uint32_t kRequest = 1U << 6, kGrant = 1U << 7, kPresent = 1U << 8;
constexpr uint32_t kWritableWires = kClockWire | kSelectWire | kInWire | 0x30 | kRequest;

}  // namespace

E1000::E1000(const E1000Surroundings& on, PacketPort& port, const MacAddress& address,
             bool takes_any_address)
    : PciFunction(on.buses,
                  {.vendor = kIntel,
                   .device = kDevice,
                   .class_code = 0x020000,
                   .revision = 2,
                   .subsystem_vendor = kIntel,
                   .subsystem = kSubsystem,
                   .interrupt_pin = 1},
                  "e1000"),
      memory_(on.memory),
      line_(on.line),
      clock_(on.clock),
      port_(port),
      eeprom_(eeprom_words(address)),
      takes_any_address_(takes_any_address),
      more_(on.clock, [this](Nanoseconds) { serve(); }),
      quiet_(on.clock, [this](Nanoseconds) { update_line(); }) {
  add_memory_range(kMemoryBar, kMemoryBytes, register_page_);
  add_port_range(kPortBar, kPortBytes, window_);
  reset();
  port_.set_on_change([this] { on_port_change(); });
}

void E1000::reset() {
  constexpr uint32_t kAfterPower = 0x00100030;  // PBA: 48 KiB to receive, 16 to send
  registers_ = {};
  at(kCtrl) = kFullDuplex | kSetLinkUp | kGigabit;
  at(kPba) = kAfterPower;
  at(kLedctl) = 0x07068302;
  for (unsigned i = 0; i < 2; ++i) at(kRal) |= uint32_t{eeprom_.word(i)} << (16 * i);
  at(kRah) = kAddressValid | eeprom_.word(2);
  causes_ = mask_ = 0;
  quiet_until_ = 0;
  packet_ = {};
  phy_.reset();
  more_.cancel();
  told_up_ = link_is_up();
  update_line();
}

// ---- registers ----

// A read may be of part of a dword; a write of part of one is ignored (13.2.1: accesses are of 32
// bits).
uint32_t E1000::Registers::read(uint64_t offset, AccessWidth width) {
  const auto in_dword = static_cast<unsigned>(offset & 3);
  const uint32_t value =
      owner_.read_register(static_cast<uint32_t>(offset) & ~3U) >> (8 * in_dword);
  if (width == AccessWidth::Dword) return value;
  return value & (width == AccessWidth::Word ? 0xffffU : 0xffU);
}

void E1000::Registers::write(uint64_t offset, AccessWidth width, uint32_t value) {
  if (width != AccessWidth::Dword) return;
  owner_.write_register(static_cast<uint32_t>(offset) & ~3U, value);
}

uint32_t E1000::Window::read(uint16_t offset, AccessWidth width) {
  if (width != AccessWidth::Dword) return 0;
  if (offset == 0) return owner_.window_address_;
  return offset == 4 ? owner_.read_register(owner_.window_address_) : 0;
}

void E1000::Window::write(uint16_t offset, AccessWidth width, uint32_t value) {
  if (width != AccessWidth::Dword) return;
  if (offset == 0) owner_.window_address_ = value & (kMemoryBytes - 4);
  if (offset == 4) owner_.write_register(owner_.window_address_, value);
}

bool E1000::link_is_up() const { return (value(kCtrl) & kSetLinkUp) != 0 && port_.is_up(); }

uint32_t E1000::eecd() const {
  const uint32_t wires = value(kEecd);
  return (wires & ~(kOutWire | kGrant)) | kPresent | (eeprom_.output() ? kOutWire : 0) |
         ((wires & kRequest) != 0 ? kGrant : 0);
}

uint32_t E1000::read_register(uint32_t offset) {
  switch (offset) {
    case kCtrl:
    case kCtrlAgain:
      return value(kCtrl);
    case kStatusRegister:
      return kFullDuplex | kStatusGigabit | (link_is_up() ? kLinkUp : 0);
    case kEecd:
      return eecd();
    case kEerd:
    case kMdic:
      return value(offset);
    case kIcr: {
      const uint32_t causes = causes_;
      causes_ = 0;
      update_line();
      return causes;
    }
    case kIms:
      return mask_;
    default:
      break;
  }
  if (offset >= kStatistics && offset < kStatisticsEnd) return read_statistic(offset);
  return offset < kRegistersEnd && find_plain(offset) != nullptr ? value(offset) : 0;
}

// Reading clears; a count of octets with its upper half (13.7).
uint32_t E1000::read_statistic(uint32_t offset) {
  constexpr uint32_t kOctets[] = {kGorcl, kGotcl, kTorl, kTotl};
  const uint32_t found = value(offset);
  for (const uint32_t low : kOctets) {
    if (offset == low) return found;
    if (offset == low + 4) at(low) = 0;
  }
  at(offset) = 0;
  return found;
}

void E1000::write_register(uint32_t offset, uint32_t written) {
  constexpr uint32_t kStart = 1, kDone = 1U << 4;
  switch (offset) {
    case kCtrl:
    case kCtrlAgain:
      return write_control(written);
    case kEecd:
      return write_eecd(written);
    case kEerd: {
      const uint32_t word = eeprom_.word(written >> 8 & 0xff);
      at(kEerd) = (written & kStart) != 0 ? (written & 0xff00) | kDone | word << 16 : written;
      return;
    }
    case kMdic:
      return write_mdic(written);
    case kIcr:
      causes_ &= ~written;
      return update_line();
    case kIcs:
      return raise(written & kAllCauses);
    case kIms:
      mask_ |= written & kAllCauses;
      return update_line();
    case kImc:
      mask_ &= ~written;
      return update_line();
    default:
      break;
  }
  const Plain* plain = find_plain(offset);
  if (plain == nullptr) return;
  at(offset) = written & plain->mask;
  if (offset == kTdt || offset == kTctl) return transmit();
  if (offset == kRdt || offset == kRctl) receive();
}

void E1000::write_control(uint32_t written) {
  if ((written & kReset) != 0) return reset();
  if ((written & kPhyReset) != 0) phy_.reset();
  at(kCtrl) = written & ~kPhyReset;
  on_port_change();
}

void E1000::write_eecd(uint32_t written) {
  at(kEecd) = written & kWritableWires;
  eeprom_.set_wires((written & kClockWire) != 0, (written & kSelectWire) != 0,
                    (written & kInWire) != 0);
}

// 13.4.9: done at once. There is one transceiver, at address 1.
void E1000::write_mdic(uint32_t written) {
  constexpr uint32_t kRead = 2U << 26, kWrite = 1U << 26, kOperation = 3U << 26;
  constexpr uint32_t kReady = 1U << 28, kTells = 1U << 29, kError = 1U << 30;
  const uint32_t number = written >> 16 & 0x1f, address = written >> 21 & 0x1f;
  const uint32_t operation = written & kOperation;
  const bool is_good = address == 1 && (operation == kRead || operation == kWrite);
  uint32_t result = (written & ~kError) | kReady | (is_good ? 0 : kError);
  bool negotiates = false;
  if (is_good && operation == kRead) {
    result = (result & 0xffff0000) | phy_.read(number, link_is_up());
  } else if (is_good) {
    negotiates = phy_.write(number, static_cast<uint16_t>(written));
  }
  at(kMdic) = result;
  raise(((written & kTells) != 0 ? kMdiComplete : 0) | (negotiates ? kLinkChange : 0));
}

void E1000::on_port_change() {
  if (link_is_up() != told_up_) {
    told_up_ = link_is_up();
    raise(kLinkChange);
  }
  more_.arm(0);
}

// ---- interrupts ----

void E1000::raise(uint32_t causes) {
  causes_ |= causes;
  update_line();
}

// 3.4.1: ITR counts units of 256 ns, in which there is one interrupt at most.
void E1000::update_line() {
  constexpr Nanoseconds kItrUnit = 256;
  const bool wanted = (causes_ & mask_) != 0;
  if (wanted && !line_is_up_) {
    const Nanoseconds now = clock_.now();
    if (now < quiet_until_) return quiet_.arm(quiet_until_);
    quiet_until_ = now + Nanoseconds{value(kItr)} * kItrUnit;
  }
  line_is_up_ = wanted;
  line_.set_level(wanted);
}

void E1000::serve() {
  receive();
  transmit();
}

E1000::Ring E1000::ring(uint32_t base) const {
  constexpr uint32_t kHigh = 4, kLength = 8, kHead = 0x10, kTail = 0x18;
  const uint32_t entries = value(base + kLength) / kDescriptorBytes;
  const uint32_t bound = std::max(entries, 1U);
  return {value(base) | uint64_t{value(base + kHigh)} << 32, entries, value(base + kHead) % bound,
          value(base + kTail) % bound};
}

void E1000::visit_state(StateArchive& archive) {
  uint64_t address = 0;
  for (unsigned i = 0; i < 3; ++i) address = address << 16 | eeprom_.word(i);
  if (archive.is_loading() && takes_any_address_) {
    archive.dropped("address");
  } else {
    archive.same("address", address);
  }
  PciFunction::visit_state(archive);
  archive.numbers("registers", registers_);
  archive.field("causes", causes_, 0, kAllCauses);
  archive.field("mask", mask_, 0, kAllCauses);
  archive.field("window address", window_address_, 0, kMemoryBytes - 4);
  archive.field("link", told_up_);
  archive.field("line", line_is_up_);
  archive.field("quiet until", quiet_until_, 0, kLatestDeadline);
  archive.part("eeprom", eeprom_);
  archive.part("phy", phy_);
  archive.part("packet", packet_);
  archive.part("more", more_);
  archive.part("quiet", quiet_);
  window_address_ &= ~3U;
  if (archive.has_loaded()) line_.set_level(line_is_up_);
}

}  // namespace ringshift
