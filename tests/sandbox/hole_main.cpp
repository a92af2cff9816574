// Ringshift with a hole: a device at port 0x5a0 that runs a guest's bytes as host code. It behaves
// as the product would if a guest had taken it over; only tests/sandbox/hole_test.py runs it.
#include <sys/mman.h>

#include <cinttypes>
#include <cstdio>
#include <cstring>
#include <memory>

#include "devices/bus/device.h"
#include "monitor/command_line.h"
#include "monitor/machine/machine.h"

namespace ringshift {
namespace {

constexpr uint16_t kHolePort = 0x5a0;
constexpr size_t kPayloadBytes = 8192;

// A write of a guest-physical address: the 8 KiB there are copied and called. Their result is
// printed, and read by the guest as zero or not.
class Hole final : public PortDevice {
 public:
  explicit Hole(GuestMemory& memory) : memory_(memory) {}

  [[nodiscard]] uint32_t read(uint16_t, AccessWidth) override { return returned_ < 0 ? 1 : 0; }
  void write(uint16_t, AccessWidth, uint32_t address) override {
    void* code = mmap(nullptr, kPayloadBytes, PROT_READ | PROT_WRITE | PROT_EXEC,
                      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (code == MAP_FAILED || !memory_.contains(GuestPhysical(address), kPayloadBytes)) return;
    std::memcpy(code, memory_.at(GuestPhysical(address)), kPayloadBytes);
    returned_ = reinterpret_cast<int64_t (*)()>(code)();
    std::fprintf(stderr, "hole: %" PRId64 "\n", returned_);
    munmap(code, kPayloadBytes);
  }

 private:
  GuestMemory& memory_;
  int64_t returned_ = 0;
};

}  // namespace
}  // namespace ringshift

int main(int argc, char** argv) {
  using namespace ringshift;
  std::unique_ptr<Hole> hole;
  CommandLineHooks hooks;
  hooks.on_machine = [&hole](Machine& machine) {
    hole = std::make_unique<Hole>(machine.memory());
    if (!machine.processor().cpu().ports.claim(kHolePort, 4, *hole, "hole")) std::abort();
  };
  return run_command_line(argc, argv, {}, hooks);
}
