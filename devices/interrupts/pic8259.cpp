#include "devices/interrupts/pic8259.h"

#include "shadowmmu/base/check.h"
#include "shadowmmu/base/state_archive.h"

namespace ringshift {
namespace {

constexpr unsigned kCascadeInput = 2;
constexpr unsigned kSpuriousInput = 7;
// PIIX ELCR: IRQ 0, 1, 2, 8 and 13 are always edge-triggered.
constexpr uint8_t kElcrWritableMaster = 0xf8;
constexpr uint8_t kElcrWritableSlave = 0xde;

constexpr uint8_t bit(unsigned input) { return static_cast<uint8_t>(1U << input); }
constexpr uint8_t without(uint8_t bits, uint8_t removed) {
  return static_cast<uint8_t>(bits & ~removed);
}

}  // namespace

void Pic8259::set_line(unsigned input, bool asserted) {
  const uint8_t mask = bit(input);
  if (asserted) {
    const bool rising = (lines_ & mask) == 0;
    lines_ |= mask;
    if (rising || (level_triggered_ & mask) != 0) request_ |= mask;
  } else {
    // The request latch follows the wire down: an input must stay high until INTA (datasheet,
    // "Edge and level triggered modes"), else the acknowledge finds nothing and reports input 7.
    lines_ = without(lines_, mask);
    request_ = without(request_, mask);
  }
  update_output();
}

void Pic8259::set_level_triggered(uint8_t inputs) {
  level_triggered_ = inputs;
  request_ = static_cast<uint8_t>(request_ | (lines_ & inputs));
  update_output();
}

unsigned Pic8259::best_priority(uint8_t bits) const {
  if (bits == 0) return 8;
  unsigned priority = 0;
  while ((bits & bit(input_at(priority))) == 0) ++priority;
  return priority;
}

std::optional<unsigned> Pic8259::deliverable() const {
  if (expecting_ != Expecting::Ocw) return std::nullopt;
  const unsigned requested = best_priority(without(request_, mask_));
  if (requested == 8) return std::nullopt;
  // Special mask mode: a level in service that is masked no longer holds the lower ones back.
  const unsigned serving = best_priority(special_mask_ ? without(in_service_, mask_) : in_service_);
  if (requested < serving) return input_at(requested);
  // Special fully nested mode: the slave may interrupt its own level with a higher one of its own.
  const unsigned input = input_at(requested);
  const bool has_slave = !single_ && (cascade_ & bit(input)) != 0;
  if (requested == serving && special_fully_nested_ && has_slave) return input;
  return std::nullopt;
}

bool Pic8259::is_requested(unsigned input) const {
  return expecting_ == Expecting::Ocw && (without(request_, mask_) & bit(input)) != 0;
}

std::optional<unsigned> Pic8259::acknowledge() {
  const std::optional<unsigned> input = deliverable();
  if (!input) return std::nullopt;
  const uint8_t mask = bit(*input);
  if ((level_triggered_ & mask) == 0) request_ = without(request_, mask);
  if (auto_eoi_) {
    if (rotate_on_auto_eoi_) lowest_priority_ = static_cast<uint8_t>(*input);
  } else {
    in_service_ |= mask;
  }
  update_output();
  return input;
}

uint8_t Pic8259::read(uint16_t a0) {
  if (poll_) {
    poll_ = false;
    const std::optional<unsigned> input = acknowledge();
    return input ? static_cast<uint8_t>(0x80U | *input) : uint8_t{0};
  }
  if ((a0 & 1) != 0) return mask_;
  return read_in_service_ ? in_service_ : request_;
}

void Pic8259::write(uint16_t a0, uint8_t value) {
  if ((a0 & 1) == 0) {
    if ((value & 0x10) != 0) {
      start_initialization(value);
    } else if ((value & 0x08) != 0) {
      write_ocw3(value);
    } else {
      write_ocw2(value);
    }
  } else if (expecting_ != Expecting::Ocw) {
    continue_initialization(value);
  } else {
    mask_ = value;
  }
  update_output();
}

void Pic8259::start_initialization(uint8_t icw1) {
  // Datasheet, ICW1: the edge sense circuit is reset, so a line that is high already must fall and
  // rise again; mask cleared, input 7 lowest, special mask off, IRR selected for reading.
  request_ = lines_ & level_triggered_;
  in_service_ = 0;
  mask_ = 0;
  lowest_priority_ = 7;
  special_mask_ = false;
  read_in_service_ = false;
  poll_ = false;
  auto_eoi_ = false;
  rotate_on_auto_eoi_ = false;
  special_fully_nested_ = false;
  cascade_ = 0;
  single_ = (icw1 & 0x02) != 0;
  needs_icw4_ = (icw1 & 0x01) != 0;
  expecting_ = Expecting::Icw2;
}

void Pic8259::continue_initialization(uint8_t value) {
  switch (expecting_) {
    case Expecting::Icw2:
      vector_base_ = value & 0xf8;
      expecting_ = !single_ ? Expecting::Icw3 : needs_icw4_ ? Expecting::Icw4 : Expecting::Ocw;
      break;
    case Expecting::Icw3:
      cascade_ = value;
      expecting_ = needs_icw4_ ? Expecting::Icw4 : Expecting::Ocw;
      break;
    case Expecting::Icw4:
      auto_eoi_ = (value & 0x02) != 0;
      special_fully_nested_ = (value & 0x10) != 0;
      expecting_ = Expecting::Ocw;
      break;
    case Expecting::Ocw:
      break;
  }
}

void Pic8259::end_of_interrupt(std::optional<unsigned> input, bool rotate) {
  if (!input) {
    // Non-specific: the highest in service; special mask mode hides the masked ones from it.
    const unsigned serving =
        best_priority(special_mask_ ? without(in_service_, mask_) : in_service_);
    if (serving == 8) return;
    input = input_at(serving);
  }
  in_service_ = without(in_service_, bit(*input));
  if (rotate) lowest_priority_ = static_cast<uint8_t>(*input);
}

void Pic8259::write_ocw2(uint8_t value) {
  const unsigned level = value & 7;
  switch (value >> 5) {
    case 0b000:
      rotate_on_auto_eoi_ = false;
      break;
    case 0b001:
      end_of_interrupt(std::nullopt, false);
      break;
    case 0b010:  // no operation
      break;
    case 0b011:
      end_of_interrupt(level, false);
      break;
    case 0b100:
      rotate_on_auto_eoi_ = true;
      break;
    case 0b101:
      end_of_interrupt(std::nullopt, true);
      break;
    case 0b110:
      lowest_priority_ = static_cast<uint8_t>(level);
      break;
    default:
      end_of_interrupt(level, true);
      break;
  }
}

void Pic8259::write_ocw3(uint8_t value) {
  poll_ = (value & 0x04) != 0;
  if ((value & 0x02) != 0) read_in_service_ = (value & 0x01) != 0;
  if ((value & 0x40) != 0) special_mask_ = (value & 0x20) != 0;
}

InterruptControllerPair::InterruptControllerPair()
    : master_ports_(window_of(master_)),
      slave_ports_(window_of(slave_)),
      elcr_ports_(
          [this](uint16_t offset) {
            return offset == 0 ? master_.level_triggered() : slave_.level_triggered();
          },
          [this](uint16_t offset, uint8_t value) { write_elcr(offset, value); }) {
  for (unsigned irq = 0; irq < lines_.size(); ++irq) lines_[irq].connect(*this, irq);
}

PortWindow InterruptControllerPair::window_of(Pic8259& chip) {
  return PortWindow(
      [this, &chip](uint16_t offset) {
        const uint8_t value = chip.read(offset);
        update_output();  // a read in poll mode is an acknowledge
        return value;
      },
      [this, &chip](uint16_t offset, uint8_t value) {
        chip.write(offset, value);
        update_output();
      });
}

InterruptLine& InterruptControllerPair::line(unsigned irq) {
  CHECK(irq < lines_.size());
  return lines_[irq];
}

void InterruptControllerPair::set_line(unsigned irq, bool asserted) {
  if (irq == kCascadeInput) return;
  if (on_line_) on_line_(irq, asserted);
  Pic8259& chip = irq < 8 ? master_ : slave_;
  chip.set_line(irq & 7, asserted);
  update_output();
}

bool InterruptControllerPair::is_waiting(unsigned irq) const {
  if (other_way_.is_waiting && other_way_.is_waiting(irq)) return true;
  if (other_way_.passes_ours && !other_way_.passes_ours()) return false;
  if (irq < 8) return master_.is_requested(irq);
  return slave_.is_requested(irq & 7) && master_.is_requested(kCascadeInput);
}

void InterruptControllerPair::update_output() {
  master_.set_line(kCascadeInput, slave_.output());
  const bool was = output_;
  output_ = master_.output();
  if (output_ && !was && on_output_) on_output_();
}

uint8_t InterruptControllerPair::acknowledge() {
  const std::optional<unsigned> input = master_.acknowledge();
  uint8_t vector = master_.vector_of(input.value_or(kSpuriousInput));
  if (input == kCascadeInput) {
    vector = slave_.vector_of(slave_.acknowledge().value_or(kSpuriousInput));
    // The slave drops its output during INTA; if it has more to say the master sees a new edge.
    master_.set_line(kCascadeInput, false);
  }
  update_output();
  return vector;
}

void InterruptControllerPair::write_elcr(uint16_t offset, uint8_t value) {
  if (offset == 0) {
    master_.set_level_triggered(value & kElcrWritableMaster);
  } else {
    slave_.set_level_triggered(value & kElcrWritableSlave);
  }
  update_output();
}

void Pic8259::visit_state(StateArchive& archive) {
  archive.field("lines", lines_);
  archive.field("request", request_);
  archive.field("in service", in_service_);
  archive.field("mask", mask_);
  archive.field("level-triggered", level_triggered_);
  archive.field("vector base", vector_base_);
  archive.field("cascade", cascade_);
  archive.field("lowest priority", lowest_priority_, 0, 7);
  archive.choice("expecting", expecting_, Expecting::Icw4);
  archive.field("single", single_);
  archive.field("needs icw4", needs_icw4_);
  archive.field("auto eoi", auto_eoi_);
  archive.field("rotate on auto eoi", rotate_on_auto_eoi_);
  archive.field("special fully nested", special_fully_nested_);
  archive.field("special mask", special_mask_);
  archive.field("read in service", read_in_service_);
  archive.field("poll", poll_);
  if (archive.has_loaded()) update_output();
}

void InterruptControllerPair::visit_state(StateArchive& archive) {
  archive.part("master", master_);
  archive.part("slave", slave_);
  // The device on INTR is told of a request that was waiting.
  if (archive.has_loaded()) update_output();
}

}  // namespace ringshift
