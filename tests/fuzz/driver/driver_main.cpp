// libFuzzer's way into one target, which the build names: RINGSHIFT_FUZZ_TARGET is its function.
// With RINGSHIFT_FUZZ_LAST_INPUT=FILE the input that is being run is in FILE, for when the process
// dies of a signal that libFuzzer does not get to see.
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>

#include "tests/fuzz/targets/fuzz_target.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  static const char* const kept = std::getenv("RINGSHIFT_FUZZ_LAST_INPUT");
  if (kept != nullptr) {
    if (std::FILE* file = std::fopen(kept, "wb"); file != nullptr) {
      std::fwrite(bytes, 1, size, file);
      std::fclose(file);
    }
  }
  ringshift::fuzz::RINGSHIFT_FUZZ_TARGET({bytes, size});
  return 0;
}
