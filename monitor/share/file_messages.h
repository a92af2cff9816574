// File messages: the parts of a 9P message that are looked at on its way to a shared folder's
// server.
#pragma once

#include <cstdint>
#include <span>

#include "devices/virtio/file_port.h"
#include "devices/virtio/virtio_number.h"

namespace ringshift {

// Types of 9P2000.L; an answer's is its request's plus one.
inline constexpr uint8_t kFileVersion = 100, kFileAttach = 104, kFileClunk = 120;
inline constexpr size_t kFileFidAt = kFileHeader, kFileFidEnd = kFileFidAt + 4;
inline constexpr uint32_t kNoFileFid = 0xffffffff;

// kNoFileFid: it is too short to have one.
[[nodiscard]] inline uint32_t file_fid_of(std::span<const uint8_t> message) {
  if (message.size() < kFileFidEnd) return kNoFileFid;
  return static_cast<uint32_t>(number_at(message, kFileFidAt, 4));
}

}  // namespace ringshift
