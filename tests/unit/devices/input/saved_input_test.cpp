// Keyboard controller, keyboard, mouse and keys from the command line, saved and loaded in the
// middle of random traffic.
#include <gtest/gtest.h>

#include <array>

#include "devices/input/i8042.h"
#include "devices/input/keyboard_script.h"
#include "tests/support/saved_twins.h"
#include "tests/unit/devices/bus/device_test_support.h"

namespace ringshift {
namespace {

struct InputOutside {
  WireState keyboard, mouse;
  bool a20 = true;
  int resets = 0;
  bool operator==(const InputOutside&) const = default;
};

struct ControllerWorld {
  void visit_state(StateArchive& archive) {
    archive.part("a20", a20);
    archive.part("controller", controller);
  }
  uint64_t act(Random& random) {
    uint64_t answer = 0;
    switch (random.below(10)) {
      case 0: {
        const uint8_t commands[] = {0x20, 0x60, 0x61, 0x3f, 0xa7, 0xa8, 0xaa, 0xab, 0xad,
                                    0xae, 0xd0, 0xd1, 0xd2, 0xd3, 0xdd, 0xdf, 0xfe};
        out8(controller.command_port(), 0,
             random.one_in(4) ? random.byte() : random.pick(commands));
        break;
      }
      case 1:
        out8(controller.data_port(), 0, random.byte());
        break;
      case 2:
        command_keyboard(random);
        break;
      case 3:
      case 4:
        command_mouse(random);
        break;
      case 5: {
        const std::vector<uint8_t> codes = {random.byte(), 0xf0, random.byte()};
        answer = controller.inject_scancodes(std::span(codes).first(1 + random.below(3)));
        break;
      }
      case 6: {
        MouseMotion motion{.right = static_cast<int>(random.below(900)) - 450,
                           .up = static_cast<int>(random.below(900)) - 450,
                           .wheel = static_cast<int>(random.below(40)) - 20};
        motion.buttons = random.byte() & 7;
        for (uint32_t left = random.below(30); left != 0; --left) controller.move_mouse(motion);
        break;
      }
      default:
        answer = uint64_t{in8(controller.command_port(), 0)} << 8;
        for (uint32_t left = random.below(30); left != 0; --left) {
          answer = answer * 31 + in8(controller.data_port(), 0);
        }
        break;
    }
    const uint64_t levels = (outside.keyboard.level ? 1U : 0) | (outside.mouse.level ? 2U : 0);
    return answer ^ levels << 62 ^ static_cast<uint64_t>(outside.keyboard.rising_edges) << 32 ^
           static_cast<uint64_t>(outside.mouse.rising_edges) << 40;
  }
  void command_keyboard(Random& random) {
    const uint8_t commands[] = {0xed, 0xf0, 0xf0, 0xf3, 0xee, 0xf2, 0xf4, 0xf5, 0xf6,
                                0xf7, 0xf8, 0xf9, 0xfa, 0xfb, 0xfc, 0xfd, 0xfe, 0xff};
    out8(controller.data_port(), 0, random.pick(commands));
    if (random.one_in(2))
      out8(controller.data_port(), 0, random.below(random.one_in(2) ? 5 : 0x90));
  }
  void command_mouse(Random& random) {
    const uint8_t commands[] = {0xe6, 0xe7, 0xe8, 0xe9, 0xe9, 0xea, 0xeb, 0xec, 0xee, 0xf0,
                                0xf2, 0xf3, 0xf4, 0xf4, 0xf4, 0xf5, 0xf6, 0xfe, 0xfe, 0xff};
    if (random.one_in(12)) return teach_wheel();
    if (random.one_in(3)) return set_rate(random.pick(std::array<unsigned, 3>{200, 100, 80}));
    to_mouse(random.pick(commands));
    if (random.one_in(2)) to_mouse(random.below(256));
  }
  void teach_wheel() {
    for (const unsigned rate : {200U, 100U, 80U}) set_rate(rate);
  }
  void set_rate(unsigned rate) {
    to_mouse(0xf3);
    to_mouse(rate);
  }
  void to_mouse(unsigned byte) {
    out8(controller.command_port(), 0, 0xd4);
    out8(controller.data_port(), 0, byte);
  }
  ManualClock clock;
  InputOutside outside;
  OutsideLine keyboard_line{outside.keyboard}, mouse_line{outside.mouse};
  A20Gate a20{[this](bool enabled) { outside.a20 = enabled; }};
  I8042 controller{keyboard_line, mouse_line, a20, [this] { ++outside.resets; }};
};

TEST(SavedInput, TheKeyboardControllerGoesOn) {
  const SavedTwins<ControllerWorld> twins(300, 300);
  twins.expect_that_they_agree();
}

TEST(SavedInput, EachFieldOfTheKeyboardControllerShows) {
  const SavedTwins<ControllerWorld> twins(2000, 150);
  twins.expect_that_each_field_shows({});
}

struct ScriptWorld {
  static std::vector<KeyStep> steps() {
    std::vector<KeyStep> steps;
    std::string problem;
    EXPECT_TRUE(parse_keys("ab<wait:1>c<press><move:5,7>d<move:1,2><release><until:go>e<f7>xyz",
                           &steps, &problem))
        << problem;
    return steps;
  }
  void visit_state(StateArchive& archive) {
    archive.part("controller", controller);
    archive.part("keys", script);
  }
  uint64_t act(Random& random) {
    if (random.one_in(40)) outside.screen = "$ go";
    if (random.one_in(20)) {
      out8(controller.command_port(), 0, 0xd4);
      out8(controller.data_port(), 0, 0xf4);
    }
    clock.advance(random.below(60'000'000));
    return random.one_in(3) ? in8(controller.data_port(), 0) : in8(controller.command_port(), 0);
  }
  struct Outside {
    WireState keyboard, mouse;
    std::string screen;
    bool operator==(const Outside&) const = default;
  };
  ManualClock clock;
  Outside outside;
  OutsideLine keyboard_line{outside.keyboard}, mouse_line{outside.mouse};
  A20Gate a20{{}};
  I8042 controller{keyboard_line, mouse_line, a20, {}};
  KeyboardScript script{clock, controller, [this] { return outside.screen; }, steps()};
};

TEST(SavedInput, TypingGoesOn) {
  const SavedTwins<ScriptWorld> twins(100, 200);
  twins.expect_that_they_agree();
}

TEST(SavedInput, EachFieldOfTypingShows) {
  // The controller has a test of its own, in which all of its fields change.
  struct OnlyScript : ScriptWorld {
    void visit_state(StateArchive& archive) { archive.part("keys", script); }
    uint64_t act(Random& random) {
      uint64_t answer = ScriptWorld::act(random);
      for (int i = 0; i < 40; ++i) answer = answer * 31 + in8(controller.data_port(), 0);
      return answer;
    }
  };
  const SavedTwins<OnlyScript> twins(100, 100);
  twins.expect_that_each_field_shows({});
}

}  // namespace
}  // namespace ringshift
