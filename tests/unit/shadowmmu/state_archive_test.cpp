#include "shadowmmu/base/state_archive.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <deque>

#include "tests/support/state_items.h"

namespace ringshift {
namespace {

enum class Color : uint8_t { Red, Green, Blue };

struct Wheel {
  static constexpr unsigned kStateVersion = 3;
  uint16_t speed = 0;
  bool turns = false;
  void visit_state(StateArchive& archive) {
    archive.field("speed", speed);
    archive.field("turns", turns);
  }
};

// One of everything.
struct Thing {
  static constexpr unsigned kStateVersion = 1;
  uint8_t small = 0;
  uint64_t large = 0;
  int32_t negative = 0;
  uint32_t index = 0;
  Color color = Color::Red;
  std::optional<uint16_t> perhaps;
  std::array<uint32_t, 3> numbers{};
  uint8_t raw[2] = {};
  std::deque<uint8_t> queue;
  std::vector<uint8_t> memory = std::vector<uint8_t>(10'000);
  Wheel wheel;
  void visit_state(StateArchive& archive) {
    archive.field("small", small);
    archive.field("large", large);
    archive.field("negative", negative, -100, 100);
    archive.field("index", index, 0, 9);
    archive.choice("color", color, Color::Blue);
    archive.optional("perhaps", perhaps, 0, 1000);
    archive.numbers("numbers", numbers);
    archive.numbers("raw", raw);
    archive.list("queue", queue, 4);
    archive.memory("memory", memory);
    archive.part("wheel", wheel);
    archive.same("size", 7);
  }
};

Thing example() {
  Thing thing;
  thing.small = 200;
  thing.large = 0x0123456789abcdef;
  thing.negative = -77;
  thing.index = 9;
  thing.color = Color::Blue;
  thing.perhaps = 1000;
  thing.numbers = {1, 0xffffffff, 3};
  thing.raw[1] = 8;
  thing.queue = {5, 6, 7};
  thing.memory[4095] = 1;
  thing.memory[9999] = 2;
  thing.wheel = {.speed = 300, .turns = true};
  return thing;
}

template <typename Part>
std::vector<uint8_t> save(Part& part) {
  std::vector<uint8_t> saved;
  std::string error;
  EXPECT_TRUE(StateArchive::save([&](StateArchive& a) { a.part("thing", part); }, &saved, &error));
  EXPECT_EQ(error, "");
  return saved;
}

// The error; empty: none.
template <typename Part>
std::string load(std::span<const uint8_t> saved, Part& part) {
  std::string error;
  const bool good = StateArchive::load(
      saved, [&](StateArchive& a) { a.part("thing", part); }, &error);
  EXPECT_EQ(good, error.empty());
  EXPECT_EQ(std::ranges::count(error, '\n'), 0);
  return error;
}

std::string load_items(const StateItems& items) {
  Thing thing;
  return load(assemble_state(items), thing);
}

StateItem& item_of(StateItems& items, const std::string& name) {
  StateItems& fields = items[0].items;
  return *std::ranges::find(fields, name, &StateItem::name);
}

TEST(StateArchive, WhatIsSavedIsLoaded) {
  Thing thing = example();
  const std::vector<uint8_t> saved = save(thing);
  Thing loaded;
  loaded.memory.assign(loaded.memory.size(), 0xff);
  loaded.queue = {1, 2, 3, 4};
  ASSERT_EQ(load(saved, loaded), "");
  EXPECT_EQ(loaded.small, 200);
  EXPECT_EQ(loaded.large, 0x0123456789abcdefU);
  EXPECT_EQ(loaded.negative, -77);
  EXPECT_EQ(loaded.index, 9U);
  EXPECT_EQ(loaded.color, Color::Blue);
  EXPECT_EQ(loaded.perhaps, 1000);
  EXPECT_EQ(loaded.numbers, thing.numbers);
  EXPECT_EQ(loaded.raw[1], 8);
  EXPECT_EQ(loaded.queue, thing.queue);
  EXPECT_EQ(loaded.memory, thing.memory);
  EXPECT_EQ(loaded.wheel.speed, 300);
  EXPECT_TRUE(loaded.wheel.turns);
  EXPECT_EQ(save(loaded), saved);
}

TEST(StateArchive, NothingOptionalIsLoadedOverSomething) {
  Thing thing;
  Thing loaded = example();
  ASSERT_EQ(load(save(thing), loaded), "");
  EXPECT_FALSE(loaded.perhaps);
  EXPECT_TRUE(loaded.queue.empty());
}

// The format itself, byte by byte: what is written today is read for good.
TEST(StateArchive, TheBytesAreThoseOfThePage) {
  Wheel wheel{.speed = 0x1234, .turns = true};
  const std::vector<uint8_t> expected = {
      'R', 'S', 'S', 'T', 'A', 'T', 'E', '\n', 1, 0, 0, 0,           // format 1
      42,  0,   0,   0,   0,   0,   0,   0,                          // bytes of the body
      0,   0,   0,   0,   0,   0,   0,   0,                          // hash, compared below
      1,   5,   't', 'h', 'i', 'n', 'g', 31,   0, 0, 0, 3,    0,     // section, version 3
      2,   5,   's', 'p', 'e', 'e', 'd', 2,    0, 0, 0, 0x34, 0x12,  // unsigned
      2,   5,   't', 'u', 'r', 'n', 's', 1,    0, 0, 0, 1};          // unsigned
  std::vector<uint8_t> saved = save(wheel);
  std::fill(saved.begin() + 20, saved.begin() + 28, uint8_t{0});
  std::vector<uint8_t> with_length = expected;
  with_length[12] = static_cast<uint8_t>(expected.size() - StateArchive::kHeaderBytes);
  with_length[35] = static_cast<uint8_t>(expected.size() - StateArchive::kHeaderBytes - 11);
  EXPECT_EQ(saved, with_length);
}

TEST(StateArchive, ASectionLeftOutOrAddedIsNamed) {
  Thing thing = example();
  StateItems items = parse_state(save(thing));
  items.push_back(items[0]);
  items[1].name = "stranger";
  EXPECT_EQ(load_items(items),
            "saved state: stranger: this program knows no such field or section");
  items.clear();
  EXPECT_EQ(load_items(items), "saved state: thing: it is missing");
}

TEST(StateArchive, EveryTruncationIsRefused) {
  Thing thing = example();
  const std::vector<uint8_t> saved = save(thing);
  for (size_t length = 0; length < saved.size(); ++length) {
    Thing loaded;
    ASSERT_NE(load(std::span(saved).first(length), loaded), "") << length;
  }
}

// With a header that is right for what is left, too.
TEST(StateArchive, EveryTruncatedBodyIsRefused) {
  Thing thing = example();
  const std::vector<uint8_t> saved = save(thing);
  const auto body = std::span(saved).subspan(StateArchive::kHeaderBytes);
  for (size_t length = 0; length < body.size(); ++length) {
    Thing loaded;
    ASSERT_NE(load(StateArchive::with_header(body.first(length)), loaded), "") << length;
  }
}

TEST(StateArchive, EveryFlippedBitIsNoticed) {
  Wheel wheel{.speed = 5, .turns = true};
  const std::vector<uint8_t> saved = save(wheel);
  for (size_t bit = 0; bit < 8 * saved.size(); ++bit) {
    std::vector<uint8_t> flipped = saved;
    flipped[bit / 8] ^= static_cast<uint8_t>(1U << bit % 8);
    Wheel loaded;
    ASSERT_NE(load(flipped, loaded), "") << bit;
  }
}

// A person who makes the hash right can still only set fields to values that they may have.
TEST(StateArchive, NoFlippedBitOfABodyDoesHarm) {
  Thing thing = example();
  const std::vector<uint8_t> saved = save(thing);
  for (size_t bit = 8 * StateArchive::kHeaderBytes; bit < 8 * saved.size(); ++bit) {
    if (bit / 8 > 200 && bit % 97 != 0) continue;  // mostly the memory
    std::vector<uint8_t> flipped = saved;
    flipped[bit / 8] ^= static_cast<uint8_t>(1U << bit % 8);
    Thing loaded;
    if (!load(StateArchive::with_header(std::span(flipped).subspan(StateArchive::kHeaderBytes)),
              loaded)
             .empty()) {
      continue;
    }
    ASSERT_LE(loaded.index, 9U);
    ASSERT_LE(loaded.color, Color::Blue);
    ASSERT_LE(loaded.queue.size(), 4U);
    ASSERT_LE(loaded.perhaps.value_or(0), 1000);
    ASSERT_GE(loaded.negative, -100);
  }
}

TEST(StateArchive, EachItemThatIsMissingTwiceThereOrOfAnotherKindIsNamed) {
  Thing thing = example();
  StateItems items = parse_state(save(thing));
  const StateItems original = items;
  std::vector<std::string> paths;
  for_each_item(items, [&](const std::string& path, StateItems& all, size_t i) {
    paths.push_back(path);
    const StateItem item = all[i];
    const StateItems before = all;
    all.erase(all.begin() + static_cast<ptrdiff_t>(i));
    EXPECT_EQ(load_items(items), "saved state: " + path + ": it is missing");
    all = before;
    all.push_back(item);
    EXPECT_EQ(load_items(items), "saved state: " + path + ": it is there twice");
    all = before;
    all[i].kind = item.kind == StateItem::kSection ? 2 : item.kind == 2 ? 3 : 2;
    EXPECT_EQ(load_items(items), "saved state: " + path + ": it is of another kind");
    all = before;
    all[i].kind = 99;
    EXPECT_EQ(load_items(items), "saved state: " + path + ": there are no items of kind 99");
    all = before;
  });
  EXPECT_EQ(paths.size(), 15U);
  EXPECT_EQ(assemble_state(items), assemble_state(original));
}

TEST(StateArchive, EachValueOutOfRangeIsNamed) {
  Thing thing = example();
  const StateItems good = parse_state(save(thing));
  const struct {
    const char* name;
    std::vector<uint8_t> payload;
    const char* error;
  } cases[] = {
      {"small", {0, 1}, "small: 256 is more than 255"},
      {"small", {1, 2, 3}, "small: it is a number of 3 bytes"},
      {"small", {}, "small: it is a number of 0 bytes"},
      {"negative", {0x9b}, "negative: -101 is less than -100"},
      {"negative", {101, 0, 0, 0}, "negative: 101 is more than 100"},
      {"index", {10, 0, 0, 0}, "index: 10 is more than 9"},
      {"color", {3}, "color: 3 is more than 2"},
      {"perhaps", {2, 0xe9, 3}, "perhaps: 1001 is more than 1000"},
      {"perhaps", {2, 1, 0, 1, 0}, "perhaps: it has 2 entries, and 1 are the most"},
      {"perhaps", {2, 1}, "perhaps: it is no list of numbers of 2 bytes"},
      {"perhaps", {}, "perhaps: it is no list of numbers of 2 bytes"},
      {"numbers", {4, 1, 0, 0, 0}, "numbers: there are fewer of them than there must be"},
      {"raw", {1, 1, 2, 3}, "raw: it has 3 entries, and 2 are the most"},
      {"queue", {1, 1, 2, 3, 4, 5}, "queue: it has 5 entries, and 4 are the most"},
      {"memory", {0x10, 0x27, 0, 0}, "memory: its blocks are not those of 10000 bytes"},
      {"memory", {0, 0, 1, 0, 0, 0, 0, 0}, "memory: its blocks are not those of 10000 bytes"},
      {"size", {8}, "size: it was 8 where it was saved, and is 7 here"},
  };
  for (const auto& row : cases) {
    StateItems items = good;
    item_of(items, row.name).payload = row.payload;
    EXPECT_EQ(load_items(items), std::string("saved state: thing/") + row.error);
  }
}

// Blocks come once each, in order, and all of them are in the memory.
TEST(StateArchive, AMemoryOfBadBlocksIsRefused) {
  Thing thing = example();
  const StateItems good = parse_state(save(thing));
  const auto with_blocks = [&](const std::vector<uint8_t>& numbers) {
    StateItems items = good;
    std::vector<uint8_t>& payload = item_of(items, "memory").payload;
    payload.resize(8);
    for (const uint8_t number : numbers) {
      payload.insert(payload.end(), {number, 0, 0, 0});
      payload.resize(payload.size() + (number == 2 ? 10'000 - 8192 : 4096), 3);
    }
    return load_items(items);
  };
  EXPECT_EQ(with_blocks({}), "");
  EXPECT_EQ(with_blocks({0, 1, 2}), "");
  for (const std::vector<uint8_t>& numbers :
       {std::vector<uint8_t>{1, 0}, {0, 0}, {3}, {255}, {2, 1}}) {
    EXPECT_EQ(with_blocks(numbers),
              "saved state: thing/memory: its blocks are not those of 10000 "
              "bytes");
  }
}

TEST(StateArchive, AnErrorInASectionNamesItsPath) {
  Thing thing = example();
  StateItems items = parse_state(save(thing));
  item_of(items, "wheel").items[0].name = "spin";
  EXPECT_EQ(load_items(items), "saved state: thing/wheel/speed: it is missing");
  item_of(items, "wheel").items[0].name = "speed\n";
  EXPECT_EQ(load_items(items), "saved state: thing/wheel/items: one has a name that is none");
  item_of(items, "wheel").payload = {4, 0};
  EXPECT_EQ(load_items(items),
            "saved state: thing/wheel: its version is 4, and this program knows 1 to 3");
  item_of(items, "wheel").payload = {0, 0};
  EXPECT_NE(load_items(items), "");
}

TEST(StateArchive, TooManyItemsAreRefused) {
  Thing thing = example();
  StateItems items = parse_state(save(thing));
  for (int i = 0; i < 5000; ++i) items.push_back({2, "f" + std::to_string(i), {1}, {}});
  EXPECT_EQ(load_items(items), "saved state: items: there are too many");
}

TEST(StateArchive, TheOrderOfItemsDoesNotMatter) {
  Thing thing = example();
  const std::vector<uint8_t> saved = save(thing);
  StateItems items = parse_state(saved);
  std::ranges::reverse(items[0].items);
  Thing loaded;
  ASSERT_EQ(load(assemble_state(items), loaded), "");
  EXPECT_EQ(save(loaded), saved);
}

// --- versions

struct OldWheel {
  static constexpr unsigned kStateVersion = 1;
  uint8_t speed = 0;
  int8_t drift = 0;
  uint8_t rust = 0;
  void visit_state(StateArchive& archive) {
    archive.field("speed", speed);
    archive.field("drift", drift);
    archive.field("rust", rust);
  }
};

// Wider fields, one that came, and one that went.
struct NewWheel {
  static constexpr unsigned kStateVersion = 2;
  uint32_t speed = 0;
  int64_t drift = 0;
  bool lit = true;
  void visit_state(StateArchive& archive) {
    archive.field("speed", speed);
    archive.field("drift", drift);
    if (archive.version() >= 2) archive.field("lit", lit);
    if (archive.version() < 2) archive.dropped("rust");
  }
};

TEST(StateArchive, ALaterVersionLoadsAnEarlierOne) {
  OldWheel wheel{.speed = 200, .drift = -3, .rust = 9};
  NewWheel loaded;
  ASSERT_EQ(load(save(wheel), loaded), "");
  EXPECT_EQ(loaded.speed, 200U);
  EXPECT_EQ(loaded.drift, -3);
  EXPECT_TRUE(loaded.lit);
}

TEST(StateArchive, AnEarlierVersionSaysThatALaterOneIsNotForIt) {
  NewWheel wheel;
  OldWheel loaded;
  EXPECT_EQ(load(save(wheel), loaded),
            "saved state: thing: its version is 2, and this program knows 1 to 1");
}

TEST(StateArchive, WhatCouldNotBeLoadedIsNotSaved) {
  Thing thing = example();
  thing.index = 10;
  std::vector<uint8_t> saved;
  std::string error;
  EXPECT_FALSE(
      StateArchive::save([&](StateArchive& a) { a.part("thing", thing); }, &saved, &error));
  EXPECT_EQ(error, "saved state: thing/index: 10 is more than 9");
}

// After the first error nothing is changed any more.
TEST(StateArchive, NothingIsLoadedAfterAnError) {
  Thing thing = example();
  StateItems items = parse_state(save(thing));
  item_of(items, "large").name = "larger";
  Thing loaded;
  EXPECT_NE(load(assemble_state(items), loaded), "");
  EXPECT_EQ(loaded.small, 200);
  EXPECT_EQ(loaded.index, 0U);
  EXPECT_EQ(loaded.wheel.speed, 0);
  EXPECT_TRUE(loaded.queue.empty());
}

}  // namespace
}  // namespace ringshift
