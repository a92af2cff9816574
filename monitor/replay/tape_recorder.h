// TapeRecorder: an InputTape that writes itself to a file as the guest runs. An entry is on its way
// to the file after a second at most. A file that can take no more ends the recording, not the
// machine. Owns: the descriptor. See docs/exact-execution.md.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "devices/bus/virtual_clock.h"
#include "monitor/replay/tape_format.h"

namespace ringshift {

class TapeRecorder final : public InputTape {
 public:
  // The file is empty, and the descriptor is its from here on. Null with one line in *error.
  static std::unique_ptr<TapeRecorder> create(int descriptor, std::string* error);
  ~TapeRecorder() override;
  TapeRecorder(const TapeRecorder&) = delete;
  TapeRecorder& operator=(const TapeRecorder&) = delete;

  void begin_life() override;
  [[nodiscard]] uint32_t life() const override { return life_ - 1; }
  void note(const TapePosition& at, const HostInput& input) override;
  [[nodiscard]] bool is_replay() const override { return false; }
  [[nodiscard]] std::optional<HostInput> next_at(const TapePosition& /*at*/) override {
    return std::nullopt;
  }
  [[nodiscard]] std::optional<uint64_t> next_count() override { return std::nullopt; }
  [[nodiscard]] bool hashes_memory() const override { return true; }
  void mark(const TapePosition& at, const TapeMark& here) override;
  void end(const TapePosition& at, const TapeMark& here, EndedBy who) override;
  [[nodiscard]] bool wants_stop(const TapePosition& /*at*/) override { return false; }
  [[nodiscard]] const std::string& problem() const override { return problem_; }
  void give_up(const std::string& why) override;

 private:
  explicit TapeRecorder(int descriptor) : descriptor_(descriptor) {}
  void add(const TapeEntry& entry);
  void write_chunk();
  [[nodiscard]] bool write(const std::vector<uint8_t>& bytes);

  int descriptor_;
  uint32_t life_ = 0;  // lives that have begun
  uint64_t chunks_ = 0;
  std::vector<uint8_t> plain_;  // of the chunk being made
  std::string problem_;
};

}  // namespace ringshift
