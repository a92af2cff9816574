// Random system code on a whole small machine, interpreted and translated: registers, segments,
// control registers, RAM with its log of events, and every port access must agree.
// Accessed bits of page tables are not compared: code may be read ahead (SDM 3A 4.8).
#include <gtest/gtest.h>

#include <cstdio>
#include <cstring>

#include "tests/differential/guest.h"
#include "tests/differential/settings.h"
#include "tests/differential/system_case.h"

namespace ringshift::differential {
namespace {

using namespace system_layout;

constexpr uint64_t kCases = 10000;
constexpr const char* kTestName = "System.RandomCodeAgreesOnInterpreterAndTranslator";

// Four ports that answer by a counter and remember what was asked.
class TestDevice final : public PortDevice {
 public:
  [[nodiscard]] uint32_t read(uint16_t offset, AccessWidth width) override {
    log += "r" + std::to_string(offset) + "/" + std::to_string(static_cast<int>(width)) + " ";
    return ++counter_ * 0x01010101U;
  }
  void write(uint16_t offset, AccessWidth width, uint32_t value) override {
    log += "w" + std::to_string(offset) + "/" + std::to_string(static_cast<int>(width)) + "=" +
           std::to_string(value) + " ";
  }
  void clear() {
    log.clear();
    counter_ = 0;
  }
  std::string log;

 private:
  uint32_t counter_ = 0;
};

struct Side {
  std::unique_ptr<Guest> guest;
  TestDevice device;
  StopReason reason = StopReason::Running;

  bool create(Engine engine, std::string* error) {
    guest = Guest::create(engine, error);
    return guest != nullptr && guest->ports().claim(kDevicePort, 4, device, "test");
  }
  void run(const SystemCase& test) {
    device.clear();
    guest->load(test.start, test.ram);
    reason = guest->run_whole();
  }
};

std::string hex(uint32_t value) {
  char text[16];
  std::snprintf(text, sizeof(text), "%08x", value);
  return text;
}

class Differences {
 public:
  void compare(const std::string& name, uint32_t a, uint32_t b) {
    if (a != b) text_ += "  " + name + ": interpreted " + hex(a) + ", translated " + hex(b) + "\n";
  }
  void compare(const std::string& name, const SegmentCache& a, const SegmentCache& b) {
    compare(name + ".selector", a.selector, b.selector);
    compare(name + ".base", a.base, b.base);
    compare(name + ".limit", a.limit, b.limit);
    compare(name + ".attributes", a.attributes, b.attributes);
  }
  [[nodiscard]] std::string& text() { return text_; }

