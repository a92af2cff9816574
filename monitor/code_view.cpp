#include "monitor/code_view.h"

#include <sys/mman.h>

#include <cerrno>
#include <cstring>

namespace ringshift {
namespace {

constexpr size_t kEntries = 65536;
constexpr size_t kBytes = kEntries * sizeof(uint32_t);
constexpr uint32_t kLongestInstruction = 15;

}  // namespace

std::unique_ptr<JumpTable> JumpTable::create(std::string* error) {
  auto table = std::unique_ptr<JumpTable>(new JumpTable());
  void* mapped = mmap(nullptr, kBytes, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (mapped == MAP_FAILED) {
    *error = std::string("cannot map a jump table: ") + std::strerror(errno);
    return nullptr;
  }
  table->entries_ = static_cast<uint32_t*>(mapped);
  return table;
}

JumpTable::~JumpTable() {
  if (entries_ != nullptr) munmap(entries_, kBytes);
}

void JumpTable::clear_page(GuestVirtualPage page) {
  const uint32_t first = page.address().value();
  for (uint32_t eip = first - kLongestInstruction; eip != first; ++eip) set(eip, 0);
  std::memset(entries_ + (first & 0xffffU), 0, kPageSize * sizeof(uint32_t));
}

void JumpTable::clear() { madvise(entries_, kBytes, MADV_DONTNEED); }

}  // namespace ringshift
