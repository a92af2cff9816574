// BytePorts / PortWindow: an eight-bit ISA device, for which the bus splits wide accesses into
// bytes. Owns: nothing but the two functions of a PortWindow. Keeps: D1. A device with several port
// ranges holds one PortWindow for each of them. See docs/devices.md.
#pragma once

#include <cstdint>
#include <functional>
#include <utility>

#include "devices/bus/device.h"

namespace ringshift {

class BytePorts : public PortDevice {
 public:
  [[nodiscard]] uint32_t read(uint16_t offset, AccessWidth width) final {
    uint32_t value = 0;
    for (unsigned i = 0; i < static_cast<unsigned>(width); ++i) {
      value |= static_cast<uint32_t>(read_byte(static_cast<uint16_t>(offset + i))) << (8 * i);
    }
    return value;
  }
  void write(uint16_t offset, AccessWidth width, uint32_t value) final {
    for (unsigned i = 0; i < static_cast<unsigned>(width); ++i) {
      write_byte(static_cast<uint16_t>(offset + i), static_cast<uint8_t>(value >> (8 * i)));
    }
  }

 protected:
  [[nodiscard]] virtual uint8_t read_byte(uint16_t offset) = 0;
  virtual void write_byte(uint16_t offset, uint8_t value) = 0;
};

class PortWindow final : public BytePorts {
 public:
  using Reader = std::function<uint8_t(uint16_t offset)>;
  using Writer = std::function<void(uint16_t offset, uint8_t value)>;
  PortWindow(Reader reader, Writer writer)
      : reader_(std::move(reader)), writer_(std::move(writer)) {}

 protected:
  [[nodiscard]] uint8_t read_byte(uint16_t offset) override { return reader_(offset); }
  void write_byte(uint16_t offset, uint8_t value) override { writer_(offset, value); }

 private:
  Reader reader_;
  Writer writer_;
};

}  // namespace ringshift
