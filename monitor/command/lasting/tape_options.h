// Tape options: --record of `run`, and the command line of `replay`, which is that of the recorded
// run with words of its own. Owns (RunTape): the tape while a machine runs. See
// docs/exact-execution.md.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "monitor/command/tape_disks.h"
#include "monitor/replay/input_tape.h"

namespace ringshift {

struct RunOptions;
class TapePlayer;
class TapeRecorder;

// The request of `replay FOLDER`; no folder: it is not a replay.
struct ReplayRequest {
  std::string folder;
  std::optional<uint64_t> until;  // a count of events
  bool hashes_memory = false;     // --verify
  int64_t epoch_seconds = 0;      // of the recorded machine's clock
  std::vector<TapeDisk> disks;    // of the recorded machine
  bool is_resumed = false;        // it began as a saved machine, which is in the folder
};

// Replaces {"replay", FOLDER, WORD...} by the words of the recorded run with the given ones after
// them, except --until and --verify. False with one line in *problem: there is no such recording,
// or a file that it began with is another now.
[[nodiscard]] bool replayed_words(std::vector<std::string>* words, ReplayRequest* request,
                                  std::string* problem);

// Before --clock is looked at: a recording counts events, and waits while the guest is idle; a
// replay does not. False with one line in *problem: something cannot be recorded.
[[nodiscard]] bool apply_tape(RunOptions* options, std::string* problem);

// The path, in a recording's folder, of the saved machine that the recording began as.
[[nodiscard]] std::string kept_machine_path(const std::string& folder);

// A saved machine whose time-stamp counter would go on at another rate than the one its guest has
// measured.
[[nodiscard]] bool began_by_host_clock(const RunOptions& options);

// An option by which input would reach the guest past the tape; empty: there is none. A port at a
// socket is on one, but its bytes are not in a recording's folder.
[[nodiscard]] std::string unrecorded(const RunOptions& options);

// A run as a text that another process can begin it by: its words, and hashes of the files that it
// begins with. And back: false with one line in *problem, also where a file is another here.
[[nodiscard]] std::string run_description(const RunOptions& options,
                                          const std::vector<std::string>& words,
                                          const std::vector<TapeDisk>& disks);
[[nodiscard]] bool read_run_description(const std::vector<uint8_t>& text,
                                        std::vector<std::string>* words, ReplayRequest* request,
                                        std::string* problem);

class RunTape {
 public:
  RunTape();
  ~RunTape();
  RunTape(const RunTape&) = delete;
  RunTape& operator=(const RunTape&) = delete;
  // Before files are out of reach. False with one line in *error.
  [[nodiscard]] bool open(RunOptions* options, std::string* error);
  // After the run, which would end with `exit_code`: reports the comparisons, and how it ends.
  [[nodiscard]] int finish(int exit_code);

 private:
  [[nodiscard]] bool open_recorder(RunOptions* options, std::string* error);
  [[nodiscard]] bool open_player(RunOptions* options, std::string* error);

  std::unique_ptr<TapeRecorder> recorder_;  // null: nothing is recorded
  std::unique_ptr<TapePlayer> player_;      // null: nothing is replayed
};

}  // namespace ringshift
