// Any traffic to a whole board: it answers, its ranges stay apart, and the same traffic gets the
// same answers, be the board saved and loaded in the middle of it or not.
#include <memory>
#include <string>
#include <vector>

#include "shadowmmu/base/check.h"
#include "shadowmmu/base/state_archive.h"
#include "tests/fuzz/targets/fuzz_board.h"
#include "tests/fuzz/targets/fuzz_target.h"

namespace ringshift::fuzz {
namespace {

constexpr int kMostActions = 200;

using Action = void (FuzzBoard::*)(FuzzBytes&);

std::vector<uint8_t> save(FuzzBoard& board) {
  std::vector<uint8_t> saved;
  std::string error;
  CHECK(StateArchive::save([&](StateArchive& a) { board.visit_state(a); }, &saved, &error));
  return saved;
}

// A second board that goes on where the first one is.
std::unique_ptr<FuzzBoard> twin_of(FuzzBoard& board, FuzzBoard::Kind kind, uint8_t shape) {
  auto twin = std::make_unique<FuzzBoard>(kind, shape);
  twin->take_surroundings_of(board);
  const std::vector<uint8_t> saved = save(board);
  std::string error;
  CHECK(StateArchive::load(
      saved, [&](StateArchive& a) { twin->visit_state(a); }, &error));
  CHECK(twin->has_surroundings_of(board));
  CHECK(save(*twin) == saved);
  twin->take_surroundings_of(board);  // what it noted while it was loaded counts for nothing
  return twin;
}

constexpr int kNever = 0;

// Saved, and loaded into another board, when so many actions are left.
uint64_t run(std::span<const uint8_t> input, FuzzBoard::Kind kind, Action action, int save_at) {
  FuzzBytes bytes(input);
  const uint8_t shape = bytes.u8();
  auto board = std::make_unique<FuzzBoard>(kind, shape);
  (void)bytes.u8();
  for (int left = kMostActions; left != 0 && !bytes.empty(); --left) {
    if (left == save_at) {
      board = twin_of(*board, kind, shape);
      board->measure_heap();
    }
    ((*board).*action)(bytes);
    board->check();
  }
  return board->digest();
}

// The second time is as dear as the first, so the input says whether it is made.
void run_and_compare(std::span<const uint8_t> input, FuzzBoard::Kind kind, Action action) {
  const uint64_t first = run(input, kind, action, kNever);
  if (input.size() < 2) return;
  if (input[1] % 4 == 0) CHECK(run(input, kind, action, kNever) == first);
  if (input[1] % 4 == 1) {
    const int save_at = kMostActions - input[1] % 32;
    CHECK(run(input, kind, action, save_at) == first);
  }
}

}  // namespace

void fuzz_board(std::span<const uint8_t> input) {
  run_and_compare(input, FuzzBoard::Kind::Whole, &FuzzBoard::act);
}

void fuzz_storage(std::span<const uint8_t> input) {
  run_and_compare(input, FuzzBoard::Kind::Drives, &FuzzBoard::act_on_storage);
}

}  // namespace ringshift::fuzz