 private:
  std::string text_;
};

void compare_states(const GuestState& a, const GuestState& b, Differences* out) {
  for (size_t i = 0; i < kGprCount; ++i)
    out->compare("gpr" + std::to_string(i), a.gpr[i], b.gpr[i]);
  for (size_t i = 0; i < kSegmentCount; ++i) {
    out->compare("segment" + std::to_string(i), a.segment[i], b.segment[i]);
  }
  for (size_t i = 0; i < a.dr.size(); ++i) out->compare("dr" + std::to_string(i), a.dr[i], b.dr[i]);
  out->compare("eip", a.eip, b.eip);
  out->compare("eflags", a.eflags, b.eflags);
  out->compare("cpl", a.cpl, b.cpl);
  out->compare("cr0", a.cr0, b.cr0);
  out->compare("cr2", a.cr2, b.cr2);
  out->compare("cr3", a.cr3, b.cr3);
  out->compare("cr4", a.cr4, b.cr4);
  out->compare("ldtr", a.ldtr, b.ldtr);
  out->compare("tr", a.tr, b.tr);
  out->compare("interrupt shadow", a.interrupt_shadow, b.interrupt_shadow);
  out->compare("activity", static_cast<uint32_t>(a.activity), static_cast<uint32_t>(b.activity));
}

void compare_ram(Guest& a, Guest& b, Differences* out) {
  constexpr uint32_t kAccessed = 0x20;
  for (uint32_t at = 0; at < kRam; at += 4) {
    uint32_t x, y;
    std::memcpy(&x, a.ram().at(GuestPhysical(at)), 4);
    std::memcpy(&y, b.ram().at(GuestPhysical(at)), 4);
    const uint32_t ignored = at >= kDirectory && at < kTablesEnd ? kAccessed : 0;
    if (((x ^ y) & ~ignored) != 0) out->compare("[" + hex(kLinear + at) + "]", x, y);
  }
}

class SystemComparison {
 public:
  bool create(std::string* error) {
    return interpreted_.create(Engine::Interpret, error) &&
           translated_.create(Engine::Translate, error);
  }
  // Empty: they agree. A case that does not end when interpreted says nothing.
  std::string differences(const SystemCase& test) {
    interpreted_.run(test);
    if (interpreted_.reason == StopReason::Quit) {
      ++endless_;
      return "";
    }
    translated_.run(test);
    Differences found;
    found.compare("stop reason", static_cast<uint32_t>(interpreted_.reason),
                  static_cast<uint32_t>(translated_.reason));
    compare_states(interpreted_.guest->state(), translated_.guest->state(), &found);
    compare_ram(*interpreted_.guest, *translated_.guest, &found);
    if (interpreted_.device.log != translated_.device.log) {
      found.text() += "  ports: interpreted " + interpreted_.device.log + "\n         translated " +
                      translated_.device.log + "\n";
    }
    return found.text();
  }
  // `first` is what has just been found in `test`; then the smallest case that still differs, if it
  // differs again at all.
  std::string report(uint64_t seed, const SystemCase& test, const std::string& first) {
    constexpr int kRepeats = 20;
    std::string text = "the comparison that differed:\n" + first + "events:\n" + events();
    int failed = 0;
    for (int i = 0; i < kRepeats; ++i) failed += differences(test).empty() ? 0 : 1;
    text += "again: " + std::to_string(failed) + " of " + std::to_string(kRepeats) + " differ\n";
    if (failed != kRepeats) return text + system_listing(test);
    const SystemCase small = generate_system(seed, shrink(seed));
    const std::string found = differences(small);
    return text + "shrunk:\n" + system_listing(small) + "events:\n" + events() + found;
  }
  [[nodiscard]] uint64_t endless() const { return endless_; }
  // The events that the interpreted run's handler noted.
  [[nodiscard]] std::string events() {
    std::string text;
    for (uint32_t at = kLog + 32; at + 32 <= kLogEnd; at += 32) {
      std::array<uint32_t, 6> event;
      std::memcpy(event.data(), interpreted_.guest->ram().at(GuestPhysical(at)), sizeof(event));
      if (event[2] == 0) break;
      text += "  vector " + std::to_string(event[0]) + " error " + hex(event[1]) + " eip " +
              hex(event[2]) + " cs " + hex(event[3]) + " eflags " + hex(event[4]) + " cr2 " +
              hex(event[5]) + "\n";
    }
    return text;
  }
  [[nodiscard]] uint32_t event_count() {
    uint32_t cursor;
    std::memcpy(&cursor, interpreted_.guest->ram().at(GuestPhysical(kLog)), 4);
    return (cursor - kLinear - kLog) / 32 - 1;
  }

 private:
  std::vector<bool> shrink(uint64_t seed) {
    std::vector<bool> dropped(step_count(), false);
    for (size_t i = dropped.size(); i-- > 0;) {
      dropped[i] = true;
      if (differences(generate_system(seed, dropped)).empty()) dropped[i] = false;
    }
    return dropped;
  }

  Side interpreted_;
  Side translated_;
  uint64_t endless_ = 0;
};

TEST(System, RandomCodeAgreesOnInterpreterAndTranslator) {
  SystemComparison comparison;
  std::string error;
  ASSERT_TRUE(comparison.create(&error)) << error;
  const Settings settings = Settings::read(kCases);
  const uint64_t most_failures = setting("RINGSHIFT_FAILURES").value_or(3);
  uint64_t failures = 0, events = 0;
  for (uint64_t i = settings.first; i < settings.end && failures < most_failures; ++i) {
    const uint64_t seed = case_seed(settings.seed, i);
    const SystemCase test = generate_system(seed, {});
    const std::string first = comparison.differences(test);
    events += comparison.event_count();
    if (first.empty()) continue;
    ++failures;
    ADD_FAILURE() << "case " << i << "\n"
                  << comparison.report(seed, test, first)
                  << "replay: " << settings.replay(kTestName, i);
  }
  RecordProperty("events", static_cast<int>(events));
  RecordProperty("endless", static_cast<int>(comparison.endless()));
  if (settings.end - settings.first >= kCases) {
    EXPECT_GT(events, kCases * 3);
  }
}

}  // namespace
}  // namespace ringshift::differential
