// The fuzz targets: each takes any bytes, and stops the process by CHECK if something is wrong. See
// docs/fuzzing.md.
#pragma once

#include <array>
#include <cstdint>
#include <span>

namespace ringshift::fuzz {

void fuzz_board(std::span<const uint8_t> input);
void fuzz_gdb(std::span<const uint8_t> input);
void fuzz_guest(std::span<const uint8_t> input);
void fuzz_images(std::span<const uint8_t> input);
void fuzz_interpreter(std::span<const uint8_t> input);
void fuzz_late(std::span<const uint8_t> input);
void fuzz_migration(std::span<const uint8_t> input);
void fuzz_nbd(std::span<const uint8_t> input);
void fuzz_ne2k(std::span<const uint8_t> input);
void fuzz_network(std::span<const uint8_t> input);
void fuzz_options(std::span<const uint8_t> input);
void fuzz_qmp(std::span<const uint8_t> input);
void fuzz_replica(std::span<const uint8_t> input);
void fuzz_rfb(std::span<const uint8_t> input);
void fuzz_state(std::span<const uint8_t> input);
void fuzz_storage(std::span<const uint8_t> input);
void fuzz_tape(std::span<const uint8_t> input);
void fuzz_translate(std::span<const uint8_t> input);
void fuzz_virtio(std::span<const uint8_t> input);

struct FuzzTarget {
  const char* name;  // of the folder in tests/fuzz/corpus, and of the driver after "fuzz_"
  void (*fuzz_one)(std::span<const uint8_t> input);
};

inline constexpr std::array<FuzzTarget, 19> kFuzzTargets{{
    {"board", fuzz_board},
    {"gdb", fuzz_gdb},
    {"guest", fuzz_guest},
    {"images", fuzz_images},
    {"interpreter", fuzz_interpreter},
    {"late", fuzz_late},
    {"migration", fuzz_migration},
    {"nbd", fuzz_nbd},
    {"ne2k", fuzz_ne2k},
    {"network", fuzz_network},
    {"options", fuzz_options},
    {"qmp", fuzz_qmp},
    {"replica", fuzz_replica},
    {"rfb", fuzz_rfb},
    {"state", fuzz_state},
    {"storage", fuzz_storage},
    {"tape", fuzz_tape},
    {"translate", fuzz_translate},
    {"virtio", fuzz_virtio},
}};

}  // namespace ringshift::fuzz
