#include "monitor/spaces/code_view.h"

#include <algorithm>
#include <cstring>

#include "shadowmmu/base/check.h"
#include "shadowmmu/host_mapping.h"

namespace ringshift {
namespace {

constexpr size_t kEntries = JumpTable::kBytes / sizeof(uint32_t);
constexpr uint32_t kLongestInstruction = 15;

}  // namespace

std::unique_ptr<JumpTable> JumpTable::create(std::string* error) {
  auto table = std::unique_ptr<JumpTable>(new JumpTable());
  HostAddress mapped;
  if (const HostResult result = map_private(kBytes, &mapped); !result.ok()) {
    *error = "cannot map a jump table: " + result.text();
    return nullptr;
  }
  table->entries_ = reinterpret_cast<uint32_t*>(mapped.value());
  return table;
}

JumpTable::~JumpTable() {
  if (entries_ != nullptr) (void)release(HostAddress(address()), kBytes);
}

void JumpTable::clear_page(GuestVirtualPage page) {
  const Eip first = flat_eip(page.address());
  for (Eip eip = first - kLongestInstruction; eip != first; eip += 1) set(eip, 0);
  const uint32_t start = jump_table_index(first);
  const uint32_t until_end = std::min<uint32_t>(kPageSize, kEntries - start);
  std::memset(entries_ + start, 0, until_end * sizeof(uint32_t));
  std::memset(entries_, 0, (kPageSize - until_end) * sizeof(uint32_t));
}

void JumpTable::clear() {
  // Stale entries would lead into dropped code.
  if (!discard(HostAddress(address()), kBytes).ok()) std::memset(entries_, 0, kBytes);
}

size_t CodeView::bytes() const {
  constexpr size_t kBytesOfEntry = 64;  // of an unordered_map, with malloc's own and its bucket
  size_t bytes = sizeof(CodeView) + JumpTable::kBytes;
  bytes += (pages.size() + sensitive_pages.size()) * kBytesOfEntry;
  if (window != nullptr) bytes += window->bytes();
  if (direct != nullptr) bytes += direct->shadow().bytes();
  return bytes;
}

}  // namespace ringshift
