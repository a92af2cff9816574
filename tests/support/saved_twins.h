// SavedTwins: a device is saved in the middle of random traffic and loaded into a second one, and
// both get the rest of the traffic. Their answers, their effects on everything around them and the
// times at which they want to be called next must be the same. And the test of the test: a field
// that is saved but left as a fresh device has it must show.
//
// A World is a device with a clock: `clock`, `outside` (a value: all that it acts on),
// visit_state() and act(), which does one thing and returns what the device answered.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "devices/bus/virtual_clock.h"
#include "shadowmmu/base/state_archive.h"
#include "tests/support/state_items.h"

namespace ringshift {

class Random {
 public:
  explicit Random(uint32_t seed) : engine_(seed) {}
  [[nodiscard]] uint32_t below(uint32_t limit) { return static_cast<uint32_t>(engine_() % limit); }
  [[nodiscard]] uint8_t byte() { return static_cast<uint8_t>(engine_()); }
  [[nodiscard]] uint32_t word() { return static_cast<uint32_t>(engine_()); }
  [[nodiscard]] bool one_in(uint32_t count) { return below(count) == 0; }
  template <typename Table>
  [[nodiscard]] auto pick(const Table& table) {
    return table[below(static_cast<uint32_t>(std::size(table)))];
  }

 private:
  std::mt19937 engine_;
};

template <typename World>
class SavedTwins {
 public:
  // After a failure, RINGSHIFT_SEED runs its seed alone.
  SavedTwins(uint32_t seeds, int steps) : seeds_(seeds), steps_(steps) {
    if (const char* seed = std::getenv("RINGSHIFT_SEED"); seed != nullptr) {
      only_ = static_cast<uint32_t>(std::strtoul(seed, nullptr, 0));
    }
  }

  void expect_that_they_agree() const {
    for (uint32_t i = 0; i < (only_ ? 1 : seeds_); ++i) {
      const uint32_t seed = only_.value_or(i);
      SCOPED_TRACE("RINGSHIFT_SEED=" + std::to_string(seed));
      expect_that_they_agree(seed);
      if (::testing::Test::HasFailure()) return;
    }
  }

  // A device that forgets a field loads it as a fresh device has it. `unseen`: fields of which the
  // traffic cannot tell, each for a reason that the caller knows. The clock and the order of timers
  // of one deadline have tests of their own. If there are several things of one kind ("counter 0",
  // "counter 1") it is enough that one of them shows the field: "counter N". `within`: only of the
  // fields below it.
  void expect_that_each_field_shows(const std::set<std::string>& unseen,
                                    const std::string& within = "") const {
    std::map<std::string, bool> shows;
    std::set<std::string> could_be_forgotten;
    for (uint32_t seed = 0; seed < seeds_; ++seed) {
      try_each_field(seed, shows);
      could_be_forgotten.clear();
      for (const auto& [path, shown] : shows) {
        if (!shown && path.starts_with(within) && !path.starts_with("clock/") &&
            !path.ends_with("/order")) {
          could_be_forgotten.insert(path);
        }
      }
      if (could_be_forgotten == unseen) return;
    }
    EXPECT_EQ(could_be_forgotten, unseen);
  }

 private:
  using Seen = std::vector<uint64_t>;

  static Seen run(World& world, uint32_t seed, int steps) {
    Random random(seed);
    Seen seen;
    for (int i = 0; i < steps; ++i) {
      seen.push_back(world.act(random));
      seen.push_back(static_cast<uint64_t>(world.clock.next_deadline().value_or(-1)));
      seen.push_back(world.clock.armed_timers());
    }
    return seen;
  }

  static void visit(World& world, StateArchive& archive) {
    archive.part("clock", static_cast<VirtualClock&>(world.clock));
    world.visit_state(archive);
  }
  static std::vector<uint8_t> save(World& world) {
    std::vector<uint8_t> saved;
    std::string error;
    EXPECT_TRUE(StateArchive::save([&](StateArchive& a) { visit(world, a); }, &saved, &error))
        << error;
    return saved;
  }
  static std::string load(std::span<const uint8_t> saved, World& world) {
    std::string error;
    (void)StateArchive::load(
        saved, [&](StateArchive& a) { visit(world, a); }, &error);
    return error;
  }

  [[nodiscard]] int steps_before(uint32_t seed) const {
    return static_cast<int>(Random(seed).below(static_cast<uint32_t>(steps_)));
  }

  void expect_that_they_agree(uint32_t seed) const {
    auto first = std::make_unique<World>();
    (void)run(*first, seed, steps_before(seed));
    const std::vector<uint8_t> saved = save(*first);
    auto second = std::make_unique<World>();
    // Into a device that has done something else, too.
    if (seed % 3 == 2) (void)run(*second, seed + 1, 50);
    second->outside = first->outside;
    ASSERT_EQ(load(saved, *second), "");
    ASSERT_TRUE(second->outside == first->outside) << "loading has done something to the outside";
    ASSERT_EQ(save(*second), saved);
    const Seen expected = run(*first, seed + 7, steps_);
    const Seen seen = run(*second, seed + 7, steps_);
    const auto differs = std::mismatch(expected.begin(), expected.end(), seen.begin()).first;
    ASSERT_EQ(expected, seen) << "at step " << (differs - expected.begin()) / 3;
    ASSERT_TRUE(second->outside == first->outside);
    ASSERT_EQ(differing_items(parse_state(save(*second)), parse_state(save(*first))), "");
  }

  static std::string of_any(std::string path) {
    for (size_t i = 1; i + 1 < path.size(); ++i) {
      if (path[i - 1] == ' ' && path[i + 1] == '/') path[i] = 'N';
    }
    return path;
  }

  void try_each_field(uint32_t seed, std::map<std::string, bool>& shows) const {
    auto first = std::make_unique<World>();
    auto fresh = std::make_unique<World>();
    (void)run(*first, seed, steps_before(seed));
    const auto outside = first->outside;
    StateItems items = parse_state(save(*first));
    std::map<std::string, std::vector<uint8_t>> fresh_values;
    StateItems fresh_items = parse_state(save(*fresh));
    for_each_item(fresh_items, [&](const std::string& path, StateItems& all, size_t i) {
      fresh_values[path] = all[i].payload;
    });
    std::optional<Seen> expected;
    for_each_item(items, [&](const std::string& path, StateItems& all, size_t i) {
      bool& shown = shows[of_any(path)];
      StateItem& item = all[i];
      shown |= item.kind == StateItem::kSection || item.kind == StateItem::kConstant;
      const std::vector<uint8_t>& value = fresh_values.at(path);
      if (shown || value == item.payload) return;
      const std::vector<uint8_t> kept = std::exchange(item.payload, value);
      auto other = std::make_unique<World>();
      other->outside = outside;
      if (!load(assemble_state(items), *other).empty()) {
        shown = true;
      } else {
        if (!expected) expected = run(*first, seed + 7, steps_);
        shown = run(*other, seed + 7, steps_) != *expected;
      }
      item.payload = kept;
    });
  }

  uint32_t seeds_;
  int steps_;
  std::optional<uint32_t> only_;
};

}  // namespace ringshift
