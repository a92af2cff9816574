#include "devices/chips/test_device.h"

#include <cstring>
#include <utility>

#include "shadowmmu/base/state_archive.h"

namespace ringshift {
namespace {

constexpr uint16_t kRegisterPorts = 0xe0, kFlushPorts = 0xe4, kBytePorts = 0xe8;
constexpr uint16_t kLinePorts = 0x2000;
constexpr GuestPhysical kMemoryBase(0xff000000);

}  // namespace

TestDevice::TestDevice(std::function<void(unsigned, bool)> set_line, std::function<void()> on_flush)
    : set_line_(std::move(set_line)),
      flush_(std::move(on_flush)),
      bytes_(
          [this](uint16_t offset) {
            return static_cast<uint8_t>(register_.read(offset, AccessWidth::Byte));
          },
          [this](uint16_t offset, uint8_t value) {
            register_.write(offset, AccessWidth::Byte, value);
          }),
      lines_([](uint16_t) { return uint8_t{0xff}; },
             [this](uint16_t offset, uint8_t value) { set_line_(offset, value != 0); }) {}

bool TestDevice::attach(PortBus& ports, MemoryBus& memory) {
  constexpr DecodeRank kRank = DecodeRank::Added;
  return ports.claim(kRegisterPorts, 4, register_, "test register", kRank) &&
         ports.claim(kFlushPorts, 4, flush_, "test flush", kRank) &&
         ports.claim(kBytePorts, 4, bytes_, "test register by bytes", kRank) &&
         ports.claim(kLinePorts, kLines, lines_, "test lines", kRank) &&
         memory.claim(kMemoryBase, Memory::kBytes, memory_, "test memory", kRank);
}

// The bus cuts an access that does not lie within the four bytes.
uint32_t TestDevice::Register::read(uint16_t offset, AccessWidth) { return value_ >> 8 * offset; }

void TestDevice::Register::write(uint16_t offset, AccessWidth width, uint32_t value) {
  std::memcpy(reinterpret_cast<uint8_t*>(&value_) + offset, &value, static_cast<size_t>(width));
}

// Only a whole address is one.
void TestDevice::Flush::write(uint16_t, AccessWidth width, uint32_t) {
  if (width == AccessWidth::Dword && on_flush_) on_flush_();
}

uint32_t TestDevice::Memory::read(uint64_t offset, AccessWidth width) {
  uint32_t value = 0;
  std::memcpy(&value, bytes_.data() + offset, static_cast<size_t>(width));
  return value;
}

void TestDevice::Memory::write(uint64_t offset, AccessWidth width, uint32_t value) {
  std::memcpy(bytes_.data() + offset, &value, static_cast<size_t>(width));
}

void TestDevice::visit_state(StateArchive& archive) {
  register_.visit_state(archive);
  memory_.visit_state(archive);
}

}  // namespace ringshift
