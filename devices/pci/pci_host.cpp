#include "devices/pci/pci_host.h"

#include <utility>

#include "shadowmmu/base/check.h"
#include "shadowmmu/base/state_archive.h"

namespace ringshift {
namespace {

constexpr uint32_t kEnable = 1U << 31;
constexpr uint32_t kAddressBits = 0x80fffffc;
constexpr uint16_t kResetControl = 1, kData = 4;  // offsets from 0xcf8
constexpr uint8_t kResetCpu = 0x04;

uint32_t all_ones(AccessWidth width) {
  return ~uint32_t{0} >> (32 - 8 * static_cast<unsigned>(width));
}

}  // namespace

PciHost::PciHost(InterruptControllerPair& interrupts, std::function<void()> on_reset)
    : interrupts_(interrupts), on_reset_(std::move(on_reset)) {
  for (unsigned slot = 0; slot < kSlots; ++slot) {
    for (unsigned pin = 0; pin < kPins; ++pin) {
      // INTA# of slot 1 is PIRQA#: the routing that firmware for this chip set expects.
      wires_[slot * kPins + pin].connect(*this, (slot + pin + kPins - 1) % kPins);
    }
  }
  wires_[kSciWire].connect(*this, kPins);
}

void PciHost::attach(unsigned slot, unsigned function, PciFunction& device) {
  CHECK(slot < kSlots && function < kFunctions);
  PciFunction*& place = functions_[slot * kFunctions + function];
  CHECK(place == nullptr);
  place = &device;
  device.set_place(slot * kFunctions + function);
}

InterruptLine& PciHost::wire(unsigned slot, unsigned pin) {
  CHECK(slot < kSlots && pin >= 1 && pin <= kPins);
  return wires_[slot * kPins + pin - 1];
}

void PciHost::Wire::set_level(bool asserted) {
  if (asserted == asserted_) return;
  asserted_ = asserted;
  unsigned& count = host_->asserted_wires_[pirq_];
  count += asserted ? 1 : ~0U;
  host_->update_line(host_->route_[pirq_]);
}

// The wires that lead to one line are joined: any of them asserts it. Line 0 stands for no route.
void PciHost::update_line(unsigned irq) {
  if (irq == 0) return;
  bool level = false;
  for (unsigned i = 0; i < route_.size(); ++i) {
    level |= route_[i] == irq && asserted_wires_[i] != 0;
  }
  interrupts_.line(irq).set_level(level);
}

void PciHost::set_route(unsigned pirq, unsigned irq) {
  CHECK(pirq < kPins && irq < 16);
  const unsigned before = std::exchange(route_[pirq], irq);
  if (before == irq) return;
  update_line(before);
  update_line(irq);
}

PciFunction* PciHost::selected() const {
  if ((address_ & kEnable) == 0 || (address_ >> 16 & 0xff) != 0) return nullptr;
  return functions_[address_ >> 8 & 0xff];
}

uint32_t PciHost::read(uint16_t offset, AccessWidth width) {
  if (offset == 0 && width == AccessWidth::Dword) return address_;
  if (offset == kResetControl && width == AccessWidth::Byte) return reset_control_;
  PciFunction* function = selected();
  if (offset < kData || function == nullptr) return all_ones(width);
  const unsigned at = (address_ & 0xfc) + offset - kData;
  return at + static_cast<unsigned>(width) <= 256 ? function->read_config(at, width)
                                                  : all_ones(width);
}

void PciHost::write(uint16_t offset, AccessWidth width, uint32_t value) {
  if (offset == 0 && width == AccessWidth::Dword) {
    address_ = value & kAddressBits;
    return;
  }
  if (offset == kResetControl && width == AccessWidth::Byte) {
    return write_reset_control(static_cast<uint8_t>(value));
  }
  PciFunction* function = selected();
  if (offset < kData || function == nullptr) return;
  const unsigned at = (address_ & 0xfc) + offset - kData;
  if (at + static_cast<unsigned>(width) <= 256) function->write_config(at, width, value);
}

// 82371SB (PIIX3) datasheet, RC register: a change of bit 2 from 0 to 1 resets.
void PciHost::write_reset_control(uint8_t value) {
  const bool reset = (value & ~reset_control_ & kResetCpu) != 0;
  reset_control_ = value & 0x06;
  if (reset && on_reset_) on_reset_();
}

void PciHost::visit_state(StateArchive& archive) {
  archive.field("address", address_);
  archive.field("reset control", reset_control_);
  std::array<uint8_t, kWires> levels{};
  for (unsigned i = 0; i < kWires; ++i) levels[i] = wires_[i].is_asserted() ? 1 : 0;
  archive.numbers("wires", levels);
  if (!archive.has_loaded()) return;
  asserted_wires_ = {};
  for (unsigned i = 0; i < kWires; ++i) {
    wires_[i].restore_level(levels[i] != 0);
    if (levels[i] != 0) ++asserted_wires_[wires_[i].pirq()];
  }
}

}  // namespace ringshift
