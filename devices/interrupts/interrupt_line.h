// InterruptLine: one wire from a device to an interrupt controller input. A device raises and
// lowers; edge or level is the controller's business. Implemented by: pic8259. See docs/devices.md.
#pragma once

namespace ringshift {

class InterruptLine {
 public:
  virtual ~InterruptLine() = default;
  virtual void set_level(bool asserted) = 0;
  // An edge that came now would be lost: the processor, which would hear it, has not taken the one
  // before. False where nobody listens.
  [[nodiscard]] virtual bool is_waiting() const { return false; }
};

}  // namespace ringshift
