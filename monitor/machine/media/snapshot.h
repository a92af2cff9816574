// Snapshot: a saved machine as a file: the words of the command line that made it, the state of its
// parts (docs/saved-state.md), and its RAM. Each page of RAM is at its own place, so that it can be
// mapped; pages of zeros are holes. A clone's has no RAM: others have it. A file is never trusted:
// a damaged one ends in one line of text. See docs/saved-state.md, "The file".
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "shadowmmu/guest_memory.h"

namespace ringshift {

// RAM as it lies in the file.
struct SavedRam {
  // A part of RAM whose size is SavedRam::grain_bytes, and whose bytes are not all zero.
  struct Grain {
    uint64_t number = 0;
    uint64_t hash = 0;  // of its bytes
  };
  uint64_t offset = 0;  // of its first byte in the file; a multiple of the page size
  uint64_t bytes = 0;
  uint32_t grain_bytes = 0;
  std::vector<Grain> grains;  // by number; the others are zero
  // For a clone: memfds of the process that wrote the file. They hold the grains, each at its own
  // place behind one page. Grain::hash is the index of the grain's memfd in this list.
  struct Elsewhere {
    uint64_t descriptor = 0;  // there
    uint64_t seal = 0;        // FrozenCopy::is_one()
  };
  std::vector<Elsewhere> elsewhere;

  [[nodiscard]] uint64_t end() const { return offset + bytes; }
};

struct Snapshot {
  std::vector<std::string> words;  // of the command line, from `run` on
  std::vector<uint8_t> state;      // as StateArchive has saved it
  SavedRam ram;                    // found by write_snapshot() itself
};
inline constexpr size_t kMostWordBytes = 256 * 1024;

// Writes all of it, and has the host put it on its medium. Pre: the file is empty. False with one
// line in *error: the written part is of no use.
[[nodiscard]] bool write_snapshot(int descriptor, const Snapshot& snapshot,
                                  const GuestMemory& memory, std::string* error);

// All of a machine but its RAM, which is elsewhere (snapshot.ram), as one file.
[[nodiscard]] std::vector<uint8_t> bytes_of_clone(const Snapshot& snapshot);

// Reads a file of write_snapshot(), or of bytes_of_clone(), but for the bytes of RAM, which are all
// there. False with one line in *error.
[[nodiscard]] bool read_snapshot(int descriptor, Snapshot* snapshot, std::string* error);

// Compares a part of RAM, grains[index], with its hash. False with one line in *error.
[[nodiscard]] bool verify_grain(int descriptor, const SavedRam& ram, size_t index,
                                std::string* error);

// The path by which a clone, whose file is at `clone`, finds one of its memfds.
[[nodiscard]] std::string path_of_cloned_ram(const std::string& clone,
                                             const SavedRam::Elsewhere& file);

// RAM of the file, for a machine's RAM to begin as. Takes the descriptor.
[[nodiscard]] RamBase base_of(const SavedRam& ram, int descriptor);

}  // namespace ringshift
