// The buses, with as many claims as a PC has: from the access to the device and back.
#include <array>
#include <cstdint>

#include "bench/micro/cycles.h"
#include "devices/bus/bus.h"
#include "shadowmmu/base/check.h"

namespace ringshift {
namespace {

class Latch final : public PortDevice {
 public:
  [[nodiscard]] uint32_t read(uint16_t, AccessWidth) override { return value_; }
  void write(uint16_t, AccessWidth, uint32_t value) override { value_ = value; }

 private:
  uint32_t value_ = 0x60;
};

struct Claim {
  uint16_t first;
  uint32_t count;
};
// DMA, PIC, PIT, keyboard, port 92h, RTC, ..., serial port, VGA
constexpr std::array<Claim, 14> kClaims = {{{0x00, 16},
                                            {0x20, 2},
                                            {0x40, 4},
                                            {0x60, 1},
                                            {0x61, 1},
                                            {0x64, 1},
                                            {0x70, 2},
                                            {0x80, 16},
                                            {0x92, 1},
                                            {0xa0, 2},
                                            {0xc0, 32},
                                            {0xf4, 1},
                                            {0x3c0, 32},
                                            {0x3f8, 8}}};

class Ports {
 public:
  Ports() {
    for (const Claim& claim : kClaims) {
      CHECK(bus.claim(claim.first, claim.count, latch_, "latch"));
    }
  }
  PortBus bus;

 private:
  Latch latch_;
};

void PortRead(benchmark::State& state, uint16_t port) {
  Ports ports;
  Cycles cycles;
  cycles.start();
  for (auto _ : state) benchmark::DoNotOptimize(ports.bus.read(port, AccessWidth::Byte));
  cycles.stop();
  cycles.report(state, "cycles/access", static_cast<uint64_t>(state.iterations()));
}
BENCHMARK_CAPTURE(PortRead, serial_port, 0x3fd);
BENCHMARK_CAPTURE(PortRead, unclaimed, 0x5000);

void PortWrite(benchmark::State& state) {
  Ports ports;
  Cycles cycles;
  cycles.start();
  for (auto _ : state) ports.bus.write(0x3f8, AccessWidth::Byte, 'x');
  cycles.stop();
  cycles.report(state, "cycles/access", static_cast<uint64_t>(state.iterations()));
}
BENCHMARK(PortWrite);

class Register final : public MemoryDevice {
 public:
  [[nodiscard]] uint32_t read(uint64_t, AccessWidth) override { return 0x60; }
  void write(uint64_t, AccessWidth, uint32_t) override {}
};

// Device memory, with the few claims a PC has.
void DeviceMemoryRead(benchmark::State& state) {
  constexpr std::array<uint64_t, 4> kFirst = {0xa0000, 0xb0000, 0xb8000, 0xfec00000};
  Register device;
  MemoryBus bus;
  for (uint64_t first : kFirst) CHECK(bus.claim(GuestPhysical(first), 4096, device, "register"));
  Cycles cycles;
  cycles.start();
  for (auto _ : state) {
    benchmark::DoNotOptimize(bus.read(GuestPhysical(0xb8010), AccessWidth::Byte));
  }
  cycles.stop();
  cycles.report(state, "cycles/access", static_cast<uint64_t>(state.iterations()));
}
BENCHMARK(DeviceMemoryRead);

}  // namespace
}  // namespace ringshift
