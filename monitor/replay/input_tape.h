// InputTape: a guest's inputs from outside, with the positions at which they came. A recorder
// writes it while the guest runs; a replay reads it in place of the outside. Both hear of marks,
// where two runs of one tape must be alike. vCPU thread only. See docs/exact-execution.md.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "devices/host/inbox.h"

namespace ringshift {

// The position of a guest that counts events. Between two events instructions only go up within a
// page, so with the number of HLTs this is one boundary between two instructions.
struct TapePosition {
  uint32_t life = 0;  // how often the guest has begun again
  uint64_t events = 0;
  uint64_t halts = 0;      // HLT instructions it has executed
  bool is_halted = false;  // and it stands in the last of them
  bool operator==(const TapePosition&) const = default;

  [[nodiscard]] std::string text() const;
};

// A machine there, as hashes (StateDigest).
struct TapeMark {
  uint64_t registers = 0;
  uint64_t memory = 0;  // 0: it has not been hashed
  uint64_t output = 0;  // Machine::sent_hash, in this life
  bool operator==(const TapeMark&) const = default;
};

// How far a replay has read its tape, and the results of its comparisons.
struct TapePlace {
  uint64_t chunk_offset = 0;  // in the file, of the chunk whose entries come next
  uint64_t chunk = 0;         // its number
  size_t taken = 0;           // of its entries
  uint32_t lives = 0;
  TapePosition last;
  uint64_t marks = 0, inputs = 0;
};

class InputTape {
 public:
  virtual ~InputTape() = default;
  // The guest begins, or begins again; its events are counted from 0.
  virtual void begin_life() = 0;
  [[nodiscard]] virtual uint32_t life() const = 0;

  // For a recorder: the guest gets this input here. During a replay the outside gives no input.
  virtual void note(const TapePosition& at, const HostInput& input) = 0;
  [[nodiscard]] virtual bool is_replay() const = 0;
  // For a replay: the guest's inputs at this position, one after the other; nothing: no more here.
  [[nodiscard]] virtual std::optional<HostInput> next_at(const TapePosition& at) = 0;
  // The count of events, in this life, at which it wants to be asked again; nothing: not before the
  // next mark.
  [[nodiscard]] virtual std::optional<uint64_t> next_count() = 0;

  // Does a mark need the hash of RAM?
  [[nodiscard]] virtual bool hashes_memory() const = 0;
  virtual void mark(const TapePosition& at, const TapeMark& here) = 0;
  // The guest's life is over, by its own act or by somebody outside.
  enum class EndedBy : uint8_t { Guest, Outside };
  virtual void end(const TapePosition& at, const TapeMark& here, EndedBy who) = 0;

  // A replay is to stop here: the tape ends, or the run is not the recorded one.
  [[nodiscard]] virtual bool wants_stop(const TapePosition& at) = 0;
  // A replay's: where it is, and back to there. False: the tape cannot be read there any more.
  [[nodiscard]] virtual TapePlace place() const { return {}; }
  [[nodiscard]] virtual bool go_back_to(const TapePlace& /*place*/) { return false; }
  // One line, once something is wrong: the host cannot write the tape (a recorder goes on without
  // it), the tape is damaged, or the run is another.
  [[nodiscard]] virtual const std::string& problem() const = 0;
  // The host has failed visibly for the guest: from here on the run cannot be repeated.
  virtual void give_up(const std::string& why) = 0;
};

}  // namespace ringshift
