// Tapes of a hostile writer: any bytes, whole chunks of any entries, good ones with some bytes
// changed. A player refuses each in one printable line, or plays it and comes to its end.
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "monitor/network/guest_packets.h"
#include "monitor/replay/tape_player.h"
#include "monitor/replay/tape_recorder.h"
#include "monitor/share/guest_files.h"
#include "shadowmmu/base/check.h"
#include "tests/fuzz/targets/fuzz_bytes.h"
#include "tests/fuzz/targets/fuzz_target.h"

namespace ringshift::fuzz {
namespace {

constexpr uint32_t kMostEntries = 40;

TapePosition position(FuzzBytes& bytes) {
  TapePosition at;
  at.life = bytes.below(3);
  at.events = bytes.u16();
  at.halts = bytes.below(4);
  at.is_halted = bytes.below(2) != 0;
  return at;
}

TapeEntry entry(FuzzBytes& bytes) {
  TapeEntry made;
  made.kind = static_cast<TapeEntry::Kind>(bytes.below(4));
  made.at = position(bytes);
  if (made.kind == TapeEntry::Kind::Input) {
    using Kind = HostInput::Kind;
    constexpr Kind kKinds[] = {Kind::NetworkRoom,   Kind::NetworkLink, Kind::NetworkFrames,
                               Kind::ShareMessages, Kind::ShareRoom,   Kind::ShareEnd};
    made.input.source = bytes.u8();
    made.input.kind =
        made.input.source < std::size(kKinds) ? kKinds[made.input.source] : Kind::ConsoleBytes;
    const std::string text = bytes.text(bytes.u8());
    made.input.bytes.assign(text.begin(), text.end());
  } else {
    made.mark.registers = bytes.u8();
    made.mark.memory = bytes.u8();
  }
  return made;
}

std::vector<uint8_t> tape_of_entries(FuzzBytes& bytes) {
  std::vector<uint8_t> tape = tape_header();
  for (uint64_t chunk = bytes.below(4); chunk != 0; --chunk) {
    std::vector<uint8_t> plain;
    for (uint32_t left = bytes.below(kMostEntries); left != 0; --left) {
      append_entry(entry(bytes), &plain);
    }
    const bool has_any_bytes = bytes.below(4) == 0;
    if (has_any_bytes) {
      const auto more = bytes.take(bytes.u8());
      plain.insert(plain.end(), more.begin(), more.end());
    }
    const uint64_t number = tape.size() == kTapeHeaderBytes ? 0 : 1;
    const std::vector<uint8_t> packed = pack_chunk(plain, number);
    tape.insert(tape.end(), packed.begin(), packed.end());
  }
  for (uint32_t changes = bytes.below(4); changes != 0 && bytes.below(2) != 0; --changes) {
    const uint16_t at = bytes.u16();
    tape[at % tape.size()] ^= bytes.u8();
  }
  return tape;
}

bool is_one_line(const std::string& text) {
  return !text.empty() && std::ranges::all_of(text, [](char c) { return c >= ' ' && c < 127; });
}

// The questions of a machine, in an order that positions have.
void play(TapePlayer& tape, FuzzBytes& bytes) {
  tape.begin_life();
  TapePosition at;
  GuestPackets network;
  GuestFiles folder;
  for (int step = 0; step < 200; ++step) {
    size_t inputs = 0;
    while (const auto input = tape.next_at(at)) {
      CHECK(++inputs <= size_t{4} * kMostEntries);
      if (input->kind >= HostInput::Kind::ShareMessages) {
        folder.take_in(*input);
      } else if (input->kind >= HostInput::Kind::NetworkRoom) {
        network.take_in(*input);
      }
      while (!folder.received().empty()) folder.take_received();
      while (!network.received().empty()) network.take_received();
    }
    if (tape.wants_stop(at)) break;
    if (const auto next = tape.next_count()) {
      at.events = std::max(at.events, *next);
    } else {
      at.events += bytes.u8();
    }
    switch (bytes.below(6)) {
      case 0:
        tape.mark(at, {.registers = bytes.u8(), .memory = bytes.u8()});
        break;
      case 1:
        tape.end(at, {}, InputTape::EndedBy::Guest);
        tape.begin_life();
        at = {.life = tape.life(), .events = 0, .halts = 0, .is_halted = false};
        break;
      case 2:
        ++at.halts;
        at.is_halted = true;
        break;
      case 3:
        at.is_halted = false;
        break;
      default:
        break;
    }
  }
  CHECK(is_one_line(tape.report()));
  CHECK(tape.agrees() || is_one_line(tape.problem()));
}

}  // namespace

void fuzz_tape(std::span<const uint8_t> input) {
  FuzzBytes bytes(input);
  const int descriptor = memfd_create("tape", MFD_CLOEXEC);
  CHECK(descriptor >= 0);
  const bool is_raw = bytes.below(4) == 0;
  const bool hashes_memory = bytes.below(2) != 0;
  std::vector<uint8_t> tape;
  if (is_raw) {
    const auto all = bytes.rest();
    tape.assign(all.begin(), all.end());
  } else {
    tape = tape_of_entries(bytes);
  }
  CHECK(write(descriptor, tape.data(), tape.size()) == static_cast<ssize_t>(tape.size()));
  CHECK(lseek(descriptor, 0, SEEK_SET) == 0);
  std::string error;
  PlayRequest request;
  request.hashes_memory = hashes_memory;
  const std::unique_ptr<TapePlayer> player = TapePlayer::create(descriptor, request, &error);
  if (player != nullptr) {
    play(*player, bytes);
  } else {
    CHECK(is_one_line(error));
  }
}

}  // namespace ringshift::fuzz
