// Saved states that are none, or not quite: loading them is refused in one line, or makes a board
// that goes on whatever is done to it.
#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "shadowmmu/base/check.h"
#include "shadowmmu/base/state_archive.h"
#include "tests/fuzz/targets/fuzz_board.h"
#include "tests/fuzz/targets/fuzz_target.h"

namespace ringshift::fuzz {
namespace {

constexpr int kMostActions = 60;

struct Shape {
  FuzzBoard::Kind kind;
  uint8_t bits;
};

void act(FuzzBoard& board, Shape shape, FuzzBytes& bytes) {
  if (shape.kind == FuzzBoard::Kind::Drives) return board.act_on_storage(bytes);
  board.act(bytes);
}

std::vector<uint8_t> save(FuzzBoard& board) {
  std::vector<uint8_t> saved;
  std::string error;
  CHECK(StateArchive::save([&](StateArchive& a) { board.visit_state(a); }, &saved, &error));
  return saved;
}

// Bytes of a good state, some of them changed, and a header that is right again.
std::vector<uint8_t> nearly_good(Shape shape, FuzzBytes& bytes) {
  auto board = std::make_unique<FuzzBoard>(shape.kind, shape.bits);
  for (uint32_t left = bytes.below(kMostActions); left != 0; --left) act(*board, shape, bytes);
  const std::vector<uint8_t> saved = save(*board);
  std::vector<uint8_t> body(saved.begin() + StateArchive::kHeaderBytes, saved.end());
  for (uint32_t left = 1 + bytes.below(6); left != 0; --left) {
    const uint32_t at = bytes.u32();
    body[at % body.size()] = bytes.u8();
  }
  if (bytes.u8() == 0xff) body.resize(bytes.u32() % (body.size() + 1));
  return StateArchive::with_header(body);
}

std::vector<uint8_t> state_of(uint8_t how, Shape shape, FuzzBytes& bytes) {
  if (how % 8 == 0) {
    const auto raw = bytes.rest();
    return {raw.begin(), raw.end()};
  }
  return how % 8 == 1 ? StateArchive::with_header(bytes.rest()) : nearly_good(shape, bytes);
}

}  // namespace

void fuzz_state(std::span<const uint8_t> input) {
  FuzzBytes bytes(input);
  const uint8_t how = bytes.u8();
  const Shape shape{(how & 0x80) != 0 ? FuzzBoard::Kind::Whole : FuzzBoard::Kind::Drives,
                    bytes.u8()};
  const std::vector<uint8_t> state = state_of(how, shape, bytes);
  auto board = std::make_unique<FuzzBoard>(shape.kind, shape.bits);
  std::string error;
  if (!StateArchive::load(
          state, [&](StateArchive& a) { board->visit_state(a); }, &error)) {
    CHECK(!error.empty() && error.size() < 400);
    CHECK(std::ranges::all_of(error, [](char c) { return c >= ' ' && c <= '~'; }));
    return;
  }
  board->measure_heap();
  for (int left = kMostActions; left != 0 && !bytes.empty(); --left) {
    act(*board, shape, bytes);
    board->check();
  }
  (void)save(*board);
}

}  // namespace ringshift::fuzz
