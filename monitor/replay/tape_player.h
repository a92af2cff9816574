// TapePlayer: an InputTape that is read from a file, in place of the outside. It says where the run
// is not the one that was recorded. Owns: the descriptor, the entries of one chunk. See
// docs/exact-execution.md.
#pragma once

#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "monitor/replay/tape_format.h"

namespace ringshift {

struct PlayRequest {
  std::optional<uint64_t> until = std::nullopt;  // stop at this count of events of the first life
  bool hashes_memory = false;                    // compare RAM at each mark, too
};

class TapePlayer final : public InputTape {
 public:
  // The descriptor is its from here on. Null with one line in *error.
  static std::unique_ptr<TapePlayer> create(int descriptor, const PlayRequest& request,
                                            std::string* error);
  ~TapePlayer() override;
  TapePlayer(const TapePlayer&) = delete;
  TapePlayer& operator=(const TapePlayer&) = delete;

  void begin_life() override { ++life_; }
  [[nodiscard]] uint32_t life() const override { return life_ - 1; }
  void note(const TapePosition& /*at*/, const HostInput& /*input*/) override {}
  [[nodiscard]] bool is_replay() const override { return true; }
  [[nodiscard]] std::optional<HostInput> next_at(const TapePosition& at) override;
  [[nodiscard]] std::optional<uint64_t> next_count() override;
  [[nodiscard]] bool hashes_memory() const override { return request_.hashes_memory; }
  void mark(const TapePosition& at, const TapeMark& here) override;
  void end(const TapePosition& at, const TapeMark& here, EndedBy who) override;
  [[nodiscard]] bool wants_stop(const TapePosition& at) override;
  [[nodiscard]] TapePlace place() const override;
  [[nodiscard]] bool go_back_to(const TapePlace& place) override;
  [[nodiscard]] const std::string& problem() const override { return problem_; }
  void give_up(const std::string& why) override;

  // The result of the comparisons, in one line: "replayed to event 123: 4 marks agree".
  [[nodiscard]] std::string report() const;
  [[nodiscard]] bool agrees() const { return problem_.empty(); }

 private:
  TapePlayer(int descriptor, const PlayRequest& request)
      : descriptor_(descriptor), request_(request) {}
  // Null: the tape has no more.
  [[nodiscard]] const TapeEntry* next();
  void read_more();
  void drop_first();
  void compare(const TapeEntry& recorded, const TapePosition& at, const TapeMark& here);
  void differ(const TapePosition& at, const std::string& what);

  int descriptor_;
  PlayRequest request_;
  uint32_t life_ = 0;                         // lives that have begun
  uint64_t chunks_ = 0;                       // read
  uint64_t chunk_offset_ = kTapeHeaderBytes;  // in the file, of the last of them
  uint64_t read_offset_ = kTapeHeaderBytes;   // and where it ends
  size_t taken_ = 0;                          // of its entries
  std::vector<uint8_t> bytes_;                // read and not yet unpacked
  std::deque<TapeEntry> entries_;
  TapePosition last_;  // of the last entry that was played
  TapePosition reached_;
  uint64_t marks_ = 0;
  uint64_t inputs_ = 0;
  bool is_read_ = false;  // all of the file has been
  std::string damage_;    // of the tape, found when its good part has been played
  std::string problem_;
};

}  // namespace ringshift
