// Linux payload: the kernel that a bzImage carries packed, unpacked as its own loader would. The
// file is hostile input: a problem is one line, and its unpacked size is bounded. Facts: the Linux
// boot protocol, payload_offset (2.08). See docs/lab.md.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace ringshift::lab {

inline constexpr uint64_t kLargestPayload = uint64_t{256} << 20;

struct LinuxPayload {
  std::vector<uint8_t> bytes;  // an ELF file, if all is well
  std::string method;          // "xz"
};

// Empty on success, otherwise the mistake in the file. `image` is the whole bzImage.
[[nodiscard]] std::string unpack_linux(std::span<const uint8_t> image, LinuxPayload* payload,
                                       uint64_t limit = kLargestPayload);

}  // namespace ringshift::lab
