#include "monitor/spaces/code_view.h"

namespace ringshift {

size_t CodeView::bytes() const {
  constexpr size_t kBytesOfEntry = 64;  // of an unordered_map, with malloc's own and its bucket
  size_t bytes = sizeof(CodeView) + (jumps != nullptr ? jumps->bytes() : 0);
  bytes += (pages.size() + sensitive_pages.size()) * kBytesOfEntry;
  if (window != nullptr) bytes += window->bytes();
  if (direct != nullptr) bytes += direct->shadow().bytes();
  return bytes;
}

}  // namespace ringshift
