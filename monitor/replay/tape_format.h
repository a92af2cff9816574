// The format of a tape in a file: a header, then chunks, each compressed (zstd) and with a hash. A
// recorder that is killed leaves whole chunks and at most one that is not. A tape is hostile input:
// lengths are bounded, and each entry is checked. See docs/exact-execution.md, "The file".
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "monitor/replay/input_tape.h"

namespace ringshift {

struct TapeEntry {
  enum class Kind : uint8_t {
    Input,
    Mark,
    End,   // of a life of the guest, by the guest itself
    Stop,  // of the run, by somebody outside
  };
  Kind kind = Kind::Input;
  TapePosition at;
  HostInput input;  // Kind::Input
  TapeMark mark;    // the others
};

// At the beginning of the file.
inline constexpr size_t kTapeHeaderBytes = 16;
[[nodiscard]] std::vector<uint8_t> tape_header();
// False with one line in *problem: it is none that we can read.
[[nodiscard]] bool check_tape_header(std::span<const uint8_t> header, std::string* problem);

// No chunk holds more, before it is compressed.
inline constexpr size_t kMostChunkBytes = size_t{4} << 20;

void append_entry(const TapeEntry& entry, std::vector<uint8_t>* plain);
// The `number`-th chunk of a file, header and all, from 0 on. Pre: at most kMostChunkBytes.
[[nodiscard]] std::vector<uint8_t> pack_chunk(std::span<const uint8_t> plain, uint64_t number);

enum class ChunkResult : uint8_t {
  Whole,
  Cut,      // the bytes end before it does
  Damaged,  // *problem says how
};
// The chunk at the front of `bytes`: its entries, and how many bytes it takes.
[[nodiscard]] ChunkResult unpack_chunk(std::span<const uint8_t> bytes, uint64_t number,
                                       std::vector<TapeEntry>* entries, size_t* taken,
                                       std::string* problem);

}  // namespace ringshift
