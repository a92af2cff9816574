#include "monitor/network/packet_dump.h"

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "monitor/host/time/host_clock.h"
#include "shadowmmu/base/host_files.h"

namespace ringshift {
namespace {

constexpr uint32_t kMagic = 0xa1b2c3d4, kEthernet = 1, kLongestKept = 65536;

}  // namespace

std::unique_ptr<PacketDump> PacketDump::create(const std::string& path, std::string* error) {
  std::FILE* file = open_host_stream(path, FileUse::Replace);
  if (file == nullptr) {
    *error = "--net-dump: cannot write " + path + ": " + std::strerror(errno);
    return nullptr;
  }
  std::unique_ptr<PacketDump> dump(new PacketDump(file, path));
  constexpr uint32_t kMajor = 2, kMinor = 4;
  dump->put(kMagic, 4);
  dump->put(kMajor, 2);
  dump->put(kMinor, 2);
  dump->put(0, 4);  // the zone of the times: UTC
  dump->put(0, 4);
  dump->put(kLongestKept, 4);
  dump->put(kEthernet, 4);
  return dump;
}

PacketDump::~PacketDump() {
  flush();
  std::fclose(file_);
}

// The file's order of bytes is that of its first four.
void PacketDump::put(uint32_t value, unsigned bytes) {
  for (unsigned i = 0; i < bytes; ++i) std::fputc(static_cast<uint8_t>(value >> (8 * i)), file_);
}

void PacketDump::add(std::span<const uint8_t> frame) {
  if (lost_) return;
  constexpr int64_t kSecond = 1'000'000'000, kMicrosecond = 1'000;
  const int64_t now = HostClock::wall_time();
  const auto kept = std::min(frame.size(), size_t{kLongestKept});
  put(static_cast<uint32_t>(now / kSecond), 4);
  put(static_cast<uint32_t>(now % kSecond / kMicrosecond), 4);
  put(static_cast<uint32_t>(kept), 4);
  put(static_cast<uint32_t>(frame.size()), 4);
  (void)!std::fwrite(frame.data(), 1, kept, file_);
  if (std::ferror(file_) != 0) note_loss();
}

void PacketDump::flush() {
  if (!lost_ && (std::fflush(file_) != 0 || std::ferror(file_) != 0)) note_loss();
}

void PacketDump::note_loss() {
  lost_ = true;
  std::fprintf(stderr, "ringshift: --net-dump: %s cannot be written, the rest is lost: %s\n",
               path_.c_str(), std::strerror(errno));
}

}  // namespace ringshift
