// Worlds: the common part of targets of devices with a state of their own: one traffic, run once,
// run again, or saved and loaded in the middle, gives one digest.
//
// A World has act(bytes), check(), digest(), visit_state(archive), and what lies outside of what is
// saved: surroundings() and take(surroundings).
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "devices/bus/virtual_clock.h"
#include "devices/interrupts/interrupt_line.h"
#include "shadowmmu/base/check.h"
#include "shadowmmu/base/state_archive.h"
#include "tests/fuzz/targets/fuzz_bytes.h"

namespace ringshift::fuzz {

// Looked at once whenever time passes, as the loop of a machine does.
class StepClock final : public VirtualClock {
 public:
  [[nodiscard]] Nanoseconds now() override { return now_; }
  void pass(Nanoseconds by) {
    now_ += by;
    run_due();
  }

 protected:
  void set_time(Nanoseconds time) override { now_ = time; }

 private:
  Nanoseconds now_ = 0;
};

// An interrupt line whose level is part of a world's surroundings, and outlives it.
class LevelLine final : public InterruptLine {
 public:
  explicit LevelLine(bool& level) : level_(level) {}
  void set_level(bool asserted) override { level_ = asserted; }

 private:
  bool& level_;
};

template <typename World>
std::vector<uint8_t> save_world(World& world) {
  std::vector<uint8_t> saved;
  std::string error;
  CHECK(StateArchive::save([&](StateArchive& a) { world.visit_state(a); }, &saved, &error));
  return saved;
}

// A second one that goes on where the first one is.
template <typename World>
std::unique_ptr<World> twin_of(World& world) {
  auto twin = std::make_unique<World>();
  const auto around = world.surroundings();
  const std::vector<uint8_t> saved = save_world(world);
  twin->take(around);
  std::string error;
  CHECK(StateArchive::load(
      saved, [&](StateArchive& a) { twin->visit_state(a); }, &error));
  CHECK(twin->surroundings() == around);
  CHECK(save_world(*twin) == saved);
  return twin;
}

// Saved, and loaded into another world, when so many of the `most` actions are left; 0: never.
template <typename World>
uint64_t run_world(std::span<const uint8_t> input, int most, int save_at) {
  FuzzBytes bytes(input);
  auto world = std::make_unique<World>();
  (void)bytes.u8();
  for (int left = most; left != 0 && !bytes.empty(); --left) {
    if (left == save_at) world = twin_of(*world);
    world->act(bytes);
    world->check();
  }
  return world->digest();
}

// The input's first byte says whether it is run a second time, and how.
template <typename World>
void run_world_alike(std::span<const uint8_t> input, int most) {
  const uint64_t first = run_world<World>(input, most, 0);
  if (input.empty()) return;
  if (input[0] % 4 == 0) CHECK(run_world<World>(input, most, 0) == first);
  if (input[0] % 4 == 1) CHECK(run_world<World>(input, most, most - input[0] / 4) == first);
}

}  // namespace ringshift::fuzz
