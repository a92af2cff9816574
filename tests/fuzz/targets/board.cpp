// Any traffic to a whole board: it answers, its ranges stay apart, and the same traffic gets the
// same answers.
#include "shadowmmu/base/check.h"
#include "tests/fuzz/targets/fuzz_board.h"
#include "tests/fuzz/targets/fuzz_target.h"

namespace ringshift::fuzz {
namespace {

constexpr int kMostActions = 200;

using Action = void (FuzzBoard::*)(FuzzBytes&);

uint64_t run(std::span<const uint8_t> input, FuzzBoard::Kind kind, Action action) {
  FuzzBytes bytes(input);
  FuzzBoard board(kind, bytes.u8());
  (void)bytes.u8();
  for (int left = kMostActions; left != 0 && !bytes.empty(); --left) {
    (board.*action)(bytes);
    board.check();
  }
  return board.digest();
}

// The second time is as dear as the first, so the input says whether it is made.
void run_and_compare(std::span<const uint8_t> input, FuzzBoard::Kind kind, Action action) {
  const uint64_t first = run(input, kind, action);
  if (input.size() >= 2 && input[1] % 4 == 0) CHECK(run(input, kind, action) == first);
}

}  // namespace

void fuzz_board(std::span<const uint8_t> input) {
  run_and_compare(input, FuzzBoard::Kind::Whole, &FuzzBoard::act);
}

void fuzz_storage(std::span<const uint8_t> input) {
  run_and_compare(input, FuzzBoard::Kind::Drives, &FuzzBoard::act_on_storage);
}

}  // namespace ringshift::fuzz
