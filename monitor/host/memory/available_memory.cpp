#include "monitor/host/memory/available_memory.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstring>
#include <memory>
#include <string_view>

#include "monitor/host/control_group.h"
#include "shadowmmu/base/host_files.h"

namespace ringshift {
namespace {

// The first some KiB: the line that we look for is there. Empty: it cannot be read.
std::string content_of(const std::string& path) {
  std::array<char, 4096> bytes{};
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(open_host_stream(path, FileUse::Read),
                                                             &std::fclose);
  if (file == nullptr) return "";
  return {bytes.data(), std::fread(bytes.data(), 1, bytes.size(), file.get())};
}

std::optional<uint64_t> number_at(std::string_view text) {
  while (!text.empty() && (text[0] == ' ' || text[0] == '\t')) text.remove_prefix(1);
  uint64_t value = 0;
  size_t digits = 0;
  for (; digits < text.size() && digits < 18; ++digits) {
    if (text[digits] < '0' || text[digits] > '9') break;
    value = value * 10 + static_cast<uint64_t>(text[digits] - '0');
  }
  return digits != 0 ? std::optional(value) : std::nullopt;
}

std::optional<uint64_t> of_host(const std::string& root) {
  constexpr std::string_view kName = "MemAvailable:";
  const std::string text = content_of(root + "/proc/meminfo");
  const size_t at = text.find(kName);
  if (at == std::string::npos) return std::nullopt;
  const std::optional<uint64_t> kib = number_at(std::string_view(text).substr(at + kName.size()));
  return kib ? std::optional(*kib * 1024) : std::nullopt;
}

// The bytes that our control group and those around it leave us. A group that names no limit has
// none.
std::optional<uint64_t> of_groups(const std::string& root) {
  std::string group = own_group_path(root);
  std::optional<uint64_t> least;
  while (!group.empty() && group[0] == '/') {
    const std::string folder = root + "/sys/fs/cgroup" + (group == "/" ? "" : group);
    const std::optional<uint64_t> most = number_at(content_of(folder + "/memory.max"));
    const std::optional<uint64_t> now = number_at(content_of(folder + "/memory.current"));
    if (most && now) {
      const uint64_t left = *most - std::min(*most, *now);
      least = std::min(least.value_or(left), left);
    }
    const size_t slash = group.rfind('/');
    if (group == "/") break;
    group = slash == 0 ? "/" : group.substr(0, slash);
  }
  return least;
}

}  // namespace

std::optional<uint64_t> available_memory(const std::string& root) {
  const std::optional<uint64_t> host = of_host(root), groups = of_groups(root);
  if (!host || !groups) return host ? host : groups;
  return std::min(*host, *groups);
}

}  // namespace ringshift
