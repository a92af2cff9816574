// An RTL8029AS and a driver that means no good: registers of every page by accesses of every width,
// rings anywhere, the data port in any mode, frames that come, a port with little room. Every frame
// sent has a frame's length, no frame received waits for a ring that is none, and the same traffic
// gets the same answers, saved and loaded in the middle or not.
#include <deque>
#include <vector>

#include "devices/bus/bus.h"
#include "devices/network/ne2k_pci.h"
#include "shadowmmu/base/check.h"
#include "shadowmmu/base/state_archive.h"
#include "tests/fuzz/targets/fuzz_bytes.h"
#include "tests/fuzz/targets/fuzz_target.h"
#include "tests/fuzz/targets/worlds.h"

namespace ringshift::fuzz {
namespace {

constexpr int kMostActions = 400;
constexpr uint16_t kPorts = 0xc000;
constexpr uint16_t kData = kPorts + 0x10;

struct Surroundings {
  std::deque<std::vector<uint8_t>> frames;
  unsigned room = 4;
  bool line = false;
  uint64_t digest = 0xcbf29ce484222325ULL;
  bool operator==(const Surroundings&) const = default;
  void note(uint64_t value) { digest = (digest ^ value) * 0x100000001b3ULL; }
};

class Port final : public PacketPort {
 public:
  explicit Port(Surroundings& around) : around_(around) {}
  [[nodiscard]] bool has_room() const override { return around_.room != 0; }
  void send(std::span<const uint8_t> frame) override {
    CHECK(around_.room != 0 && frame.size() >= Ne2kPci::kLeastFrame &&
          frame.size() <= Ne2kPci::kLongestFrame);
    --around_.room;
    for (const uint8_t byte : frame) around_.note(byte);
  }
  [[nodiscard]] std::span<const uint8_t> received() const override {
    return around_.frames.empty() ? std::span<const uint8_t>() : around_.frames.front();
  }
  void take_received() override {
    around_.frames.pop_front();
    if (change) change();  // as the real one may
  }
  void set_on_change(std::function<void()> on_change) override { change = std::move(on_change); }
  std::function<void()> change;

 private:
  Surroundings& around_;
};

class World {
 public:
  World() {
    card_.write_config(0x10, AccessWidth::Dword, kPorts);
    card_.write_config(0x04, AccessWidth::Word, 1);
  }
  void act(FuzzBytes& bytes);
  void check() const {}
  void visit_state(StateArchive& archive) {
    archive.part("clock", static_cast<VirtualClock&>(clock_));
    archive.part("card", card_);
  }
  [[nodiscard]] const Surroundings& surroundings() const { return around_; }
  [[nodiscard]] uint64_t digest() const { return around_.digest; }
  void take(const Surroundings& around) { around_ = around; }

 private:
  void set(unsigned at, uint8_t value) {
    ports_.write(static_cast<uint16_t>(kPorts + at), AccessWidth::Byte, value);
  }
  void start(FuzzBytes& bytes);
  void access(FuzzBytes& bytes);
  void move_data(FuzzBytes& bytes);
  void come_from_outside(FuzzBytes& bytes);

  StepClock clock_;
  Surroundings around_;
  Port port_{around_};
  LevelLine line_{around_.line};
  PortBus ports_;
  MemoryBus memory_;
  PciBuses buses_{ports_, memory_, {}};
  Ne2kPci card_{{buses_, clock_, line_}, port_, {2, 0, 0, 0, 0, 1}};
};

// As a driver does, but for the ring, which is anywhere.
void World::start(FuzzBytes& bytes) {
  const uint8_t first = bytes.u8(), last = bytes.u8();
  set(0x00, 0x21);
  set(0x0e, first % 2 == 0 ? 0x49 : 0x48);
  set(0x04, 0x40);
  set(0x01, first < 128 ? 0x46 : first);
  set(0x02, last < 128 ? 0x80 : last);
  set(0x03, 0x46);
  set(0x0f, 0x7f);
  set(0x00, 0x61);
  set(0x07, first < 128 ? 0x47 : last);
  set(0x00, 0x22);
  set(0x0c, 0x1c);
  set(0x0d, 0);
}

void World::access(FuzzBytes& bytes) {
  const uint8_t how = bytes.u8();
  const AccessWidth widths[] = {AccessWidth::Byte, AccessWidth::Byte, AccessWidth::Word,
                                AccessWidth::Dword};
  const AccessWidth width = widths[how >> 5 & 3];
  const auto at = static_cast<uint16_t>(kPorts + (how & 0x1f));
  if ((how & 0x80) == 0) return around_.note(ports_.read(at, width));
  ports_.write(at, width, width == AccessWidth::Dword ? bytes.u32() : bytes.u16());
}

void World::move_data(FuzzBytes& bytes) {
  const uint8_t how = bytes.u8();
  const uint16_t address = bytes.u16(), count = bytes.u8();
  set(0x00, 0x22);
  set(0x08, static_cast<uint8_t>(address));
  set(0x09, static_cast<uint8_t>(address >> 8));
  set(0x0a, static_cast<uint8_t>(count));
  set(0x0b, 0);
  set(0x00, (how & 1) != 0 ? 0x12 : 0x0a);
  const AccessWidth width = (how & 2) != 0 ? AccessWidth::Dword : AccessWidth::Word;
  for (unsigned i = 0; i < (how >> 2); ++i) {
    if ((how & 1) != 0) {
      ports_.write(kData, width, address + i * 0x01010101U);
    } else {
      around_.note(ports_.read(kData, width));
    }
  }
}

void World::come_from_outside(FuzzBytes& bytes) {
  const uint8_t what = bytes.u8();
  switch (what & 3) {
    case 0:
      around_.room = what >> 2;
      break;
    case 1:
    case 2:
      if (around_.frames.size() < 64) around_.frames.emplace_back(14 + 24 * (what >> 2), what);
      break;
    default:
      break;
  }
  port_.change();
  clock_.pass(1 + (what >> 2) * 1000);
}

void World::act(FuzzBytes& bytes) {
  const uint8_t what = bytes.u8();
  switch (what & 7) {
    case 0:
      return start(bytes);
    case 1:
    case 2:
    case 3:
      return access(bytes);
    case 4:
      return move_data(bytes);
    case 5:
      set(0x05, static_cast<uint8_t>(bytes.u8() | 1));
      set(0x06, what >> 5);
      return set(0x00, 0x26);
    case 6:
      return set(0x03, bytes.u8());
    default:
      return come_from_outside(bytes);
  }
}

}  // namespace

void fuzz_ne2k(std::span<const uint8_t> input) { run_world_alike<World>(input, kMostActions); }

}  // namespace ringshift::fuzz
