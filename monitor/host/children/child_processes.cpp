#include "monitor/host/children/child_processes.h"

#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <memory>

#include "shadowmmu/base/host_files.h"

namespace ringshift {

std::vector<int> child_processes(const std::string& file) {
  std::vector<int> children;
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> list(open_host_stream(file, FileUse::Read),
                                                             &std::fclose);
  if (list == nullptr) return children;
  int child = 0;
  while (std::fscanf(list.get(), "%d", &child) == 1) children.push_back(child);
  return children;
}

// The variable is inherited: it tells of the parent only if it names it.
std::optional<int> keeper_process() {
  const char* const told = std::getenv(kKeeperVariable);
  const int parent = getppid();
  if (told == nullptr || std::to_string(parent) != told) return std::nullopt;
  return parent;
}

}  // namespace ringshift
